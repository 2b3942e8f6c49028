"""Retraining: the cells that a comparison recommended, trained in full with several seeds.

A finished training is one file; a second call trains what is missing, and a training that was killed
goes on from its checkpoint. The results hold no clock reading; seconds and memory lie beside them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.checks import shown, whole
from nasbench_kit.compare.run_folder import read_manifest, searched_space
from nasbench_kit.compare.trained_scores import row_of, trained_accuracies
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName, WrongTable
from nasbench_kit.spaces.protocols import material
from nasbench_kit.system.files import check_writable, read_json, write_text
from nasbench_kit.table.table import Table
from nasbench_kit.training.record import Likelihood, score_of

if TYPE_CHECKING:
    from nasbench_kit.spaces.skeleton import Precision
    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.recipe import Recipe
    from nasbench_kit.training.record import Training

#: A cell and the seed of its training.
Job = tuple[Any, int]


# Which cells -----------------------------------------------------------------------------------


def table_of(run: Path) -> tuple[str, str] | None:
    """Name and checksum of the table that a comparison was made on; None if it had none.

    Raises:
        UnknownName: the folder holds no comparison.
        CorruptFile: it cannot be read.
    """
    manifest = read_manifest(run)
    if manifest is None:
        raise _no_comparison(run / "manifest.json")
    table = manifest["table"]
    return None if table is None else (table["name"], table["checksum"])


def recommended(run: Path, table: Table | None, per_algorithm: int | None) -> dict[str, list[Any]]:
    """Algorithm -> different architectures that it recommended, best mean validation accuracy first.

    Test accuracy has no say in the choice.

    Args:
        run: folder of the comparison.
        table: the comparison's table, if it has one.
        per_algorithm: how many of the best to keep; None keeps all.

    Raises:
        UnknownName: the folder holds no comparison.
        CorruptFile: its files cannot be read, or the table's was altered.
        WrongTable: the table is another one.
        InvalidSetting: fewer than one is asked for, or no run recommended any.
    """
    if per_algorithm is not None and per_algorithm < 1:
        raise InvalidSetting(f"{per_algorithm} cells per algorithm; at least 1 is needed")
    made_on = table_of(run)
    if (table and table.checksum) != (made_on and made_on[1]):
        raise WrongTable(
            f"{table.name if table else 'none'} is not the table of {run}: its checksum differs; open "
            "that one"
        )
    manifest = read_manifest(run)
    assert manifest is not None  # or there would be no table of it
    space = searched_space(manifest)
    text = _text(run / "results.csv")
    try:
        pairs = [
            (row["algorithm"], space.parse(architecture))
            for row in _read_rows(text)
            for architecture in row["architecture"].split()
        ]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise CorruptFile(f"{run}/results.csv is damaged ({error!r}); run compare again") from error
    if not pairs:
        raise InvalidSetting(
            f"no run of {run} recommended anything; give the comparison more budget"
        )
    accuracy = _validation_accuracies(run, table, manifest)
    chosen: dict[str, list[Any]] = {}
    for algorithm, architecture in dict.fromkeys(pairs):
        chosen.setdefault(algorithm, []).append(architecture)
    for architectures in chosen.values():
        architectures.sort(key=lambda architecture: -accuracy(architecture.to_text()))
        del architectures[per_algorithm or len(architectures) :]
    return chosen


def _validation_accuracies(
    run: Path, table: Table | None, manifest: Mapping[str, Any]
) -> Callable[[str], float]:
    """Mean validation accuracy by text, as the table or the scoring trainings have it."""
    trained: Mapping[str, float] = {}
    if (trainings := manifest.get("fallback")) is not None:
        seeds = trainings["scoring_seeds"]
        trained = trained_accuracies(run, "validation_accuracy", trainings["epochs"][-1], seeds)
    means = None if table is None else table.mean("validation_accuracy")

    def accuracy(text: str) -> float:
        row = None if table is None else row_of(table, text)
        if row is None and text not in trained:
            raise CorruptFile(f"{run}/scores lacks {text}; run compare again")
        return trained[text] if row is None or means is None else float(means[row])

    return accuracy


# Training --------------------------------------------------------------------------------------


def retrain(
    jobs: Sequence[Job],
    folder: Path,
    images: DataSet,
    recipe: Recipe,
    epochs: int,
    *,
    precision: Precision = "float32",
    weights: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> None:
    """Train what is missing of some jobs into a folder.

    Args:
        jobs: architectures and seeds.
        folder: of the results.
        images: what all are trained on.
        recipe: how.
        epochs: how long.
        precision: see ``train``.
        weights: whether the trained networks are kept as well, in ``weights/HASH-seedN.pt``; what was
            trained without them is trained again.
        progress: called with the jobs done and all that were missing.
        how: devices, processes and threads, see ``train_many``.

    Raises:
        WrongTable: the folder holds trainings under other conditions.
        NotWritable: the folder cannot be written.
        InvalidSetting: see ``train_many``; nothing is written.
        TrainingFailed: see ``train_many``; all other jobs are done.
    """
    from nasbench_kit.training.many import train_many

    conditions = folder / "conditions.json"
    check_writable(conditions)
    kinds = ("trainings", "weights") if weights else ("trainings",)
    missing = [job for job in jobs if not all(_path(folder, kind, job).exists() for kind in kinds)]
    trainings = train_many(
        missing,
        images,
        recipe,
        epochs,
        precision=precision,
        checkpoint=lambda *job: _path(folder, "checkpoints", job),
        weights=lambda *job: _path(folder, "weights", job) if weights else None,
        **how,
    )  # refuses settings before anything is written
    _claim(
        conditions,
        {
            "images": images.name,
            "images_digest": images.digest,
            "recipe": asdict(recipe),
            "epochs": epochs,
            "precision": precision,
        },
    )
    progress(0, len(missing))
    for done, (place, training) in enumerate(trainings, start=1):
        _save(folder, missing[place], training)
        progress(done, len(missing))


def _claim(path: Path, conditions: dict[str, Any]) -> None:
    """Write what all trainings of a folder have in common, or check that it is the same."""
    if not path.exists():
        if any((path.parent / "trainings").glob("*")):
            raise WrongTable(
                f"{path.parent} holds trainings and no {path.name}, so nobody knows of what; choose "
                "another folder, or move them away"
            )
        write_text(path, json.dumps(conditions, indent=1) + "\n")
        return
    with _intact(path):
        recorded = _fields(read_json(path))
    for name, value in conditions.items():
        if recorded.get(name) != value:
            raise WrongTable(
                f"{path.parent} holds trainings with another {name}; choose another folder, or "
                "delete it"
            )


def _path(folder: Path, kind: str, job: Job) -> Path:
    architecture, seed = job
    ending = "pt" if kind in ("checkpoints", "weights") else "json"
    return folder / kind / f"{architecture.hash}-seed{seed}.{ending}"


def _save(folder: Path, job: Job, training: Training) -> None:
    record = training.to_dict()
    clock = {"seconds": training.seconds, "peak_memory": record.pop("peak_memory")}
    for point in ("start", "halfway", "final"):
        del record[point]["seconds"]
    for kind, content in (("clock", clock), ("trainings", record)):
        write_text(_path(folder, kind, job), json.dumps(content, indent=1) + "\n")
    _path(folder, "checkpoints", job).unlink(missing_ok=True)


# Results ---------------------------------------------------------------------------------------


def summaries(
    folder: Path, chosen: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One flat row for each architecture of each algorithm, best on test first.

    Means and sample standard deviations are over the seeds that are there; a failed training counts
    with what it scored. On text an accuracy is 1 / perplexity, and perplexities have means of their own.
    """
    rows = []
    for algorithm, architectures in chosen.items():
        for architecture in architectures:
            on_text = material(architecture) == "text"
            paths = [_path(folder, "trainings", (architecture, seed)) for seed in seeds]
            records = [_result(path, on_text) for path in paths if path.exists()]
            rows.append(
                {"algorithm": algorithm, "architecture": architecture.to_text()}
                | _summary(records, on_text)
            )
    return sorted(rows, key=_worth)


