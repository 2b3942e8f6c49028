"""Who answers an oracle: a table, a trainer, or a table first and a trainer for what it lacks.

A new source of answers is one class with the methods of `Source`. It says what a training costs
before it reveals anything, and always says the same; policy, draws, budget and ledger are the oracle's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting, NotInSpace, NotInTable, NotRecorded
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import SOURCES, Checkpoint, Column, Table, reopened

if TYPE_CHECKING:
    from pathlib import Path

    from nasbench_kit.spaces.protocols import Space


class Source(Protocol):
    """What an oracle asks. A repeat of None means all repeats: summed prices, mean accuracies.

    A source whose stored answers from "halfway" were read elsewhere than at half of the training has an
    attribute more, ``halfway_epochs``: after how many epochs, by the training's length.
    """

    #: In messages.
    name: str
    #: What searches see.
    space: Space
    #: Lengths of training that can be asked for, ascending.
    epochs: tuple[int, ...]
    #: Trainings of the same architecture and length that differ by chance: the most there are.
    repeats: int
    #: Whether some architectures lack some of them.
    gaps: bool
    #: Whether trainings have prices in seconds.
    priced: bool

    def key(self, architecture: Any) -> Hashable:
        """What equal architectures share, and no others.

        Raises:
            NotInSpace, NotInTable: the source has no answer for it.
        """
        ...

    def trains(self, architecture: Any) -> bool:
        """Whether its answers are trained now, and not stored ones."""
        ...

    def repeats_of(self, architecture: Any, epochs: int, halfway: bool) -> Sequence[int]:
        """The repeats that an architecture has at a length of training; asked where there are gaps.

        Raises:
            NotInSpace, NotInTable: as ``key``.
            NotRecorded: there are no trainings of this length, or none of this architecture.
        """
        ...

    def price(
        self, architecture: Any, epochs: int, halfway: bool, repeat: int | None
    ) -> float | None:
        """Seconds of a training, known beforehand and always the same; None if nobody knows.

        Raises:
            NotInSpace, NotInTable: as ``key``.
            NotRecorded: there are no trainings of this length.
        """
        ...

    def read(self, architecture: Any, epochs: int, halfway: bool, repeat: int | None) -> Answer:
        """The reading of a training, test accuracy left out.

        Raises:
            NotInSpace, NotInTable, NotRecorded: as ``price``.
        """
        ...

    def epoch_seconds(self, architecture: Any) -> float | None:
        """Seconds an epoch of its longest training, mean over repeats; None if nobody knows.

        Raises:
            NotInSpace, NotInTable: as ``key``.
        """
        ...


class Trainer(Protocol):
    """Answers for architectures that no table has; see `nasbench_kit.oracle.fallback`."""

    def price(self, architecture: Any, epochs: int, halfway: bool) -> float | None:
        """Seconds that a training costs, always the same, known beforehand; None if nobody knows."""
        ...

    def train(self, architecture: Any, epochs: int, halfway: bool, repeat: int) -> Answer:
        """The reading of one training; its ``seconds`` are the price."""
        ...


class TableSource:
    """A table's training and validation columns; no test accuracy is reachable from it.

    Args:
        table: opened from a file or made in memory.
        noise_key: of a surrogate, which has predicted means: its repeats are drawn by this seed.
        seen: the table's repeats that answers are of; None is all of them.

    Raises:
        InvalidSetting: no repeats, or repeats that the table lacks.
    """

    def __init__(self, table: Table, noise_key: int = 0, seen: Sequence[int] | None = None) -> None:
        self._origin = _origin(table)
        self._noise_key = noise_key
        self._seen = seen
        self._connect(table)

    def _connect(self, table: Table) -> None:
        self.name = table.name
        self.space: Space = table.covered
        self.epochs = table.epochs
        self.priced = table.has("seconds")
        noise = Noise.of(table.provenance)
        self.repeats = table.repeats if noise is None else noise.repeats
        if self._seen is not None:
            if (
                noise is not None
                or not self._seen
                or not set(self._seen) <= set(range(self.repeats))
            ):
                raise InvalidSetting(
                    f"searches are to see the repeats {tuple(self._seen)} of the table {table.name}, which "
                    f"measured {0 if noise is not None else self.repeats}"
                )
            self.repeats = len(self._seen)
        self.gaps = self._seen is not None or (
            noise is None
            and any(
                column.present is not None
                for (_, metric), column in table.columns.items()
                if metric == "validation_accuracy"
            )
        )
        self._whole_space = table.space
        self._index = table.covered.index
        self._rows = len(table)
        self.halfway_epochs: Mapping[int, float] = table.halfway_epochs
        self._assumed_seconds = table.assumed_seconds
        self._fidelities = {
            (epochs, checkpoint == "halfway"): _Fidelity(
                table, place, checkpoint, noise, self._noise_key
            )
            for place, epochs in enumerate(table.epochs)
            for checkpoint in get_args(Checkpoint)
            if table.has("validation_accuracy", checkpoint)
        }
        parameters = table.extra.get("trainable_parameters")
        self._parameters = None if parameters is None else parameters.data
        self._costs = {name: column.data for name, column in table.costs.items()}
        self._sources = table.sources().data if "source" in table.extra else None
        self._source: str = table.provenance.get("source", "measured")
        self._epoch_seconds: dict[int, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_origin": self._origin, "_noise_key": self._noise_key, "_seen": self._seen}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self._origin, Table):
            table = self._origin
        else:
            table = reopened(*self._origin)
            table.verify()
        self._connect(table)

    def key(self, architecture: Any) -> int:
        """The table's row.

        Raises:
            NotInSpace: the architecture is outside the table's space.
            NotInTable: it is inside, but the table lacks it.
        """
        try:
            return self._index(architecture)
        except NotInSpace:
            self._whole_space.index(architecture)
            raise NotInTable(
                f"the table {self.name} covers {self._rows:,} of {len(self._whole_space):,} "
                f"architectures and lacks {architecture.to_text()}; sample from oracle.space, or give "
                "the oracle a trainer"
            ) from None

    def trains(self, architecture: Any) -> bool:
        """Never."""
        return False

    def repeats_of(self, architecture: Any, epochs: int, halfway: bool) -> Sequence[int]:
        """Those whose validation accuracy the table records; see `Source.repeats_of`."""
        return self._repeats_of(self._fidelity(epochs, halfway), self.key(architecture))

    def _repeats_of(self, fidelity: _Fidelity, row: int) -> Sequence[int]:
        if not self.gaps:
            return range(self.repeats)
        repeats = fidelity.repeats_of(row, fidelity.place)
        if self._seen is not None:
            repeats = [repeat for repeat in repeats if repeat in self._seen]
        if not repeats:
            raise NotRecorded(
                f"the table {self.name} has no training of {counted(fidelity.epochs, 'epoch')} of this architecture"
            )
        return repeats

    def price(
        self, architecture: Any, epochs: int, halfway: bool, repeat: int | None
    ) -> float | None:
        """Seconds that the table records; see `Source.price`."""
        fidelity = self._fidelity(epochs, halfway)
        row = self.key(architecture)
        if fidelity.seconds is None:
            return None
        if repeat is not None:
            return fidelity.seconds(fidelity.position(row, repeat))
        return math.fsum(
            fidelity.seconds(fidelity.position(row, repeat))
            for repeat in self._repeats_of(fidelity, row)
        )

    def read(self, architecture: Any, epochs: int, halfway: bool, repeat: int | None) -> Answer:
        """What the table records; see `Source.read`. A mean is without a surrogate's noise."""
        fidelity = self._fidelity(epochs, halfway)
        row = self.key(architecture)
        if repeat is not None:
            return self._read(architecture, fidelity, row, repeat, fidelity.noise)
        readings = (
            self._read(architecture, fidelity, row, each, None)
            for each in self._repeats_of(fidelity, row)
        )
        return mean_answer(list(readings))

    def epoch_seconds(self, architecture: Any) -> float | None:
        """See `Source.epoch_seconds`."""
        row = self.key(architecture)
        if row not in self._epoch_seconds:
            fidelity = self._fidelities[self.epochs[-1], False]
            if fidelity.seconds is None:
                return None
            first = row * fidelity.stride + fidelity.offset
            repeats = self._repeats_of(fidelity, row) if self.gaps else range(fidelity.repeats)
            mean = math.fsum(fidelity.seconds(first + each) for each in repeats) / len(repeats)
            self._epoch_seconds[row] = mean / self.epochs[-1]
        return self._epoch_seconds[row]

    def _read(
        self,
        architecture: Any,
        fidelity: _Fidelity,
        row: int,
        repeat: int,
        noise: Callable[[float, int, int], float] | None,
    ) -> Answer:
        position = fidelity.position(row, repeat)
        validation = fidelity.validation(position)
        if noise is not None:
            validation = noise(validation, row, repeat)
        return Answer(
            architecture,
            fidelity.epochs,
            fidelity.halfway,
            repeat,
            None if fidelity.seconds is None else fidelity.seconds(position),
            None if fidelity.train is None else fidelity.train(position),
            validation,
            None if self._parameters is None else self._parameters[row],
            self._source if self._sources is None else SOURCES[self._sources[row]],
            {name: column[row] for name, column in self._costs.items()} if self._costs else None,
        )

    def _fidelity(self, epochs: int, halfway: bool) -> _Fidelity:
        try:
            return self._fidelities[epochs, halfway]
        except (KeyError, TypeError):  # TypeError: something that cannot be hashed
            raise self._not_recorded(epochs, halfway) from None

    def _not_recorded(self, epochs: Any, halfway: object) -> InvalidSetting | NotRecorded:
        check_fidelity(epochs, halfway, self.epochs)
        recorded = ", ".join(f"{e} (halfway)" if half else str(e) for e, half in self._fidelities)
        if self._assumed_seconds:
            recorded += f" (seconds below {self.epochs[-1]} are assumed)"
        asked = counted(epochs, "epoch") + (" (halfway)" if halfway else "")
        return NotRecorded(f"the table {self.name} has no trainings of {asked}; it has {recorded}")


