"""A Katib experiment file: what it searches, by which algorithm, for how long.

Read are ``nasConfig``, ``algorithm``, ``objective``, the numbers of trials, and of the trial's command its
``--num_epochs``; everything about pods is passed over. Settings that Katib does not have are refused, as
Katib refuses them; those that Katib has and nothing here heeds are listed.

Source: kubeflow/katib, kind Experiment of kubeflow.org/v1beta1; suggestion services "enas" and "darts".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nasbench_kit.checks import shown, whole
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.system.files import existing

#: Of an experiment file.
_MOST_BYTES = 1 << 17
#: Of values of a parameter.
_MOST_VALUES = 4096
#: Metrics that trials report.
METRICS = ("Validation-Accuracy", "Training-Accuracy")


class Setting(NamedTuple):
    """A setting of one of Katib's algorithms."""

    default: float | int | None
    #: The interval of its values.
    interval: str
    #: Whether "None" is one of them.
    optional: bool = False


#: Katib's settings of its ENAS.
ENAS = {
    "controller_hidden_size": Setting(64, "[1, inf)"),
    "controller_temperature": Setting(5.0, "(0, inf)", True),
    "controller_tanh_const": Setting(2.25, "(0, inf)", True),
    "controller_entropy_weight": Setting(1e-5, "(0, inf)", True),
    "controller_baseline_decay": Setting(0.999, "(0, 1]"),
    "controller_learning_rate": Setting(5e-5, "(0, 1]"),
    "controller_skip_target": Setting(0.4, "(0, 1]"),
    "controller_skip_weight": Setting(0.8, "(0, inf)", True),
    "controller_train_steps": Setting(50, "[1, inf)"),
    "controller_log_every_steps": Setting(10, "[1, inf)"),
}
#: Katib's settings of its DARTS.
DARTS = {
    "num_epochs": Setting(50, "[1, inf)"),
    "w_lr": Setting(0.025, "[0, inf)"),
    "w_lr_min": Setting(0.001, "[0, inf)"),
    "w_momentum": Setting(0.9, "[0, inf)"),
    "w_weight_decay": Setting(3e-4, "[0, inf)"),
    "w_grad_clip": Setting(5.0, "[0, inf)"),
    "alpha_lr": Setting(3e-4, "[0, inf)"),
    "alpha_weight_decay": Setting(1e-3, "[0, inf)"),
    "batch_size": Setting(128, "[1, inf)", True),
    "num_workers": Setting(4, "[0, inf)"),
    "init_channels": Setting(16, "[1, inf)"),
    "print_step": Setting(50, "[1, inf)"),
    "num_nodes": Setting(4, "[1, inf)"),
    "stem_multiplier": Setting(3, "[1, inf)"),
}
SETTINGS: dict[str, dict[str, Setting]] = {"enas": ENAS, "darts": DARTS}


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says."""

    name: str
    #: "enas" or "darts".
    algorithm: str
    #: All of the algorithm's, those not given by their defaults.
    settings: Mapping[str, float | int | None]
    #: Those given, as they are written.
    given: Mapping[str, str]
    #: numLayers.
    layers: int
    #: Types of operations, and the values of their parameters, in order.
    operations: Sequence[tuple[str, Mapping[str, Sequence[str | int]]]]
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    #: objectiveMetricName.
    metric: str
    #: Of the metric, at which the experiment ends; None if there is none.
    goal: float | None
    #: maxTrialCount; None if there is no limit.
    trials: int | None
    #: parallelTrialCount.
    parallel: int
    #: Of a trial, as its command says; None if it does not.
    epochs: int | None
    #: maxFailedTrialCount: trials that may fail.
    failures: int = 0
    #: What the file says and nothing here heeds, each with the reason.
    unused: tuple[str, ...] = ()


def read(path: str | Path) -> Experiment:
    """Read an experiment file.

    Raises:
        UnknownName: there is no such file.
        CorruptFile: it is no YAML, or too large to be an experiment.
        InvalidSetting: it is no experiment of Katib's ENAS or DARTS, or says what cannot be.
    """
    import yaml

    path = existing(path, "experiment")
    if not path.is_file():
        raise UnknownName(f"there is no experiment {path}; check the path")
    if path.stat().st_size > _MOST_BYTES:
        raise CorruptFile(f"{path} is larger than {_MOST_BYTES:,} bytes; that is no experiment")
    try:
        text = path.read_bytes()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            # A few aliases of aliases stand for more text than any memory holds.
            raise InvalidSetting(f"{path} has YAML aliases (*name); write out what they stand for")
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except InvalidSetting:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:200]
        raise CorruptFile(f"{path} is no YAML ({line}); correct it") from error
    experiments = [
        each for each in documents if isinstance(each, dict) and each.get("kind") == "Experiment"
    ]
    if len(experiments) != 1:
        raise InvalidSetting(
            f"{path} has {len(experiments)} documents of kind Experiment; it must have one"
        )
    try:
        return _experiment(experiments[0])
    except InvalidSetting as error:
        raise InvalidSetting(f"{path}: {error}") from None


def _experiment(document: dict[str, Any]) -> Experiment:
    name = str(_at(document, "metadata", "name", default="experiment"))
    if not re.fullmatch(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", name):
        raise InvalidSetting(
            f"metadata.name is {shown(name)}; Kubernetes allows a to z, 0 to 9, '-' and '.'"
        )
    spec = _mapping(document, "spec")
    algorithm = str(_at(spec, "algorithm", "algorithmName"))
    if algorithm not in SETTINGS:
        raise InvalidSetting(
            f"algorithmName is {shown(algorithm)}; architectures are searched by enas or darts"
        )
    given = _given(_at(spec, "algorithm", "algorithmSettings", default=[]))
    config = _mapping(spec, "nasConfig")
    graph = _mapping(config, "graphConfig")
    metric = str(_at(spec, "objective", "objectiveMetricName", default=METRICS[0]))
    goal = _at(spec, "objective", "goal", default=None)
    kind = _at(spec, "objective", "type", default="maximize")
    if algorithm == "enas" and metric not in METRICS:
        raise InvalidSetting(
            f"objectiveMetricName is {shown(metric)}; trials report {' and '.join(METRICS)}"
        )
    if kind != "maximize":
        raise InvalidSetting(f"the objective's type is {shown(kind)}; {metric} is to be maximized")
    if goal is not None and not _is_number(goal):
        raise InvalidSetting(f"the objective's goal is {shown(goal)}; it must be a number")
    trials = _at(spec, "maxTrialCount", default=None)
    return Experiment(
        name=name,
        algorithm=algorithm,
        settings=_settings(SETTINGS[algorithm], given, algorithm),
        given=given,
        layers=_whole(graph, "numLayers"),
        operations=_operations(config),
        input_sizes=_sizes(graph, "inputSizes"),
        output_sizes=_sizes(graph, "outputSizes"),
        metric=metric,
        goal=None if goal is None else float(goal),
        trials=None if trials is None else _whole(spec, "maxTrialCount"),
        parallel=_whole(spec, "parallelTrialCount", 3),
        epochs=_epochs(spec),
        failures=whole("maxFailedTrialCount", _number(spec.get("maxFailedTrialCount") or 0), 0),
        unused=tuple(_unused(spec)),
    )


#: What changes an experiment in Katib and not here.
_UNUSED = {
    "earlyStopping": "every trial is trained to its end",
    "parameters": "the space is that of nasConfig",
    "nasConfig.parameters": "the space is that of its operations",
    "objective.metricStrategies": "a metric is reported once, at the end of a trial",
}


def _unused(spec: dict[str, Any]) -> Iterator[str]:
    """What nothing here heeds, with the reason."""
    for path, reason in _UNUSED.items():
        if _at(spec, *path.split("."), default=None) is not None:
            yield f"{path} ({reason})"
    names = _at(spec, "objective", "additionalMetricNames", default=[])
    others = [name for name in names if name not in METRICS] if isinstance(names, list) else [names]
    if others:
        yield f"additionalMetricNames {', '.join(map(shown, others))} (there are {' and '.join(METRICS)})"


def _settings(
    defined: Mapping[str, Setting], given: Mapping[str, str], algorithm: str
) -> dict[str, float | int | None]:
    """Every setting, read as Katib reads it.

    Raises:
        InvalidSetting: a name that Katib does not know, or a value outside its interval.
    """
    if (other := next((name for name in given if name not in defined), None)) is not None:
        raise InvalidSetting(
            f"{algorithm} has no setting {shown(other)}; it has {', '.join(defined)}"
        )
    settings = {name: setting.default for name, setting in defined.items()}
    for name, text in given.items():
        setting = defined[name]
        if text == "None" and setting.optional:
            settings[name] = None
            continue
        is_whole = isinstance(setting.default, int)
        try:
            value = int(text) if is_whole else float(text)
        except ValueError:
            value = math.nan
        low, high = map(float, setting.interval[1:-1].split(","))
        at_end = (value == low and setting.interval[0] == "[") or (
            value == high and setting.interval[-1] == "]"
        )
        if not (low < value < high or at_end):
            number = "whole number" if is_whole else "number"
            raise InvalidSetting(
                f"{name} is {shown(text)}; it must be a {number} in {setting.interval}"
                + (", or None" if setting.optional else "")
            )
        settings[name] = value
    return settings


def _given(listed: Any) -> dict[str, str]:
    given: dict[str, str] = {}
    if not isinstance(listed, list):
        raise InvalidSetting("algorithmSettings must be a list of names and values")
    for each in listed:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise InvalidSetting(f"an algorithm setting is {shown(each)}; give name and value")
        given[each["name"]] = str(each.get("value"))
    return given


def _operations(config: dict[str, Any]) -> list[tuple[str, dict[str, Sequence[str | int]]]]:
    listed = config.get("operations")
    if not isinstance(listed, list) or not listed:
        raise InvalidSetting("nasConfig lists no operations; give operationType and parameters")
    made = []
    for operation in listed:
        kind = operation.get("operationType") if isinstance(operation, dict) else None
        if not isinstance(kind, str):
            raise InvalidSetting(f"an operation is {shown(operation)}; give an operationType")
        values: dict[str, Sequence[str | int]] = {}
        for parameter in operation.get("parameters") or []:
            name = parameter.get("name") if isinstance(parameter, dict) else None
            if not isinstance(name, str):
                raise InvalidSetting(f"a parameter of {kind} is {shown(parameter)}; give its name")
            values[name] = _values(f"{kind}: {name}", parameter)
        made.append((kind, values))
    return made


def _values(what: str, parameter: dict[str, Any]) -> Sequence[str | int]:
    """The values of a parameter in Katib's order: texts of a list, integers of a range."""
    kind, space = parameter.get("parameterType"), parameter.get("feasibleSpace")
    if not isinstance(space, dict):
        raise InvalidSetting(f"{what} has no feasibleSpace; give a list, or min and max")
    if kind in ("categorical", "discrete"):
        listed = space.get("list")
        if not isinstance(listed, list) or not listed:
            raise InvalidSetting(f"{what} has no list of values; give one")
        return [str(value) for value in listed[: _MOST_VALUES + 1]]
    if kind != "int":
        raise InvalidSetting(
            f"{what} has the parameterType {shown(kind)}; choose categorical, discrete or int"
        )
    low, high, step = (
        whole(f"{what}: {end}", _number(space.get(end, default)), 1, 1_000_000)
        for end, default in (("min", None), ("max", None), ("step", 1))
    )
    return list(range(low, high + 1, step))[: _MOST_VALUES + 1]


