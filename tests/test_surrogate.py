"""Surrogates: what they learn, that nothing leaks, their noise, file, card and command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import CellSpace, Column, Table
from nasbench_kit.analysis.cards.surrogate_card import agreement
from nasbench_kit.cli import main
from nasbench_kit.data import tables
from nasbench_kit.data.benchmarks.nasbench101.sample import from_sample
from nasbench_kit.data.surrogate import fit as module
from nasbench_kit.data.surrogate.features import features
from nasbench_kit.data.surrogate.fit import ACCURACY, Surrogate, fit
from nasbench_kit.data.surrogate.noise import estimate_noise, failures
from nasbench_kit.errors import InvalidSetting, NotRecorded
from nasbench_kit.spaces.nasbench101.work import work
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.table.noise import Noise

Array = np.ndarray[Any, np.dtype[np.float64]]
SHARED = Path(__file__).parents[2] / "shared/data/nasbench101_sample.json.gz"
EPOCHS = (12, 108)
IMAGES = 1_000


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Fewer trees that learn faster: the made-up accuracies are simple."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._BOOSTING, "max_iter", 15)
        patch.setitem(module._BOOSTING, "learning_rate", 0.3)
        yield


@pytest.fixture(scope="module")
def truth() -> Array:
    """Accuracy of every cell of CellSpace(5): a sum of a few of its parts [cells, fidelities]."""
    space = CellSpace(5)
    rng = np.random.default_rng(0)
    described = features(space, np.arange(len(space))).astype(np.float64)
    some = rng.choice(np.flatnonzero(described.std(axis=0) > 0), 5, replace=False)
    standard = (described[:, some] - described[:, some].mean(axis=0)) / described[:, some].std(
        axis=0
    )
    better = standard @ rng.uniform(0.5, 1, 5)
    return np.stack([0.5 + 0.06 * better, 0.8 + 0.03 * better], axis=1).clip(0.2, 0.99)


def partial(
    accuracy: Array, rows: np.ndarray[Any, np.dtype[np.int32]], seconds: bool = False
) -> Table:
    """A table of some cells of CellSpace(5), trained once each."""
    space = CellSpace(5)
    counts = np.rint(accuracy[:, :, None] * IMAGES).astype(np.uint16)
    columns = {("final", ACCURACY): Column(counts, IMAGES)}
    if seconds:
        done = [work(space[row], Skeleton(), (32, 32, 3)) for row in rows.tolist()]
        spent = np.zeros((len(rows), len(EPOCHS), 1), np.float32)
        spent[:, -1, 0] = np.array(done) @ [100, 10, 1e-7, 10, 2e-7, 1e-5, 5, 1e-5, 1e-5]
        present = np.zeros(spent.shape, np.uint8)
        present[:, -1] = 1
        columns["final", "seconds"] = Column(spent, None, present)
    return Table(space, EPOCHS, columns, rows=rows, provenance={"name": "some cells"})


def some_rows(count: int = 300) -> np.ndarray[Any, np.dtype[np.int32]]:
    chosen = np.random.default_rng(1).choice(len(CellSpace(5)), count, replace=False)
    return np.sort(chosen).astype(np.int32)


@pytest.fixture(scope="module")
def fitted(truth: Array) -> Surrogate:
    rows = some_rows()
    return fit(partial(truth[rows], rows), np.random.default_rng(0), name="mine")


def test_it_predicts_cells_that_nobody_measured(truth: Array, fitted: Surrogate) -> None:
    assert fitted.table.complete and len(fitted.table) == len(truth)
    assert fitted.table.name == "mine (surrogate)"
    assert fitted.table.provenance["source"] == "surrogate"
    assert not fitted.table.has("seconds") and not fitted.table.has("test_accuracy")
    unmeasured = np.setdiff1d(np.arange(len(truth)), fitted.rows)
    for place, epochs in enumerate(EPOCHS):
        predicted = fitted.table.mean(ACCURACY, epochs)
        real = agreement(predicted[unmeasured], truth[unmeasured, place])
        held_out = agreement(*fitted.held_out(place)[1:])
        assert real["r2"] > 0.8
        assert held_out["r2"] == pytest.approx(real["r2"], abs=0.1)  # cross-validation is honest


def test_no_measured_accuracy_reaches_its_own_prediction(truth: Array, fitted: Surrogate) -> None:
    rows = fitted.rows
    altered = truth[rows].copy()
    altered[17] = 0.95
    other = fit(partial(altered, rows), np.random.default_rng(0)).table
    for epochs in EPOCHS:
        before, after = (t.mean(ACCURACY, epochs)[rows] for t in (fitted.table, other))
        assert before[17] == after[17]
        assert (before != after).any()


def test_the_same_seed_gives_the_same_table_on_any_number_of_threads(
    truth: Array, fitted: Surrogate, tmp_path: Path
) -> None:
    """In a process of its own, where nothing has loaded scikit-learn's threads before."""
    partial(truth[fitted.rows], fitted.rows).save(tmp_path / "some.h5")
    code = f"""
import numpy as np
from threadpoolctl import threadpool_info
from nasbench_kit import Table
from nasbench_kit.data.surrogate import fit as surrogate
surrogate._BOOSTING.update({module._BOOSTING!r})
threads = []
look = lambda done, steps: threads.extend(pool["num_threads"] for pool in threadpool_info())
table = Table.open({str(tmp_path / "some.h5")!r})
made = surrogate.fit(table, np.random.default_rng(0), name="mine", progress=look).table
print(set(threads), made.checksum)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    made = fit(Table.open(tmp_path / "some.h5"), np.random.default_rng(0), name="mine").table
    assert ran.stdout.split() == ["{1}", made.checksum]


def test_too_little_is_refused(truth: Array) -> None:
    rng = np.random.default_rng(0)
    few = some_rows(199)
    with pytest.raises(InvalidSetting, match="199 cells; a surrogate needs 200"):
        fit(partial(truth[few], few), rng)
    rows = some_rows(200)
    with pytest.raises(InvalidSetting, match="equally accurate"):
        fit(partial(np.full((200, 2), 0.5), rows), rng)
    seconds = Column(np.ones((200, 2, 1), np.float32))
    without = Table(CellSpace(5), EPOCHS, {("final", "seconds"): seconds}, rows=rows)
    with pytest.raises(NotRecorded, match=ACCURACY):
        fit(without, rng)


# Failures and noise ------------------------------------------------------------------------------


def test_predictions_are_no_ground_to_predict_from() -> None:
    with pytest.raises(InvalidSetting, match="holds predictions already"):
        fit(tables.open_table("nasbench101-surrogate"), np.random.default_rng(0))


def test_failures_are_far_out_or_a_constant_answer() -> None:
    rng = np.random.default_rng(0)
    measured = np.empty((1000, 2, 1))
    measured[:, 0, 0] = rng.uniform(0.09, 0.5, 1000)  # after few epochs: many slow cells
    measured[:40, 0, 0] = 0.095  # and networks that name one class
    measured[:, 1, 0] = rng.normal(0.9, 0.01, 1000)
    measured[:5, 1, 0] = 0.11
    measured[5:9, 1, 0] = 0.5  # bad, but no guess
    failed = failures(measured, 0.1)
    assert (failed[:, 0, 0] == (measured[:, 0, 0] == 0.095)).all()
    assert (np.flatnonzero(failed[:, 1, 0]) == np.arange(5)).all()


def test_noise_is_what_the_errors_of_two_fidelities_do_not_share() -> None:
    rng = np.random.default_rng(0)
    predicted = np.sort(rng.uniform(0.5, 0.8, (20_000, 2)), axis=0)
    own_error = rng.normal(0, 0.02, (20_000, 1))  # the surrogate's, alike at both fidelities
    measured = predicted + own_error + rng.normal(0, 0.03, (20_000, 2))
    failed = np.zeros((20_000, 2, 1), bool)
    failed[:400, 1] = True  # among the lowest tenth
    measured[:400, 1] = 0.1
    noise = estimate_noise(predicted, measured[:, :, None], failed, chance=0.1, images=None)
    assert np.allclose(noise.scatter, 0.03, rtol=0.1)
    assert noise.failure[0] == [0] * 10
    assert noise.failure[1] == pytest.approx([0.2] + [0] * 9)
    assert (np.diff(noise.accuracy) > 0).all()


def test_noise_of_repeated_trainings_is_their_scatter() -> None:
    rng = np.random.default_rng(0)
    scatter = np.linspace(0.04, 0.01, 10_000)
    predicted = np.linspace(0.5, 0.8, 10_000)[:, None]
    wrong = rng.normal(0, 0.1, (10_000, 1))  # of the surrogate: not the repeats' affair
    measured = predicted + wrong + scatter[:, None] * rng.standard_normal((10_000, 3))
    failed = np.zeros((10_000, 1, 3), bool)
    failed[::7, 0, 0] = True
    noise = estimate_noise(predicted, measured[:, None], failed, chance=0.1, images=None)
    assert np.allclose(noise.scatter[0], scatter.reshape(10, -1).mean(axis=1), rtol=0.1)


# File, card, command -----------------------------------------------------------------------------


def printed_by(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(command) == 0
    return capsys.readouterr().out


def test_the_command_writes_table_card_and_figure(
    truth: Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = some_rows(250)
    measured = partial(truth[rows], rows, seconds=True)
    measured.save(tmp_path / "some.h5")
    out = tmp_path / "all.h5"
    printed = json.loads(
        printed_by(capsys, "fit-surrogate", str(tmp_path / "some.h5"), str(out), "--json")
    )
    assert printed["source"] == "surrogate" and printed["cells"] == len(truth)
    assert printed["seconds_r2"] > 0.99

    table = Table.open(out)
    table.verify()
    assert table.checksum == printed["checksum"]
    assert table.assumed_seconds == (12,)
    longest = table.mean("seconds")
    assert np.allclose(table.mean("seconds", 12), longest * 12 / 108, rtol=1e-6)
    real = measured.mean("seconds")
    assert np.abs(longest[rows] / real - 1).mean() < 0.02
    table.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == out.read_bytes()
    # The shorter trainings' seconds take no room.
    assert out.stat().st_size < len(table) * (2 * 2 + 4) + 20_000

    card = printed_by(capsys, "tables", str(out))
    assert card.strip() == out.with_suffix(".md").read_text(encoding="utf-8").strip()
    for word in ("surrogate", "**assumed**", "R²", "tau-b", "5 vertices", "top tenth", "Noise"):
        assert word in card
    assert "(all.png)" in card and out.with_suffix(".png").read_bytes()[1:4] == b"PNG"

    query = printed_by(capsys, "query", "resnet", "--table", str(out))
    assert "(surrogate)" in query and "seconds (final) assumed" in query
    folder = str(tmp_path / "run")
    plan = ["--algorithms", "random-search", "--seeds", "2", "--queries", "3", "--workers", "1"]
    assert "surrogate" in printed_by(capsys, "compare", *plan, "--table", str(out), "--out", folder)


@pytest.mark.parametrize(
    ("target", "seed", "reason"),
    [("out.h5", "0", "199 cells"), ("out.hdf", "0", "must end with .h5"), ("out.h5", "-1", "seed")],
)
def test_the_command_refuses_in_one_line(
    target: str,
    seed: str,
    reason: str,
    truth: Array,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = some_rows(199)
    partial(truth[few], few).save(tmp_path / "few.h5")
    asked = ["fit-surrogate", str(tmp_path / "few.h5"), str(tmp_path / target), "--seed", seed]
    assert main(asked) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "nasbench-kit:" in line]
    assert len(lines) == 1 and reason in lines[0]
    assert not (tmp_path / target).exists()


def test_the_measured_table_is_not_replaced_by_its_prediction(
    truth: Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rows = tmp_path / "some.h5", some_rows(200)
    partial(truth[rows], rows).save(path)
    before = path.read_bytes()
    assert main(["fit-surrogate", str(path), str(tmp_path / "." / "some.h5")]) == 2
    assert "is the table itself, or its source" in capsys.readouterr().err
    assert path.read_bytes() == before


# The shipped table -------------------------------------------------------------------------------

NAME = "nasbench101-surrogate"


def test_the_shipped_table_is_whole_and_small() -> None:
    table = tables.open_table(NAME)
    table.verify()
    assert len(table) == 423_624 and table.complete and table.epochs == (4, 12, 36, 108)
    assert table.provenance["source"] == table.name.split("-")[1] == "surrogate"
    assert set(table.columns) == {("final", ACCURACY), ("final", "seconds")}
    assert table.assumed_seconds == (4, 12, 36)
    card = tables.card(NAME)
    assert card is not None and table.checksum[:16] in card and "No measurement" in card
    path = tables.find(NAME)
    assert path.stat().st_size <= 6_000_000
    assert path.with_suffix(".png").stat().st_size <= 200_000


def test_the_shipped_table_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed_by(capsys, "tables", "--json"))
    (entry,) = (entry for entry in listed if entry["name"] == NAME)
    assert entry["source"] == "surrogate" and entry["assumed_seconds"] == [4, 12, 36]
    assert "assumed" in printed_by(capsys, "tables")
    assert printed_by(capsys, "tables", NAME).strip() == str(tables.card(NAME)).strip()


def test_the_shipped_noise_is_that_of_the_one_cell_published_thrice() -> None:
    # Documentation of NNI (nasbench_as_dataset): two of the repeats, and the mean of all three.
    known = [0.92418, 0.92458]
    known.append(3 * 0.92641558 - sum(known))
    noise = Noise.of(tables.open_table(NAME).provenance)
    assert noise is not None
    modelled = float(noise.std(np.array(np.mean(known)), 3))
    chi_squared = 2 * np.var(known, ddof=1) / modelled**2
    assert 0.05 < chi_squared < 7.4  # 95 % of the distribution with two degrees of freedom


@pytest.mark.shared
def test_the_shipped_table_predicts_the_measured_rows() -> None:
    if not SHARED.exists():
        pytest.skip("needs ../shared/data")
    sample, table = from_sample(SHARED), tables.open_table(NAME)
    assert sample.checksum == table.provenance["of_checksum"]
    assert sample.rows is not None
    measured = sample.values(ACCURACY)[:, :, None]
    kept = ~failures(measured, 0.1)[:, 0, 0]
    found = agreement(table.mean(ACCURACY)[sample.rows][kept], measured[kept, 0, 0])
    assert found["r2"] >= 0.93 and found["tau"] >= 0.83
    predicted, spent = table.mean("seconds")[sample.rows], sample.mean("seconds")
    assert agreement(predicted, spent)["r2"] >= 0.995
