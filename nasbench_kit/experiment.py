"""Experiment files (TOML), and the flags that mean the same.

    table = "digits"             # name or path; or a list of them: a comparison over many tasks
    seeds = 100                  # 0 to 99
    policy = "always"
    reward_images = "validation" # of weight sharing; or "half-of-training"
    device = "cpu"               # of weight sharing and of the fallback
    data = "photos.npz"          # of both, on a table made from images of your own
    fallback = true              # train what the table lacks
    space = "v7e9"               # of searches with a fallback; the table's whole space by default
    space = "nasbench-macro"     # without a table and a fallback: everything is trained,
    recipe = "digits"            # by this recipe,
    fidelities = [4, 12, 36]     # for as many epochs as a search asks,
    repeats = 3                  # with these seeds, 0 to 2, drawn and at last for the score
    objectives = ["accuracy", "seconds"]  # fronts are compared, by their hypervolume
    out = "runs/populations"

    [budget]                     # of each run; any of the three
    seconds = 600

    [algorithms.random-search]   # a label; without "method" it is the method's name as well

    [algorithms.re50]
    method = "regularized-evolution"
    population_size = 50

    [get]                        # shown where a table of that name, or pattern, is not at hand
    mine = "nasbench-kit convert FILE mine.h5"

On flags an algorithm is LABEL=METHOD(SETTING=VALUE, ...), with all but METHOD optional and values as
in TOML: ``--algorithms random-search "re50=regularized-evolution(population_size=50)"``. Both become
the same dictionary; a flag takes the place of what the file says.

Other people's packages add algorithms by an entry point of the group ``nasbench_kit.algorithms``,
whose object makes a search when it is called without arguments.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import fnmatch
import importlib.metadata
import json
import math
import os
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from nasbench_kit import checks, spaces
from nasbench_kit.algorithms import (
    ALGORITHMS,
    MULTI_OBJECTIVE,
    ON_EDGES,
    WEIGHT_SHARING,
    ZERO_COST,
    RandomSearch,
)
from nasbench_kit.compare import held_out
from nasbench_kit.compare.objectives import checked_objectives
from nasbench_kit.compare.plan import Plan, RewardImages
from nasbench_kit.compare.rehearsal import check_usable
from nasbench_kit.compare.run_folder import LIMITS, check_label
from nasbench_kit.compare.scores import scored_by
from nasbench_kit.data import tables
from nasbench_kit.data.data_sets import usual_recipe
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, UnknownName, did_you_mean
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.cost import fewest_rows
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.oracle.oracle import Oracle, Policy
from nasbench_kit.oracle.rates import Rates
from nasbench_kit.oracle.search import Search
from nasbench_kit.oracle.store import FILE_NAME
from nasbench_kit.oracle.task import Task
from nasbench_kit.spaces.nasbench101.space import CellSpace
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.system.files import home
from nasbench_kit.table.noise import Noise
from nasbench_kit.table.table import Table
from nasbench_kit.training.recipe import RECIPES, Recipe

#: What is compared unless otherwise stated: on tables of digits, where shared weights train within
#: seconds on any processor,
DIGITS_DEFAULTS: dict[str, Any] = {
    "seeds": 5,
    "budget": {"seconds": 600.0},
    "algorithms": {
        "random-search": {},
        "regularized-evolution": {},
        # 18 of 600 seconds for the supernet, the rest for queries of the best cells.
        "enas": {"method": "enas-small", "share": 0.03},
        "darts": {"method": "darts-small", "share": 0.03},
    },
}
#: and on all others.
DEFAULTS: dict[str, Any] = {
    "seeds": 20,
    "algorithms": {"random-search": {}, "regularized-evolution": {}},
}
#: What is compared where several objectives are named, and no algorithms.
OBJECTIVES_DEFAULTS: dict[str, dict[str, Any]] = {
    "random-front": {},
    "nsga2": {},
    "mo-regularized-evolution": {},
}
#: Where there is no table and everything is trained: few runs of few trainings.
TRAINED_DEFAULTS: dict[str, Any] = {
    "seeds": 3,
    "algorithms": {"random-search": {}, "regularized-evolution": {}},
}
#: Tables of fewer architectures are small: a search asks for the same one again and again.
SMALL = 10_000
#: Beside methods that ask for every architecture once; random search alone does not tell their merit
#: from that of not asking again.
CONTROL = "distinct-random-search"
#: Every search that needs no images and knows one objective.
_BLACK_BOX = [
    name for name in ALGORITHMS if name not in {**WEIGHT_SHARING, **ZERO_COST, **MULTI_OBJECTIVE}
]
#: Epochs there by the images' own recipe; nasbench101's are those of all other images.
_USUAL_FIDELITIES = {
    "digits": (4, 12, 36),
    "noisy-digits": (1, 4),
    "topics": (1, 3),
    "nasbench101": (4, 12, 36, 108),
}
#: The default budget there pays for this many of the longest trainings.
_TRAININGS = 10
#: The default budget of a table pays for about as many trainings at the largest fidelity; in full, for
#: ten times as many.
DEFAULT_QUERIES = 40
#: Each run is a file.
MOST_SEEDS = 1_000_000

#: Above it, a limit is none.
MOST_SPENT = 1e15
#: Of an experiment file.
_MOST_BYTES = 1 << 20

ENTRY_POINTS = "nasbench_kit.algorithms"
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
    "recipe": "the name of a recipe, digits, noisy-digits, nasbench101 or topics",
    "rates": "the path of a file that calibrate --space wrote",
    "out": "the path of a folder",
}
KEYS = (*SETTINGS, "budget", "algorithms", "get")
#: What is compared over many tables when nothing else is settings; not all of them may have seconds.
MANY_DEFAULTS: dict[str, Any] = {**DEFAULTS, "budget": {"queries": DEFAULT_QUERIES}}

_FLAG = re.compile(r"(?:(?P<label>[^=()]+)=)?(?P<method>[^=()]+)(?:\((?P<settings>.*)\))?")
#: A value of a flag that is a word.
_WORD = re.compile(r"(?<==)\s*(?!(?:true|false|inf|nan)\s*(?:,|$))([A-Za-z][\w.-]*)\s*(?=,|$)")


# From files and flags to one dictionary --------------------------------------------------------


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
    _known_keys(settings, KEYS, str(path))
    for key in ("budget", "algorithms", "get"):
        if not isinstance(settings.get(key, {}), dict):
            value = checks.shown(settings[key])
            raise InvalidSetting(f"{path}: {key} is {value}; write a table [{key}]")
    _known_keys(settings.get("budget", {}), LIMITS, f"{path} [budget]")
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
    if (trained := settings.get("trained")) is None:
        words += ["--table", str(settings["table"])]
    else:
        words += ["--recipe", trained.recipe, "--repeats", str(trained.repeats)]
        words += ["--fidelities", *map(str, trained.fidelities)]
        if trained.rates is not None:
            words += ["--rates", trained.rates]
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


# From the dictionary to a plan -------------------------------------------------------------------


def plan(settings: Mapping[str, Any]) -> Plan:
    """The plan of an experiment; what it does not say has its default.

    Args:
        settings: what ``read`` returned, or the same from flags.

    Raises:
        UnknownName: no such table, algorithm or setting; the message has the nearest name.
        InvalidSetting: a value that cannot work.
    """
    if not isinstance(settings, Mapping):
        raise InvalidSetting(
            f"the experiment is {checks.shown(settings)}; give what `read` returns"
        )
    _known_keys(settings, (*KEYS, "full"), "the experiment")
    _check_texts(settings)
    full = settings.get("full", False)
    if not isinstance(full, bool):
        raise InvalidSetting(f"full is {checks.shown(full)}; it must be true or false")
    fallback = settings.get("fallback", False)
    if not isinstance(fallback, bool):
        raise InvalidSetting(f"fallback is {checks.shown(fallback)}; write true or false")
    trained = (
        _Trained.of(settings)
        if "space" in settings and "table" not in settings and not fallback
        else None
    )
    if trained is None:
        _only_without_a_table(settings)
        name = settings.get("table", tables.DEFAULT)
        path = _found([name], settings.get("get", {}))[name]
        table = Table.open(path)
        default = defaults(table, full=full) | fair_defaults(table, fallback=fallback)
    else:
        name = path = None
        default = {"budget": {"epochs": float(_TRAININGS * trained.fidelities[-1])}}
        default |= {**TRAINED_DEFAULTS, "policy": "always", "held_out_repeats": 0}
    seeds = settings.get("seeds", default["seeds"])
    if not isinstance(seeds, int) or isinstance(seeds, bool) or not 1 <= seeds <= MOST_SEEDS:
        raise InvalidSetting(
            f"seeds is {checks.shown(seeds)}; give their number, 1 to {MOST_SEEDS:,}"
        )
    budget = _budget(settings.get("budget", {})) or default["budget"]
    policy = settings.get("policy", default["policy"])
    if not isinstance(policy, str) or policy not in get_args(Policy):
        raise InvalidSetting(
            f"policy is {checks.shown(policy)}; {did_you_mean(policy, get_args(Policy))}"
        )
    reward_images = settings.get("reward_images", "validation")
    if not isinstance(reward_images, str) or reward_images not in get_args(RewardImages):
        hint = did_you_mean(reward_images, get_args(RewardImages))
        raise InvalidSetting(f"reward_images is {checks.shown(reward_images)}; {hint}")
    device = settings.get("device", "cpu")
    if device != "cpu":
        from nasbench_kit.training.device import named

        named(device)
    data = settings.get("data")
    space = settings.get("space")
    objectives = checked_objectives(settings.get("objectives", ()))
    if objectives:
        default = {**default, "algorithms": OBJECTIVES_DEFAULTS, "control": False}
    entries, searches = _searches(
        settings.get("algorithms", default["algorithms"]), default.get("control", False)
    )
    held_out_repeats = settings.get("held_out_repeats", default["held_out_repeats"])
    given = {
        label: {
            key: entry[key] if key == "method" else getattr(searches[label], key) for key in entry
        }
        for label, entry in entries.items()
    }
    whole = {
        "table": name,
        "seeds": seeds,
        "policy": policy,
        "held_out_repeats": held_out_repeats,
        "objectives": objectives,
        "reward_images": reward_images,
        "device": device,
        "data": data,
        "fallback": fallback,
        "space": space,
        "trained": trained,
        "budget": budget,
        "algorithms": given,
    }
    plan = Plan(
        path,
        searches,
        range(seeds),
        budget,
        cast("Policy", policy),
        command(whole),
        _TaskFrom(data, *((None, None) if trained is None else trained.how(space))),
        cast("RewardImages", reward_images),
        device,
        _TrainerFrom(
            data,
            device,
            (home() / FILE_NAME).absolute(),
            *((None, None) if trained is None else trained.how(space)),
        )
        if fallback or trained
        else None,
        None if space is None else spaces.named(space),
        held_out_repeats=held_out_repeats,
        objectives=objectives,
    )
    if trained is None:
        return plan
    return dataclasses.replace(plan, fidelities=trained.fidelities, repeats=trained.repeats)


def _searches(entries: Any, control: bool) -> tuple[Mapping[str, Any], dict[str, Search]]:
    """The entries of all algorithms, and the searches that they describe, with a control where one is due."""
    if not isinstance(entries, Mapping) or not entries:
        raise InvalidSetting(
            f"algorithms are {checks.shown(entries)}; write a table [algorithms.NAME] for each, or none at all"
        )
    searches = {label: search(label, entry) for label, entry in entries.items()}
    if control and _lack_a_control(searches):
        entries = {**entries, CONTROL: {}}
        searches[CONTROL] = search(CONTROL, {})
    return entries, searches


def plans(settings: Mapping[str, Any]) -> dict[str, Plan]:
    """The plans of an experiment over many tables, by the name of each task; see ``plan``.

    A task is called as its table, or by the NAME of an entry ``NAME=TABLE``. Without a budget, each
    run has as many queries on every table.

    Args:
        settings: as of ``plan``, with a list of tables.

    Raises:
        UnknownName: some tables are not at hand; the message names all of them, and how to get each.
        InvalidSetting: two tasks of one name; or as ``plan``.
    """
    entries = settings["table"]
    if not isinstance(entries, list | tuple) or not entries:
        raise InvalidSetting(f"table is {checks.shown(entries)}; give a list of names or paths")
    for entry in entries:
        _check_texts({"table": entry})
    split = [_task(entry) for entry in entries]
    paths = _found([table for _, table in split], settings.get("get", {}))
    if settings.get("objectives"):
        raise InvalidSetting(
            "objectives are compared on one table at a time; name one, or leave objectives out"
        )
    default = MANY_DEFAULTS
    if settings.get("full"):
        default = _full_of_many([Table.open(path) for path in dict.fromkeys(paths.values())])
    given = {key: value for key, value in settings.items() if value or key != "budget"}
    table_by_task: dict[str, str] = {}
    for name, table in split:
        task = name or Table.open(paths[table]).name
        if task in table_by_task:
            raise InvalidSetting(
                f"two tasks are called {task!r}, {table_by_task[task]} and {table}; give one of them "
                f"another name, as in NAME={table}"
            )
        table_by_task[task] = table
    return {
        task: plan({**default, **given, "table": table}) for task, table in table_by_task.items()
    }


def _task(entry: str) -> tuple[str | None, str]:
    """Name of the task, if there is one, and table of an entry ``NAME=TABLE`` or ``TABLE``."""
    name, equals, table = entry.partition("=")
    if not equals or entry in tables.known() or os.path.isfile(entry):
        return None, entry
    return name.strip(), table.strip()


def _full_of_many(listed: Sequence[Table]) -> dict[str, Any]:
    """Every search that needs no images and can be used on all tables, a hundred seeds, a serious budget."""
    budget = {"queries": 10 * DEFAULT_QUERIES}
    usable = [_usable(table, budget) for table in listed]
    searches = {
        name: settings
        for name, settings in usable[0].items()
        if all(name in each for each in usable)
    }
    return {"seeds": 100, "budget": budget, "algorithms": searches}


def _usable(table: Table, budget: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Every search that needs no images, but those that refuse the table or the budget."""
    oracle = Oracle(table, Budget(**budget), np.random.default_rng(0))  # type: ignore[arg-type]
    usable: dict[str, dict[str, Any]] = {}
    for name in _BLACK_BOX:
        made = ALGORITHMS[name]()
        with contextlib.suppress(InvalidSetting):
            check_usable(name, made, oracle)
            usable[name] = {}
    return usable


