"""What one run wrote down: every change of the incumbent, at what spend, and how the run ended.

A trace holds no clock reading, so that the same run gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nasbench_kit.errors import CorruptFile
from nasbench_kit.files import write_text


@dataclass(frozen=True)
class Incumbent:
    """The cell recommended from this spend on, until the next one."""

    seconds: float
    epochs: float
    queries: int
    #: Row of the space that the run searched.
    row: int


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

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what ``save`` wrote.

        Raises:
            CorruptFile: no trace, or one of another version.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["incumbents"] = [Incumbent(**entry) for entry in fields["incumbents"]]
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptFile(f"{path} is no trace ({error}); delete it to run it again") from error