class TrainerSource:
    """A trainer alone: what a space without a table is searched with.

    Args:
        trainer: prices and trains; also halfway.
        space: what searches see.
        epochs: lengths of training that they may ask for, ascending.
        repeats: seeds of the trainings that a query may draw.
    """

    def __init__(self, trainer: Trainer, space: Space, epochs: Sequence[int], repeats: int) -> None:
        self.name = space.name
        self.space = space
        self.epochs = tuple(epochs)
        self.repeats = repeats
        self.gaps = False
        self._trainer = trainer
        first = space.sample(np.random.default_rng(0))
        self.priced = trainer.price(first, self.epochs[-1], False) is not None

    def key(self, architecture: Any) -> Hashable:
        """The architecture itself.

        Raises:
            NotInSpace: it is outside the space.
        """
        self.space.encode(architecture)
        return architecture

    def trains(self, architecture: Any) -> bool:
        """Always."""
        return True

    def repeats_of(self, architecture: Any, epochs: int, halfway: bool) -> Sequence[int]:
        """All of them."""
        return range(self.repeats)

    def price(
        self, architecture: Any, epochs: int, halfway: bool, repeat: int | None
    ) -> float | None:
        """The trainer's; see `Source.price`."""
        check_fidelity(epochs, halfway, self.epochs)
        if epochs not in self.epochs:
            offered = ", ".join(map(str, self.epochs))
            raise NotRecorded(
                f"trainings of {counted(epochs, 'epoch')} are not offered; there are {offered}"
            )
        self.key(architecture)
        price = self._trainer.price(architecture, epochs, halfway)
        return price if repeat is not None or price is None else price * self.repeats

    def read(self, architecture: Any, epochs: int, halfway: bool, repeat: int | None) -> Answer:
        """A training, made now or before; see `Source.read`."""
        return _trained(self._trainer, architecture, epochs, halfway, _which(repeat, self.repeats))

    def epoch_seconds(self, architecture: Any) -> float | None:
        """The trainer's price of one epoch."""
        return self._trainer.price(architecture, 1, False)


