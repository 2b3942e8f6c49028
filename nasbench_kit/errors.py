"""Every error this toolkit raises on purpose.

One base class, so that ``except NasbenchKitError`` catches them all; each subclass is also the
builtin that it refines. A message names the value, the limit it breaks and the way out.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class NasbenchKitError(Exception):
    """Base of all errors of nasbench-kit."""


class InvalidArchitecture(NasbenchKitError, ValueError):
    """A text, or what stands for it, describes no architecture of the kind asked for."""


class InvalidCell(InvalidArchitecture):
    """The matrix and operations do not describe a cell."""


class NotInSpace(NasbenchKitError, LookupError):
    """The cell (or hash, or row) lies outside the limits of the cell space."""


class NotInTable(NasbenchKitError, LookupError):
    """The table has no row for this cell."""


class NotRecorded(NasbenchKitError, LookupError):
    """The table lacks this metric, fidelity, repeat or checkpoint."""


class CorruptFile(NasbenchKitError, OSError):
    """A file is truncated, altered, or not of the format that it should be."""


class WrongTable(NasbenchKitError, ValueError):
    """A file was made with another table, space, recipe or version than the one at hand."""


class InvalidSetting(NasbenchKitError, ValueError):
    """An option, a budget or a hyper-parameter has a value that cannot work."""


class UnknownName(NasbenchKitError, LookupError):
    """No algorithm, table, cell or metric goes by this name."""


class NotWritable(NasbenchKitError, OSError):
    """A folder or file cannot be written."""


class CheckpointLost(NotWritable):
    """A training is finished, and its checkpoint could not be written."""

    #: The `nasbench_kit.training.record.Training` that came out.
    training: Any = None
    #: The trained network, a `nasbench_kit.spaces.trained_network.TrainedNetwork`.
    network: Any = None


class DownloadFailed(NasbenchKitError, OSError):
    """A file could not be fetched."""


class BudgetExhausted(NasbenchKitError, RuntimeError):
    """The budget cannot pay the price of this query; nothing was revealed or charged."""


class Stalled(BudgetExhausted):
    """The search asked only for answers it already had, so it will never spend its budget."""


class ReadOnlyAttribute(NasbenchKitError, AttributeError):
    """An attribute that is fixed was to be changed."""


class NotCopyable(NasbenchKitError, TypeError):
    """An object that must stay the only one was to be copied or pickled."""


class AccountsDisagree(NasbenchKitError, RuntimeError):
    """A run's ledger, totals and limits do not agree, so its result is worth nothing."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM); what it began is to be tidied up."""


class SearchStopped(BaseException):
    """Ends a search that goes on after its budget refused, or asks for ever what costs nothing.

    Not an ``Exception``, so that the ``except Exception`` which swallowed the refusals does not
    swallow this one. The harness catches it.
    """


class InvalidSearch(NasbenchKitError, TypeError):
    """A search is not of the form that the harness can run: it yields or returns something else."""


class RunsFailed(NasbenchKitError, RuntimeError):
    """Some runs of a comparison failed; all others are finished."""


class TrainingFailed(NasbenchKitError, RuntimeError):
    """A training could not be carried out (out of memory, unusable data)."""


class WorkerDied(NasbenchKitError, RuntimeError):
    """A job killed every worker process that tried it; all others are done."""


def did_you_mean(name: object, candidates: Iterable[str]) -> str:
    """The way out of an unknown name: the nearest known one, or all of them."""
    names = list(candidates)
    near = difflib.get_close_matches(name[:100], names, n=1) if isinstance(name, str) else []
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
