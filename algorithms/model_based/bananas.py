"""BANANAS: an ensemble of neural networks predicts errors, and independent Thompson sampling chooses.

Cells are encoded by their paths: one bit for each sequence of operations that leads from the input to
the output, the short ones first. On other spaces there are no paths; there the encoding has one bit
for each option of each decision.

Source: White, Neiswanger, Savani, AAAI 2021 (arXiv 1910.11858), Algorithms 1 and 2; naszilla,
nas_algorithms.py and params.py, whose settings are the defaults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nasbench_kit import checks
from nasbench_kit.algorithms.model_based import loop
from nasbench_kit.algorithms.settings import check_ranges
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.nasbench101.cell import Cell
from nasbench_kit.spaces.nasbench101.space import CellSpace

if TYPE_CHECKING:
    import torch
    from numpy.random import Generator
    from numpy.typing import NDArray

    from nasbench_kit import Oracle
    from nasbench_kit.spaces.protocols import Architecture, Space

Acquisition = Literal["its", "ucb", "ei", "ts"]

#: How much of the deviation upper confidence bounds subtract, and by what expected improvement divides
#: it (naszilla, acquisition_functions.py).
_CONFIDENCE, _CALIBRATION = 0.5, 5.0
#: Architectures mutated at most, if the mutants of the best are known or too few.
_PARENTS = 5


@dataclass(frozen=True)
class BANANAS:
    """Each round trains the ensemble anew and asks for the most promising of the best ones' mutants.

    Raises:
        InvalidSetting: a value outside its range, or an unknown acquisition; when run, a budget that
            does not reach beyond the initial architectures.
    """

    #: Random architectures before the first model.
    initial_size: int = 10
    #: k, architectures asked for with the same model.
    round_size: int = 10
    #: Mutants among which the acquisition chooses.
    candidates: int = 100
    #: Bits of the path encoding of cells, the shortest paths first; None is all of them.
    paths: int | None = 40
    #: M, neural networks of the ensemble.
    ensemble: int = 5
    #: Hidden layers of each, and their units.
    layers: int = 10
    width: int = 20
    #: Passes over the answers, and answers in a step of Adam with betas 0.9 and 0.99.
    training_epochs: int = 150
    batch_size: int = 32
    learning_rate: float = 0.01
    #: "its" draws for each candidate from a normal of the ensemble's mean and deviation; "ucb" and
    #: "ei" are the confidence bound and expected improvement; "ts" takes one member's predictions.
    acquisition: Acquisition = "its"
    #: Training length of every query; None is the table's longest.
    epochs: int | None = None

    def __post_init__(self) -> None:
        counts = (
            "initial_size",
            "round_size",
            "candidates",
            "paths",
            "ensemble",
            "layers",
            "width",
        )
        loop.check_whole(self, **dict.fromkeys((*counts, "training_epochs", "batch_size"), 1))
        check_ranges(self, {"learning_rate": "(0, 1]"})
        if not isinstance(self.acquisition, str) or self.acquisition not in get_args(Acquisition):
            choices = ", ".join(get_args(Acquisition))
            raise InvalidSetting(
                f"acquisition is {checks.shown(self.acquisition)}; one of {choices}"
            )

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Architecture]:
        """Algorithm 2."""
        return loop.search(
            "BANANAS",
            oracle,
            rng,
            lambda history: self._propose(history, rng),
            initial_size=self.initial_size,
            epochs=self.epochs,
        )

    def _propose(self, history: loop.History, rng: Generator) -> list[Any]:
        candidates = self._mutants(history, rng)
        if not candidates:
            return []
        asked = [answer.architecture for answer in history.answers]
        points = encoded(asked + candidates, history.space, self.paths)
        errors = 100 * history.errors  # in percent, as in the released code
        predictions = self._predict(points[: len(asked)], errors, points[len(asked) :], rng)
        worth = self._acquire(predictions, float(errors.min()), rng)
        order = np.argsort(worth, kind="stable")[: self.round_size]
        return [candidates[place] for place in order.tolist()]

    def _mutants(self, history: loop.History, rng: Generator) -> list[Any]:
        """Mutants of the best architecture, and of the next best ones until there are enough."""
        pool = loop.Pool(history)
        for parent in history.best(_PARENTS):
            for _ in range(self.candidates):
                pool.add(loop.edited(history.space, parent, 1, rng))
            if len(pool) >= self.candidates:
                break
        return pool.candidates

    def _acquire(
        self, predictions: NDArray[np.float64], least: float, rng: Generator
    ) -> NDArray[np.float64]:
        """What is least where a candidate is to be asked for; predictions are [members, candidates]."""
        mean, deviation = predictions.mean(axis=0), predictions.std(axis=0)
        match self.acquisition:
            case "its":
                return rng.normal(mean, deviation)  # equation 1: a draw for each candidate
            case "ucb":
                return mean - _CONFIDENCE * deviation
            case "ei":
                return -loop.expected_improvement(mean, deviation / _CALIBRATION, least)
            case "ts":
                return predictions[rng.integers(len(predictions))]

    def _predict(
        self,
        points: NDArray[np.float64],
        errors: NDArray[np.float64],
        candidates: NDArray[np.float64],
        rng: Generator,
    ) -> NDArray[np.float64]:
        """Each member's predictions after training, [members, candidates].

        The members are one batch of matrices, and Adam works by elements: they train side by side as
        they would one after the other.
        """
        import torch
        from threadpoolctl import threadpool_limits

        sizes = [points.shape[1], *[self.width] * self.layers, 1]
        parameters = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = np.sqrt(6 / (fan_in + fan_out))  # Glorot's, Keras' default
            weights = rng.uniform(-bound, bound, (self.ensemble, fan_in, fan_out))
            parameters.append(torch.tensor(weights, dtype=torch.float32, requires_grad=True))
            parameters.append(torch.zeros(self.ensemble, 1, fan_out, requires_grad=True))
        x, y, asked = (torch.tensor(a, dtype=torch.float32) for a in (points, errors, candidates))
        adam = torch.optim.Adam(parameters, self.learning_rate, betas=(0.9, 0.99), fused=True)
        with threadpool_limits(1):  # the matrices are too small for threads
            for _ in range(self.training_epochs):
                orders = rng.permuted(np.tile(np.arange(len(x)), (self.ensemble, 1)), axis=1)
                for batch in torch.split(torch.from_numpy(orders), self.batch_size, dim=1):
                    adam.zero_grad()
                    apart = (_forward(x[batch], parameters) - y[batch]).abs()
                    apart.mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
                    adam.step()
            with torch.no_grad():
                predictions = _forward(asked.expand(self.ensemble, -1, -1), parameters)
        return predictions.numpy().astype(np.float64)


def _forward(x: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """Outputs [members, points] of inputs [members, points, features]."""
    import torch

    *hidden, (weights, bias) = zip(parameters[::2], parameters[1::2], strict=True)
    for w, b in hidden:
        x = torch.relu(torch.baddbmm(b, x, w))
    return torch.baddbmm(bias, x, weights)[..., 0]


def encoded(
    architectures: list[Any], space: Space, paths: int | None = None
) -> NDArray[np.float64]:
    """Zeros and ones [architectures, bits]: paths of cells, else options of decisions.

    Args:
        architectures: of the space.
        space: theirs.
        paths: bits that are kept of the path encoding.
    """
    if isinstance(space, CellSpace):
        points = np.zeros((len(architectures), sum(3**i for i in range(space.max_vertices - 1))))
        for point, cell in zip(points, architectures, strict=True):
            point[path_bits(cell)] = 1
        return points[:, :paths]
    sizes = [len(decision.options) for decision in space.decisions]
    starts = np.cumsum([0, *sizes[:-1]])
    points = np.zeros((len(architectures), sum(sizes)))
    for point, architecture in zip(points, architectures, strict=True):
        point[starts + np.array(space.encode(architecture))] = 1
    return points


def path_bits(cell: Cell) -> list[int]:
    """The numbers of a cell's paths (section 3), ascending and each of them once.

    A path of n operations has the number 1 + 3 + ... + 3 ** (n - 1), plus its operations as digits,
    the first one the lowest: 3x3 convolution 0, 1x1 convolution 1, pooling 2.
    """
    ending: list[set[tuple[int, int]]] = [set() for _ in range(cell.size)]  # (length, digits)
    ending[0].add((0, 0))
    for source, target in cell.edges():  # by target, so that those into a vertex come first
        last = target == cell.size - 1
        digit = 0 if last else cell.code // 3 ** (target - 1) % 3
        for length, digits in ending[source]:
            step = (length, digits) if last else (length + 1, digits + digit * 3**length)
            ending[target].add(step)
    return sorted((3**length - 1) // 2 + digits for length, digits in ending[-1])