def _found(names: Sequence[str], get: Any) -> dict[str, Path]:
    """The files of tables by name.

    Args:
        names: of tables, or paths.
        get: how to get tables that may not be at hand, by name, or a pattern with ``*``.

    Raises:
        UnknownName: naming all that are not at hand.
    """
    if not isinstance(get, Mapping) or not all(isinstance(how, str) for how in get.values()):
        raise InvalidSetting(f"get is {checks.shown(get)}; write a table [get] of texts")
    found: dict[str, Path] = {}
    absent: dict[str, list[str]] = {}  # by the way to get them, or why they are not at hand
    for name in names:
        try:
            found[name] = tables.find(name)
        except UnknownName as error:
            way = next((way for key, way in get.items() if fnmatch.fnmatchcase(name, key)), None)
            absent.setdefault(way or str(error), []).append(name if way else "")
    if not absent:
        return found
    lines = [
        f"{', '.join(missing)}: {way}" if any(missing) else way for way, missing in absent.items()
    ]
    if len(names) == 1:
        raise UnknownName(f"no table at hand is {lines[0]}" if any(*absent.values()) else lines[0])
    count = len(names) - len(found)
    raise UnknownName(f"{count} of the {len(names)} tables are not at hand; {'; '.join(lines)}")


def _check_texts(settings: Mapping[str, Any]) -> None:
    """Refuse what is no text where there must be some."""
    for key, what in _TEXTS.items():
        value = settings.get(key, "text")
        if value is None and key == "data":
            continue
        if not isinstance(value, str) or not value.strip() or not _printable(value):
            raise InvalidSetting(f"{key} is {checks.shown(value)}; give {what}, or leave it out")


