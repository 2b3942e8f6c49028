# ruff: noqa: BLE001, E722, S110, S112, SIM105
"""Searches of other people that go wrong, each in its own way. Worker processes import them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.random import Generator

from nasbench_kit import Cell, Oracle


@dataclass(frozen=True)
class Raising:
    """Asks once, recommends, then raises an error, as long as the marker is not there."""

    error: str
    marker: str = ""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        yield oracle.query(oracle.space[0]).cell
        if not (self.marker and Path(self.marker).exists()):
            raise ERRORS[self.error]()


@dataclass(frozen=True)
class OfThisProcess:
    """Asks in the order of a set of texts, which is another in every process."""

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        while True:
            for text in {oracle.space.sample(rng).to_text() for _ in range(9)}:
                yield oracle.query(oracle.space.parse(text)).cell


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unsendable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("no good"),
    "exit": lambda: SystemExit(3),
    "generator-exit": GeneratorExit,
    "memory": MemoryError,
    "base": lambda: BaseException("all of it"),
    "unprintable": Unprintable,
    "unsendable": lambda: Unsendable("no", "thing"),
    "many-lines": lambda: ValueError("one\ntwo\x1b[31m\nthree \udcff"),
    "long": lambda: ValueError("x" * 100_000),
    "stop": lambda: StopIteration(1),
}


def recursing(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    yield from recursing(oracle, rng)


def interrupting(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    yield oracle.query(oracle.space[0]).cell
    raise KeyboardInterrupt


def exiting(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    oracle.query(oracle.space[0])
    os._exit(7)
    yield oracle.space[0]


def moving(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    os.chdir("/")
    yield oracle.query(oracle.space[0]).cell


# What is no search -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Yielding:
    """Asks once and yields something, made from the oracle."""

    what: str

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Any]:
        answer = oracle.query(oracle.space[0])
        yield MISTAKES[self.what](oracle, answer)


MISTAKES: dict[str, Callable[[Oracle, Any], object]] = {
    "answer": lambda oracle, answer: answer,
    "none": lambda oracle, answer: None,
    "text": lambda oracle, answer: answer.cell.to_text(),
    "row": lambda oracle, answer: 7,
    "pair": lambda oracle, answer: (answer.cell, 0.9),
    "class": lambda oracle, answer: Cell,
    "outside": lambda oracle, answer: Cell.from_text(OUTSIDE),
}
#: Six vertices.
OUTSIDE = "010000/001000/000100/000010/000001/000000:conv3x3,conv3x3,conv3x3,conv3x3"


def returning_none(oracle: Oracle, rng: Generator) -> None:
    oracle.query(oracle.space[0])


def returning_a_cell(oracle: Oracle, rng: Generator) -> Cell:
    return oracle.query(oracle.space[0]).cell


def returning_a_list(oracle: Oracle, rng: Generator) -> list[Cell]:
    return [oracle.query(oracle.space[row]).cell for row in range(3)]


# What would never end ----------------------------------------------------------------------------


def idling(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    cell = oracle.query(oracle.space[0]).cell
    while True:
        yield cell


def dithering(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    oracle.query(oracle.space[0])
    for row in itertools.count():
        yield oracle.space[row % len(oracle.space)]


def swallowing(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    while True:
        try:
            cell = oracle.query(oracle.space.sample(rng)).cell
        except Exception:
            continue
        yield cell


def swallowing_and_yielding(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    cell = oracle.space[0]
    while True:
        try:
            cell = oracle.query(oracle.space.sample(rng)).cell
        except Exception:
            pass
        yield cell


def asking_nonsense(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    yield oracle.query(oracle.space[0]).cell
    while True:
        try:
            oracle.query(oracle.space[0], epochs=5)
        except Exception:
            continue


def swallowing_all(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    cell = oracle.space[0]
    while True:
        try:
            cell = oracle.query(oracle.space.sample(rng)).cell
        except:
            continue
        yield cell


def clinging(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    """Is not to be closed either."""
    while True:
        try:
            yield oracle.query(oracle.space.sample(rng)).cell
        except:
            pass


def failing_to_close(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    try:
        while True:
            yield oracle.space[0]
    finally:
        raise ValueError("not closed")


# What needs processes ----------------------------------------------------------------------------


def _cube(number: int) -> int:
    return number**3


def in_processes(oracle: Oracle, rng: Generator) -> Iterator[Cell]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_cube, [2, 3]) == [8, 27]
    yield oracle.query(oracle.space[0]).cell


@dataclass(frozen=True)
class LeavingAChild:
    """Forks a child that sleeps, which holds all that the worker holds, and dies."""

    folder: str

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        child = os.fork()
        if not child:
            import time

            time.sleep(300)
            os._exit(0)
        Path(self.folder, str(child)).touch()
        sys.stdout.flush()
        os._exit(1)
        yield oracle.space[0]
