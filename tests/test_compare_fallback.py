"""Comparisons that train the cells which the table lacks: the same however they are run."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.random import Generator

from nasbench_kit import (
    Budget,
    Cell,
    CellSpace,
    CorruptFile,
    InvalidSetting,
    NotInSpace,
    NotInTable,
    NotRecorded,
    Oracle,
    Table,
    UnknownName,
    WrongTable,
)
from nasbench_kit.algorithms import RandomSearch, RegularizedEvolution
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.cli import main
from nasbench_kit.compare.one_run import run_one
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import missing, run
from nasbench_kit.compare.scores import score, write_results
from nasbench_kit.compare.trace import Incumbent, Trace
from nasbench_kit.data.images.digits import digits
from nasbench_kit.data.tables import open_table
from nasbench_kit.data.tasks import open_fallback
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.experiment.settings import read
from nasbench_kit.oracle.fallback import Fallback
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.store import Job, Store
from nasbench_kit.spaces.nasbench101.canonical import canonical
from nasbench_kit.training.recipe import DIGITS

SEARCHES: dict[str, Search] = {"rs": RandomSearch(), "re": RegularizedEvolution(population_size=4)}


def made_up(cell: Cell, seed: int) -> dict[str, dict[str, int]]:
    """What a training comes to, as if by chance, but always the same."""
    digest = hashlib.sha256(f"{canonical(cell).to_text()} {seed}".encode()).digest()
    counts = {
        "train": (digest[0], 256),
        "validation": (digest[1] * 3, 773),
        "test": (digest[2], 774),
    }
    return {
        split: {"correct": correct, "images": images} for split, (correct, images) in counts.items()
    }


class _Quick(Fallback):
    """Trains in no time, and writes down what it trained. Dies once, where a file says so."""

    log: Path

    def _made(self, job: Job) -> dict[str, Any]:
        with self.log.open("a") as file:
            file.write(f"{job.architecture.to_text()} {job.epochs} {job.seed}\n")
        deadly = self.log.with_name("deadly")
        if deadly.exists() and len(self.log.read_text().splitlines()) >= int(deadly.read_text()):
            deadly.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        scores = made_up(cast("Cell", job.architecture), job.seed)
        return {"final": scores, "halfway": scores, "trainable_parameters": 7}


@dataclass(frozen=True)
class Quick:
    """Opens the fallback of a folder of its own."""

    folder: Path

    def __call__(self, table: Table) -> Fallback:
        self.folder.mkdir(exist_ok=True)
        fallback = _Quick(table, digits(), DIGITS, store=Store(self.folder / "store.sqlite"))
        fallback.log = self.folder / "log"
        return fallback

    def trained(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()


def partial(table: Table, step: int = 2) -> Table:
    rows = np.arange(0, len(table), step, dtype=np.int32)
    columns = {
        key: replace(column, values=column.values[rows]) for key, column in table.columns.items()
    }
    return Table(table.space, table.epochs, columns, rows=rows, provenance={"name": "part"})


@pytest.fixture
def path(small_table: Table, tmp_path: Path) -> Path:
    partial(small_table).save(tmp_path / "part.h5")
    return tmp_path / "part.h5"


def a_plan(path: Path, fallback: Path, **changes: Any) -> Plan:
    plan = Plan(path, SEARCHES, range(2), {"queries": 12}, fallback=Quick(fallback))
    return replace(plan, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "clock" not in file.parts
    }


def finished(plan: Plan, out: Path, workers: int = 1) -> dict[str, bytes]:
    run(plan, out, workers=workers)
    assert plan.table is not None
    write_results(out, Table.open(plan.table), all_traces(out))
    return contents(out)


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_result_does_not_depend_on_workers_or_earlier_trainings(
    path: Path, tmp_path: Path
) -> None:
    one = finished(a_plan(path, tmp_path / "first"), tmp_path / "one")
    two = finished(a_plan(path, tmp_path / "second"), tmp_path / "two", workers=2)
    again = finished(a_plan(path, tmp_path / "first"), tmp_path / "again")
    assert one == two == again
    for store in ("first", "second"):
        trained = Quick(tmp_path / store).trained()
        assert max(Counter(trained).values()) == 1
    assert any(name.startswith("scores/") for name in one)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")
def test_on_ray_it_is_the_same(path: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    how = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=2, **how)
    try:
        run(a_plan(path, tmp_path / "ray-store"), tmp_path / "ray", executor="ray")
    finally:
        ray.shutdown()
    there = contents(tmp_path / "ray")
    local = finished(a_plan(path, tmp_path / "store"), tmp_path / "local")
    assert any(name.startswith("scores/") for name in there)
    assert there == {name: local[name] for name in there}


def test_scores_are_the_mean_of_the_tables_repeats_in_trainings(path: Path, tmp_path: Path) -> None:
    finished(a_plan(path, tmp_path / "store"), tmp_path / "out")
    table = Table.open(path)
    means = table.mean("test_accuracy")
    seen: Counter[bool] = Counter()
    for kind in ("incumbents", "results"):
        for row in rows_of(tmp_path / "out", kind):
            cell = Cell.from_text(row["architecture"])
            assert row["architecture"] == canonical(cell).to_text()
            inside = cell in table.covered
            seen[inside] += 1
            assert (row["row"] != "") == inside
            if inside:
                assert int(row["row"]) == table.row(cell)
                expected = means[table.row(cell)]
            else:
                counts = [made_up(cell, seed)["test"]["correct"] for seed in range(table.repeats)]
                expected = np.mean(counts) / 774
            assert float(row["regret"]) == pytest.approx(means.max() - expected, abs=1e-7)
            if kind == "results":
                assert float(row["accuracy"]) == pytest.approx(expected, abs=1e-7)
    assert seen[True] and seen[False]


def test_every_charge_is_the_tables_or_the_cost_models(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, tmp_path / "store")
    trace = run_one(plan, Table.open(path), "rs", 0)
    assert trace.ledger.keys() == {"query", "training"}
    assert sum(spent.queries for spent in trace.ledger.values()) == trace.queries == 12
    assert 2 <= trace.unique_architectures <= 12
    tight = replace(plan, budget={"seconds": 0.7 * trace.seconds})
    assert run_one(tight, Table.open(path), "rs", 0).seconds <= 0.7 * trace.seconds


def test_a_killed_worker_changes_nothing(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/deadly").write_text("6")
    killed = finished(plan, tmp_path / "out", workers=2)  # the worker is replaced
    assert not (tmp_path / "store/deadly").exists()
    assert killed == finished(a_plan(path, tmp_path / "other"), tmp_path / "undisturbed")
    twice = [
        line for line, count in Counter(Quick(tmp_path / "store").trained()).items() if count > 1
    ]
    assert len(twice) <= 1  # the one under way


def test_what_is_missing_is_made_again_without_training(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, tmp_path / "store")
    whole = finished(plan, tmp_path / "out")
    trained = Quick(tmp_path / "store").trained()
    (tmp_path / "out/traces/rs-1.json").unlink()
    for score_file in list((tmp_path / "out/scores").iterdir())[::2]:
        score_file.unlink()
    assert finished(plan, tmp_path / "out") == whole
    assert Quick(tmp_path / "store").trained() == trained


def test_more_seeds_score_what_an_earlier_call_left(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, tmp_path / "store")
    run(replace(plan, seeds=[0]), tmp_path / "out")
    for score_file in (tmp_path / "out/scores").iterdir():
        score_file.unlink()
    run(replace(plan, seeds=[1]), tmp_path / "out")  # writes the results of both
    assert len(write_results(tmp_path / "out", Table.open(path), all_traces(tmp_path / "out"))) == 4


def test_progress_counts_runs_and_then_trainings(path: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run(a_plan(path, tmp_path / "store"), tmp_path / "out", progress=lambda *now: seen.append(now))
    scores = len(list((tmp_path / "out/scores").iterdir()))
    assert seen[0] == (0, 4) and (4, 4) in seen
    assert seen[-1] == (4 + scores, 4 + scores)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_folder_holds_comparisons_of_one_kind(path: Path, tmp_path: Path) -> None:
    with_it = a_plan(path, tmp_path / "store")
    without = replace(with_it, fallback=None)
    for first, second in ((with_it, without), (without, with_it)):
        out = tmp_path / f"out{first is with_it}"
        run(first, out)
        with pytest.raises(WrongTable, match="another fallback"):
            missing(second, out)
    out = tmp_path / "outTrue"
    with pytest.raises(WrongTable, match=r'another fallback space \("v5e9", now "v6e9"\)'):
        run(replace(with_it, space=CellSpace(6)), out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["fallback"]["images_digest"] == digits().digest
    assert manifest["fallback"]["recipe"]["name"] == "digits"
    assert manifest["fallback"]["scoring_seeds"] == [0, 1, 2]


# What searches see -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Outsider:
    """Recommends cells without asking for any but the first."""

    cells: tuple[str, ...]

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        oracle.query(Cell.from_text(self.cells[0]))
        yield from map(Cell.from_text, self.cells)


@dataclass(frozen=True)
class Looking:
    """Checks which space it sees."""

    space: str

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        assert oracle.space.name == self.space
        cell = oracle.space.sample(rng)
        oracle.query(cell)
        yield cell


def test_searches_see_the_whole_space_or_a_wider_one(path: Path, tmp_path: Path) -> None:
    plan = a_plan(
        path, tmp_path / "store", algorithms={"look": Looking(Table.open(path).space.name)}
    )
    run(plan, tmp_path / "out")
    wider = replace(plan, algorithms={"look": Looking("v6e9")}, space=CellSpace(6))
    run(wider, tmp_path / "wider")


def test_equal_cells_in_other_labellings_are_one_incumbent(path: Path, tmp_path: Path) -> None:
    """And the training does not depend on the labelling that was asked for first."""
    one = "0110/0001/0001/0000:conv1x1,conv3x3"
    other = "0110/0001/0001/0000:conv3x3,conv1x1"
    unused = "01100/00010/00010/00001/00000:conv1x1,conv3x3,conv1x1"
    table = Table.open(path)
    plan = a_plan(path, tmp_path / "store", algorithms={"a": Outsider((one, other))})
    trace = run_one(plan, table, "a", 0)
    assert [step.architecture for step in trace.incumbents] == [
        canonical(Cell.from_text(one)).to_text()
    ]
    assert Cell.from_text(unused) != Cell.from_text(one)
    fallback = Quick(tmp_path / "store")(table)
    assert fallback.record(Cell.from_text(one), 4, 0) == fallback.record(
        Cell.from_text(other), 4, 0
    )
    assert fallback.price(Cell.from_text(one), 4, False) == fallback.price(
        Cell.from_text(other), 4, False
    )


def test_cells_beyond_any_space_are_scored_too(path: Path, tmp_path: Path) -> None:
    chain = np.eye(8, k=1, dtype=int)
    eight = Cell(chain, ["conv3x3"] * 6).to_text()
    plan = a_plan(path, tmp_path / "store", algorithms={"a": Outsider((eight,))})
    finished(plan, tmp_path / "out")
    (row, *_) = rows_of(tmp_path / "out", "results")
    assert row["architecture"] == eight and row["row"] == "" and row["regret"]


def test_without_a_fallback_such_a_recommendation_is_an_error(
    path: Path, small_table: Table, tmp_path: Path
) -> None:
    inside = Table.open(path).covered[0].to_text()
    plan = Plan(
        path, {"a": Outsider((inside, small_table.space[1].to_text()))}, [0], {"queries": 2}
    )
    with pytest.raises(NotInTable):
        run_one(plan, Table.open(path), "a", 0)
    beyond = Outsider((inside, Cell.named("inception").to_text()))
    with pytest.raises(NotInSpace):
        run_one(replace(plan, algorithms={"a": beyond}), Table.open(path), "a", 0)


def test_a_space_without_cells_to_train_is_refused(
    path: Path, small_table: Table, tmp_path: Path
) -> None:
    plan = a_plan(path, tmp_path / "store")
    with pytest.raises(InvalidSetting, match="the space v4e6 lacks "):
        run(replace(plan, space=CellSpace(4)), tmp_path / "out")
    small_table.save(tmp_path / "whole.h5")
    whole = replace(plan, table=tmp_path / "whole.h5")
    with pytest.raises(InvalidSetting, match=r"nothing to train; .*--space v7e9"):
        run(whole, tmp_path / "out")
    with pytest.raises(InvalidSetting, match="nothing to train"):
        run(replace(whole, space=small_table.space), tmp_path / "out")
    with pytest.raises(InvalidSetting, match="have them trained"):
        replace(plan, fallback=None, space=CellSpace(6))
    assert not (tmp_path / "out").exists()


# Scores ----------------------------------------------------------------------------------------


def test_a_cell_that_beats_the_table_has_a_negative_regret(small_table: Table) -> None:
    table = partial(small_table)
    best = table.mean("test_accuracy").max()
    cell = small_table.space[1].to_text()
    trace = Trace("a", 0, "budget", 9.0, 72.0, 2, 2, [Incumbent(1, 36, 1, cell)])
    (scored,) = score(table, [trace], {cell: 1.0})
    assert scored.regret == best - 1.0 < 0
    assert (scored.accuracy, scored.architecture, scored.row) == (1.0, cell, None)
    with pytest.raises(NotInTable, match="run the same comparison again"):
        score(table, [trace])


def test_an_unfinished_or_damaged_folder_is_not_reported(path: Path, tmp_path: Path) -> None:
    plan = a_plan(path, tmp_path / "store")
    finished(plan, tmp_path / "out")
    table = Table.open(path)
    loaded = Comparison.load(tmp_path / "out", table)
    finals: dict[str, list[float]] = {
        row["algorithm"]: [] for row in rows_of(tmp_path / "out", "results")
    }
    for row in rows_of(tmp_path / "out", "results"):
        finals[row["algorithm"]].append(float(row["regret"]))
    assert {name: values.tolist() for name, values in loaded.final.items()} == finals
    score_file = next((tmp_path / "out/scores").iterdir())
    whole = score_file.read_text()
    for damage in ("{}", whole.replace('"epochs": 36', '"epochs": 4'), whole[:-9], "[]"):
        score_file.write_text(damage)
        with pytest.raises(CorruptFile, match=score_file.name):
            Comparison.load(tmp_path / "out", table)
    score_file.unlink()
    with pytest.raises(InvalidSetting, match="not yet trained to score"):
        Comparison.load(tmp_path / "out", table)


def test_equal_counts_are_ties_inside_and_outside(small_table: Table, tmp_path: Path) -> None:
    column = small_table.column("test_accuracy")
    answer = Quick(tmp_path / "store")(small_table).train(Cell.named("inception"), 36, False, 0)
    counts = made_up(Cell.named("inception"), 0)["validation"]
    like = replace(column, values=np.full((1, 1, 1), counts["correct"], np.uint16), images=773)
    assert answer.validation_accuracy == like.array(0)[0, 0]


def test_the_oracle_prices_shared_weights_by_the_table(small_table: Table, tmp_path: Path) -> None:
    """Whatever space the searches see, rows are the table's."""
    table = partial(small_table)
    trainer = Quick(tmp_path / "store")(table)
    oracle = Oracle(
        table, Budget(queries=1), np.random.default_rng(0), trainer=trainer, space=table.space
    )
    inside = table.covered[5]
    assert oracle.space.index(inside) != 5
    assert oracle.query(inside).validation_accuracy in table.values("validation_accuracy")[5]


