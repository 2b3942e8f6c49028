"""From an experiment file, or flags, to one dictionary of settings; and back to a command."""

from __future__ import annotations

import codecs
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nasbench_kit import checks
from nasbench_kit.compare.checks import checked_limits
from nasbench_kit.compare.run_folder import LIMITS
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, UnknownName, did_you_mean

#: Above it, a limit is none.
MOST_SPENT = 1e15
#: Of an experiment file.
_MOST_BYTES = 1 << 20
SETTINGS = (
    "table",
    "seeds",
    "policy",
    "reward_images",
    "device",
    "data",
    "fallback",
    "space",
    "recipe",
    "fidelities",
    "repeats",
    "rates",
    "held_out_repeats",
    "objectives",
    "out",
)
#: Those that are text, and what they may be.
_TEXTS = {
    "table": "a name or a path",
    "device": "a name such as 'cpu' or 'cuda'",
    "data": "a name or a path",
    "space": "a name such as 'v7e9'",
    "recipe": "the name of a recipe such as 'digits' or 'darts'",
    "rates": "the path of a file that calibrate --space wrote",
    "out": "the path of a folder",
}
KEYS = (*SETTINGS, "budget", "algorithms", "get")
_FLAG = re.compile(r"(?:(?P<label>[^=()]+)=)?(?P<method>[^=()]+)(?:\((?P<settings>.*)\))?")
#: A value of a flag that is a word.
_WORD = re.compile(r"(?<==)\s*(?!(?:true|false|inf|nan)\s*(?:,|$))([A-Za-z][\w.-]*)\s*(?=,|$)")


def read(path: Path) -> dict[str, Any]:
    """What an experiment file says.

    Raises:
        InvalidSetting: no such file, no TOML in UTF-8, or a key that no experiment has.
    """
    if not isinstance(path, str | Path):
        raise InvalidSetting(f"the experiment file is {checks.shown(path)}; give a path")
    path = Path(path)
    try:
        if not path.is_file() and path.exists():
            raise InvalidSetting(f"{path} is no regular file; name an experiment file (TOML)")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        if isinstance(error, NasbenchKitError):
            raise
        raise InvalidSetting(
            f"the experiment file {path} cannot be read "
            f"({getattr(error, 'strerror', error)}); name one that can"
        ) from error
    try:
        settings = _toml(_decoded(content))
    except ValueError as error:
        raise InvalidSetting(f"{path} is no experiment file: {error}") from error
    check_keys(settings, KEYS, str(path))
    for key in ("budget", "algorithms", "get"):
        if not isinstance(settings.get(key, {}), dict):
            value = checks.shown(settings[key])
            raise InvalidSetting(f"{path}: {key} is {value}; write a table [{key}]")
    check_keys(settings.get("budget", {}), LIMITS, f"{path} [budget]")
    return {"out": str(Path("runs") / path.stem), **settings}


