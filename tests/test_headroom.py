"""Whether a table tells its best tenth apart: made-up tables of which the truth is clear."""

import math

import numpy as np
import pytest

from nasbench_kit import CellSpace, NotRecorded, Table
from nasbench_kit.analysis.landscape.headroom import headroom
from nasbench_kit.analysis.landscape.study import Options
from nasbench_kit.analysis.landscape.table_studies import noise
from nasbench_kit.data import tables
from nasbench_kit.table.table import Column

SPACE = CellSpace(5, 5)


def a_table(
    true: np.ndarray, noise: float, repeats: int = 3, scoring: int = 0, best: int = 0
) -> Table:
    """Readings around true accuracies [rows]; the best few are trained again."""
    rng = np.random.default_rng(0)

    def readings(count: int) -> np.ndarray:
        drawn = true[:, None] + noise * rng.standard_normal((len(true), count))
        return drawn.astype(np.float32)

    both = {
        ("final", f"{split}_accuracy"): Column(readings(repeats)[:, None])
        for split in ("validation", "test")
    }
    extra = {}
    if scoring:
        scores = readings(scoring)
        scores[np.argsort(true)[:-best]] = np.nan
        extra["scoring/test_accuracy"] = scores
    rows = None if len(true) == len(SPACE) else np.arange(len(true), dtype=np.int32)
    return Table(SPACE, (4,), both, rows=rows, extra=extra, provenance={"name": "made up"})


def test_trainings_kept_for_scores_give_the_spread_of_the_truth() -> None:
    true = np.random.default_rng(1).normal(0.5, 0.05, len(SPACE))
    found = headroom(a_table(true, 0.02, scoring=25, best=34))
    truth = np.sort(true)[-34:].std(ddof=1)
    assert (found.architectures, found.trainings, found.fresh) == (34, 25, True)
    assert found.noise == pytest.approx(0.02, rel=0.1)
    assert found.spread == pytest.approx(truth, rel=0.1)
    assert found.standard_error == pytest.approx(0.004, rel=0.1)
    assert found.low < truth / 0.004 < found.high
    assert found.low < found.ratio < found.high


def test_four_numbers_by_hand() -> None:
    """Means .2 and .4 of two trainings each: MS between .04, within .0002."""
    table = a_table(np.linspace(0.2, 0.4, 30), 0.0, scoring=2, best=2)
    scores = np.full((30, 2), np.nan, np.float32)
    scores[3], scores[7] = (0.19, 0.21), (0.39, 0.41)
    table = Table(
        SPACE,
        table.epochs,
        table.columns,
        rows=table.rows,
        extra={"scoring/test_accuracy": scores},
        provenance=table.provenance,
    )
    found = headroom(table)
    assert found.noise == pytest.approx(math.sqrt(0.0002), rel=1e-5)
    assert found.spread == pytest.approx(math.sqrt((0.04 - 0.0002) / 2), rel=1e-5)
    assert found.ratio == pytest.approx(math.sqrt(0.04 / 0.0002 - 1), rel=1e-5)


def test_repeats_measure_a_table_that_keeps_none() -> None:
    """Without noise all of the spread is true; where there is nothing but noise, next to nothing is."""
    true = np.random.default_rng(1).normal(0.5, 0.05, len(SPACE))
    sure = headroom(a_table(true, 0.0))
    truth = np.sort(true.astype(np.float32))[-34:].std(ddof=1)
    assert sure.spread == pytest.approx(truth, rel=1e-4) and sure.ratio == math.inf
    luck = headroom(a_table(np.full(len(SPACE), 0.5), 0.02))
    assert luck.spread < 0.006 and luck.noise == pytest.approx(0.02, rel=0.1)


def test_the_best_tenth_of_digits() -> None:
    """Differences of its means are noise for the most part."""
    found = headroom(tables.open_table("digits"))
    assert (found.architectures, found.trainings, found.fresh) == (254, 3, False)
    assert found.spread < found.standard_error


@pytest.mark.parametrize(
    ("rows", "repeats", "says"), [(19, 3, "needs twenty"), (30, 1, "one repeat")]
)
def test_too_little_is_refused(rows: int, repeats: int, says: str) -> None:
    with pytest.raises(NotRecorded, match=says):
        headroom(a_table(np.linspace(0.2, 0.4, rows), 0.01, repeats))


def test_test_accuracy_of_short_trainings_alone_is_refused() -> None:
    """As in NAS-Bench-201's public rows: test accuracy after 12 epochs, and none after 200."""
    rng = np.random.default_rng(0)
    columns = {
        ("final", f"{split}_accuracy"): Column(rng.random((len(SPACE), 2, 3)).astype(np.float32))
        for split in ("validation", "test")
    }
    present = np.ones((len(SPACE), 2, 3), np.uint8)
    present[:, 1] = 0
    columns["final", "test_accuracy"] = Column(
        columns["final", "test_accuracy"].values, present=present
    )
    table = Table(SPACE, (12, 200), columns, provenance={"name": "made up"})
    with pytest.raises(NotRecorded, match="no test accuracy after 200 epochs"):
        headroom(table)
    findings = noise(table, Options(np.random.default_rng(0))).findings
    assert findings and not any("Best tenth" in finding for finding in findings)
