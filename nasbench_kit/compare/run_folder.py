"""The folder of a comparison: its manifest, its lock, the files of its runs.

Which file lies where stands in `nasbench_kit.compare.running`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from nasbench_kit import checks, spaces
from nasbench_kit.compare.trace import Trace, number, whole
from nasbench_kit.errors import CorruptFile, InvalidSetting, NotInSpace, NotWritable, WrongTable
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.system import files

#: What later calls may add to; everything else in the manifest stays as it is.
_GROWING = ("algorithms", "commands")
#: What a budget can limit.
LIMITS = ("seconds", "epochs", "queries")
#: Of files that are made for each run.
_FOLDERS = ("traces", "scores", "clock", "checkpoints", "failures")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")


def trace_path(folder: Path, label: str, seed: int) -> Path:
    """Where the trace of a run lies."""
    return folder / "traces" / f"{label}-{seed}.json"


def clock_path(folder: Path, label: str, seed: int) -> Path:
    """Where the measured seconds and the memory of a run lie."""
    return folder / "clock" / f"{label}-{seed}.json"


def checkpoint_path(folder: Path, label: str, seed: int) -> Path:
    """Where a run that shares weights keeps its state until it is finished."""
    return folder / "checkpoints" / f"{label}-{seed}.pt"


def failure_path(folder: Path, label: str, seed: int) -> Path:
    """Where a run that failed says why, until it is done: see `nasbench_kit.compare.failures`."""
    return folder / "failures" / f"{label}-{seed}.txt"


def check_label(label: object) -> None:
    """Refuse a label of an algorithm that cannot be the name of a file.

    Raises:
        InvalidSetting: saying what can.
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise InvalidSetting(
            f"the label {checks.shown(label)} is to be a file's name; use letters, digits, '_.+-', begin with a "
            "letter or digit, at most 100 in all"
        )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None if there is none.

    Raises:
        CorruptFile: it is none of this kind, or says what no comparison can have been made under.
    """
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = files.read_json(path)
        _check_manifest(manifest)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise NotWritable(f"cannot write {folder}: {error.strerror}; choose another") from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise CorruptFile(f"{path} is no manifest ({error}); choose another folder") from error
    return manifest


def _check_manifest(manifest: Any) -> None:
    """What the readers of a folder rely on.

    Raises:
        ValueError, TypeError, LookupError: it is missing, or of another type.
    """
    kinds: dict[str, type] = {"versions": dict, "scored_by": str, "budget": dict, "policy": str}
    for name, kind in {**kinds, "algorithms": dict, "commands": list}.items():
        if not isinstance(manifest[name], kind):
            raise TypeError(f"{name} is {_brief(manifest[name])}")
    for label, algorithm in manifest["algorithms"].items():
        check_label(label)
        if not isinstance(algorithm["class"], str) or not isinstance(algorithm["settings"], dict):
            raise TypeError(f"the algorithm {label} is {_brief(algorithm)}")
    if not all(isinstance(name, str) for name in manifest.get("objectives", ())):
        raise TypeError(f"objectives are {_brief(manifest['objectives'])}")
    _check_benchmark(manifest)
    _check_limits(manifest)
    if manifest["policy"] not in get_args(Policy):
        raise ValueError(f"the policy is {_brief(manifest['policy'])}")
    if not all(isinstance(command, str) for command in manifest["commands"]):
        raise TypeError(f"commands are {_brief(manifest['commands'])}")


def _check_benchmark(manifest: Any) -> None:
    """That there is a table, or a trainer, and what they are called."""
    if (table := manifest["table"]) is not None:
        for name in ("name", "checksum", "space"):
            if not isinstance(table[name], str):
                raise TypeError(f"the table's {name} is {_brief(table[name])}")
        whole(table["cells"], "the table's cells")
    if table is None or "fallback" in manifest:
        trained = manifest["fallback"]
        if not isinstance(trained["space"], str):
            raise TypeError(f"the space is {_brief(trained['space'])}")
        for name in ("epochs", "scoring_seeds"):
            if not trained[name]:
                raise ValueError(f"there are no {name}")
            for number_of in trained[name]:
                whole(number_of, f"one of the {name}")


def _check_limits(manifest: Any) -> None:
    """That there is a budget, of limits that a run can have."""
    if not manifest["budget"]:
        raise ValueError("there is no budget")
    for name, limit in manifest["budget"].items():
        if name not in LIMITS:
            raise ValueError(f"the budget limits {name}")
        number(limit, f"the budget's {name}")


def searched_space(manifest: Mapping[str, Any]) -> spaces.Space:
    """The space that a comparison searched, or one around it."""
    where = manifest.get("fallback", manifest["table"])
    return spaces.named(where["space"])


def reads_text(manifest: Mapping[str, Any]) -> bool:
    """Whether a comparison trained networks on text."""
    if "fallback" not in manifest:
        return False
    return getattr(searched_space(manifest), "material", "images") == "text"


def merged(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a folder with what a new call adds.

    Raises:
        WrongTable: the folder holds results made under other conditions.
        CorruptFile: see ``read_manifest``.
    """
    new: dict[str, Any] = json.loads(json.dumps(manifest))  # as it will be read again
    earlier = read_manifest(folder)
    if earlier is None:
        return new
    for what, before, now in _conditions(earlier, new):
        if before != now:
            raise WrongTable(
                f"{folder} holds results with another {what} ({_brief(before)}, now {_brief(now)}); "
                "choose another folder with --out, or delete it"
            )
    new["algorithms"] = {**earlier["algorithms"], **new["algorithms"]}
    new["commands"] = list(dict.fromkeys([*earlier.get("commands", []), *new["commands"]]))
    return new