def _decoded(content: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it is none.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    # Without a mark, every second byte of such a text in ASCII is 0.
    if wide or (b"\0" in content and not (any(content[::2]) and any(content[1::2]))):
        raise ValueError("it is UTF-16 or UTF-32; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise ValueError(
            f"byte {error.start} (0x{byte:02x}) is no UTF-8, perhaps Latin-1; save it as UTF-8"
        ) from error


def _toml(text: str) -> dict[str, Any]:
    """What a text in TOML says.

    Raises:
        ValueError: it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("it has too many levels") from None
    except ValueError as error:  # Python reads no longer ones
        most = sys.get_int_max_str_digits()
        raise ValueError(f"a number has more than {most:,} digits; give a smaller one") from error


def algorithm_flag(text: str) -> tuple[str, dict[str, Any]]:
    """Label and settings of ``LABEL=METHOD(SETTING=VALUE, ...)``.

    Raises:
        InvalidSetting: not of this form.
    """
    if not isinstance(text, str):
        raise InvalidSetting(f"the algorithm is {checks.shown(text)}; give text")
    match = _FLAG.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("write METHOD, or LABEL=METHOD(SETTING=VALUE, ...)")
        method = match["method"].strip()
        written = match["settings"] or ""
        if not {'"', "'"} & set(written):  # words need no quotes, which the shell would want twice
            written = _WORD.sub(r' "\1"', written)
        read = _toml(f"settings = {{{written}}}")
        if read.keys() != {"settings"}:
            raise ValueError("one line only")
    except ValueError as error:
        raise InvalidSetting(
            f"the algorithm {checks.shown(text)} cannot be read: {error}"
        ) from error
    return (match["label"] or method).strip(), {"method": method, **read["settings"]}


def command(settings: Mapping[str, Any]) -> str:
    """The shell command, of flags only, that says the same (its folder apart)."""
    words = ["nasbench-kit", "compare"]
    if (trainings := settings["trainings"]) is None:
        words += ["--table", str(settings["table"])]
    else:
        words += ["--recipe", trainings.recipe, "--repeats", str(trainings.repeats)]
        words += ["--fidelities", *map(str, trainings.fidelities)]
        if trainings.rates_file is not None:
            words += ["--rates", trainings.rates_file]
    words += ["--seeds", str(settings["seeds"]), "--policy", settings["policy"]]
    if settings["held_out_repeats"]:
        words += ["--held-out-repeats", str(settings["held_out_repeats"])]
    if settings["objectives"]:
        words += ["--objectives", *settings["objectives"]]
    words += ["--reward-images", settings["reward_images"], "--device", settings["device"]]
    if settings["data"] is not None:
        words += ["--data", settings["data"]]
    if settings["fallback"]:
        words.append("--fallback")
    if settings["space"] is not None:
        words += ["--space", settings["space"]]
    for name, limit in settings["budget"].items():
        words += [f"--{name}", repr(limit).removesuffix(".0")]
    words.append("--algorithms")
    for label, entry in settings["algorithms"].items():
        own = {key: value for key, value in entry.items() if key != "method"}
        method = entry.get("method", label)
        text = method if label == method else f"{label}={method}"
        if own:
            # What JSON writes of strings, numbers, booleans and lists is TOML as well.
            given = (f"{key}={json.dumps(value)}" for key, value in own.items())
            text += f"({', '.join(given)})"
        words.append(text)
    return shlex.join(words)


def check_keys(settings: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Refuse a key that has no meaning, with the nearest that has one."""
    names = list(allowed)
    for key in settings:
        if key not in names:
            raise UnknownName(f"{where} has no key {checks.shown(key)}; {did_you_mean(key, names)}")


def check_texts(settings: Mapping[str, Any]) -> None:
    """Refuse what is no text where there must be some."""
    for key, what in _TEXTS.items():
        value = settings.get(key, "text")
        if value is None and key == "data":
            continue
        if not isinstance(value, str) or not value.strip() or not _printable(value):
            raise InvalidSetting(f"{key} is {checks.shown(value)}; give {what}, or leave it out")


def _printable(text: str) -> bool:
    """Whether a text can be written and passed on: no NUL, nothing that UTF-8 lacks."""
    return "\0" not in text and text == text.encode(errors="replace").decode()


def limits(settings: Mapping[str, Any]) -> dict[str, float]:
    """The limits of ``[budget]`` as numbers of the type that they count in.

    Raises:
        InvalidSetting: no table, another limit, or a number that cannot work.
        UnknownName: a key that no budget has.
    """
    if not isinstance(settings, Mapping):
        raise InvalidSetting(f"budget is {checks.shown(settings)}; write a table [budget]")
    check_keys(settings, LIMITS, "the budget")
    given = checked_limits(settings) if settings else {}
    for name, limit in given.items():
        if limit > MOST_SPENT:
            raise InvalidSetting(
                f"the budget's {name} are above {MOST_SPENT:g}; no run would ever end, give less"
            )
    kinds = {"queries": int}
    return {name: kinds.get(name, float)(given[name]) for name in LIMITS if name in given}
