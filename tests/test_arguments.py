"""Arguments of the wrong kind: every public function says so with an error of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Cell, CellSpace, Table, register_operation
from nasbench_kit.algorithms import RegularizedEvolution
from nasbench_kit.analysis.landscape import fidelity
from nasbench_kit.analysis.landscape.random_search_curve import RandomSearchCurve
from nasbench_kit.analysis.landscape.study import Options, costs
from nasbench_kit.analysis.statistics.aggregates import interquartile_mean
from nasbench_kit.checks import counted
from nasbench_kit.data import tables
from nasbench_kit.data.images.image_folder import image_folder
from nasbench_kit.data.images.user_images import from_arrays, npz_file
from nasbench_kit.data.subset import subset
from nasbench_kit.data.surrogate.fit import fit
from nasbench_kit.data.tasks import open_fallback, open_task
from nasbench_kit.errors import NasbenchKitError
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.experiment.searches import search_of
from nasbench_kit.experiment.settings import read
from nasbench_kit.oracle.store import Store

SPACE = CellSpace(4)
TABLE = tables.open_table("digits")
RNG = np.random.default_rng(0)
#: None of them is what any of the functions below takes.
WRONG: tuple[Any, ...] = (
    1.5,
    float("nan"),
    float("inf"),
    1j,
    b"ab",
    [],
    [[]],
    [[0, np.nan], [0, 0]],
    [["0", "1"], ["0", "0"]],
    [[[0, 1]]],
    [object()],
    {1: 2},
    set(),
    object(),
    np.zeros((2, 2)),
    np.array([1.5]),
    np.array([[0, "a"]], dtype=object),
    np.datetime64("2020-01-01"),
    len,
    Cell,
    "\0",
    "é\ud800",
    "[" * 50_000,
    10**400,
    10**5000,
    [10**5000],
    -1,
)


class Unprintable:
    def __str__(self) -> str:
        raise KeyError("no text")

    __repr__ = __str__


CALLS: dict[str, Callable[[Any], object]] = {
    "Cell, matrix": lambda value: Cell(value, []),
    "Cell, operations": lambda value: Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], value),
    "Cell.from_text": Cell.from_text,
    "Cell.from_json": Cell.from_json,
    "Cell.named": Cell.named,
    "Cell.from_model_spec": Cell.from_model_spec,
    "Cell.from_networkx": Cell.from_networkx,
    "CellSpace": CellSpace,
    "CellSpace, edges": lambda value: CellSpace(4, value),
    "CellSpace.one_shot": CellSpace.one_shot,
    "CellSpace.named": CellSpace.named,
    "restricted": SPACE.restricted,
    "space[row]": lambda value: SPACE[value],
    "index": SPACE.index,
    "indices": lambda value: SPACE.indices(value, np.zeros((1, 2), int)),
    "index_of_hash": SPACE.index_of_hash,
    "sample": SPACE.sample,
    "sample, over": lambda value: SPACE.sample(RNG, over=value),
    "cell, bits": lambda value: SPACE.cell(value, 0),
    "cell, code": lambda value: SPACE.cell(1, value),
    "cell, size": lambda value: SPACE.cell(1, 0, value),
    "mutate": lambda value: SPACE.mutate(value, RNG),
    "mutate, rng": lambda value: SPACE.mutate(SPACE[0], value),
    "neighbours": SPACE.neighbours,
    "distance": lambda value: SPACE.distance(SPACE[0], value),
    "tables.find": tables.find,
    "tables.open_table": tables.open_table,
    "Table.open": Table.open,
    "values": TABLE.values,
    "values, epochs": lambda value: TABLE.values("test_accuracy", value),
    "values, checkpoint": lambda value: TABLE.values("test_accuracy", 36, value),
    "open_task": open_task,
    "open_fallback": open_fallback,
    "subset": lambda value: subset(value, SPACE),
    "subset, space": lambda value: subset(TABLE, value),
    "fit": lambda value: fit(value, RNG),
    "fit, rng": lambda value: fit(TABLE, value),
    "RandomSearchCurve": RandomSearchCurve,
    "noise": lambda value: fidelity.noise(value, 36),
    "noise, epochs": lambda value: fidelity.noise(TABLE, value),
    "between_fidelities": lambda value: list(fidelity.between_fidelities(value)),
    "costs": costs,
    "from_arrays": lambda value: from_arrays("name", value),
    "from_arrays, x": lambda value: from_arrays("name", {"x": value, "y": np.zeros(1, int)}),
    "npz_file": npz_file,
    "image_folder": image_folder,
    "Options": Options,
    "experiment.read": read,
    "experiment.plan": plan_of,
    "experiment.search": lambda value: search_of("a", value),
    "plan, seeds": lambda value: plan_of({"seeds": value}),
    "plan, policy": lambda value: plan_of({"policy": value}),
    "plan, reward_images": lambda value: plan_of({"reward_images": value}),
    "plan, budget": lambda value: plan_of({"budget": value}),
    "plan, algorithms": lambda value: plan_of({"algorithms": value}),
    "plan, full": lambda value: plan_of({"full": value}),
    "plan, table": lambda value: plan_of({"table": value}),
    "RegularizedEvolution": lambda value: RegularizedEvolution(sample_size=value),
    "RegularizedEvolution, mutation": lambda value: RegularizedEvolution(mutation=value),
}
#: Where one of the above is right after all.
RIGHT = {
    (name, value)
    for name in ("RegularizedEvolution", "CellSpace, edges")
    for value in (10**400, 10**5000)
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_have_errors_with_names(name: str) -> None:
    for value in WRONG:
        if isinstance(value, int) and (name, value) in RIGHT:
            continue
        with pytest.raises(NasbenchKitError):
            CALLS[name](value)


@pytest.mark.parametrize("scores", ["x", [], 5, None, [[]], [[1], [1, 2]], [10**5000], {}])
def test_a_mean_is_of_numbers(scores: Any) -> None:
    with pytest.raises(NasbenchKitError, match="the scores"):
        interquartile_mean(scores)


@pytest.mark.parametrize("number", [True, np.True_, 0, 4, 1.0, "1", 10**400])
def test_sub_spaces_are_numbered(number: Any) -> None:
    with pytest.raises(NasbenchKitError):
        CellSpace.one_shot(number)


def test_operations_without_a_text_are_refused() -> None:
    with pytest.raises(NasbenchKitError, match="give a list of names"):
        Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [Unprintable()])  # type: ignore[list-item]


@pytest.mark.parametrize("path", [3, b"x", "", None, "\0"])
def test_a_store_has_a_path(path: Any) -> None:
    with pytest.raises(NasbenchKitError, match="file of the store"):
        Store(path)


@pytest.mark.parametrize("value", [None, 5, b"ab", 1.5, [], object()])
def test_operations_are_registered_by_name(value: Any) -> None:
    with pytest.raises(NasbenchKitError, match="give its name as text"):
        register_operation(value)


def test_unknown_keys_of_an_experiment_are_not_passed_over() -> None:
    with pytest.raises(NasbenchKitError, match="did you mean 'seeds'"):
        plan_of({"sedes": 3})


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    text = "seeds = 3\n[budget]\nqueries = 5\n"
    (tmp_path / "plain.toml").write_bytes(text.encode())
    (tmp_path / "marked.toml").write_bytes(text.encode("utf-8-sig"))
    plain, marked = (read(tmp_path / f"{name}.toml") for name in ("plain", "marked"))
    assert plain.pop("out") != marked.pop("out")
    assert plain == marked == {"seeds": 3, "budget": {"queries": 5}}


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(count, "run") for count in (0, 1, 2, 1000)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "1,000 runs",
    ]
    assert counted(1, "vertex", "vertices") == "1 vertex"
    assert counted(3, "vertex", "vertices") == "3 vertices"
    assert counted(1.0, "epoch") == "1 epoch" and counted(0.5, "epoch") == "0.5 epochs"
