"""How sharp the architecture's loss is: a search by gradient that sharpens is about to collapse.

The dominant eigenvalue of the validation loss' Hessian by the logits goes up before cells degenerate.
Where spaces have skip connections, their number goes up with it; cells of NAS-Bench-101 have none, and
the operation without weights that a collapse would favour there is the max-pool.

Source: Zela, Elsken, Saikia, Marrakchi, Brox, Hutter, Understanding and robustifying differentiable
architecture search, ICLR 2020 (arXiv 1909.09656), sections 3 and 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: Epochs that an eigenvalue is averaged over and compared across, and the ratio that stops a search.
WINDOW, LEAST_RATIO = 5, 0.75


def dominant_eigenvalue(
    loss: Tensor, logits: Sequence[Tensor], *, iterations: int = 100, tolerance: float = 1e-4
) -> float:
    """The eigenvalue of largest magnitude of the loss' Hessian by the logits, by power iteration.

    Args:
        loss: [], a function of the logits, with its graph.
        logits: one tensor or more.
        iterations: at most so many products.
        tolerance: relative change of the eigenvalue that ends the iteration.
    """
    gradients = torch.autograd.grad(loss, list(logits), create_graph=True, allow_unused=True)
    pairs = [(g, a) for g, a in zip(gradients, logits, strict=True) if g is not None]
    flat = torch.cat([g.flatten() for g, _ in pairs])
    if not flat.requires_grad:
        return 0.0  # linear in the logits
    start = torch.Generator().manual_seed(0)
    vector = torch.randn(flat.shape, generator=start, dtype=flat.dtype).to(flat.device)
    vector /= vector.norm()
    eigenvalue = 0.0
    for _ in range(iterations):
        products = torch.autograd.grad(
            flat @ vector, [a for _, a in pairs], retain_graph=True, allow_unused=True
        )
        product = torch.cat(
            [
                torch.zeros_like(a).flatten() if p is None else p.flatten()
                for p, (_, a) in zip(products, pairs, strict=True)
            ]
        )
        before, eigenvalue = eigenvalue, float(vector @ product)
        if (norm := float(product.norm())) == 0:
            return 0.0
        vector = product / norm
        if abs(eigenvalue - before) <= tolerance * abs(eigenvalue):
            break
    return eigenvalue


def collapsing(eigenvalues: Sequence[float]) -> bool:
    """Whether the smoothed eigenvalue has grown too fast, so that the cell of `WINDOW` epochs ago counts.

    Section 4.2: stop where the mean over a window, of so many epochs ago, is less than three quarters
    of the present one.

    Args:
        eigenvalues: one an epoch, so far.
    """
    if len(eigenvalues) < 2 * WINDOW:
        return False
    smooth = np.convolve(eigenvalues, np.ones(WINDOW) / WINDOW, mode="valid")
    return bool(smooth[-1 - WINDOW] / smooth[-1] < LEAST_RATIO)


class History:
    """Of every epoch the eigenvalue and the logits; saved with a search."""

    def __init__(self) -> None:
        self.eigenvalues: list[float] = []
        #: [p] each.
        self.logits: list[Tensor] = []

    def note(self, eigenvalue: float, logits: Sequence[Tensor]) -> None:
        """Add an epoch."""
        self.eigenvalues.append(eigenvalue)
        self.logits.append(torch.cat([a.detach().flatten() for a in logits]))

    def state_dict(self) -> dict[str, Tensor]:
        """As tensors: [epochs] and [epochs, p]."""
        empty = torch.empty(0, 0)
        return {
            "eigenvalues": torch.tensor(self.eigenvalues, dtype=torch.float64),
            "logits": torch.stack(self.logits) if self.logits else empty,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Become a saved one."""
        self.eigenvalues = state["eigenvalues"].tolist()
        self.logits = list(state["logits"])