@dataclasses.dataclass(frozen=True)
class _Trained:
    """How architectures are trained where there is no table."""

    recipe: str
    fidelities: tuple[int, ...]
    repeats: int
    #: The file of prices, if there is one.
    rates: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> _Trained:
        """What an experiment says of it; the rest by its images."""
        usual = usual_recipe(settings.get("data"))
        recipe = settings.get("recipe", usual)
        if not isinstance(recipe, str) or recipe not in RECIPES:
            raise UnknownName(
                f"no recipe is called {checks.shown(recipe)}; {did_you_mean(recipe, RECIPES)}"
            )
        fidelities = settings.get("fidelities", _USUAL_FIDELITIES[usual])
        if not isinstance(fidelities, list | tuple):
            raise InvalidSetting(
                f"fidelities are {checks.shown(fidelities)}; give epochs, such as [4, 12, 36]"
            )
        repeats, rates = settings.get("repeats", 3), settings.get("rates")
        return cls(recipe, tuple(fidelities), repeats, rates)

    def how(self, space: str | None) -> tuple[str, Rates | None]:
        """The recipe and the prices of a space's trainings.

        Raises:
            InvalidSetting: the prices are of another space.
        """
        if self.rates is None:
            return self.recipe, None
        rates = Rates.load(Path(self.rates))
        if rates.space != space:
            raise InvalidSetting(
                f"the rates in {self.rates} are of the space {rates.space}, and the space is {space}; "
                f"measure others with nasbench-kit calibrate --space {space}"
            )
        return self.recipe, rates


