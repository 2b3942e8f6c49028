"""The loss by which the papers evaluate cells: paths are dropped, and an auxiliary head learns as well.

Source: Zoph et al., NASNet, CVPR 2018, section 3; Liu et al., DARTS, ICLR 2019, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.edge_cells.network import TwoInputNetwork
from nasbench_kit.training.checkpoint import State
from nasbench_kit.training.recipe import RegularizedRecipe


def prepare(network: nn.Module, recipe: RegularizedRecipe, generator: torch.Generator) -> None:
    """Add the auxiliary head that a recipe asks for.

    Raises:
        InvalidSetting: the network has neither paths to drop nor a place for the head.
    """
    if not (recipe.drop_path or recipe.auxiliary_weight):
        return
    if not isinstance(network, TwoInputNetwork):
        raise InvalidSetting(
            f"recipe {recipe.name}: drop_path and auxiliary_weight are for cells of two inputs, as those of "
            "darts, nasnet, pnas and enas-micro; choose another recipe for this architecture"
        )
    if recipe.auxiliary_weight:
        network.add_auxiliary_head(generator)


def without_auxiliary_head(network: nn.Module) -> nn.Module:
    """The network, as it is measured and kept."""
    if isinstance(network, TwoInputNetwork):
        network.auxiliary = None
    return network


def draw_paths(keep: Tensor, edges: int, images: int, rng: Generator) -> Tensor:
    """What outputs of operations are multiplied by: 1 / keep with probability keep, else 0; 1 on average.

    Args:
        keep: probability of each cell, float64 [cells].
        edges: of a cell.
        images: of the batch.
        rng: draws, the same number of times whatever ``keep`` is.

    Returns:
        float32 [cells, edges, images].
    """
    drawn = torch.from_numpy(rng.random((len(keep), edges, images)))
    keep = keep[:, None, None]
    return ((drawn < keep) / keep).float()


@dataclass(frozen=True, eq=False)
class Loss:
    """Cross-entropy of some images, and of the auxiliary head's logits by its weight."""

    state: State
    recipe: RegularizedRecipe
    #: Of the whole training.
    steps: int
    epochs: int

    def __call__(self, batch: Tensor, labels: Tensor) -> Tensor:
        """Of images [n, c, h, w] and their labels [n], by the state's step; [] for ``backward``."""
        network = self.state.network
        if not isinstance(network, TwoInputNetwork):
            return functional.cross_entropy(network(batch), labels)
        paths = None
        if self.recipe.drop_path:
            cells = len(network.cells)
            dropped = [
                self.recipe.drop_path_at(
                    self.state.step, self.steps, self.epochs, (cell + 1) / cells
                )
                for cell in range(cells)
            ]
            keep = 1 - torch.tensor(dropped, dtype=torch.float64)
            paths = draw_paths(keep, network.most_edges, len(labels), self.state.rng).to(
                batch.device
            )
        logits, *auxiliary = network.regularized(
            batch, paths, auxiliary=self.recipe.auxiliary_weight > 0
        )
        total = functional.cross_entropy(logits, labels)
        for second in auxiliary:
            total = total + self.recipe.auxiliary_weight * functional.cross_entropy(second, labels)
        return total
