"""What one run wrote down: every change of the incumbent, at what spend, and how the run ended.

A trace holds no clock reading, so that the same run gives the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard, get_args, get_type_hints

from nasbench_kit.checks import counted
from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.files import read_json, write_text

Ended = Literal["budget", "finished", "stalled"]

#: What a run spends.
_METERS = ("seconds", "epochs", "queries")
#: What it is charged for: answers of the table, trainings outside it, steps of a supernet's training.
_KINDS = ("query", "training", "supernet")
#: The ledger's sums and the totals are the same numbers, added in another order.
_ROUNDING = 1e-9


class Incumbent(NamedTuple):
    """What is recommended from this spend on, until the next one."""

    seconds: float
    epochs: float
    queries: int
    #: The text of its canonical form; of a front, several texts between blanks.
    architecture: str
    #: The time of simulated workers by then (see `Trace`); None where there are none.
    elapsed: float | None = None

    @property
    def first(self) -> str:
        """The text of the architecture, of a front the first one."""
        return self.architecture.partition(" ")[0]


#: What the file has of every incumbent; its ``elapsed`` only where workers are simulated.
_STEP = Incumbent._fields[:-1]


class Spending(NamedTuple):
    """What one kind of charge took of the budget."""

    charges: int
    seconds: float
    epochs: float
    queries: int


@dataclass(frozen=True)
class Trace:
    """One run of one algorithm with one seed."""

    algorithm: str
    seed: int
    #: Why it ended.
    ended: Ended
    #: What was spent in all.
    seconds: float
    epochs: float
    queries: int
    #: Different ones among the charged queries.
    unique_architectures: int
    incumbents: list[Incumbent] = field(default_factory=list)
    #: The ledger summed by kind of charge: "query", "training" or a step of a supernet's training.
    ledger: dict[str, Spending] = field(default_factory=dict)
    #: When the last of simulated workers was done, in seconds (epochs, where there are no seconds);
    #: None where the search simulates none, and then not in the file.
    elapsed: float | None = None

    @property
    def unpaid(self) -> bool:
        """Whether it recommended anything before it had paid for anything."""
        return bool(self.incumbents) and not any(self.incumbents[0][:3])

    def save(self, path: Path) -> None:
        """Write as JSON, atomically; incumbents by column."""
        columns = {name: [getattr(step, name) for step in self.incumbents] for name in _STEP}
        if self.elapsed is not None:
            columns["elapsed"] = [step.elapsed for step in self.incumbents]
        values = {
            **vars(self),
            "incumbents": columns,
            "ledger": {kind: spending._asdict() for kind, spending in self.ledger.items()},
        }
        if self.elapsed is None:
            del values["elapsed"]
        write_text(path, json.dumps(values) + "\n")

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what ``save`` wrote.

        Raises:
            CorruptFile: no trace, one of another version, or numbers that no run can have spent.
        """
        try:
            values = read_json(path)
            hints = get_type_hints(cls)
            del hints["elapsed"]
            elapsed = None
            if isinstance(values, dict) and "elapsed" in values:
                elapsed = number(values.pop("elapsed"), "elapsed")
            _check_keys(values, hints)
            steps = values.pop("incumbents")
            columns = [*_STEP, "elapsed"] if elapsed is not None else _STEP
            _check_keys(steps, columns)
            for name in columns:
                if not isinstance(steps[name], list):
                    raise TypeError(f"{name} of its incumbents is {_brief(steps[name])}, no list")
            rows = zip(*(steps[name] for name in columns), strict=True)
            incumbents = [_incumbent(*row) for row in rows]
            ledger = {}
            for kind, spent in values.pop("ledger").items():
                _check_keys(spent, Spending._fields)
                ledger[kind] = _typed(Spending, [spent[name] for name in Spending._fields])
            scalars = {name: _read(value, hints[name], name) for name, value in values.items()}
            trace = cls(**scalars, incumbents=incumbents, ledger=ledger, elapsed=elapsed)
            trace._check()
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} is no trace ({error}); delete it to run it again") from error
        return trace

    def check_within(self, budget: Mapping[str, float]) -> None:
        """Whether a comparison under this budget can have made it.

        Raises:
            ValueError: it spent more.
        """
        for name, limit in budget.items():
            if getattr(self, name) > limit:
                raise ValueError(f"{getattr(self, name)} {name} are spent of {limit}")

    def _check(self) -> None:
        """Whether the numbers agree with each other.

        Raises:
            ValueError: they do not.
        """
        for name in _METERS:
            total = getattr(self, name)
            spent = math.fsum(getattr(spending, name) for spending in self.ledger.values())
            if not math.isclose(spent, total, rel_tol=_ROUNDING):
                raise ValueError(f"the ledger's {name} sum to {spent}, the run's are {total}")
            at = [0, *(getattr(step, name) for step in self.incumbents), total]
            if any(later < earlier for earlier, later in pairwise(at)):
                raise ValueError(f"the {name} of its incumbents do not ascend from 0 to {total}")
        for kind, spending in self.ledger.items():
            if kind not in _KINDS:
                raise ValueError(f"{_brief(kind)} is no kind of charge")
            if not spending.charges:
                raise ValueError(f"no charge is of the kind {kind!r}")
            if spending.queries != (0 if kind == "supernet" else spending.charges):
                raise ValueError(
                    f"{counted(spending.charges, 'charge')} of kind {kind} make {counted(spending.queries, 'query', 'queries')}"
                )
        if "supernet" not in self.ledger:  # then nothing is spent but by queries
            steps = [(0.0, 0.0, 0), *(step[:3] for step in self.incumbents)]
            for before, after in pairwise([*steps, (self.seconds, self.epochs, self.queries)]):
                if before[2] == after[2] and before != after:
                    raise ValueError(f"from {before} to {after} more is spent and nothing asked")
        self._check_elapsed()
        unique = self.unique_architectures
        if not min(self.queries, "query" in self.ledger) <= unique <= self.queries:
            raise ValueError(
                f"{counted(self.queries, 'query', 'queries')} cannot be of {counted(unique, 'architecture')}"
            )

    def _check_elapsed(self) -> None:
        """Whether simulated workers can have taken these times.

        Raises:
            ValueError: they cannot.
        """
        times = [0.0, *(step.elapsed or 0.0 for step in self.incumbents), self.elapsed or 0.0]
        if any(later < earlier for earlier, later in pairwise(times)):
            raise ValueError(f"the elapsed times of its incumbents do not ascend to {times[-1]}")
        spent = self.seconds or self.epochs
        if self.elapsed is not None and self.elapsed > spent * (1 + _ROUNDING):
            raise ValueError(f"{self.elapsed} elapsed, and no more than {spent} was spent")


