"""ASHA: who is promoted, beside a slow reading of Algorithm 2."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nasbench_kit import Answer, Budget, CellSpace, Column, InvalidSetting, Oracle, Table
from nasbench_kit.algorithms import ASHA, Hyperband
from nasbench_kit.algorithms.multi_fidelity.hyperband import brackets, rungs
from nasbench_kit.testing.searches import yielded


def ledger(search: ASHA, table: Table, queries: int, seed: int = 0) -> list[Answer]:
    oracle = Oracle(table, Budget(queries=queries), np.random.default_rng([seed, 0]))
    list(yielded(search, oracle, seed))
    return [charge.item for charge in oracle.budget.ledger]


def test_rungs_are_the_brackets_fidelities() -> None:
    assert rungs((4, 12, 36, 108), 3) == [4, 12, 36, 108]
    assert rungs((4, 10, 36, 108), 3) == [36, 108]
    for epochs in ((4, 12, 36, 108), (1, 2, 4)):
        eta = epochs[1] // epochs[0]
        assert rungs(epochs, eta) == [rung.epochs for rung in brackets(epochs, eta)[0]]


def slow_jobs(answers: list[Answer], chain: list[int], eta: int) -> list[int]:
    """Algorithm 2 for one worker, by sorting everything anew: the fidelity of every job."""
    rung: list[list[int]] = [[] for _ in chain]  # numbers of answers
    promoted: set[int] = set()
    fidelities = []
    for number, answer in enumerate(answers):
        job = 0
        for k in reversed(range(len(chain) - 1)):
            ranked = sorted(rung[k], key=lambda n: (-answers[n].validation_accuracy, n))
            promotable = [n for n in ranked[: len(rung[k]) // eta] if n not in promoted]
            if promotable:
                promoted.add(promotable[0])
                assert answer.architecture == answers[promotable[0]].architecture
                job = k + 1
                break
        fidelities.append(chain[job])
        rung[job].append(number)
    return fidelities


@pytest.mark.parametrize("eta", [2, 3])
def test_jobs_are_those_of_algorithm_2(eta: int) -> None:
    from nasbench_kit.testing.made_up import made_up_table

    epochs = (4, 12, 36) if eta == 3 else (3, 6, 12, 24)
    answers = ledger(ASHA(eta=eta), made_up_table(CellSpace(5), epochs=epochs), 250)
    assert [answer.epochs for answer in answers] == slow_jobs(answers, list(epochs), eta)


def test_one_in_eta_is_promoted_in_the_long_run(small_table: Table) -> None:
    """And some more, as the best third changes: their number grows with the root of all, section 3.1."""
    epochs = [answer.epochs for answer in ledger(ASHA(), small_table, 400)]
    sizes = [epochs.count(length) for length in (4, 12, 36)]
    for below, above in itertools.pairwise(sizes):
        assert below // 3 - 1 <= above <= below / 3 + 2 * np.sqrt(below)


def test_the_best_of_more_cells_than_could_be_trained_in_full_is_found() -> None:
    """Accuracy tells the number of 3x3 convolutions at every length, so that four epochs suffice."""
    space = CellSpace(5)
    counts = np.array([cell.operations.count("conv3x3-bn-relu") for cell in space], np.uint16)
    accuracy = np.repeat(10 + 30 * counts[:, None, None], 3, axis=1).astype(np.uint16)
    columns = {("final", "validation_accuracy"): Column(accuracy, images=100)}
    table = Table(space, [4, 12, 36], columns)
    for workers in (None, 8):
        oracle = Oracle(table, Budget(epochs=36 * 100), np.random.default_rng(0))
        *_, best = yielded(ASHA(workers=workers), oracle, 2)
        answers = [charge.item for charge in oracle.budget.ledger]
        short = [answer.validation_accuracy for answer in answers if answer.epochs == 4]
        assert len(short) > 200  # 100 could be trained in full
        assert max(short) == 1  # of three, one cell in 300
        assert best.pruned().operations.count("conv3x3-bn-relu") == 3


def test_a_rate_leaves_out_the_shortest(small_table: Table) -> None:
    assert {a.epochs for a in ledger(ASHA(early_stopping_rate=1), small_table, 40)} == {12, 36}
    assert {a.epochs for a in ledger(ASHA(early_stopping_rate=2), small_table, 40)} == {36}
    with pytest.raises(InvalidSetting, match=r"early_stopping_rate is 3; .* lower it below 3"):
        ledger(ASHA(early_stopping_rate=3), small_table, 40)


def test_workers_finish_sooner_than_rungs_that_wait(small_table: Table) -> None:
    """Nobody idles: nine workers take hardly more than a ninth of what is spent."""
    oracle = Oracle(small_table, Budget(queries=400), np.random.default_rng(0))
    list(yielded(ASHA(workers=9), oracle, 0))
    assert oracle.elapsed is not None
    longest = max(charge.seconds for charge in oracle.budget.ledger)
    assert (
        oracle.elapsed <= oracle.budget.spent_seconds / 9 + longest
    )  # list scheduling, Graham 1969


def test_settings_and_tables_are_checked(small_table: Table) -> None:
    with pytest.raises(InvalidSetting, match="eta is 1"):
        ASHA(eta=1)
    with pytest.raises(InvalidSetting, match="early_stopping_rate is -1"):
        ASHA(early_stopping_rate=-1)
    columns = {("final", "validation_accuracy"): Column(np.zeros((91, 1, 1), np.float32))}
    for search in (ASHA(), Hyperband()):
        with pytest.raises(InvalidSetting, match="trainings of 36 epochs; halving needs one of 12"):
            oracle = Oracle(Table(CellSpace(4), [36], columns), Budget(), np.random.default_rng(0))
            next(iter(search(oracle, np.random.default_rng(0))))
