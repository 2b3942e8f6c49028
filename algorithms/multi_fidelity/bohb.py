"""BOHB: Hyperband's brackets with cells proposed by kernel densities of good and of bad points.

Works on a space's decisions, which are choices without order (of cells: encoding A). The model is that of the
largest fidelity with enough results; it proposes points where good ones are dense and bad ones are
not. A proposal that makes no architecture is told to the model as error 1, at no cost, and another one is made.

Departures from HpBandSter, whose kernels misbehave on choices: the number of choices is that of the
variable, not of the values seen (one value seen divided by zero), and a bandwidth is cut off where
the kernel is flat (beyond, it prefers *other* values); an invalid proposal takes no place in a rung.

Source: Falkner, Klein, Hutter, BOHB, ICML 2018 (arXiv 1807.01774), Algorithm 2;
automl/HpBandSter, config_generators/bohb.py; settings: Ying et al. 2019, supplement S2.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nasbench_kit.algorithms.multi_fidelity.hyperband import brackets, halve, recommended
from nasbench_kit.errors import InvalidSetting, Stalled

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

#: Invalid proposals in a row after which the model counts as collapsed.
_PATIENCE = 10_000
#: Densities below this one count as this one.
_LEAST_DENSITY = 1e-32


@dataclass(frozen=True)
class BOHB:
    """Hyperband with a model; the defaults are the NAS-Bench-101 paper's final settings.

    BOHB's bandwidth factor concerns real variables only, of which there are none here.

    Raises:
        InvalidSetting: a value outside its range; when run, as `Hyperband`.
    """

    #: Factor between fidelities, and of architectures between rungs.
    eta: int = 3
    #: N_s, points drawn for each proposal (HpBandSter's default is 64).
    samples: int = 4
    #: rho, share of proposals that are uniformly random (HpBandSter's default is 1/3).
    random_fraction: float = 0.0
    #: Percentage of results that count as good.
    good_percent: int = 15
    #: Results needed for either density; None is the number of variables plus one.
    min_points: int | None = None
    #: Least kernel bandwidth (HpBandSter's 0.001 would repeat the good points).
    min_bandwidth: float = 0.3

    def __post_init__(self) -> None:
        for name, least, most in (
            ("eta", 2, np.inf),
            ("samples", 1, np.inf),
            ("random_fraction", 0, 1),
            ("good_percent", 1, 99),
            ("min_points", 1, np.inf),
            ("min_bandwidth", 0, 1),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InvalidSetting(f"{name} is {value}; it must be from {least} to {most}")

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Hyperband's loop; Algorithm 2 proposes the architectures of each first rung.

        Raises:
            Stalled: the model proposes nothing but points that make no architecture.
        """
        space = oracle.space
        model = Model(self, np.array([len(decision.options) for decision in space.decisions]))
        best = None
        for bracket in itertools.cycle(brackets(oracle.epochs, self.eta)):
            proposals = _proposals(model, space, bracket[0].epochs, rng)
            for answer in halve(oracle, bracket, proposals):
                model.tell(
                    space.encode(answer.architecture), 1 - answer.validation_accuracy, answer.epochs
                )
                best = recommended(best, answer)
                yield best.architecture


def _proposals(model: Model, space: Space, epochs: int, rng: Generator) -> Iterator[Architecture]:
    """Valid proposals; the model hears of the others."""
    failed = 0
    while failed < _PATIENCE:
        point = model.propose(rng).tolist()
        architecture = space.decode(point)
        if architecture is None:
            failed += 1
            model.tell(point, 1.0, epochs)
        else:
            failed = 0
            yield architecture
    raise Stalled(
        f"{_PATIENCE:,} proposals in a row made no architecture of {space.name}; raise "
        "random_fraction"
    )


class Density(NamedTuple):
    """Kernel density estimate on choices without order (Aitchison and Aitken 1976)."""

    points: NDArray[np.intp]  # [points, variables]
    bandwidth: NDArray[np.float64]  # [variables], from 0 to 1 - 1 / choices
    choices: NDArray[np.intp]  # [variables]

    @classmethod
    def fitted(cls, points: NDArray[np.intp], choices: NDArray[np.intp], least: float) -> Density:
        """With bandwidths by the normal reference rule, which takes the choices for numbers."""
        count, variables = points.shape
        bandwidth = 1.06 * points.std(axis=0) * count ** (-1 / (4 + variables))
        return cls(points, np.clip(bandwidth, least, 1 - 1 / choices), choices)

    def at(self, points: NDArray[np.intp]) -> NDArray[np.float64]:
        """Density at each point: the mean over the fitted ones of the kernels' products."""
        same = points[:, None] == self.points  # [points, fitted points, variables]
        kernels = np.where(same, 1 - self.bandwidth, self.bandwidth / (self.choices - 1))
        return kernels.prod(axis=2).mean(axis=1)

    def sample(self, count: int, rng: Generator) -> NDArray[np.intp]:
        """Fitted points; each variable is drawn again with the probability of its bandwidth."""
        centres = self.points[rng.integers(len(self.points), size=count)]
        fresh = rng.random(centres.shape) < self.bandwidth
        return np.where(fresh, rng.integers(self.choices, size=centres.shape), centres)


class Model:
    """The results so far, and the densities of the largest fidelity with enough of them."""

    def __init__(self, settings: BOHB, choices: NDArray[np.intp]) -> None:
        self._settings = settings
        self._choices = choices
        self._points: dict[int, NDArray[np.intp]] = {}  # epochs -> [results, variables]
        self._errors: dict[int, NDArray[np.float64]] = {}
        self._fidelity = 0
        self.good: Density | None = None
        self.bad: Density | None = None

    def tell(self, point: list[int], error: float, epochs: int) -> None:
        """Take in a result; those below the model's fidelity are of no more use."""
        if epochs < self._fidelity:
            return
        nothing = np.empty((0, len(self._choices)), np.intp)
        points = np.vstack([self._points.get(epochs, nothing), point])
        errors = np.append(self._errors.get(epochs, ()), error)
        self._points[epochs], self._errors[epochs] = points, errors
        settings = self._settings
        least = settings.min_points or len(self._choices) + 1
        good = max(least, settings.good_percent * len(points) // 100)  # N_{b,l} in eq. 3
        bad = max(least, (100 - settings.good_percent) * len(points) // 100)  # N_{b,g}
        if len(points) < good + least:
            return
        order = np.argsort(errors, kind="stable")
        self._fidelity = epochs
        self.good, self.bad = (
            Density.fitted(points[chosen], self._choices, settings.min_bandwidth)
            for chosen in (order[:good], order[good : good + bad])
        )

    def propose(self, rng: Generator) -> NDArray[np.intp]:
        """Algorithm 2: of some points drawn from the good density, that of the largest ratio."""
        if self.good is None or self.bad is None or rng.random() < self._settings.random_fraction:
            return rng.integers(self._choices)
        points = self.good.sample(self._settings.samples, rng)
        good, bad = (np.maximum(d.at(points), _LEAST_DENSITY) for d in (self.good, self.bad))
        return points[np.argmin(bad / good)]