def _worth(row: Mapping[str, Any]) -> float:
    """The better the less: mean test perplexity, or minus mean test accuracy."""
    if (perplexity := row.get("test_perplexity_mean")) is not None:
        return float(perplexity)
    return -(row["test_mean"] or 0.0)


def _summary(records: Sequence[dict[str, Any]], on_text: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "trainings": len(records),
        "failed": sum(record["failed"] for record in records),
        "trainable_parameters": records[0]["trainable_parameters"] if records else None,
    }
    scores = {split: [record[split] for record in records] for split in ("test", "validation")}
    for split, those in scores.items():
        row |= _spread(split, [score.accuracy for score in those])
    if on_text:
        for split, those in scores.items():
            row |= _spread(f"{split}_perplexity", [score.perplexity for score in those])
    return row


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation, where there are enough for them."""
    return {
        f"{name}_mean": float(np.mean(values)) if values else None,
        f"{name}_std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def _result(path: Path, on_text: bool) -> dict[str, Any]:
    """What a summary needs of one training: scores of both splits at its end among it.

    Raises:
        CorruptFile: no training can have left this.
    """
    with _intact(path):
        record = _fields(read_json(path))
        if not isinstance(record["failed"], bool):
            raise TypeError(f"failed is {shown(record['failed'])}")
        result: dict[str, Any] = {
            "failed": record["failed"],
            "trainable_parameters": whole(
                "trainable_parameters", record["trainable_parameters"], 0
            ),
        }
        for split in ("test", "validation"):
            result[split] = score = score_of(_fields(_fields(record["final"])[split]))
            if isinstance(score, Likelihood) != on_text:
                raise TypeError(f"its {split} score counts {score.size}")
        return result


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"it holds {shown(value)} where names and values must stand")
    return value


@contextlib.contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Errors of a file's content, with its name."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise CorruptFile(
            f"{path} cannot be read ({error!r}); delete it to make it again"
        ) from error


def _read_rows(text: str) -> list[dict[str, str]]:
    header, *rows = csv.reader(io.StringIO(text))
    return [dict(zip(header, row, strict=True)) for row in rows]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _no_comparison(path) from None
    except (OSError, ValueError) as error:
        raise CorruptFile(f"{path} cannot be read ({error}); delete it to make it again") from error


def _no_comparison(path: Path) -> UnknownName:
    return UnknownName(
        f"{path.parent} holds no comparison: {path.name} is missing; make one with "
        "`nasbench-kit compare --out`"
    )
