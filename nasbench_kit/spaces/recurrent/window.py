"""What a language model reads at a time: a window of several streams of text, and how it is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nasbench_kit.errors import InvalidSetting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dropout:
    """Shares that are dropped in training, each by one mask for a whole window ("variational").

    Source: Gal and Ghahramani, A theoretically grounded application of dropout in recurrent neural
    networks, NeurIPS 2016, section 4; Merity et al., ICLR 2018, section 4.

    Raises:
        InvalidSetting: a share outside [0, 1).
    """

    #: Of the vocabulary's rows: a token is dropped wherever it stands in the window.
    embedding: float = 0.0
    #: Of the channels of the tokens' embeddings.
    embedded: float = 0.0
    #: Of the same once more, where the cell reads them: the released code of DARTS has both masks.
    input: float = 0.0
    #: Of the channels of every state within the cell.
    hidden: float = 0.0
    #: Of the channels of what the cell puts out.
    output: float = 0.0

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share < 1:
                raise InvalidSetting(f"dropout: {name} is {share}; it must lie in [0, 1)")


NO_DROPOUT = Dropout()


class Penalty(NamedTuple):
    """What is added to the loss of a window.

    Source: Merity, McCann and Socher, Revisiting activation regularization for language RNNs, 2017
    (arXiv 1708.01009), section 3.
    """

    #: Weight of the mean square of what the cell puts out, after dropout (alpha).
    activation: float = 0.0
    #: Weight of the mean square of its change from token to token, before dropout (beta).
    slowness: float = 0.0


NO_PENALTY = Penalty()


class Window(NamedTuple):
    """Some tokens of each of several streams, which a network reads after the window before."""

    #: int64 [streams, length].
    tokens: Tensor
    #: Where it stands in the streams; reading the same window again begins with the same memory.
    place: int = 0
    #: Whether the streams begin here, so that nothing is remembered.
    begins: bool = True
    #: What is dropped; None for nothing.
    dropout: Dropout | None = None
    #: Draws the masks.
    seed: int = 0
    penalty: Penalty = NO_PENALTY