def test_negative_regrets_are_drawn() -> None:
    from matplotlib.figure import Figure

    from nasbench_kit.analysis.figures import plots
    from nasbench_kit.analysis.report import comparison_plots
    from nasbench_kit.analysis.report.words import whisker
    from nasbench_kit.analysis.statistics.aggregates import Interval
    from nasbench_kit.analysis.statistics.anytime import Curve

    down = np.array([0.03, 0.01, -0.02])
    curve = Curve(np.array([1.0, 10.0, 100.0]), down - 0.01, down, down + 0.01)
    ax = plots.anytime(Figure().subplots(), {"a": curve}, "seconds", metric="test_accuracy")
    low, high = ax.get_ylim()
    assert low < -3 and high > 4
    marks = [mark for mark in ax.yaxis.get_majorticklocs() if low < mark < high]
    assert min(marks) < 0 < max(marks) and 0 in marks
    styles = plots.looks(["a"])
    shown = comparison_plots.interval_estimates(
        Figure().subplots(),
        {"a": Interval(*map(np.asarray, (-0.02, -0.01, 0.01)))},
        styles,
        quantity="test",
    )
    assert shown.get_xlim()[0] <= -2
    thresholds = np.array([-0.02, 0.0, 0.01, 0.012])
    shown = comparison_plots.shares_within(
        Figure().subplots(), thresholds, {"a": np.linspace(0, 1, 4)}, styles, quantity="test"
    )
    assert shown.get_xlim()[0] <= -2

    interval = Interval(*map(np.asarray, (-0.01, 0.0, 0.01)))
    drawn = whisker(interval, [interval])
    assert 'd="M60 2V14"' in drawn and 'cx="60.0"' in drawn and "M4.0 8H116.0" in drawn