def _only_without_a_table(settings: Mapping[str, Any]) -> None:
    """Refuse settings of trainings where a table has made them already."""
    for key in ("recipe", "fidelities", "repeats", "rates"):
        if key in settings:
            raise InvalidSetting(
                f"{key} is {checks.shown(settings[key])}, and the table was made with its own; leave it out, or name a "
                "space and no table, so that everything is trained"
            )


@dataclasses.dataclass(frozen=True)
class _TaskFrom:
    """Opens the task of a table, or of images; equal ones open the same, in whatever process."""

    data: str | None
    recipe: str | None = None
    rates: Rates | None = None

    def __call__(self, table: Table | None) -> Task:
        from nasbench_kit.data.tasks import open_task, task_on  # only weight sharing needs images

        if table is None:
            return task_on(self.data, _recipe(self.recipe), self.rates)
        return open_task(table, self.data)


@dataclasses.dataclass(frozen=True)
class _TrainerFrom:
    """Opens the fallback of a table, or what trains without one.

    Its store is that of the process that made the plan.
    """

    data: str | None
    device: str
    store: Path
    recipe: str | None = None
    rates: Rates | None = None

    def __call__(self, table: Table | None) -> StoredTrainer:
        from nasbench_kit.data.tasks import open_fallback, open_trainer

        if table is None:
            return open_trainer(
                self.data,
                _recipe(self.recipe),
                device=self.device,
                store=self.store,
                rates=self.rates,
            )
        return open_fallback(table, self.data, device=self.device, store=self.store)