# Values of JSON --------------------------------------------------------------------------------


def number(value: object, name: str) -> float:
    """A finite number, not below 0.

    Raises:
        ValueError: it is something else.
    """
    with contextlib.suppress(OverflowError):  # an integer beyond the floats
        if _is_number(value, int | float) and math.isfinite(value) and value >= 0:
            return float(value)
    raise ValueError(f"{name} is {_brief(value)}; it must be a finite number >= 0")


def whole(value: object, name: str) -> int:
    """A whole number, not below 0, that a column of results can hold.

    Raises:
        ValueError: it is something else.
    """
    if _is_number(value, int) and 0 <= value < 1 << 63:
        return int(value)
    raise ValueError(f"{name} is {_brief(value)}; it must be a whole number >= 0")


def _is_number(value: Any, kind: Any) -> TypeGuard[int]:
    return isinstance(value, kind) and not isinstance(value, bool)


def _read(value: object, hint: Any, name: str) -> Any:
    """A value of a field that has this type."""
    if hint is float:
        return number(value, name)
    if hint is int:
        return whole(value, name)
    if isinstance(value, str) and (hint is str or value in get_args(hint)):
        return value
    wanted = "text" if hint is str else f"one of {', '.join(get_args(hint))}"
    raise ValueError(f"{name} is {_brief(value)}; it must be {wanted}")


def _incumbent(
    seconds: object, epochs: object, queries: object, text: object, elapsed: object = None
) -> Incumbent:
    return Incumbent(
        number(seconds, "seconds"),
        number(epochs, "epochs"),
        whole(queries, "queries"),
        _read(text, str, "architecture"),
        None if elapsed is None else number(elapsed, "elapsed"),
    )


def _typed(kind: Any, values: Iterable[object]) -> Any:
    """A tuple of this kind."""
    return kind(
        *(
            _read(value, hint, name)
            for value, (name, hint) in zip(values, get_type_hints(kind).items(), strict=True)
        )
    )


def _check_keys(values: Any, names: Collection[str]) -> None:
    if not isinstance(values, dict):
        raise TypeError(f"there is {_brief(values)} where {', '.join(names)} must stand")
    for name in names:
        if name not in values:
            raise ValueError(f"it lacks {name}")
    for name in values:
        if name not in names:
            raise ValueError(f"it has {_brief(name)}, which no trace has")


def _brief(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
