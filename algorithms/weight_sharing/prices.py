"""What each operation adds to a network's price, for losses that count what an architecture costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from torch import Tensor

    from nasbench_kit.algorithms.weight_sharing.training import SharedWeights


def option_prices(shared: SharedWeights, relaxation: Any) -> Tensor:
    """Of every option what it adds, where even probabilities come to 1: [slots, options].

    Seconds of the budget's clock; without one, multiplications and values written, which count alike.

    Args:
        shared: of the space, the skeleton and the images.
        relaxation: whose options they are.

    Raises:
        InvalidSetting: the space has no operations on edges.
    """
    space: Any = shared.space
    if not (hasattr(space, "slots") and hasattr(space, "work_of")):
        raise InvalidSetting(
            f"the space {space.name} has no operations on edges, so none has a price of its own; leave the "
            "price out of the loss, or use a space such as nasbench201 or darts"
        )
    around = space.work_of([], shared.skeleton, shared.image_shape)

    def price(slot: int, option: int) -> float:
        work = space.work_of([(slot, option)], shared.skeleton, shared.image_shape) - around
        return shared.seconds(work) or float(work.sum())

    options = range(len(space.slots[0].operations))
    prices = torch.tensor([[price(s, o) for o in options] for s in range(len(space.slots))])
    return (prices / prices.mean(1).sum()).to(relaxation.operations)