def _recipe(name: str | None) -> Recipe:
    assert name is not None  # without a table there is one
    return RECIPES[name]


def _budget(settings: Mapping[str, Any]) -> dict[str, float]:
    """Limits as numbers of the type that they count in."""
    if not isinstance(settings, Mapping):
        raise InvalidSetting(f"budget is {checks.shown(settings)}; write a table [budget]")
    _known_keys(settings, LIMITS, "the budget")
    budget: dict[str, float] = {}
    for name in LIMITS:
        if name not in settings:
            continue
        limit = settings[name]
        if not isinstance(limit, int | float) or isinstance(limit, bool):
            raise InvalidSetting(f"the budget's {name} are {checks.shown(limit)}; give a number")
        if limit < 0:
            raise InvalidSetting(
                f"the budget's {name} are {checks.shown(limit)}; give a number >= 0"
            )
        if limit > MOST_SPENT:
            raise InvalidSetting(
                f"the budget's {name} are above {MOST_SPENT:g}; no run would ever end, give less"
            )
        if name == "queries" and limit % 1:
            raise InvalidSetting(f"the budget's queries are {limit}; give a whole number")
        budget[name] = int(limit) if name == "queries" else float(limit)
    return budget


def defaults(table: Table, *, full: bool = False) -> dict[str, Any]:
    """Seeds, budget and algorithms of an experiment that does not say them.

    Args:
        table: on digits, weight sharing competes; elsewhere it would need a GPU, and its methods are
            to be named.
        full: every method that can be used there, ten seeds on digits and a hundred elsewhere, and a serious budget.
    """
    digits = table.provenance.get("images") == "digits"
    digits = digits and table.complete and len(table) >= fewest_rows(table, Skeleton(), (8, 8, 1))
    if digits and not full:
        return DIGITS_DEFAULTS
    if not full:
        return {"budget": _paying_for(DEFAULT_QUERIES, table), **DEFAULTS}
    budget = {"seconds": 1200.0} if digits else _paying_for(10 * DEFAULT_QUERIES, table)
    algorithms = _usable(table, budget)
    if digits:
        # 180 of 1,200 seconds for the supernet.
        small = [
            name
            for name in WEIGHT_SHARING
            if name.endswith("-small") and not name.startswith(ON_EDGES)
        ]
        algorithms |= {name: {"share": 0.15} for name in small}
        algorithms["zero-cost-small"] = {}
        return {"seeds": 10, "budget": budget, "algorithms": algorithms}
    return {"seeds": 100, "budget": budget, "algorithms": algorithms}