class TableThenTrainer:
    """A table's answers where it has them, a trainer's elsewhere.

    Args:
        table: asked first.
        trainer: answers for what the table lacks.
        space: what searches see; None is what the table covers.
    """

    def __init__(self, table: TableSource, trainer: Trainer, space: Space | None = None) -> None:
        self._table = table
        self._trainer = trainer
        self.space: Space = table.space if space is None else space
        self.name = table.name
        self.epochs = table.epochs
        self.repeats = table.repeats
        self.gaps = table.gaps
        self.priced = table.priced
        self.halfway_epochs = table.halfway_epochs

    def key(self, architecture: Any) -> Hashable:
        """The table's row; of what the table lacks, the architecture itself."""
        try:
            return self._table.key(architecture)
        except (NotInSpace, NotInTable):
            return architecture

    def trains(self, architecture: Any) -> bool:
        """Whether the table lacks it."""
        try:
            self._table.key(architecture)
        except (NotInSpace, NotInTable):
            return True
        return False

    def repeats_of(self, architecture: Any, epochs: int, halfway: bool) -> Sequence[int]:
        """Those that the table has; all of what it lacks, as every seed can be trained."""
        if self.trains(architecture):
            return range(self.repeats)
        return self._table.repeats_of(architecture, epochs, halfway)

    def price(
        self, architecture: Any, epochs: int, halfway: bool, repeat: int | None
    ) -> float | None:
        """The table's seconds, or the trainer's price; see `Source.price`."""
        try:
            return self._table.price(architecture, epochs, halfway, repeat)
        except (NotInSpace, NotInTable):
            price = self._trainer.price(architecture, epochs, halfway)
        return price if repeat is not None or price is None else price * self.repeats

    def read(self, architecture: Any, epochs: int, halfway: bool, repeat: int | None) -> Answer:
        """The table's reading, or one training made now or before; see `Source.read`."""
        if not self.trains(architecture):
            return self._table.read(architecture, epochs, halfway, repeat)
        return _trained(self._trainer, architecture, epochs, halfway, _which(repeat, self.repeats))

    def epoch_seconds(self, architecture: Any) -> float | None:
        """The table's, where it has the architecture; else the trainer's price of one epoch."""
        try:
            return self._table.epoch_seconds(architecture)
        except (NotInSpace, NotInTable):
            return self._trainer.price(architecture, 1, False)


