"""Any search as ask and tell, for an evaluation loop of your own.

    >>> with AskTell(RegularizedEvolution(), CellSpace(), np.random.default_rng(0)) as search:
    ...     for _ in range(200):
    ...         architecture, epochs = search.ask()
    ...         search.tell(train(architecture, epochs))       # your validation accuracy, in [0, 1]
    ...     print(search.recommended)

A search is a generator that calls ``oracle.query``, possibly several times between two yields, so it
cannot be stopped at a query from outside. It runs in a thread of its own instead, which waits at each
query for its answer: only one of the two threads ever runs, so nothing depends on their timing. The
search takes the same way as on an `Oracle` that gives the same answers.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, NotCopyable, NotRecorded
from nasbench_kit.oracle.answer import Answer
from nasbench_kit.oracle.budget import Budget

if TYPE_CHECKING:
    from typing import Self

    from numpy.random import Generator

    from nasbench_kit.oracle.oracle import Oracle
    from nasbench_kit.oracle.search import Search
    from nasbench_kit.spaces.protocols import Architecture, Space


class AskTell:
    """A search that is driven from outside; close it, or use it in a ``with`` statement.

    Args:
        search: any search that learns by ``oracle.query`` alone.
        space: where it searches.
        rng: its only source of chance.
        epochs: the training lengths that it may ask for, ascending.

    Raises:
        InvalidSetting: no training length, or one that is not above the one before; or a search that
            shares weights, which needs images and a budget.
    """

    def __init__(
        self, search: Search, space: Space, rng: Generator, *, epochs: Sequence[int] = (108,)
    ) -> None:
        if getattr(search, "shares_weights", False):
            raise InvalidSetting(
                f"{type(search).__name__} shares weights or scores untrained networks: it computes on images "
                "itself, which nobody can tell it; give it an oracle with a task"
            )
        if not epochs or any(a >= b for a, b in zip((0, *epochs), epochs, strict=False)):
            raise InvalidSetting(f"epochs are {tuple(epochs)}; give ascending positive numbers")
        self._oracle = _Door(space, tuple(epochs))
        self._asked: _Question | None = None
        self._thread = threading.Thread(
            target=_run, args=(search, self._oracle, rng), name="nasbench-kit search", daemon=True
        )
        # Also runs when the object is forgotten: the thread then ends instead of waiting for ever.
        self._finalizer = weakref.finalize(self, self._oracle.answers.put, None)

    def ask(self) -> tuple[Any, int]:
        """The architecture to train next, and for how many epochs; the same until its result is told.

        Raises:
            NasbenchKitError: the search has finished, or was closed. What the search itself raises
                comes from here or from ``tell``.
        """
        if self._asked is None and self._finalizer.alive and self._thread.ident is None:
            self._thread.start()
            self._wait()
        if self._asked is None:
            raise NasbenchKitError("the search has ended; its result is in recommended")
        return self._asked.architecture, self._asked.epochs

    def tell(self, validation_accuracy: float, seconds: float | None = None) -> None:
        """Answer the question asked last; returns when the search has the next one.

        Args:
            validation_accuracy: of the architecture that was asked for, in [0, 1].
            seconds: how long its training took; some searches want to know.

        Raises:
            InvalidSetting: nothing was asked, or a value out of its range.
        """
        if self._asked is None:
            raise InvalidSetting("there is no question to answer; call ask first")
        if not 0 <= validation_accuracy <= 1:
            raise InvalidSetting(
                f"validation_accuracy is {validation_accuracy}; it must be in [0, 1] (divide "
                "percents by 100)"
            )
        if seconds is not None and not seconds >= 0:
            raise InvalidSetting(f"seconds are {seconds}; they must not be negative")
        architecture, epochs = self._asked
        self._asked = None
        self._oracle.answers.put(
            Answer(
                architecture,
                epochs,
                halfway=False,
                repeat=None,
                seconds=seconds,
                train_accuracy=None,
                validation_accuracy=float(validation_accuracy),
                trainable_parameters=None,
                source="trained",
            )
        )
        self._wait()

    @property
    def recommended(self) -> Any | None:
        """What the search recommends, of a front the first; None before it recommends anything."""
        return self._oracle.recommended

    @property
    def budget(self) -> Budget:
        """Without limits; its ledger lists what was told."""
        return self._oracle.budget

    def close(self) -> None:
        """End the search; it can be asked no more."""
        self._asked = None
        self._finalizer()
        if self._thread.ident is not None:
            self._thread.join()

    def __reduce__(self) -> NoReturn:
        raise NotCopyable(
            "a search under way runs in a thread, which cannot be copied; copy the search itself, and "
            "tell the copy the same results"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self) -> None:
        """Let the search run to its next question, or to its end."""
        event = self._oracle.events.get()
        if isinstance(event, BaseException):
            raise event
        self._asked = event


class _Question(NamedTuple):
    architecture: Architecture
    epochs: int


class _Closed(BaseException):
    """Raised within the search to end it; nothing but ``_run`` should catch it."""


class _Door:
    """What the search takes for the oracle: it hands questions out and waits for the answers."""

    def __init__(self, space: Space, epochs: tuple[int, ...]) -> None:
        self.space = space
        self.epochs = epochs
        self.budget = Budget()
        self.recommended: Any | None = None
        #: A question, what the search raised, or None at its end.
        self.events: SimpleQueue[_Question | BaseException | None] = SimpleQueue()
        #: None closes the search.
        self.answers: SimpleQueue[Answer | None] = SimpleQueue()

    def query(
        self, architecture: Architecture, epochs: int | None = None, halfway: bool = False
    ) -> Answer:
        """As the oracle's; there are no readings from halfway.

        Raises:
            NotInSpace: the architecture is outside.
            NotRecorded: no such training length is offered.
        """
        if epochs is None:
            epochs = self.epochs[-1]
        if epochs not in self.epochs or halfway:
            asked = counted(epochs, "epoch") + (" (halfway)" if halfway else "")
            offered = ", ".join(map(str, self.epochs))
            raise NotRecorded(f"trainings of {asked} are not offered; there are {offered}")
        self.space.encode(architecture)  # refuses what is outside
        self.events.put(_Question(architecture, epochs))
        answer = self.answers.get()
        if answer is None:
            raise _Closed
        seconds = answer.seconds or 0.0
        self.budget.charge("query", seconds=seconds, epochs=epochs, queries=1, item=answer)
        return answer

    def elapse(self, to: float) -> None:
        """As the oracle's; questions are asked one after the other, and nobody reads the time."""


def _run(search: Search, door: _Door, rng: Generator) -> None:
    """The thread: it knows the door alone, so that a forgotten `AskTell` can be collected."""
    try:
        for recommended in search(cast("Oracle", door), rng):  # all of it that such a search uses
            door.recommended = recommended[0] if type(recommended) is tuple else recommended
        door.events.put(None)
    except _Closed:
        pass
    except BaseException as error:  # noqa: BLE001  # ask or tell raises it again
        door.events.put(error)