# From the shell --------------------------------------------------------------------------------


def part_of_the_digits(path: Path, **provenance: Any) -> Path:
    """Sixty cells of the digits, four epochs only."""
    full = open_table("digits")
    rows = np.arange(0, len(full), len(full) // 60, dtype=np.int32)
    columns = {
        key: replace(column, values=np.ascontiguousarray(column.values[rows][:, :1]))
        for key, column in full.columns.items()
    }
    known = {**full.provenance, "name": path.stem, **provenance}
    known = {key: value for key, value in known.items() if value is not None}
    Table(full.space, full.epochs[:1], columns, rows=rows, provenance=known).save(path)
    return path


def test_from_the_shell_with_real_trainings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = part_of_the_digits(tmp_path / "digits-part.h5")
    command = ["compare", "--table", str(path), "--fallback", "--seeds", "1", "--queries", "3"]
    command += ["--algorithms", "random-search", "--workers", "1"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert "Outside the table: " in " ".join(capsys.readouterr().out.split())
    assert main([*command, "--out", str(tmp_path / "again")]) == 0
    ours, theirs = contents(tmp_path / "out"), contents(tmp_path / "again")
    same = [name for name in ours if not name.endswith((".png", ".pdf"))]
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert main(["report", str(tmp_path / "out"), "--table", str(path)]) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "the regret is negative" in " ".join(page.split())


def test_files_and_flags_mean_the_same(tmp_path: Path) -> None:
    path = part_of_the_digits(tmp_path / "digits-part.h5")
    (tmp_path / "mine.toml").write_text(
        f'table = "{path}"\nfallback = true\nspace = "v6e9"\n[budget]\nqueries = 3'
    )
    plan = plan_of(read(tmp_path / "mine.toml"))
    assert plan.space == CellSpace(6) and plan.fallback is not None
    assert "--fallback --space v6e9" in (plan.command or "")
    for key, value in (("fallback", "yes"), ("fallback", 1), ("space", 7)):
        with pytest.raises(InvalidSetting, match=f"{key} is {value!r}"):
            plan_of({"table": str(path), key: value})
    with pytest.raises(UnknownName, match="no space is called 'v7'"):
        plan_of({"table": str(path), "fallback": True, "space": "v7"})


@pytest.mark.parametrize(
    ("provenance", "options", "error", "message"),
    [
        ({"images": None}, {}, InvalidSetting, r"does not name its images.*--data cifar10"),
        ({"source": "surrogate"}, {}, InvalidSetting, r"is a surrogate.*--data digits"),
        ({"images": "mine"}, {}, UnknownName, r"images of your own, 'mine'.*--data"),
        ({"recipe": None}, {}, InvalidSetting, "does not record by what recipe"),
        ({"images_digest": "0" * 64}, {}, WrongTable, "the digest 000000000000"),
        ({}, {"device": "nowhere"}, InvalidSetting, "device 'nowhere' cannot be used"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(
    tmp_path: Path, provenance: dict[str, Any], options: dict[str, Any], error: Any, message: str
) -> None:
    table = Table.open(part_of_the_digits(tmp_path / "part.h5", **provenance))
    with pytest.raises(error, match=message):
        open_fallback(table, **options)


def test_a_table_without_seconds_has_no_prices(tmp_path: Path) -> None:
    table = Table.open(part_of_the_digits(tmp_path / "part.h5"))
    columns = {key: column for key, column in table.columns.items() if key[1] != "seconds"}
    bare = Table(table.space, table.epochs, columns, rows=table.rows, provenance=table.provenance)
    with pytest.raises(NotRecorded, match=r"records no seconds.*choose a table with seconds"):
        open_fallback(bare)


def test_a_plan_with_a_fallback_is_plain_data(tmp_path: Path) -> None:
    import pickle

    path = part_of_the_digits(tmp_path / "digits-part.h5")
    plan = plan_of({"table": str(path), "fallback": True, "budget": {"queries": 3}})
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert dataclasses.replace(plan).fallback == plan.fallback
