"""Repeats that are kept for scoring: no search sees them, and they alone score it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, CellSpace, Column, Oracle, Table
from nasbench_kit.algorithms import LocalSearch, RandomSearch
from nasbench_kit.cli import main
from nasbench_kit.compare import held_out
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import NoiseFloor, Scores
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.oracle.search import Search
from nasbench_kit.testing.searches import yielded

SPACE = CellSpace(4)


def a_table(repeats: int = 3, present: np.ndarray[Any, Any] | None = None) -> Table:
    """91 cells; a reading is its row, plus a hundred times its repeat, in thousandths."""
    rows = np.arange(len(SPACE))[:, None, None]
    counts = (rows + 100 * np.arange(repeats)).astype(np.uint16)
    seconds = np.ones(counts.shape, np.float32) * (1 + np.arange(repeats, dtype=np.float32))
    columns = {
        ("final", "validation_accuracy"): Column(counts, 1000, present),
        ("final", "test_accuracy"): Column(counts, 1000, present),
        ("final", "seconds"): Column(seconds, None, present),
    }
    return Table(SPACE, (4,), columns, provenance={"name": "planted"})


@pytest.mark.parametrize("policy", ["always", "once", "new-repeat", "mean"])
@pytest.mark.parametrize("seen", [(0,), (0, 2), (1, 2)])
def test_no_answer_is_of_a_repeat_kept_for_scoring(policy: Any, seen: tuple[int, ...]) -> None:
    budget = Budget(queries=200)
    oracle = Oracle(a_table(), budget, np.random.default_rng(0), policy=policy, seen=seen)
    cell = SPACE[5]
    answers = [oracle.query(cell) for _ in range(60)]
    if policy == "mean":
        (accuracy,) = {answer.validation_accuracy for answer in answers}
        assert accuracy == pytest.approx(0.005 + 0.1 * np.mean(seen))
        assert {answer.seconds for answer in answers} == {sum(1 + repeat for repeat in seen)}
        return
    drawn = {answer.repeat for answer in answers}
    assert drawn == set(seen) if policy != "once" else len(drawn) == 1
    for answer in answers:
        assert answer.repeat in seen
        assert answer.validation_accuracy == pytest.approx(0.005 + 0.1 * answer.repeat)
        assert answer.seconds == 1 + answer.repeat


def test_the_repeats_go_round_with_the_seed() -> None:
    table = a_table()
    of_seeds = [held_out.seen(table, "test_accuracy", 1, seed) for seed in range(4)]
    assert of_seeds == [(0, 1), (1, 2), (0, 2), (0, 1)]
    assert held_out.seen(table, "test_accuracy", 2, 1) == (1,)
    assert held_out.seen(table, "test_accuracy", 0, 1) is None


def test_a_run_is_scored_by_what_it_did_not_see() -> None:
    scores = Scores(a_table(), held_out=1)
    text = SPACE[10].to_text()
    # Seed 0 sees the repeats 0 and 1, seed 1 sees 1 and 2, seed 2 sees 2 and 0.
    assert [scores.accuracy(text, seed) for seed in range(3)] == pytest.approx([0.21, 0.01, 0.11])
    assert scores.accuracy(text) == pytest.approx(0.11)
    best = 0.09 + 0.1
    assert scores.regret(text, 0) == pytest.approx(best - 0.21)


def test_further_repeats_of_some_rows_are_for_scoring_alone() -> None:
    present = np.ones((len(SPACE), 1, 5), np.uint8)
    present[:80, :, 3:] = 0
    table = a_table(5, present)
    assert held_out.common_repeats(table, "test_accuracy") == 3
    assert held_out.seen(table, "test_accuracy", 1, 0) == (0, 1)
    scores = Scores(table, held_out=1)
    assert scores.accuracy(SPACE[10].to_text(), 0) == pytest.approx(0.01 + 0.2)
    assert scores.accuracy(SPACE[85].to_text(), 0) == pytest.approx(0.085 + 0.3)


def test_further_trainings_score_and_are_in_no_answer() -> None:
    further = np.full((len(SPACE), 2), np.nan, np.float32)
    further[20:] = [0.5, 0.7]
    plain = a_table()
    table = Table(
        SPACE, (4,), plain.columns, extra={"scoring/test_accuracy": further}, provenance={}
    )
    scores = Scores(table, held_out=1)
    assert scores.accuracy(SPACE[10].to_text(), 0) == pytest.approx(0.21)
    assert scores.accuracy(SPACE[30].to_text(), 0) == pytest.approx((0.23 + 0.5 + 0.7) / 3)
    assert scores.accuracy(SPACE[30].to_text()) == pytest.approx((0.39 + 1.2) / 5)
    oracle = Oracle(table, Budget(queries=20), np.random.default_rng(0))
    drawn = {round(oracle.query(SPACE[30]).validation_accuracy, 6) for _ in range(20)}
    assert drawn == {0.03, 0.13, 0.23}


def test_a_comparison_keeps_what_it_scores_by_from_its_searches(tmp_path: Path) -> None:
    """Audited, saved and read again, on one worker and on two."""
    path = tmp_path / "planted.h5"
    a_table().save(path)
    searches: dict[str, Search] = {"random": RandomSearch(), "local": LocalSearch()}
    plan = Plan(path, searches, range(3), {"seconds": 60.0}, "mean", held_out_repeats=1)
    folders = [tmp_path / name for name in ("alone", "spread")]
    for workers, folder in enumerate(folders, start=1):
        run(plan, folder, workers=workers)
    alone, spread = map(all_traces, folders)
    assert alone == spread and len(alone) == 6
    assert {trace.seconds / trace.queries for trace in alone} == {3.0, 5.0, 4.0}
    scores = Scores.of(folders[0], Table.open(path))
    for trace in alone:
        text = trace.incumbents[-1].architecture
        hidden = (trace.seed + 2) % 3
        expected = (SPACE.index(SPACE.parse(text)) + 100 * hidden) / 1000
        assert scores.accuracy(text, trace.seed) == pytest.approx(expected)


def test_what_cannot_be_kept_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "planted.h5"
    a_table().save(path)
    words = ["compare", "--algorithms", "random-search", "--out", str(tmp_path / "out"), "--table"]
    assert main([*words, str(path), "--held-out-repeats", "3"]) == 2
    assert "keep 2 at most" in capsys.readouterr().err
    assert main([*words, "nasbench101-surrogate", "--held-out-repeats", "1"]) == 2
    assert "is a surrogate" in capsys.readouterr().err
    assert main([*words, str(path), "--held-out-repeats", "-1"]) == 2
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidSetting, match="repeats"):
        Oracle(a_table(), Budget(queries=1), np.random.default_rng(0), seen=(0, 3))
    with pytest.raises(InvalidSetting, match="repeats"):
        Oracle(a_table(), Budget(queries=1), np.random.default_rng(0), seen=())


# The noise floor ---------------------------------------------------------------------------------


def test_the_noise_floor_of_planted_noise_is_the_planted_one() -> None:
    rng = np.random.default_rng(0)
    space = CellSpace(5)
    true = 0.8 + 0.05 * rng.random(len(space))
    sigma, repeats = 0.01, 4
    values = true[:, None, None] + sigma * rng.standard_normal((len(space), 1, repeats))
    columns = {("final", "validation_accuracy"): Column(values.astype(np.float32))}
    table = Table(space, (4,), columns)
    floor, kept = NoiseFloor.of(table), NoiseFloor.of(table, kept=1)
    assert floor is not None and kept is not None
    # 253 cells of three degrees of freedom: the deviation is known to 1 / sqrt(2 * 759), 2.6 %.
    assert floor.standard_error == pytest.approx(sigma / 2, rel=0.08)
    assert kept.standard_error == pytest.approx(sigma, rel=0.08)
    means = values[:, 0].mean(axis=1)
    within = means.max() - means <= 2 * floor.standard_error * np.sqrt(2)
    assert (floor.among_best == within).mean() > 0.999
    assert floor.among_best[means.argmax()]


def test_one_repeat_has_no_noise_floor() -> None:
    assert NoiseFloor.of(a_table(1)) is None
    assert Scores(a_table(1)).among_best(SPACE[0].to_text()) is None


# Asking again ------------------------------------------------------------------------------------


def test_the_defaults_of_small_tables_do_not_reward_asking_again(tmp_path: Path) -> None:
    path = tmp_path / "planted.h5"
    a_table().save(path)
    plan = plan_of({"table": str(path), "algorithms": {"local-search": {}}})
    assert (plan.policy, plan.held_out_repeats) == ("mean", 1)
    assert list(plan.algorithms) == ["local-search", "distinct-random-search"]
    words = plan.command or ""
    assert "--policy mean" in words and "--held-out-repeats 1" in words
    again = plan_of({"table": "nasbench101-surrogate"})
    assert (again.policy, again.held_out_repeats) == ("always", 0)
    a_table(1).save(path)
    single = plan_of({"table": str(path), "algorithms": {"local-search": {}}})
    assert (single.policy, single.held_out_repeats) == ("always", 0)
    assert list(single.algorithms) == ["local-search"]


def test_distinct_random_search_asks_once_and_ends() -> None:
    oracle = Oracle(a_table(), Budget(queries=1000), np.random.default_rng(0), policy="mean")
    *_, last = yielded(RandomSearch(distinct=True), oracle, 0)
    assert oracle.budget.spent_queries == len(SPACE)
    assert last == SPACE[len(SPACE) - 1]


@pytest.mark.parametrize(("policy", "warned"), [("mean", True), ("always", False)])
def test_means_of_a_surrogate_are_said_to_be_kind_to_searches_that_halve(
    policy: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", policy, "--queries", "3", "--seeds", "1", "--workers", "1"]
    words += ["--algorithms", "random-search", "--out", str(tmp_path)]
    assert main(["compare", "--table", "nasbench101-surrogate", *words]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert ("too kind to searches that halve" in printed) == warned
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("too kind to searches that halve" in page) == warned
