"""What one run wrote down: every change of the incumbent, at what spend, and how the run ended.

A trace holds no clock reading, so that the same run gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nasbench_kit.errors import CorruptFile
from nasbench_kit.system.files import write_text


class Incumbent(NamedTuple):
    """The cell recommended from this spend on, until the next one."""

    seconds: float
    epochs: float
    queries: int
    #: Row of the space that the run searched.
    row: int


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
    #: Why it ended: "budget", "finished" or "stalled".
    ended: str
    #: What was spent in all.
    seconds: float
    epochs: float
    queries: int
    #: Different cells among the charged queries.
    unique_cells: int
    incumbents: list[Incumbent] = field(default_factory=list)
    #: The ledger summed by kind of charge: "query", "training" or a step of a supernet's training.
    ledger: dict[str, Spending] = field(default_factory=dict)

    @property
    def unpaid(self) -> bool:
        """Whether it recommended a cell before it had paid for anything."""
        return bool(self.incumbents) and not any(self.incumbents[0][:3])

    def save(self, path: Path) -> None:
        """Write as JSON, atomically; incumbents by column."""
        incumbents = zip(*self.incumbents, strict=True) if self.incumbents else [()] * 4
        fields = {
            **vars(self),
            "incumbents": dict(zip(Incumbent._fields, incumbents, strict=True)),
            "ledger": {kind: spending._asdict() for kind, spending in self.ledger.items()},
        }
        write_text(path, json.dumps(fields) + "\n")

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what ``save`` wrote.

        Raises:
            CorruptFile: no trace, or one of another version.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            columns = (fields["incumbents"][name] for name in Incumbent._fields)
            fields["incumbents"] = [Incumbent(*step) for step in zip(*columns, strict=True)]
            ledger = fields["ledger"].items()
            fields["ledger"] = {kind: Spending(**spending) for kind, spending in ledger}
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} is no trace ({error}); delete it to run it again") from error
