"""Recording a step as a CUDA graph: replayed, it costs one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: Runs before the recording; they let libraries allocate what they need.
_WARM_UP = 3


def recorded(
    step: Callable[[Tensor, Tensor], None], batch: Tensor, labels: Tensor, changed: Sequence[Tensor]
) -> Callable[[Tensor, Tensor], None]:
    """The same step, to be called with batches and labels of the same shapes.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture

    Args:
        step: forgets all gradients and makes new ones; does not wait for the device.
        batch: of the shape and device to come.
        labels: likewise.
        changed: what ``step`` changes besides gradients; it is left as it was.
    """
    batch, labels = batch.clone(), labels.clone()
    before = [tensor.clone() for tensor in changed]
    stream = torch.cuda.Stream(batch.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(batch.device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            step(batch, labels)
    torch.cuda.current_stream(batch.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(batch.device), torch.cuda.graph(graph):
        step(batch, labels)  # the gradients now lie where every replay writes them
    with torch.no_grad():
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)

    def replay(new_batch: Tensor, new_labels: Tensor) -> None:
        batch.copy_(new_batch)
        labels.copy_(new_labels)
        graph.replay()

    return replay