def fair_defaults(table: Table, *, fallback: bool = False) -> dict[str, Any]:
    """Policy, repeats kept for scoring, and whether a control runs, where an experiment does not say.

    On a small table of noisy measurements a search that asks the same question often would keep the
    luckiest answer. There an answer is the mean over the repeats that searches see, so that asking again
    brings nothing, and one repeat of three or more is kept for scoring.

    Args:
        table: what is searched.
        fallback: whether what the table lacks is trained; then all repeats are seen.
    """
    measured = Noise.of(table.provenance) is None
    common = held_out.common_repeats(table, scored_by(table)) if measured else 1
    if common < 2 or len(table) >= SMALL:
        return {"policy": "always", "held_out_repeats": 0}
    kept = 1 if common > 2 and not fallback else 0
    return {"policy": "mean", "held_out_repeats": kept, "control": True}


def _lack_a_control(searches: Mapping[str, Search]) -> bool:
    """Whether some ask for every architecture once, and none of them is random search."""
    once = [search for search in searches.values() if getattr(search, "asks_once", False)]
    return bool(once) and not any(isinstance(search, RandomSearch) for search in once)


def _paying_for(queries: int, table: Table) -> dict[str, float]:
    """A budget that pays for about this many queries at the largest fidelity."""
    fair = fair_defaults(table)
    price = mean_price(table, fair["policy"], fair["held_out_repeats"])
    if price is None:
        return {"queries": queries}
    return {"seconds": float(f"{queries * price:.3g}")}