def _conditions(earlier: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What must be the same: its name, before and now."""
    for key in dict.fromkeys([*new, *earlier]):
        if key not in _GROWING:
            yield from _parts(key, earlier.get(key), new.get(key))
    for label in earlier["algorithms"].keys() & new["algorithms"].keys():
        yield from _parts(label, earlier["algorithms"][label], new["algorithms"][label])


def _parts(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """A value, or those of a dictionary one by one, so that a message tells which one differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*now, *before]):
            yield from _parts(f"{name} {key}", before.get(key), now.get(key))
    else:
        yield name, before, now


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


@contextlib.contextmanager
def claimed(folder: Path, manifest: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder for this process, with this manifest in it.

    Raises:
        WrongTable: another process is at work there, or see ``merged``.
        NotWritable: the folder cannot be written.
    """
    with files.claimed(folder, "comparison"):
        if read_manifest(folder) is None:
            if any((folder / "traces").glob("*")):
                raise WrongTable(
                    f"{folder} holds traces and no manifest.json, so nobody knows of what; choose "
                    "another folder with --out, or move them away"
                )
        else:
            for place in (folder, *(folder / name for name in _FOLDERS)):
                for leftover in place.glob(".*.part"):  # of a process that was killed
                    leftover.unlink(missing_ok=True)
        files.write_text(
            folder / "manifest.json", json.dumps(merged(folder, manifest), indent=1) + "\n"
        )
        yield


def all_traces(folder: str | Path) -> list[Trace]:
    """Every finished run of a folder: by algorithm as they were added, then by seed.

    Raises:
        CorruptFile: no manifest, or a trace that no run under it can have left.
    """
    folder = files.as_path(folder, "folder of a comparison")
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorruptFile(f"{folder} holds no comparison: manifest.json is missing; run it again")
    order = list(manifest["algorithms"])
    traces = [load_trace(path, manifest) for path in (folder / "traces").glob("*.json")]
    return sorted(traces, key=lambda trace: (order.index(trace.algorithm), trace.seed))


def load_trace(path: Path, manifest: Mapping[str, Any]) -> Trace:
    """A finished run of a folder with this manifest.

    Raises:
        CorruptFile: no trace, or one that no run under this manifest can have left there.
    """
    trace = Trace.load(path)
    try:
        if trace.algorithm not in manifest["algorithms"]:
            raise ValueError(f"a trace of {trace.algorithm!r}, which its manifest does not name")
        if path.name != (own := f"{trace.algorithm}-{trace.seed}.json"):
            raise ValueError(f"the trace {own}")
        trace.check_within(manifest["budget"])
        space = searched_space(manifest)
        for step in trace.incumbents:
            for text in step.architecture.split(" "):
                space.parse(text)
    except (ValueError, NotInSpace) as error:
        raise CorruptFile(f"{path} is out of place: {error}; delete that trace") from error
    return trace


def clocks(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What each finished run took on its machine, by (label, seed): see `nasbench_kit.system.measured`.

    Raises:
        CorruptFile: a reading is damaged, or is of no run.
    """
    readings = {}
    for path in sorted((folder / "clock").glob("*.json")):
        label, _, seed = path.stem.rpartition("-")
        try:
            if not label or not seed.isdecimal():
                raise ValueError("its name is not of the form LABEL-SEED.json")
            reading = files.read_json(path)
            for name in ("seconds", "processor_seconds"):
                number(reading.get(name), name)
            readings[label, int(seed)] = reading
        except (OSError, ValueError, AttributeError) as error:
            raise CorruptFile(
                f"{path} is no reading of a run's clock ({error}); delete it, no result depends on it"
            ) from error
    return readings
