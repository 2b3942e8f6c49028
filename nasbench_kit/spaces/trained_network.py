"""A trained network with its normalisation, and the file that it is kept in.

    >>> training, network = train_network(Cell.named("resnet"), images, DIGITS, epochs=36, seed=0)
    >>> network.save(Path("resnet.pt"))
    >>> Network.load("resnet.pt")(batch).argmax(1)  # batch: stored images, [n, channels, height, width]

The file is what ``torch.save`` writes of a dictionary: ``weights``, the network's ``state_dict``, and
``about``, all else as JSON. It is read with ``weights_only``, so that nothing in it is ever run.

For other runtimes, export the module to ONNX (extra ``onnx``):

    >>> example = torch.zeros(2, *network.image_shape, dtype=torch.uint8)
    >>> shapes = ({0: torch.export.Dim("batch")},)
    >>> torch.onnx.export(network, (example,), "resnet.onnx", dynamic_shapes=shapes)
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from nasbench_kit.errors import CorruptFile, InvalidSetting, NasbenchKitError, UnknownName
from nasbench_kit.spaces.catalogue import architecture_of
from nasbench_kit.spaces.protocols import material, trainable
from nasbench_kit.spaces.skeleton import Precision, Skeleton
from nasbench_kit.system import tensor_file
from nasbench_kit.system.files import check_writable, existing

#: Of the file's format.
VERSION = 1


class TrainedNetwork(nn.Module):
    """Images as they are stored -> logits; a new one is in eval mode.

    Args:
        network: what was trained, for normalised images.
        architecture: of the network.
        skeleton: of the network.
        classes: number of logits.
        precision: of the network's arithmetic.
        mean: per channel, on the stored scale.
        std: per channel, on the stored scale.
        image_shape: channels, height and width of the images that it was trained on; empty for text.
        class_names: by label; empty where the classes have numbers only. Of text, the vocabulary.
        conditions: what it was trained on and how, as JSON can hold it.
    """

    def __init__(
        self,
        network: nn.Module,
        architecture: Any,
        skeleton: Skeleton,
        *,
        classes: int,
        precision: Precision,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        image_shape: tuple[int, ...],
        class_names: tuple[str, ...] = (),
        conditions: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.architecture = architecture
        self.classes = classes
        self.precision = precision
        self.skeleton = skeleton
        self.image_shape = image_shape
        self.class_names = class_names
        self.conditions = conditions or {}
        device = next(network.parameters()).device
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean, device=device))
        self.register_buffer("std", torch.tensor(std, device=device))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Stored images [n, channels, height, width] -> logits [n, classes].

        Of text, tokens [n, length] -> logits of the tokens that follow, [n, classes, length].

        The pixels are those of the image set, uint8 or floating-point, on the scale it stores them in
        (0 to 255 for image files, 0 to 16 for the digits); mean and deviation are taken care of here.

        Raises:
            InvalidSetting: another number of dimensions or channels.
        """
        if not self.image_shape:
            following: Tensor = self.network(images)
            return following
        channels = self.image_shape[0]
        if images.ndim != 4 or images.shape[1] != channels:
            raise InvalidSetting(
                f"images are {list(images.shape)}; give [n, {channels}, height, width], channels first"
            )
        # As `loaded.LoadedImages.normalised`, bit for bit.
        last = images.permute(0, 2, 3, 1).to(self.mean.dtype)
        logits: Tensor = self.network(((last - self.mean) / self.std).permute(0, 3, 1, 2))
        return logits

    def save(self, path: str | Path) -> None:
        """Write weights, normalisation and all that ``load`` needs, atomically.

        Raises:
            NotWritable: the folder cannot be written, or the disk is full.
        """
        about = {
            "version": VERSION,
            "architecture": self.architecture.to_text(),
            "space": getattr(getattr(self.architecture, "space", None), "name", None),
            "skeleton": asdict(self.skeleton),
            "image_shape": self.image_shape,
            "classes": self.classes,
            "class_names": self.class_names,
            "precision": self.precision,
            "conditions": self.conditions,
        }
        weights = self.network.state_dict() | {"mean": self.mean, "std": self.std}
        plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        tensor_file.save(
            existing(path, "file of weights"), {"about": json.dumps(about), "weights": plain}
        )

    @classmethod
    def load(cls, path: str | Path) -> TrainedNetwork:
        """Read what ``save`` wrote, onto the CPU and in eval mode.

        Raises:
            UnknownName: there is no such file.
            CorruptFile: it is damaged, something else, or holds more than weights; nothing in it was
                run. Or its operations have no module here (see `network.register_module`).
            InvalidSetting: the path is empty.
        """
        path = existing(path, "file of weights")
        if not path.is_file():
            raise UnknownName(f"there is no file of weights {path}; check the path")
        try:
            return cls._read(tensor_file.load(path))
        except (*tensor_file.UNREADABLE, NasbenchKitError) as error:
            raise CorruptFile(
                f"{path} holds no weights of a network ({tensor_file.first_line(error)}); write them "
                "with `nasbench-kit train --weights`"
            ) from error

    @classmethod
    def _read(cls, content: dict[str, Any]) -> TrainedNetwork:
        """From the file's content, of which nothing is believed that was not checked."""
        about, weights = json.loads(content["about"]), content["weights"]
        if about["version"] != VERSION:
            raise ValueError(f"its format is version {about['version']}, and this reads {VERSION}")
        for tensor in weights.values():
            # A tensor may claim a size that the file does not have, by strides of 0.
            plain = tensor.layout == torch.strided and tensor.is_contiguous()
            if not plain or tensor.dtype not in (torch.float32, torch.int64):
                raise ValueError("its tensors are not plain ones")
        architecture = architecture_of(about["space"], about["architecture"])
        skeleton = Skeleton(**about["skeleton"])
        shape, classes = tuple(map(int, about["image_shape"])), about["classes"]
        names = tuple(map(str, about["class_names"]))
        reads_text = material(architecture) == "text"
        if (
            len(shape) != 3 * (not reads_text)
            or min(shape, default=1) < 1
            or len(names) not in (0, classes)
        ):
            raise ValueError(
                f"its images are {shape}, with {len(names)} names for {classes} classes"
            )
        if about["precision"] not in get_args(Precision):
            raise ValueError(f"its precision is {about['precision']!r}")
        # What is built below must be as large as the file, whatever the file says of itself.
        widest = max(max(tensor.shape, default=1) for tensor in weights.values())
        deepest = skeleton.stacks * skeleton.cells_per_stack
        if max(classes, skeleton.stem_channels) > widest or deepest > len(weights):
            raise ValueError("its weights do not fit its skeleton")
        if skeleton.stem_channels * 2 ** (skeleton.stacks - 1) > 8 * widest:
            raise ValueError("its weights do not fit its skeleton")
        mean, std = weights.pop("mean").tolist(), weights.pop("std").tolist()
        channels = classes if reads_text else shape[0]
        if not len(mean) == len(std) == (shape or (0,))[0] or not min(std, default=1) > 0:
            raise ValueError(f"its mean is {mean}, its std {std}")
        if not all(map(math.isfinite, (*mean, *std))):
            raise ValueError(f"its mean is {mean}, its std {std}")
        network = trainable(architecture).network(
            skeleton,
            channels,
            classes,
            generator=torch.Generator().manual_seed(0),
            bn_momentum=0.003,
            precision=about["precision"],
        )
        network.load_state_dict(weights)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(
            network,
            architecture,
            skeleton,
            classes=classes,
            precision=about["precision"],
            mean=tuple(mean),
            std=tuple(std),
            image_shape=shape,
            class_names=names,
            conditions=dict(about["conditions"]),
        )


def check_target(path: Path) -> None:
    """Refuse a file that weights could not be written to, or must not, before the training.

    Raises:
        InvalidSetting: the path is empty, or what lies there is something else than weights.
        NotWritable: it cannot be written.
    """
    path = existing(path, "file of weights")
    check_writable(path)
    if path.exists():
        try:
            TrainedNetwork.load(path)
        except CorruptFile as error:
            raise InvalidSetting(
                f"{path} is there and holds something else than weights; choose another file, or "
                "delete it"
            ) from error
