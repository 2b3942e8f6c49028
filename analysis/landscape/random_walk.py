"""How fast accuracy is forgotten along a random walk: sampled, and exact.

The walk of Ying et al. 2019 (section 3.3) runs on encodings: each step is one edit (an edge flipped
or an operation changed), uniform over those that stay in the space. Edits of unused vertices and of
dangling edges count as steps although the cell stays the same. Its autocorrelation is

    rho(s) = E[(y_t - mean) (y_{t+s} - mean)] / E[(y_t - mean) ** 2]

in the stationary law, where an encoding's probability is proportional to its number of valid edits
(the walk on an undirected graph is reversible). The paper draws it against the distance sqrt(s).

**Exact**, though the full space has 373.8 million encodings. With A the adjacency matrix of the
graph of edits, D its degrees and h = D^(1/2) (y - mean), reversibility gives

    C(s + t) = <S^s h, S^t h>,      S = D^(-1/2) A D^(-1/2),

so that 18 products reach lag 36. And A falls apart: edges and operations are edited independently
and the degree depends on the matrix alone, so in the eigenvectors of the operations' part (three
operations at each vertex: the Hamming graph, with eigenvalue 2 n - 3 j where j of n vertices
deviate from constant) each of the 243 modes is a walk on matrices alone, a vector of 2 ** 21.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasbench_kit.analysis.landscape.encodings import Encodings
from nasbench_kit.checks import counted
from nasbench_kit.errors import InvalidSetting, NotRecorded

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

#: Called with (done, in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Autocorrelation:
    """rho(s) for the lags s = 0, 1, ...

    Args:
        rho: float64 [lags + 1].
        error: standard error of each, [lags + 1]; None where it is exact.
    """

    rho: NDArray[np.float64]
    error: NDArray[np.float64] | None = None

    @property
    def distance(self) -> NDArray[np.float64]:
        """The paper's distance of each lag, sqrt(s)."""
        return np.sqrt(np.arange(len(self.rho)))

    @property
    def correlation_length(self) -> float:
        """-1 / ln rho(1), in steps (Weinberger 1990); infinite where every step is silent."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(abs(1 / np.log(self.rho[1])))

    def noise(self, steps: int = 10_000) -> float:
        """Autocorrelation that a single walk of this length shows by chance (95 %).

        Bartlett's formula: 1.96 sqrt((1 + 2 sum rho(s)^2) / steps).
        """
        return float(1.96 * np.sqrt((1 + 2 * (self.rho[1:] ** 2).sum()) / steps))

    def dies_out(self, steps: int = 10_000) -> int | None:
        """The first lag at which such a walk cannot distinguish rho from 0; None if beyond the last."""
        below = np.flatnonzero(self.rho < self.noise(steps))
        return int(below[0]) if len(below) else None


def exact_autocorrelation(
    encodings: Encodings,
    values: NDArray[np.float64],
    lags: int = 36,
    progress: Progress | None = None,
) -> Autocorrelation:
    """Of the walk on encodings, by sums over all of them (float32 inside: some six digits).

    Args:
        encodings: of a space that holds all labellings of its graphs.
        values: of every cell, [rows].
        lags: the last lag; time grows with it.
        progress: called with the modes done.

    Raises:
        InvalidSetting: a space restricted to some labellings of its graphs, or without any edit.
        NotRecorded: some cells have no value, or all have the same.
    """
    import threadpoolctl

    degree = _degree(encodings)
    centred = _varied(values) - stationary_law(encodings) @ values
    vectors, eigenvalues = _operation_modes(encodings.interior)
    modes = (centred[encodings.rows] @ vectors).astype(np.float32)  # [pruned matrices, modes]
    root = np.sqrt(degree, dtype=np.float32)
    scale = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    add_flips = _cube(encodings.edges)

    def covariance(mode: int) -> NDArray[np.float64]:
        """Of one mode at all lags: [lags + 1]."""
        at_lag = np.zeros(lags + 1)
        h = root * modes[:, mode][encodings.which]
        for lag in range(0, lags + 1, 2):
            at_lag[lag] = h @ h
            if lag < lags:
                before, h = h, scale * h
                h = scale * (add_flips(h) + eigenvalues[mode] * h)  # S h
                at_lag[lag + 1] = before @ h
        return at_lag

    total = np.zeros(lags + 1)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with threadpoolctl.threadpool_limits(1):  # BLAS's own threads slow small products down
            for done, one in enumerate(pool.map(covariance, range(len(eigenvalues))), start=1):
                total += one
                if progress:
                    progress(done, len(eigenvalues))
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, no further mode is computed
    return Autocorrelation(total / total[0])


def _degree(encodings: Encodings) -> NDArray[np.int64]:
    """Number of valid edits of the encodings of each matrix, 0 where invalid: [2 ** edges]."""
    if not encodings.closed:
        raise InvalidSetting(
            f"the space {encodings.space.name} lacks some labellings of its graphs, so a walk on "
            "it is another one; walk on the whole space"
        )
    if encodings.edges == 1:
        raise InvalidSetting("a space of two vertices has one cell and no edit; there is no walk")
    return (encodings.flips.astype(np.int64) + 2 * encodings.interior) * encodings.valid


def _operation_modes(interior: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Eigenvectors (columns) and eigenvalues of the graph of all operation changes.

    Three operations are a triangle: eigenvalue 2 for the constant, -1 for two contrasts. Vertices
    are independent, so vectors multiply and eigenvalues add.
    """
    triangle = np.array([[1, 1, 1], [1, -1, 1], [1, 0, -2]]) / np.sqrt([3, 2, 6])
    vectors: NDArray[np.float64] = np.ones((1, 1))
    for _ in range(interior):
        vectors = np.kron(vectors, triangle).astype(np.float64)
    sums = [sum(terms) for terms in itertools.product((2, -1, -1), repeat=interior)]
    return vectors, np.array(sums, np.float32)


