"""Several objectives: hypervolume, true fronts, scores of fronts, and the searches that weigh them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from nasbench_kit import Answer, Budget, CellSpace, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import (
    MULTI_OBJECTIVE,
    NSGA2,
    PredictedReward,
    RandomFront,
    RandomSearch,
    Scalarized,
)
from nasbench_kit.algorithms.multi_objective.objectives import (
    Front,
    crowded_order,
    crowding,
    losses,
    ranks,
)
from nasbench_kit.algorithms.multi_objective.scalarized import Reward
from nasbench_kit.analysis.statistics.comparison import Comparison
from nasbench_kit.cli import main
from nasbench_kit.compare.objectives import Objectives, recorded_costs
from nasbench_kit.compare.plan import Plan
from nasbench_kit.compare.running import run
from nasbench_kit.compare.scores import Scores
from nasbench_kit.oracle.search import Search
from nasbench_kit.pareto import hypervolume, nondominated
from nasbench_kit.testing.made_up import MadeUpSpace, made_up_table
from nasbench_kit.testing.searches import SearchConformance, yielded

TWO = ("accuracy", "parameters")
#: Points on a coarse grid, so that ties occur.
coarse = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(2, 4)),
    elements=st.integers(0, 12).map(lambda number: number / 10),
)


# Hypervolume -----------------------------------------------------------------------------------


def by_inclusion_and_exclusion(points: np.ndarray[Any, Any]) -> float:
    """The volume of a union of boxes up to 1: the slow obvious way."""
    boxes = np.maximum(1 - points, 0)
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(range(len(points)), size):
            total += (-1) ** (size + 1) * boxes[list(chosen)].min(axis=0).prod()
    return total


@given(coarse)
def test_hypervolume_is_that_of_inclusion_and_exclusion(points: np.ndarray[Any, Any]) -> None:
    assert hypervolume(points) == pytest.approx(by_inclusion_and_exclusion(points), abs=1e-12)


@given(coarse)
def test_hypervolume_is_its_fronts(points: np.ndarray[Any, Any]) -> None:
    assert hypervolume(points[nondominated(points)]) == pytest.approx(hypervolume(points))


def test_hypervolumes_by_hand() -> None:
    assert hypervolume(np.array([[0.0, 0.0]])) == 1
    assert hypervolume(np.array([[0.5, 0.5], [0.25, 0.75]])) == pytest.approx(0.25 + 0.0625)
    assert hypervolume(np.array([[0.5, 0.5, 0.5]]), 2.0) == pytest.approx(1.5**3)
    assert hypervolume(np.empty((0, 3))) == 0
    assert hypervolume(np.array([[1.0, 0.0]])) == 0  # on the reference
    assert hypervolume(np.array([[-1.0, 0.5]])) == 1  # beyond the best


def test_hypervolume_agrees_with_random_points() -> None:
    rng = np.random.default_rng(0)
    points, drawn = rng.random((30, 3)), rng.random((200_000, 3))
    share = np.mean([(points <= one).all(axis=1).any() for one in drawn[:20_000]])
    assert hypervolume(points) == pytest.approx(share, abs=4 * np.sqrt(0.25 / 20_000))


# Ranks and crowding ----------------------------------------------------------------------------


@given(coarse)
def test_ranks_are_fronts_taken_away_one_by_one(points: np.ndarray[Any, Any]) -> None:
    rank, left, expected = 0, np.arange(len(points)), np.full(len(points), -1)
    while len(left):
        front = left[nondominated(points[left])]
        expected[front] = rank
        left, rank = np.setdiff1d(left, front), rank + 1
    np.testing.assert_array_equal(ranks(points), expected)


def test_crowding_by_hand() -> None:
    front = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]])
    # (2 - 0) / 4 + (4 - 1) / 4, and (4 - 1) / 4 + (2 - 0) / 4.
    np.testing.assert_allclose(crowding(front), [np.inf, 1.25, 1.25, np.inf])
    np.testing.assert_allclose(crowding(front[:1]), [np.inf])
    behind = np.array([[5.0, 5.0], *front])
    assert crowded_order(behind).tolist() == [1, 4, 2, 3, 0]


def answer(accuracy: float, **costs: float) -> Answer:
    space = MadeUpSpace(2)
    return Answer(
        space[round(accuracy * 8)], 4, False, 0, None, None, accuracy, None, "measured", costs
    )


def test_a_front_keeps_what_nothing_dominates_most_accurate_first() -> None:
    front = Front(("accuracy", "latency"))
    for accuracy, latency in ((0.5, 3.0), (0.25, 1.0), (0.375, 4.0), (0.75, 3.0), (0.75, 3.0)):
        front.add(answer(accuracy, latency=latency))
    texts = [architecture.to_text() for architecture in front.architectures]
    assert texts == [answer(0.75).architecture.to_text(), answer(0.25).architecture.to_text()]
    with pytest.raises(InvalidSetting, match="'energy'; there are accuracy, latency"):
        losses(answer(0.5, latency=1.0), ("accuracy", "energy"))


# Scores ----------------------------------------------------------------------------------------


@functools.cache
def planted_table(layers: int = 6, repeats: int = 1) -> Table:
    """Each convolution (option 1) adds accuracy and latency alike; pooling (2) adds latency alone.

    So the true front is all architectures without pooling, of equal accuracy and latency for equal
    numbers of convolutions: 2 ** layers rows, layers + 1 points on a line.
    """
    space = MadeUpSpace(layers)
    options = np.array([each.options for each in space])
    convolutions, pools = (options == 1).sum(axis=1), (options == 2).sum(axis=1)
    counts = np.broadcast_to(
        (40 + 60 * convolutions / layers).round()[:, None, None], (len(space), 1, repeats)
    )
    columns = {
        ("final", metric): Column(counts.astype(np.uint16), 100)
        for metric in ("validation_accuracy", "test_accuracy")
    }
    return Table(
        space,
        (4,),
        columns,
        extra={"cost/latency": (1.0 + convolutions + pools)},
        provenance={"name": "planted", "source": "measured"},
    )


def test_the_true_front_of_a_planted_table() -> None:
    table = planted_table(6)
    objectives = Objectives(table, ("accuracy", "latency"), table.mean("test_accuracy"))
    texts = [table.space[row].to_text() for row in objectives.front.tolist()]
    assert len(texts) == 2**6 and not any("2" in text for text in texts)
    # A staircase of seven points (i / 6, 1 - i / 6): the sum of i / 36 for i up to 5.
    assert objectives.hypervolume == pytest.approx(15 / 36)
    scores = Scores(table, objectives=("accuracy", "latency"))
    whole = " ".join("1" * ones + "0" * (6 - ones) for ones in range(7))
    assert scores.loss(whole) == pytest.approx(0, abs=1e-12)
    assert scores.loss("111000") == pytest.approx(15 / 36 - 1 / 4)
    assert scores.loss("111000 222222") == scores.loss("111000")
    assert scores.loss("222222 111000") == scores.loss(
        "111000"
    )  # the order says nothing of the front
    assert scores.accuracy("111000 222222") == pytest.approx(0.7)
    assert scores.loss_name == "hypervolume regret"
    assert scores.noise_floor is None and scores.among_best("111000") is None


def test_held_out_repeats_score_fronts() -> None:
    table = made_up_table(MadeUpSpace(4), repeats=3)
    scores = Scores(table, held_out=1, objectives=("accuracy", "seconds", "parameters"))
    text = " ".join(table.space[row].to_text() for row in (3, 40, 77))
    objectives = scores.objectives
    assert objectives is not None
    for seed in range(3):
        unseen = table.values("test_accuracy")[:, (seed + 2) % 3]
        expected = objectives.regret([3, 40, 77], unseen[[3, 40, 77]])
        assert scores.loss(text, seed) == pytest.approx(expected)
    assert scores.loss(text) == pytest.approx(
        objectives.regret([3, 40, 77], table.mean("test_accuracy")[[3, 40, 77]])
    )


def test_costs_that_some_rows_lack_are_none() -> None:
    table = planted_table()
    latency = table.costs["latency"].copy()
    latency[5] = np.nan
    partial = Table(table.space, table.epochs, dict(table.columns), extra={"cost/latency": latency})
    assert list(recorded_costs(table)) == ["latency"]
    assert recorded_costs(partial) == {}


# Searches --------------------------------------------------------------------------------------


class TestConformance(SearchConformance):
    """Every search of the room."""

    @pytest.fixture(params=MULTI_OBJECTIVE)
    def search(self, request: pytest.FixtureRequest) -> Search:
        return named(request.param, TWO, 10_000.0)


def named(name: str, objectives: tuple[str, ...], target: float) -> Any:
    search: Any = MULTI_OBJECTIVE[name]()
    wants = {"target": target} if isinstance(search, Reward) else {}
    return dataclasses.replace(search, objectives=objectives, **wants)


@functools.cache
def planted_scores(layers: int) -> Scores:
    return Scores(planted_table(layers), objectives=("accuracy", "latency"))


def regret_of(search: Search, layers: int, queries: int, seed: int) -> float:
    oracle = Oracle(
        planted_table(layers), Budget(queries=queries), np.random.default_rng([seed, 0])
    )
    *_, front = yielded(search, oracle, seed)
    return planted_scores(layers).loss(" ".join(each.to_text() for each in front))


@pytest.mark.parametrize("name", ["nsga2", "mo-regularized-evolution"])
def test_evolution_finds_a_planted_front_that_chance_does_not(name: str) -> None:
    """19,683 architectures of nine layers, 400 queries."""
    search = dataclasses.replace(named(name, ("accuracy", "latency"), 1.0), population_size=20)
    control = RandomFront(("accuracy", "latency"))
    ours = [regret_of(search, 9, 400, seed) for seed in range(8)]
    theirs = [regret_of(control, 9, 400, seed) for seed in range(8)]
    assert np.median(ours) < 0.01 < 0.03 < np.median(theirs)


def test_random_fronts_without_repetition_see_everything() -> None:
    assert regret_of(RandomFront(("accuracy", "latency"), distinct=True), 4, 81, 0) < 1e-12


def test_nsga2_asks_for_children_of_its_parents() -> None:
    """With no chance of crossover each child differs from a parent in one decision."""
    table = planted_table(6)
    asked = []
    oracle = Oracle(table, Budget(queries=20), np.random.default_rng(0))
    search = NSGA2(10, crossover_probability=0.0, objectives=("accuracy", "latency"))
    for _ in yielded(search, oracle, 0):
        asked.append(oracle.budget.ledger[-1].item.architecture)
    for child in asked[10:]:
        assert min(np.count_nonzero(np.subtract(child.options, p.options)) for p in asked[:10]) <= 1


def test_rewards_by_hand() -> None:
    soft = Scalarized(target=80.0, objectives=("accuracy", "latency"))
    assert soft.reward(0.75, 80.0) == 0.75
    # Tan et al., section 3: 5 % more accuracy are worth about twice the latency.
    assert soft.reward(0.75 * 1.05, 160.0) == pytest.approx(0.75, rel=1e-3)
    hard = dataclasses.replace(Scalarized.hard(), target=80.0)
    assert (hard.reward(0.75, 20.0), hard.reward(0.75, 160.0)) == (0.75, 0.375)
    proxyless = dataclasses.replace(Scalarized.proxylessnas(), target=80.0)
    assert proxyless.reward(0.75, 160.0) == pytest.approx(0.75 * (80 / 160) ** 0.1)
    with pytest.raises(InvalidSetting, match="costs must be positive"):
        soft.reward(0.75, 0.0)


@pytest.mark.parametrize("by", ["reinforce", "regularized-evolution"])
def test_a_hard_constraint_is_kept(by: Any) -> None:
    """Without pooling and with three convolutions at most, that is a latency of 4, 70 % are best."""
    search = Scalarized(
        target=4.0, within=0.0, beyond=-1.0, by=by, objectives=("accuracy", "latency")
    )
    oracle = Oracle(planted_table(6), Budget(queries=600), np.random.default_rng(0))
    *_, (best, *_front) = yielded(search, oracle, 0)
    assert sorted(best.to_text()) == list("000111")


def test_predictions_of_both_objectives_find_the_constrained_best_sooner() -> None:
    """Of 729 architectures 20 are best; 80 queries."""
    search = PredictedReward(
        target=4.0, within=0.0, beyond=-1.0, objectives=("accuracy", "latency"), trees=20
    )
    oracle = Oracle(planted_table(6), Budget(queries=80), np.random.default_rng(0))
    *_, (best, *_front) = yielded(search, oracle, 0)
    assert sorted(best.to_text()) == list("000111")
    asked = [charge.item.architecture for charge in oracle.budget.ledger]
    assert len(set(asked[20:])) == 60 and not set(asked[20:]) & set(asked[:20])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": "accuracy"}, "accuracy and one cost"),
        ({"objectives": ["accuracy"]}, "accuracy and one cost"),
        ({"objectives": ["seconds", "latency"]}, "accuracy and one cost"),
        ({"objectives": ["accuracy", "seconds", "seconds"]}, "each of them once"),
    ],
)
@pytest.mark.parametrize("name", MULTI_OBJECTIVE)
def test_objectives_of_searches_are_refused(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        dataclasses.replace(named(name, (), 1.0), **settings)


def test_rewards_are_refused() -> None:
    for settings, message in (
        ({"target": 0.0}, "must be positive"),
        ({"by": "guessing"}, "choose one of reinforce"),
        ({"objectives": ("accuracy", "latency")}, "needs a target, in the unit of latency"),
        ({"objectives": ("accuracy", "a", "b"), "target": 1.0}, "accuracy and one cost"),
    ):
        with pytest.raises(InvalidSetting, match=message):
            Scalarized(**settings)


# Comparisons -----------------------------------------------------------------------------------


def saved(folder: Path) -> Path:
    """All cells up to four vertices, with latencies; every number is made up."""
    made = made_up_table(CellSpace(4))
    latency = np.random.default_rng(1).uniform(1, 9, len(made))
    extra = {**made.extra, "cost/latency": latency}
    table = Table(
        made.space, made.epochs, dict(made.columns), extra=extra, provenance=made.provenance
    )
    table.save(folder / "cells.h5")
    return folder / "cells.h5"


def kit(*words: object) -> int:
    return main(list(map(str, words)))


def test_fronts_are_compared_resumed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = saved(tmp_path)
    searches = ("random-search", "random-front", "nsga2(population_size=10)")
    words: list[object] = ["compare", "--table", table, "--queries", 40, "--seeds", 4]
    words += ["--algorithms", *searches, "--objectives", "accuracy", "latency"]
    assert kit(*words, "--out", tmp_path / "one", "--workers", 1) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Final hypervolume regret in mean test accuracy and latency" in shown
    assert kit(*words, "--out", tmp_path / "two", "--workers", 2) == 0
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert manifest["objectives"] == ["accuracy", "latency"]
    assert manifest["algorithms"]["nsga2"]["settings"]["objectives"] == ["accuracy", "latency"]
    assert "--objectives accuracy latency" in manifest["commands"][0]
    for name in ("results.csv", "incumbents.csv", "traces/nsga2-0.json", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    trace = json.loads((tmp_path / "one" / "traces" / "nsga2-0.json").read_text())
    assert any(" " in text for text in trace["incumbents"]["architecture"])
    comparison = Comparison.load(tmp_path / "one", Table.open(table))
    assert comparison.baseline == "random-front"
    assert np.median(comparison.final["random-front"]) < np.median(
        comparison.final["random-search"]
    )
    capsys.readouterr()
    assert kit("report", tmp_path / "one", "--table", table) == 0
    page = (tmp_path / "one" / "report.html").read_text()
    assert "Recommended fronts and the true one" in page
    assert "Any-time hypervolume regret against queries" in page
    assert "the hypervolume of the table's true front minus" in page
    # Other objectives are another comparison.
    other = [*words[:-1], "parameters", "--out", tmp_path / "one"]
    assert kit(*other) == 2
    assert "another objectives" in capsys.readouterr().err


def test_three_objectives_are_drawn_from_two_sides(tmp_path: Path) -> None:
    table = saved(tmp_path)
    file = tmp_path / "three.toml"
    file.write_text(
        f'table = "{table}"\nseeds = 2\nobjectives = ["accuracy", "seconds", "latency"]\n'
        f'out = "{tmp_path / "runs"}"\n[budget]\nqueries = 12\n'
    )
    assert kit("compare", file, "--workers", 1) == 0
    manifest = json.loads((tmp_path / "runs" / "manifest.json").read_text())
    assert list(manifest["algorithms"]) == ["random-front", "nsga2", "mo-regularized-evolution"]
    assert kit("report", tmp_path / "runs", "--table", table) == 0
    assert "seen from two sides" in (tmp_path / "runs" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objectives", "accuracy", "energy"], "it has accuracy, seconds, parameters, latency"),
        (["--objectives", "accuracy"], "name accuracy and one or two different costs"),
        (["--objectives", "seconds", "latency"], "name accuracy and one or two different costs"),
        (["--algorithms", "nsga2"], "nsga2 weighs several objectives, and none are named"),
        (
            ["--algorithms", 'n=nsga2(objectives=["accuracy", "energy"])'],
            "n: the table made-up does not record the objective 'energy'",
        ),
        (
            ["--algorithms", "mnasnet-reward", "--objectives", "accuracy", "latency"],
            "mnasnet-reward: the reward needs a target",
        ),
        (["--objectives", "accuracy", "seconds", "--fallback"], "scored by a table alone"),
    ],
)
def test_objectives_are_refused_before_any_work(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = saved(tmp_path)
    assert kit("compare", "--table", table, "--queries", 5, "--out", tmp_path / "x", *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x").exists()


def test_several_tables_take_one_objective(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = saved(tmp_path)
    tables = ("--table", f"a={table}", f"b={table}")
    assert kit("compare", *tables, "--objectives", "accuracy", "seconds") == 2
    assert "on one table at a time" in capsys.readouterr().err


def test_an_architecture_is_a_front_of_one(tmp_path: Path) -> None:
    path = saved(tmp_path)
    table = Table.open(path)
    searches: dict[str, Search] = {"random-search": RandomSearch(), "front": RandomFront(TWO)}
    plan = Plan(path, searches, range(2), {"queries": 10}, objectives=("accuracy", "latency"))
    assert plan.algorithms["front"] == RandomFront(TWO)  # its own objectives stay
    scores = Scores(table, objectives=plan.objectives)
    for trace in run(plan, tmp_path / "runs"):
        if trace.algorithm == "random-search":
            text = trace.incumbents[-1].architecture
            objectives = scores.objectives
            assert objectives is not None and " " not in text
            row = scores.rows(text)
            expected = objectives.regret(row, table.mean("test_accuracy")[row])
            assert scores.loss(text, trace.seed) == pytest.approx(expected)
