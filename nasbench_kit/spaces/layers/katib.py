"""The spaces of Katib's ENAS experiments: layers of the operations that an experiment lists, and skips.

Each operation's parameters have lists of values; every combination of them, in their order, is an
operation with a running number. A layer sees the layer before it and those that its skips name,
concatenated, and padded by zeros where sizes differ. `KatibSpace.assignments` writes the two texts that
Katib hands to a trial, and `KatibSpace.from_assignments` reads them.

The network is what Katib's trial image means to build. The image itself looks for an operation's
parameters in the wrong place and trains its defaults instead; here they count. Its dropout before the
classifier is the recipe's (``nasbench_kit.training.recipe.KATIB``).

Source: kubeflow/katib, suggestion service "enas" and trial image enas-cnn-cifar10.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nasbench_kit import checks
from nasbench_kit.errors import InvalidArchitecture, InvalidSetting
from nasbench_kit.spaces.kept import digest_of
from nasbench_kit.spaces.layers.skips import SkipSpace, seen
from nasbench_kit.spaces.layers.units import Kind, Network, Unit

if TYPE_CHECKING:
    from nasbench_kit.spaces.decisions import Choices
    from nasbench_kit.spaces.skeleton import Skeleton

#: Parameters of each type of operation, as Katib's trial image knows them, and their defaults.
PARAMETERS: dict[str, dict[str, Any]] = {
    "convolution": {"num_filter": 64, "filter_size": 3, "stride": 1},
    "separable_convolution": {
        "num_filter": 64,
        "filter_size": 3,
        "stride": 1,
        "depth_multiplier": 1,
    },
    "depthwise_convolution": {"filter_size": 3, "stride": 1, "depth_multiplier": 1},
    "reduction": {"reduction_type": "max_pooling", "pool_size": 2, "stride": None},
}
POOLINGS: dict[str, Kind] = {"max_pooling": "max", "avg_pooling": "average"}
#: Of a number among the parameters, and of all combinations together.
_MOST, _MOST_OPERATIONS = 1024, 4096


class Operation(NamedTuple):
    """One combination of parameters."""

    type: str
    #: Names and values in the experiment's order; texts, or numbers where it has a range of integers.
    parameters: tuple[tuple[str, str | int], ...]

    def __str__(self) -> str:
        return " ".join([self.type, *(f"{name}={value}" for name, value in self.parameters)])

    def value(self, name: str) -> Any:
        """A parameter, or its default: a number, None, or the type of a reduction."""
        value = dict(self.parameters).get(name, PARAMETERS[self.type][name])
        return value if name == "reduction_type" or value is None else int(value)


def operations(listed: Sequence[tuple[str, Mapping[str, Sequence[str | int]]]]) -> list[Operation]:
    """Every combination of the values of each type's parameters, in order.

    Args:
        listed: types of operations, and the values of their parameters.

    Raises:
        InvalidSetting: a type, parameter or value that there is not, or too many combinations.
    """
    made: list[Operation] = []
    for kind, parameters in listed:
        if kind not in PARAMETERS:
            raise InvalidSetting(
                f"operationType is {checks.shown(kind)}; choose one of {', '.join(PARAMETERS)}"
            )
        for name, values in parameters.items():
            _check(kind, name, values)
        combinations = itertools.product(*parameters.values())
        for combination in itertools.islice(combinations, _MOST_OPERATIONS + 1 - len(made)):
            made.append(Operation(kind, tuple(zip(parameters, combination, strict=True))))
    if not 1 <= len(made) <= _MOST_OPERATIONS:
        raise InvalidSetting(
            f"the operations have {'no' if not made else f'more than {_MOST_OPERATIONS:,}'} combinations of "
            f"parameters; list 1 to {_MOST_OPERATIONS:,}"
        )
    if len(set(made)) < len(made):
        twice = next(one for one in made if made.count(one) > 1)
        raise InvalidSetting(f"the operation {twice} is listed twice; list it once")
    return made


def _check(kind: str, name: str, values: Sequence[str | int]) -> None:
    if name not in PARAMETERS[kind]:
        raise InvalidSetting(
            f"{kind} has no parameter {checks.shown(name)}; it has {', '.join(PARAMETERS[kind])}"
        )
    for value in values:
        if name == "reduction_type":
            if value not in POOLINGS:
                raise InvalidSetting(
                    f"reduction_type is {checks.shown(value)}; choose one of {', '.join(POOLINGS)}"
                )
        elif not re.fullmatch("[0-9]{1,9}", str(value)) or not 1 <= int(value) <= _MOST:
            raise InvalidSetting(
                f"{kind}: {name} is {checks.shown(value)}; it must be a whole number from 1 to {_MOST:,}"
            )


#: Parameters in a picture.
_SHORT = {
    "filter_size": "{0}x{0}",
    "pool_size": "{0}x{0}",
    "num_filter": "{} filters",
    "stride": "stride {}",
    "depth_multiplier": "times {}",
}
_NUMBERS = {"filter_size": ("3", "5", "7"), "stride": ("1", "2"), "depth_multiplier": ("1", "2")}
_FILTERS = ("32", "48", "64", "96", "128")
#: Those of Katib's example of all operations (enas-gpu): 106 in all.
EXAMPLE = operations(
    [
        (
            "convolution",
            {"filter_size": ("3", "5", "7"), "num_filter": _FILTERS, "stride": ("1", "2")},
        ),
        (
            "separable_convolution",
            {
                "filter_size": ("3", "5", "7"),
                "num_filter": _FILTERS,
                "stride": ("1", "2"),
                "depth_multiplier": ("1", "2"),
            },
        ),
        ("depthwise_convolution", _NUMBERS),
        ("reduction", {"reduction_type": tuple(POOLINGS), "pool_size": (2, 3)}),
    ]
)


class KatibSpace(SkipSpace):
    """All sequences of layers of an experiment's operations.

    Args:
        listed: the operations by their numbers; those of Katib's example by default.
        layers: numLayers of the experiment.

    Raises:
        InvalidSetting: not 1 to 64 layers.
    """

    def __init__(self, listed: Sequence[Operation] = tuple(EXAMPLE), layers: int = 8) -> None:
        self.operations = tuple(listed)
        layers = checks.whole("numLayers", layers, 1, 64)
        example = (layers, self.operations) == (8, tuple(EXAMPLE))
        self.layers = layers
        name = "katib" if example else f"katib-{digest_of(self.description())}"
        super().__init__(name, list(map(str, self.operations)), layers)

    def __reduce__(self) -> tuple[object, ...]:
        return KatibSpace, (self.operations, self.layers)

    def description(self) -> dict[str, Any]:
        """Layers and operations, as JSON can hold them."""
        return {"layers": self.layers, "operations": self.operations}

    @classmethod
    def described(cls, description: Any) -> KatibSpace:
        """The space of a description.

        Raises:
            ValueError, TypeError, LookupError: it is none.
        """
        listed = [
            Operation(kind, tuple((key, value) for key, value in parameters))
            for kind, parameters in description["operations"]
        ]
        for operation in listed:
            operations([(operation.type, {key: [v] for key, v in operation.parameters})])
        return cls(listed, description["layers"])

    # Katib's texts ------------------------------------------------------------------------------

    def read(self, text: str) -> list[int]:
        """Also Katib's ``architecture``, such as ``[[3], [7, 1]]``.

        Raises:
            ValueError: another form.
        """
        if not text.startswith("["):
            return super().read(text)
        return [number for row in _rows(text) for number in row]

    def assignments(
        self, architecture: Choices, input_sizes: Sequence[int], output_sizes: Sequence[int]
    ) -> dict[str, str]:
        """The parameters ``architecture`` and ``nn_config`` of a trial, exactly as Katib writes them.

        Args:
            architecture: of this space.
            input_sizes: height, width and channels of an image.
            output_sizes: number of classes.
        """
        rows = self.rows(self.encode(architecture))
        embedding = {
            row[0]: {
                "opt_id": row[0],
                "opt_type": self.operations[row[0]].type,
                "opt_params": dict(self.operations[row[0]].parameters),
            }
            for row in rows
        }
        config = {
            "num_layers": self.layers,
            "input_sizes": list(input_sizes),
            "output_sizes": list(output_sizes),
            "embedding": embedding,
        }
        texts = {"architecture": rows, "nn_config": config}
        return {name: json.dumps(value).replace('"', "'") for name, value in texts.items()}

    def from_assignments(self, architecture: str, nn_config: str | None = None) -> Choices:
        """The architecture of a trial's parameters.

        Args:
            architecture: with single or double quotes.
            nn_config: the same; if given, its operations must be this space's.

        Raises:
            InvalidArchitecture: they have another form, or describe another space.
            NotInSpace: they make no architecture.
        """
        parsed = self.parse(architecture.strip().strip("\"'"))
        if nn_config is None:
            return parsed
        try:
            config = json.loads(nn_config.replace("'", '"'))
            layers, embedding = config["num_layers"], dict(config["embedding"])
        except (ValueError, TypeError, KeyError):
            raise InvalidArchitecture(
                f"nn_config is {checks.shown(nn_config)}; it must be JSON with num_layers and embedding"
            ) from None
        if layers != self.layers:
            raise InvalidArchitecture(
                f"nn_config has {checks.shown(layers)} layers, the experiment {self.layers}"
            )
        for number in {row[0] for row in self.rows(parsed.options)}:
            ours = self.operations[number]
            theirs = embedding.get(str(number))
            if not isinstance(theirs, dict) or (
                (theirs.get("opt_type"), theirs.get("opt_params"))
                != (ours.type, dict(ours.parameters))
            ):
                raise InvalidArchitecture(
                    f"operation {number} of nn_config is {checks.shown(theirs)}, of the experiment {ours}"
                )
        return parsed

    def label(self, operation: int) -> str:
        """Its type and its parameters, without their names."""
        kind, parameters = self.operations[operation]
        words = [_SHORT.get(name, "{}").format(value) for name, value in parameters]
        return ", ".join([kind.removesuffix("_convolution"), *words])

    # Networks -----------------------------------------------------------------------------------

    def units(self, architecture: Choices, skeleton: Skeleton, image_channels: int) -> Network:
        """ReLU, convolution and batch norm a layer, or a pooling of whole windows.

        Nothing of the skeleton counts.
        """
        made: list[Unit] = []
        channels = [image_channels]  # of all values

        def add(unit: Unit) -> int:
            made.append(unit)
            channels.append(unit.channels or sum(channels[value] for value in unit.inputs))
            return len(made)

        layers = [0]  # their values
        for layer, row in enumerate(self.rows(self.encode(architecture)), 1):
            operation = self.operations[row[0]]
            inputs = (layers[-1], *(layers[earlier] for earlier in seen(row, layer)))
            if operation.type == "reduction":
                kernel = operation.value("pool_size")
                pool = POOLINGS[operation.value("reduction_type")]
                stride = operation.value("stride") or kernel
                unit = Unit(inputs, pool, 0, (kernel, kernel), stride, padded=False)
                layers.append(add(unit))
                continue
            size = operation.value("filter_size")
            stride = operation.value("stride")
            if operation.type == "convolution":
                filters = operation.value("num_filter")
                unit = Unit(inputs, "convolution", filters, (size, size), stride, relu_first=True)
                layers.append(add(unit))
                continue
            separable = operation.type == "separable_convolution"
            multiplied = operation.value("depth_multiplier") * sum(
                channels[value] for value in inputs
            )
            value = add(
                Unit(
                    inputs,
                    "convolution",
                    multiplied,
                    (size, size),
                    stride,
                    depthwise=True,
                    relu_first=True,
                    normalised=not separable,
                )
            )
            if separable:
                value = add(Unit((value,), "convolution", operation.value("num_filter")))
            layers.append(value)
        return Network(tuple(made), (layers[-1],))


def _rows(text: str) -> list[list[int]]:
    """Katib's list of rows, of which row i has i numbers.

    Raises:
        ValueError: another form.
    """
    if not re.fullmatch(r"\[ *(\[ *\d+( *, *[01])* *\][ ,]*)+\]", text):
        raise ValueError(text)
    rows = json.loads(text)
    if [len(row) for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(text)
    return list(rows)