def _cube(edges: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The sum over all edge flips: [2 ** edges] -> [2 ** edges].

    Five edges at a time, by the adjacency matrix of their small cube: one dense product on blocks
    of 32 numbers takes less time than five passes over the vector.
    """
    groups = [(low, min(5, edges - low)) for low in range(0, edges, 5)]
    cubes = {size: _cube_adjacency(size) for _, size in groups}

    def add_flips(x: NDArray[np.float32]) -> NDArray[np.float32]:
        _, first = groups[0]
        total = (x.reshape(-1, 1 << first) @ cubes[first]).reshape(-1)
        for low, size in groups[1:]:
            total += (cubes[size] @ x.reshape(-1, 1 << size, 1 << low)).reshape(-1)
        return total

    return add_flips


def _cube_adjacency(edges: int) -> NDArray[np.float32]:
    vertices = np.arange(1 << edges)
    return (np.bitwise_count(vertices[:, None] ^ vertices) == 1).astype(np.float32)


def sampled_autocorrelation(
    encodings: Encodings,
    values: NDArray[np.float64],
    rng: Generator,
    *,
    lags: int = 36,
    walks: int = 4_000,
    steps: int = 400,
) -> Autocorrelation:
    """Of the walk on encodings, by walking: many independent walks from the stationary law.

    The error is that of a ratio of means over walks (linearised), so it counts that the steps of
    one walk depend on each other.

    Raises:
        InvalidSetting: as ``exact_autocorrelation``, or no more steps than lags.
        NotRecorded: some cells have no value, or all have the same.
    """
    if steps <= lags or walks < 2:
        raise InvalidSetting(
            f"{walks} walks of {steps} steps cannot show lag {lags} and its error; walk longer"
        )
    y = _varied(values)[walk(encodings, rng, walks, steps)]
    y -= y.mean()
    variance = (y**2).mean(axis=1)  # of each walk
    rho, error = np.ones(lags + 1), np.zeros(lags + 1)
    for lag in range(1, lags + 1):
        covariance = (y[:, :-lag] * y[:, lag:]).mean(axis=1)
        rho[lag] = covariance.sum() / variance.sum()
        error[lag] = np.linalg.norm(covariance - rho[lag] * variance) / variance.sum()
    return Autocorrelation(rho, error)


def cell_autocorrelation(
    graph: csr_array, values: NDArray[np.float64], lags: int = 36
) -> Autocorrelation:
    """Of another walk, on unique cells: each step goes to a neighbouring cell, uniformly. Exact.

    Every step changes the cell, and small cells have far more neighbours than labels suggest, so
    this is no check of the walk on encodings.

    Args:
        graph: symmetric neighbours without isolated cells (`CellSpace.neighbour_graph`).
        values: of every cell, [rows].
        lags: the last lag.

    Raises:
        InvalidSetting: some cell has no neighbour.
        NotRecorded: some cells have no value, or all have the same.
    """
    degree = np.diff(graph.indptr)
    if not degree.all():
        raise InvalidSetting(
            f"no walk passes {counted((degree == 0).sum(), 'cell')}, without any neighbour"
        )
    root = np.sqrt(degree)
    h = root * (_varied(values) - degree @ values / degree.sum())
    adjacency = graph.astype(np.float64)
    covariance = np.empty(lags + 1)
    for lag in range(0, lags + 1, 2):
        covariance[lag] = h @ h
        if lag < lags:
            before, h = h, adjacency @ (h / root) / root  # S h
            covariance[lag + 1] = before @ h
    return Autocorrelation(covariance / covariance[0])


def stationary_law(encodings: Encodings) -> NDArray[np.float64]:
    """The stationary distribution of the walk on encodings, summed for each cell: [rows].

    Raises:
        InvalidSetting: as ``exact_autocorrelation``.
    """
    of_matrix = np.bincount(encodings.which, _degree(encodings), len(encodings.pruned))
    weights = np.repeat(of_matrix, len(encodings.codes))
    total = np.bincount(encodings.rows.ravel(), weights, len(encodings.space))
    return total / total.sum()


def _varied(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        missing = int((~np.isfinite(values)).sum())
        raise NotRecorded(
            f"values are missing for {missing:,} of {len(values):,} cells; a random walk needs them all"
        )
    if np.ptp(values) == 0:
        raise NotRecorded("all cells have the same value; there is nothing to correlate")
    return values


def walk(encodings: Encodings, rng: Generator, walks: int, steps: int) -> NDArray[np.int32]:
    """Independent stationary walks on encodings: the row of the cell at each step.

    Returns:
        int32 [walks, steps + 1].

    Raises:
        InvalidSetting: as ``exact_autocorrelation``.
    """
    degree = _degree(encodings)
    matrices = np.flatnonzero(degree)
    bits = rng.choice(matrices, size=walks, p=degree[matrices] / degree.sum())
    codes = rng.integers(len(encodings.codes), size=walks)
    flip, turned = _edits(encodings)
    rows = np.empty((steps + 1, walks), np.int32)
    for step in range(steps + 1):
        rows[step] = encodings.rows[encodings.which[bits], codes]
        waiting = np.arange(walks)  # edits that leave the space are drawn again
        while step < steps and len(waiting):
            edit = rng.integers(len(flip), size=len(waiting))
            flipped = bits[waiting] ^ flip[edit]
            valid = encodings.valid[flipped]
            moving = waiting[valid]
            bits[moving] = flipped[valid]
            codes[moving] = turned[codes[moving], edit[valid]]
            waiting = waiting[~valid]
    return rows.T


def _edits(encodings: Encodings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every edit as the bits that it flips [edits] and the code that it leads to [codes, edits]."""
    flip = np.zeros(encodings.edges + 2 * encodings.interior, np.int64)
    flip[: encodings.edges] = 1 << np.arange(encodings.edges)
    turned = np.tile(encodings.codes[:, None], len(flip))
    for position in range(encodings.interior):
        digit = encodings.codes // 3**position % 3
        for turn in (1, 2):
            edit = encodings.edges + 2 * position + turn - 1
            turned[:, edit] += ((digit + turn) % 3 - digit) * 3**position
    return flip, turned
