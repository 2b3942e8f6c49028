"""Many small transport problems at once, each solved exactly.

Mass goes from sources to sinks, at a gain for each unit that depends on both, and what gains nothing
stays where it is. Each round sends as much as it can along the augmenting path of largest gain, which
may take back what earlier rounds sent; when no path gains anything, no other plan gains more. All
problems go their rounds together: they are the last axis of the arrays, so that every step is one
operation on many numbers in a row.

Source: Ahuja, Magnanti, Orlin, Network Flows, 1993, section 9.7 (successive shortest paths).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What counts as nothing: of a gain, and of a mass as a share of its problem's.
_NOTHING = 1e-12


def largest_gain(
    supply: NDArray[np.float64], demand: NDArray[np.float64], gain: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The largest total gain of every problem, float64 [problems].

    Args:
        supply: mass of each source, [sources, problems]; not negative.
        demand: mass that each sink takes at most, [sinks, problems]; not negative.
        gain: of a unit of mass, [sources, sinks, problems]; minus infinity where none may go.
    """
    total = np.zeros(gain.shape[-1])
    nothing = _NOTHING * np.maximum(supply.sum(axis=0), demand.sum(axis=0))
    places = np.flatnonzero((gain > _NOTHING).any(axis=(0, 1)))
    problems = _Problems(
        supply[:, places],
        demand[:, places],
        gain[:, :, places],
        np.zeros((*gain.shape[:2], len(places))),
        nothing[places],
        places,
    )
    while len(problems.places):
        problems = _round(problems, total)
    return total


@dataclass
class _Problems:
    """Those that are not solved yet."""

    supply: NDArray[np.float64]  # what is left
    demand: NDArray[np.float64]
    gain: NDArray[np.float64]
    sent: NDArray[np.float64]
    nothing: NDArray[np.float64]
    places: NDArray[np.intp]  # among all problems

    def of(self, chosen: NDArray[np.bool_]) -> _Problems:
        return _Problems(*(part[..., chosen] for part in vars(self).values()))


class _Paths(NamedTuple):
    """The best path to every sink, and from where it gets to each source and sink."""

    at_sink: NDArray[np.float64]
    to_sink: NDArray[np.intp]
    #: The sink that gives back; -1 where a path starts.
    to_source: NDArray[np.intp]


def _round(problems: _Problems, total: NDArray[np.float64]) -> _Problems:
    """Send along the best path of each problem that has one; returns those problems."""
    paths = _best_paths(problems)
    at_sink = np.where(problems.demand > problems.nothing, paths.at_sink, -np.inf)
    best = at_sink.max(axis=0)
    going = best > _NOTHING
    if not going.all():
        problems, best = problems.of(going), best[going]
        paths = _Paths(paths.at_sink[:, going], paths.to_sink[:, going], paths.to_source[:, going])
        at_sink = at_sink[:, going]
    if not len(best):
        return problems
    end = at_sink.argmax(axis=0)
    supply, demand, sent = problems.supply, problems.demand, problems.sent

    # Backwards from the sink to where the path starts: how much fits through, then what changes.
    every = np.arange(len(best))
    amount = demand[end, every]
    steps = []
    on, sink, start = every, end, np.zeros_like(end)
    while len(on):
        source = paths.to_sink[sink, on]
        giver = paths.to_source[source, on]
        steps.append((on, source, sink, giver))
        first = giver < 0
        begun, begin = on[first], source[first]
        start[begun] = begin
        amount[begun] = np.minimum(amount[begun], supply[begin, begun])
        on, sink = on[~first], giver[~first]
        amount[on] = np.minimum(amount[on], sent[source[~first], sink, on])
    for on, source, sink, giver in steps:
        sent[source, sink, on] += amount[on]
        back = giver >= 0
        sent[source[back], giver[back], on[back]] -= amount[on[back]]
    supply[start, every] -= amount
    demand[end, every] -= amount
    total[problems.places] += amount * best
    return problems


def _best_paths(problems: _Problems) -> _Paths:
    """Bellman and Ford's relaxation from all sources that have something left."""
    gain, least = problems.gain, problems.nothing
    at_source = np.where(problems.supply > least, 0.0, -np.inf)
    to_source = np.full(at_source.shape, -1)
    at_sink = np.full(problems.demand.shape, -np.inf)
    to_sink = np.zeros(at_sink.shape, np.intp)
    is_sent = problems.sent > least
    sent = bool(is_sent.any())
    # Taking back costs what sending gained; where nothing was sent there is nothing to take back.
    back = np.where(is_sent, -gain, -np.inf) if sent else gain
    # Only what is better replaces a path, as there can be circles among equal ones.
    while True:
        changed = False
        for source, at in enumerate(at_source):
            changed |= _improve(at_sink, to_sink, at + gain[source], source)
        if not (changed and sent):
            return _Paths(at_sink, to_sink, to_source)
        changed = False
        for sink, at in enumerate(at_sink):
            changed |= _improve(at_source, to_source, at + back[:, sink], sink)
        if not changed:
            return _Paths(at_sink, to_sink, to_source)


def _improve(
    at: NDArray[np.float64], to: NDArray[np.intp], through: NDArray[np.float64], by: int
) -> bool:
    """Take the way ``through`` where it is better; whether it ever is."""
    better = through > at + _NOTHING
    if not better.any():
        return False
    np.copyto(at, through, where=better)
    np.copyto(to, by, where=better)
    return True
