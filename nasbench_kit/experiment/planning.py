"""From the settings of an experiment to a plan: one table, several, or none."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasbench_kit import checks, spaces
from nasbench_kit.compare.checks import checked_choice
from nasbench_kit.compare.objectives import checked_objectives
from nasbench_kit.compare.plan import Plan, RewardImages
from nasbench_kit.data import tables
from nasbench_kit.errors import InvalidSetting, UnknownName
from nasbench_kit.experiment.defaults import (
    MANY_DEFAULTS,
    OBJECTIVES_DEFAULTS,
    defaults,
    fair_defaults,
    full_of_many,
    trained_defaults,
)
from nasbench_kit.experiment.searches import CONTROL, lack_a_control, search_of
from nasbench_kit.experiment.settings import KEYS, check_keys, check_texts, command, limits
from nasbench_kit.experiment.trainings import OpenTask, OpenTrainer, Trainings
from nasbench_kit.oracle.oracle import Policy
from nasbench_kit.oracle.store import FILE_NAME
from nasbench_kit.system.files import home
from nasbench_kit.table.table import Table

#: Each run is a file.
MOST_SEEDS = 1_000_000


def plan_of(settings: Mapping[str, Any]) -> Plan:
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
    check_keys(settings, (*KEYS, "full"), "the experiment")
    check_texts(settings)
    full, fallback = _switch(settings, "full"), _switch(settings, "fallback")
    name = path = trainings = None
    if "space" in settings and "table" not in settings and not fallback:
        trainings = Trainings.of(settings)
        default = trained_defaults(trainings.fidelities[-1])
    else:
        _refuse_trainings(settings)
        name = settings.get("table", tables.DEFAULT)
        path = _paths([name], settings.get("get", {}))[name]
        table = Table.open(path)
        default = defaults(table, full=full) | fair_defaults(table, fallback=fallback)
    objectives = checked_objectives(settings.get("objectives", ()))
    if objectives:
        default = {**default, "algorithms": OBJECTIVES_DEFAULTS, "control": False}
    entries = settings.get("algorithms", default["algorithms"])
    if not isinstance(entries, Mapping) or not entries:
        raise InvalidSetting(
            f"algorithms are {checks.shown(entries)}; write a table [algorithms.NAME] for each, or none at all"
        )
    searches = {label: search_of(label, entry) for label, entry in entries.items()}
    if default.get("control") and lack_a_control(searches):
        entries = {**entries, CONTROL: {}}
        searches[CONTROL] = search_of(CONTROL, {})
    whole = {
        "table": name,
        "seeds": checks.whole("seeds", settings.get("seeds", default["seeds"]), 1, MOST_SEEDS),
        "policy": settings.get("policy", default["policy"]),
        "held_out_repeats": settings.get("held_out_repeats", default["held_out_repeats"]),
        "objectives": objectives,
        "reward_images": settings.get("reward_images", "validation"),
        "device": settings.get("device", "cpu"),
        "data": settings.get("data"),
        "fallback": fallback,
        "space": settings.get("space"),
        "trainings": trainings,
        "budget": limits(settings.get("budget", {})) or default["budget"],
        "algorithms": {
            label: {
                key: value if key == "method" else getattr(searches[label], key)
                for key, value in entry.items()
            }
            for label, entry in entries.items()
        },
    }
    checked_choice(whole["policy"], Policy, "policy")
    checked_choice(whole["reward_images"], RewardImages, "reward_images")
    if whole["device"] != "cpu":
        from nasbench_kit.training.device import named

        named(whole["device"])
    trainer = None
    if fallback or trainings:
        store = (home() / FILE_NAME).absolute()
        trainer = OpenTrainer(whole["data"], whole["device"], store, trainings)
    trained: dict[str, Any] = (
        {"fidelities": trainings.fidelities, "repeats": trainings.repeats} if trainings else {}
    )
    return Plan(
        path,
        searches,
        range(whole["seeds"]),
        whole["budget"],
        whole["policy"],
        command(whole),
        task=OpenTask(whole["data"], trainings),
        reward_images=whole["reward_images"],
        device=whole["device"],
        fallback=trainer,
        space=None if whole["space"] is None else spaces.named(whole["space"]),
        held_out_repeats=whole["held_out_repeats"],
        objectives=objectives,
        **trained,
    )


def plans_of(settings: Mapping[str, Any]) -> dict[str, Plan]:
    """The plans of an experiment over many tables, by the name of each task; see ``plan_of``.

    A task is called as its table, or by the NAME of an entry ``NAME=TABLE``. Without a budget, each
    run has as many queries on every table.

    Args:
        settings: as of ``plan_of``, with a list of tables.

    Raises:
        UnknownName: some tables are not at hand; the message names all of them, and how to get each.
        InvalidSetting: two tasks of one name; or as ``plan_of``.
    """
    entries = settings["table"]
    if not isinstance(entries, list | tuple) or not entries:
        raise InvalidSetting(f"table is {checks.shown(entries)}; give a list of names or paths")
    for entry in entries:
        check_texts({"table": entry})
    split = [_task(entry) for entry in entries]
    paths = _paths([table for _, table in split], settings.get("get", {}))
    if settings.get("objectives"):
        raise InvalidSetting(
            "objectives are compared on one table at a time; name one, or leave objectives out"
        )
    default = MANY_DEFAULTS
    if settings.get("full"):
        default = full_of_many([Table.open(path) for path in dict.fromkeys(paths.values())])
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
        task: plan_of({**default, **given, "table": table}) for task, table in table_by_task.items()
    }


def _task(entry: str) -> tuple[str | None, str]:
    """Name of the task, if there is one, and table of an entry ``NAME=TABLE`` or ``TABLE``."""
    name, equals, table = entry.partition("=")
    if not equals or entry in tables.known() or os.path.isfile(entry):
        return None, entry
    return name.strip(), table.strip()


def _paths(names: Sequence[str], get: Any) -> dict[str, Path]:
    """The files of tables by name.

    Args:
        names: of tables, or paths.
        get: how to get tables that may not be at hand, by name, or a pattern with ``*``.

    Raises:
        UnknownName: naming all that are not at hand.
    """
    if not isinstance(get, Mapping) or not all(isinstance(how, str) for how in get.values()):
        raise InvalidSetting(f"get is {checks.shown(get)}; write a table [get] of texts")
    paths: dict[str, Path] = {}
    absent: dict[str, list[str]] = {}  # by the way to get them, or why they are not at hand
    for name in names:
        try:
            paths[name] = tables.find(name)
        except UnknownName as error:
            way = next((way for key, way in get.items() if fnmatch.fnmatchcase(name, key)), None)
            absent.setdefault(way or str(error), []).append(name if way else "")
    if not absent:
        return paths
    lines = [
        f"{', '.join(missing)}: {way}" if any(missing) else way for way, missing in absent.items()
    ]
    if len(names) == 1:
        raise UnknownName(f"no table at hand is {lines[0]}" if any(*absent.values()) else lines[0])
    count = len(names) - len(paths)
    raise UnknownName(f"{count} of the {len(names)} tables are not at hand; {'; '.join(lines)}")


def _switch(settings: Mapping[str, Any], key: str) -> bool:
    value = settings.get(key, False)
    if not isinstance(value, bool):
        raise InvalidSetting(f"{key} is {checks.shown(value)}; write true or false")
    return value


def _refuse_trainings(settings: Mapping[str, Any]) -> None:
    """Refuse settings of trainings where a table has made them already."""
    for key in ("recipe", "fidelities", "repeats", "rates"):
        if key in settings:
            raise InvalidSetting(
                f"{key} is {checks.shown(settings[key])}, and the table was made with its own; leave it out, or name a "
                "space and no table, so that everything is trained"
            )