def mean_price(table: Table, policy: str = "always", held_out_repeats: int = 0) -> float | None:
    """Mean seconds of a query at the largest fidelity, of what random search draws.

    Args:
        table: what is asked; the answer is None where it records no seconds.
        policy: under "mean" a query pays for all repeats that searches see.
        held_out_repeats: those that they do not see.
    """
    if not table.has("seconds"):
        return None
    # Not the mean over rows: a space may draw some architectures much more often than others.
    space, rng = table.covered, np.random.default_rng(0)
    if isinstance(space, CellSpace):
        drawn = space.sample(rng, 1000)
    else:
        drawn = np.array([space.index(space.sample(rng)) for _ in range(1000)])
    trainings = table.repeats - held_out_repeats if policy == "mean" else 1
    return trainings * float(table.mean("seconds")[drawn].mean())


# Algorithms ------------------------------------------------------------------------------------


def known_algorithms() -> dict[str, Callable[[], Callable[[], Search]]]:
    """Every algorithm that goes by a name, to be loaded; a built-in one wins over another's."""
    others = importlib.metadata.entry_points(group=ENTRY_POINTS)
    makers: dict[str, Callable[[], Callable[[], Search]]] = {
        entry.name: entry.load for entry in others
    }
    return makers | {name: lambda make=make: make for name, make in ALGORITHMS.items()}


def search(label: str, entry: Any) -> Search:
    """The search of one entry of ``[algorithms]``.

    Raises:
        UnknownName: no such method or setting.
        InvalidSetting: a label that is no file's name, a value of another type, or one that the
            algorithm refuses.
    """
    check_label(label)
    if not isinstance(entry, dict):
        raise InvalidSetting(
            f"algorithm {label} is {checks.shown(entry)}; write a table [algorithms.{label}]"
        )
    settings = dict(entry)
    method = settings.pop("method", label)
    if not isinstance(method, str):
        raise InvalidSetting(
            f"{label}: method is {checks.shown(method)}; give the name of an algorithm"
        )
    makers = known_algorithms()
    if method not in makers:
        raise UnknownName(
            f"no algorithm is called {checks.shown(method)}; {did_you_mean(method, makers)}"
        )
    try:
        made = makers[method]()()
    except NasbenchKitError:
        raise
    except Exception as error:  # other people's code
        raise InvalidSetting(
            f"the algorithm {method} cannot be loaded: {checks.shown(error, 300)}"
        ) from error
    if not settings:
        return made
    if not dataclasses.is_dataclass(made) or isinstance(made, type):
        raise InvalidSetting(f"{label}: {method} has no settings, as it is no dataclass")
    hints = get_type_hints(type(made))
    names = [field.name for field in dataclasses.fields(made) if field.init]
    _known_keys(settings, names, f"algorithm {label}")
    for name, value in settings.items():
        if not _fits(value, hints[name]):
            raise InvalidSetting(
                f"{label}: {name} is {checks.shown(value)}; it must be {_type_name(hints[name])}"
            )
        if hints[name] is float:
            settings[name] = float(value)
    try:
        return cast("Search", dataclasses.replace(made, **settings))
    except InvalidSetting as error:
        raise InvalidSetting(f"{label}: {error}") from None


def _printable(text: str) -> bool:
    """Whether a text can be written and passed on: no NUL, nothing that UTF-8 lacks."""
    return "\0" not in text and text == text.encode(errors="replace").decode()


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a TOML file is of a field's type; other types are left to the class."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (abs(value) <= sys.float_info.max or abs(value) == math.inf)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, types.NoneType):
        return isinstance(value, hint)
    return True


def _type_name(hint: Any) -> str:
    """A type as an experiment's author knows it."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(
            _type_name(part) for part in get_args(hint) if part is not types.NoneType
        )
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, str(hint))


def _known_keys(settings: Iterable[str], allowed: Iterable[str], where: str) -> None:
    names = list(allowed)
    for key in settings:
        if key not in names:
            raise UnknownName(f"{where} has no key {checks.shown(key)}; {did_you_mean(key, names)}")
