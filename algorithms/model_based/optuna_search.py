"""Optuna's samplers on the decisions of any space. Needs the extra ``optuna``.

Cells have other encodings as well. A point that makes no architecture is told to the sampler as error 1, at no cost, as nas_cifar10 does.

Source: Akiba, Sano, Yanase, Ohta, Koyama, Optuna, KDD 2019 (arXiv 1907.10902), and for the samplers:
Bergstra et al., NeurIPS 2011 (TPE); Deb et al., IEEE TEC 6(2), 2002 (NSGA-II).
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from nasbench_kit import checks
from nasbench_kit.errors import InvalidSetting, Stalled
from nasbench_kit.spaces.nasbench101.encodings import Encoding, Letter, Variable
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    from numpy.random import Generator
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

Sampler = Literal["tpe", "gp", "random", "nsga2"]

#: Invalid points in a row after which the sampler counts as lost.
_PATIENCE = 1_000


@dataclass(frozen=True)
class OptunaSearch:
    """A study of the validation error, by ask and tell, with the sampler's own defaults.

    Raises:
        InvalidSetting: an unknown sampler or encoding, or Optuna is not installed.
    """

    #: Tree-structured Parzen estimator, Gaussian process (slow: about a second a query), uniformly
    #: random points, or the genetic algorithm NSGA-II.
    sampler: Sampler = "tpe"
    #: How architectures become points: A by their decisions; of NAS-Bench-101 also B and C, see
    #: `nasbench_kit.spaces.nasbench101.encodings`.
    encoding: Letter = "A"
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    @classmethod
    def gp(cls) -> OptunaSearch:
        """Gaussian process."""
        return cls("gp")

    @classmethod
    def random(cls) -> OptunaSearch:
        """Uniformly random points."""
        return cls("random")

    @classmethod
    def nsga2(cls) -> OptunaSearch:
        """Genetic algorithm."""
        return cls("nsga2")

    def __post_init__(self) -> None:
        for name, choices in (("sampler", get_args(Sampler)), ("encoding", get_args(Letter))):
            value = getattr(self, name)
            if value not in choices:
                raise InvalidSetting(
                    f"{name} is {checks.shown(value)}; choose one of {', '.join(choices)}"
                )
        if importlib.util.find_spec("optuna") is None:
            raise InvalidSetting(
                f"the sampler {self.sampler!r} needs Optuna, which is not installed; "
                "pip install 'nasbench-kit[optuna]'"
            )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Ask, query, tell; for ever.

        Raises:
            Stalled: the sampler proposes nothing but points that make no architecture.
            InvalidSetting: an encoding that the space does not have.
        """
        import optuna

        variables, decode = self._encoded(oracle.space)
        distributions = {variable.name: _distribution(variable) for variable in variables}
        with _silence():
            study = optuna.create_study(
                sampler=self._sampler(int(rng.integers(2**32))), direction="minimize"
            )
        best = None
        invalid = 0
        while invalid < _PATIENCE:
            with _silence():
                trial = study.ask(distributions)
            params = trial.params
            architecture = decode([params[variable.name] for variable in variables])
            if architecture is None:
                invalid += 1
                study.tell(trial, 1.0)
                continue
            invalid = 0
            answer = oracle.query(architecture, self.epochs)
            study.tell(trial, 1 - answer.validation_accuracy)
            if best is None or answer.validation_accuracy > best.validation_accuracy:
                best = answer
            yield best.architecture
        raise Stalled(
            f"{_PATIENCE:,} points in a row of the sampler {self.sampler!r} made no architecture "
            f"of {oracle.space.name}; try another encoding"
        )

    def _encoded(
        self, space: Space
    ) -> tuple[Sequence[Variable], Callable[[Sequence[float]], Architecture | None]]:
        """The variables of a point, and how a point becomes an architecture."""
        if self.encoding == "A":
            decisions = space.decisions
            return [Variable(name, "choice", len(options)) for name, options in decisions], (
                lambda point: space.decode([int(choice) for choice in point])
            )
        if not isinstance(space, CellSpace):
            raise InvalidSetting(
                f"encoding is {self.encoding!r}, which only cells have; the space {space.name} is "
                "searched by its decisions, with encoding 'A'"
            )
        encoding = Encoding(self.encoding, space)
        return encoding.variables, encoding.decode

    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler

        match self.sampler:
            case "tpe":
                return TPESampler(seed=seed)
            case "gp":
                return GPSampler(seed=seed)
            case "random":
                return RandomSampler(seed=seed)
            case "nsga2":
                return NSGAIISampler(seed=seed)


def _distribution(variable: Variable) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match variable.kind:
        case "choice":
            return CategoricalDistribution(range(variable.size))
        case "integer":
            return IntDistribution(0, variable.size - 1)
        case "real":
            return FloatDistribution(0.0, 1.0)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Optuna reports every study on standard error; its level is put back as it was."""
    from optuna import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)