def _sizes(graph: dict[str, Any], name: str) -> tuple[int, ...]:
    sizes = graph.get(name) or []
    if not isinstance(sizes, list):
        raise InvalidSetting(f"{name} is {shown(sizes)}; give a list of numbers")
    return tuple(whole(name, _number(size), 1, 1_000_000) for size in sizes)


def _epochs(spec: dict[str, Any]) -> int | None:
    """``--num_epochs`` of the trial's command, wherever in its template."""
    words = " ".join(_words(spec.get("trialTemplate")))
    match = re.search(r"--num_epochs[=\s'\"]+([1-9]\d{0,5})\b", words)
    return None if match is None else int(match[1])


def _words(value: Any) -> Iterator[str]:
    """All text in a document, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif value is not None:
        yield str(value)


def _whole(mapping: dict[str, Any], name: str, default: int | None = None) -> int:
    return whole(name, _number(mapping.get(name, default)), 1, 1_000_000)


def _number(value: Any) -> Any:
    """Text of a number as the number."""
    text = isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value.strip())
    return int(value) if text else value


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value)) and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        return False


_REQUIRED = object()


def _at(mapping: Any, *keys: str, default: Any = _REQUIRED) -> Any:
    """What lies at a path of keys."""
    for place, key in enumerate(keys, 1):
        if not isinstance(mapping, dict) or mapping.get(key) is None:
            if default is _REQUIRED:
                raise InvalidSetting(f"there is no {'.'.join(keys[:place])}; Katib needs it")
            return default
        mapping = mapping[key]
    return mapping


def _mapping(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    value = _at(mapping, key)
    if not isinstance(value, dict):
        raise InvalidSetting(f"{key} is {shown(value)}; it must have entries of its own")
    return value
