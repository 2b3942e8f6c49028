"""Every built-in search: the conformance suite, and what each must do besides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from conformance import Conformance, yielded

from nasbench_kit import Budget, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import ALGORITHMS, RandomSearch, RegularizedEvolution
from nasbench_kit.search import Search


class TestConformance(Conformance):
    @pytest.fixture(params=list(ALGORITHMS))
    def search(self, request: pytest.FixtureRequest) -> Search:
        return ALGORITHMS[request.param]()


def oracle_of(table: Table, queries: int) -> Oracle:
    return Oracle(table, Budget(queries=queries), np.random.default_rng(0))


def test_the_incumbent_is_the_best_validation_accuracy_so_far(small_table: Table) -> None:
    for search in (RandomSearch(), RegularizedEvolution()):
        oracle = oracle_of(small_table, 300)
        for cell in yielded(search, oracle, 0):
            answers = [charge.item for charge in oracle.budget.ledger]
            assert cell == max(answers, key=lambda answer: answer.validation_accuracy).cell


def test_random_search_asks_at_the_fidelity_it_is_told(small_table: Table) -> None:
    oracle = oracle_of(small_table, 20)
    list(yielded(RandomSearch(epochs=4), oracle, 0))
    assert {charge.item.epochs for charge in oracle.budget.ledger} == {4}


def test_evolution_begins_as_random_search(small_table: Table) -> None:
    def asked(search: Search) -> list[str]:
        oracle = oracle_of(small_table, 100)
        list(yielded(search, oracle, 0))
        return [charge.item.cell.to_text() for charge in oracle.budget.ledger]

    assert asked(RegularizedEvolution(population_size=100)) == asked(RandomSearch())


def test_evolution_of_one_is_a_walk_of_single_edits(small_table: Table) -> None:
    """One parent, replaced by each child: every asked cell is one edit from the one before."""
    oracle = oracle_of(small_table, 200)
    list(yielded(RegularizedEvolution(population_size=1, sample_size=1), oracle, 0))
    walk = [charge.item.cell for charge in oracle.budget.ledger]
    for parent, child in zip(walk, walk[1:], strict=False):
        edges = (parent.bits ^ child.bits).bit_count()
        operations = sum(map(str.__ne__, parent.operations, child.operations))
        assert edges + operations == 1


def test_the_oldest_dies_even_if_it_is_the_best(small_table: Table) -> None:
    """After P more queries the best of the first population can be nobody's parent any more."""
    oracle = oracle_of(small_table, 60)
    list(yielded(RegularizedEvolution(population_size=10, sample_size=10), oracle, 4))
    answers = [charge.item for charge in oracle.budget.ledger]
    for place in range(10, len(answers)):
        alive = [answer.cell for answer in answers[place - 10 : place]]
        child = answers[place].cell
        edits = [
            (cell.bits ^ child.bits).bit_count()
            + sum(map(str.__ne__, cell.operations, child.operations))
            for cell in alive
        ]
        assert 1 in edits


def test_small_spaces_get_a_small_population(small_table: Table) -> None:
    """Under 1,000 cells evolution starts to mutate after 20 queries, otherwise after 100."""
    assert len(small_table.space) > 1000
    population = Counter[str]()
    oracle = oracle_of(small_table, 21)
    list(yielded(RegularizedEvolution(), oracle, 0))
    population.update(charge.item.cell.to_text() for charge in oracle.budget.ledger)
    random_oracle = oracle_of(small_table, 21)
    list(yielded(RandomSearch(), random_oracle, 0))
    assert population == Counter(
        charge.item.cell.to_text() for charge in random_oracle.budget.ledger
    )


@pytest.mark.parametrize("setting", ["population_size", "sample_size"])
def test_sizes_below_one_are_refused(setting: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{setting} is 0"):
        RegularizedEvolution(**{setting: 0})