def _which(repeat: int | None, repeats: int) -> Sequence[int]:
    return range(repeats) if repeat is None else (repeat,)


def _trained(
    trainer: Trainer, architecture: Any, epochs: int, halfway: bool, seeds: Sequence[int]
) -> Answer:
    """The training of one seed, or the mean over several."""
    answers = [trainer.train(architecture, epochs, halfway, seed) for seed in seeds]
    return answers[0] if len(answers) == 1 else mean_answer(answers)


def check_fidelity(epochs: object, halfway: object, example: Sequence[int]) -> None:
    """Refuse what is no length of training at all.

    Raises:
        InvalidSetting: epochs that are no whole number, or halfway that is no truth value.
    """
    if not isinstance(epochs, Integral) or isinstance(epochs, bool):
        raise InvalidSetting(f"epochs are {epochs!r}; give a whole number, such as {example[-1]}")
    if not isinstance(halfway, bool | np.bool_):
        raise InvalidSetting(f"halfway is {halfway!r}; give True or False")


def mean_answer(answers: Sequence[Answer]) -> Answer:
    """One answer for all repeats: mean accuracies, and the seconds of all of them."""

    def total(values: Iterable[float | None]) -> float | None:
        recorded = [value for value in values if value is not None]
        return math.fsum(recorded) if recorded else None

    count = len(answers)
    train = total(answer.train_accuracy for answer in answers)
    return answers[0]._replace(
        repeat=None,
        seconds=total(answer.seconds for answer in answers),
        train_accuracy=None if train is None else train / count,
        validation_accuracy=math.fsum(answer.validation_accuracy for answer in answers) / count,
    )


def _origin(table: Table) -> tuple[Path, str] | Table:
    """Where to get the table again: its file and checksum or, without one, what may be seen of it."""
    if table.file is not None:
        return table.file
    columns: dict[tuple[str, str], Column] = {
        key: column for key, column in table.columns.items() if key[1] != "test_accuracy"
    }
    shown = ("name", "source", "noise", "assumed_seconds", "halfway_epochs")
    return Table(
        table.space,
        table.epochs,
        columns,
        rows=table.rows,
        extra={
            name: array
            for name, array in table.extra.items()
            if name in ("trainable_parameters", "source") or name.startswith("cost/")
        },
        provenance={name: table.provenance[name] for name in shown if name in table.provenance},
    )


class _Fidelity:
    """Readers of what a search may see at one training length and checkpoint."""

    __slots__ = (
        "epochs",
        "halfway",
        "noise",
        "offset",
        "place",
        "repeats",
        "repeats_of",
        "seconds",
        "stride",
        "train",
        "validation",
    )

    def __init__(
        self, table: Table, place: int, checkpoint: Checkpoint, noise: Noise | None, key: int
    ) -> None:
        def reader(metric: str) -> Callable[[int], float] | None:
            if not table.has(metric, checkpoint):
                return None
            column = table.column(metric, checkpoint)
            nowhere = column.present is not None and not column.present[:, place].any()
            return None if nowhere else column.reader()

        self.epochs = table.epochs[place]
        self.place = place
        self.noise = None if noise is None else noise.reader(place, key)
        self.repeats = table.repeats
        self.halfway = checkpoint == "halfway"
        self.stride = len(table.epochs) * table.repeats
        self.offset = place * table.repeats
        self.seconds = reader("seconds")
        self.train = reader("train_accuracy")
        validation = table.column("validation_accuracy", checkpoint)
        self.validation = validation.reader()
        self.repeats_of = validation.repeats_of

    def position(self, row: int, repeat: int) -> int:
        """Where a reading stands in a column; a surrogate's drawn repeats share the only one."""
        return row * self.stride + self.offset + repeat % self.repeats
