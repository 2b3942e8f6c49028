"""The command ``katib``: a Katib experiment on this machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.checks import counted
from nasbench_kit.cli import streams
from nasbench_kit.cli.common import (
    add_json,
    count,
    positive,
    print_json,
    print_text,
    progress_bar,
    seed,
)
from nasbench_kit.cli.train import add_recipe, asked_recipe
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.system.files import check_writable
from nasbench_kit.system.workers import check_workers
from nasbench_kit.training.recipe import KATIB, NASBENCH101

#: Of a search without a budget of its own, which its number of epochs ends.
_MOST_EPOCHS = 1e12

if TYPE_CHECKING:
    from nasbench_kit.katib.experiment import Experiment
    from nasbench_kit.katib.trials import Trial


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "katib",
        help="run a Katib NAS experiment on this machine",
        description="Read nasConfig and algorithm settings of a Katib experiment (enas, darts), run its trials "
        "here, and print their metrics as Katib's collector reads them. Each trial's assignments are "
        "written as Katib writes them. Killed and started again, it trains what is missing.",
        epilog="Example: nasbench-kit katib experiment.yaml --trials 20",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT.yaml", help="of kind Experiment")
    add_recipe(parser)
    parser.add_argument(
        "--epochs",
        type=count,
        help="of each trial (default: --num_epochs of the trial's command, else 10)",
    )
    budget = parser.add_argument_group("budget")
    budget.add_argument(
        "--trials", type=count, metavar="N", help="at most (default: maxTrialCount, else 12)"
    )
    budget.add_argument(
        "--total-epochs",
        type=positive,
        metavar="N",
        help="of all trials together (default: no limit)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="default: %(default)s")
    parser.add_argument(
        "--workers",
        type=count,
        default=1,
        metavar="N",
        help="processes that train the parallelTrialCount trials of a round (default: %(default)s); the trials "
        "do not depend on it",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: runs/NAME)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run; the space gets its name"
    )
    add_json(parser)
    parser.set_defaults(run=run_katib)


def run_katib(args: argparse.Namespace) -> int:
    """Run the trials, print their metrics, write their files."""
    from nasbench_kit.data.data_sets import usual_recipe
    from nasbench_kit.katib import experiment as files

    experiment = files.read(args.experiment)
    # Images without a recipe of their own are trained on as in Katib's trials.
    if args.recipe is None and usual_recipe(args.data) == NASBENCH101.name:
        args.recipe = KATIB.name
    check_workers(args.workers)
    if experiment.unused:
        streams.note(f"not heeded here: {'; '.join(experiment.unused)}")
    folder = args.out or Path("runs") / experiment.name
    run = _run_darts if experiment.algorithm == "darts" else _run_enas
    return run(args, experiment, folder)


def _run_darts(args: argparse.Namespace, experiment: Experiment, folder: Path) -> int:
    from nasbench_kit.data.images.image_sets import open_images
    from nasbench_kit.katib import darts, trials
    from nasbench_kit.oracle.fallback import StoredTrainer
    from nasbench_kit.spaces.kept import keep
    from nasbench_kit.training.device import usable

    for name in ("epochs", "trials"):
        if getattr(args, name) is not None:
            raise InvalidSetting(
                f"--{name} is of ENAS experiments; a DARTS experiment is one trial of num_epochs epochs"
            )
    space, search = darts.space_of(experiment), darts.search_of(experiment)
    assert search.epochs is not None  # num_epochs
    usable(args.device)
    keep(space)
    assigned = darts.assignments(experiment)
    if args.dry_run:
        plan = {"space": space.name, "trials": 1, "epochs": search.epochs, "folder": str(folder)}
        _print_plan(args, experiment, {**plan, "assignments": assigned})
        return 0
    check_writable(folder / "experiment.json")
    images = open_images(args.data)
    trainer = StoredTrainer(images, asked_recipe(args), device=args.device)
    conditions = trials.conditions_of(experiment, trainer, search.epochs, args.seed)
    kept = trials.Folder(folder, conditions)
    checkpoint = folder / "search.checkpoint"
    task = darts.task_of(experiment, images, asked_recipe(args), args.device, checkpoint)
    budget = Budget(epochs=args.total_epochs or _MOST_EPOCHS)
    best: darts.Epoch | None = None
    done = 0
    with progress_bar(f"epochs of {experiment.name}") as progress:
        record = folder / "epochs.json"
        for epoch in darts.run(
            experiment, task, trainer, budget=budget, seed=args.seed, record=record
        ):
            done += 1
            progress(done, search.epochs)
            if not args.json:
                print(
                    f"epoch {done}: Validation-Accuracy={epoch.validation_accuracy:.6f}", flush=True
                )
            if best is None or epoch.validation_accuracy > best.validation_accuracy:
                best = epoch
    if best is None:
        raise InvalidSetting(
            f"a budget of {counted(args.total_epochs, 'epoch')} pays for no epoch of the search; give more"
        )
    genotype = space.nested(best.architecture)
    metrics = {"Best-Genotype": genotype}
    trial = trials.Trial(f"{experiment.name}-0001", best.architecture, assigned, metrics)
    kept.keep(trial)
    kept.finish(trial, 1)
    if args.json:
        report = {"folder": str(folder), "space": space.name, "epochs": done, **trial.as_json()}
        print_json(report)
        return 0
    print(f"Best-Genotype={genotype}")
    print_text(f"results: {folder}/")
    print_text(_in_full(args, best.architecture))
    return 0


def _run_enas(args: argparse.Namespace, experiment: Experiment, folder: Path) -> int:
    from nasbench_kit.data.images.image_sets import open_images
    from nasbench_kit.katib import trials
    from nasbench_kit.oracle.fallback import StoredTrainer
    from nasbench_kit.spaces.kept import keep
    from nasbench_kit.training.device import usable

    epochs = _first(args.epochs, experiment.epochs, trials.EPOCHS)
    most = _first(args.trials, experiment.trials, trials.TRIALS)
    for name, value in (("epochs", epochs), ("trials", most)):
        if value < 1:
            raise InvalidSetting(f"{name} is {value}; at least 1 is needed")
    if args.total_epochs is not None and args.total_epochs < epochs:
        raise InvalidSetting(
            f"a budget of {counted(args.total_epochs, 'epoch')} pays for no trial of {epochs}; give more, or shorter "
            "trials with --epochs"
        )
    space = trials.space_of(experiment)
    usable(args.device)
    keep(space)
    if args.dry_run:
        plan = {"space": space.name, "trials": most, "epochs": epochs, "folder": str(folder)}
        _print_plan(args, experiment, plan)
        return 0
    check_writable(folder / "experiment.json")
    images = open_images(args.data)
    _note_sizes(experiment, images)
    trainer = StoredTrainer(images, asked_recipe(args), device=args.device)
    kept = trials.Folder(folder, trials.conditions_of(experiment, trainer, epochs, args.seed))
    budget = Budget(queries=most, epochs=args.total_epochs)
    done: list[Trial] = []
    with progress_bar(f"trials of {experiment.name}") as progress:
        for trial in trials.run(
            experiment,
            trainer,
            epochs=epochs,
            budget=budget,
            seed=args.seed,
            workers=min(args.workers, experiment.parallel),
        ):
            kept.keep(trial)
            done.append(trial)
            progress(len(done), most)
            if not args.json:
                _print_trial(trial)
    succeeded = [trial for trial in done if trial.failure is None]
    best = max(succeeded, key=lambda trial: trial.metrics[experiment.metric], default=None)
    kept.finish(best, len(done))
    if args.json:
        print_json(
            {
                "folder": str(folder),
                "space": space.name,
                "trials": [trial.as_json() for trial in done],
                "best": None if best is None else best.name,
            }
        )
    elif best is not None:
        print_text(
            f"best: {best.name}, {experiment.metric} {best.metrics[experiment.metric]:.4f}, of {len(done)} "
            f"trials; results: {folder}/"
        )
        print_text(_in_full(args, best.architecture))
    else:
        print_text(f"no trial succeeded; {counted(len(done), 'trial')} failed. Results: {folder}/")
    return 0 if best is not None else 1


def _in_full(args: argparse.Namespace, architecture: Any) -> str:
    """The command that trains the best architecture longer, by the same recipe on the same data."""
    text = architecture.to_text()
    quoted = f'"{text}"' if "'" in text else shlex.quote(text)  # a genotype has single quotes
    words = ["--space", architecture.space.name]
    for name in ("data", "recipe", "stacks", "cells_per_stack", "stem_channels", "device"):
        value = getattr(args, name)
        if value is not None and (name, value) != ("device", "cpu"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return f"in full: nasbench-kit train {quoted} {shlex.join(words)}"


def _print_trial(trial: Trial) -> None:
    """The lines that Katib's metrics collector looks for, and what was trained."""
    print(f"trial {trial.name}: architecture={trial.assignments['architecture']}")
    if trial.failure is not None:
        streams.note(f"{trial.name} failed: {trial.failure}")
    for name, value in trial.metrics.items():
        print(f"{name}={value:.6f}")
    sys.stdout.flush()


def _print_plan(args: argparse.Namespace, experiment: Experiment, plan: dict[str, Any]) -> None:
    plan = {
        "experiment": experiment.name,
        "algorithm": experiment.algorithm,
        "settings": dict(experiment.settings),
        "layers": experiment.layers,
        "data": args.data,
        "recipe": asked_recipe(args).name,
        **plan,
    }
    if args.json:
        print_json(plan)
        return
    for name, value in plan.items():
        settings = value.items() if isinstance(value, dict) else ()
        print_text(f"{name}: {', '.join(f'{key} {each}' for key, each in settings) or value}")


def _note_sizes(experiment: Experiment, images: Any) -> None:
    """Say where the experiment means other images than those that are trained on."""
    shape, classes = images.train.images.shape[1:], images.classes
    asked = (*experiment.input_sizes, *experiment.output_sizes[-1:])
    if asked and asked != (*shape, classes):
        streams.note(
            f"the experiment is of images {list(experiment.input_sizes)} in "
            f"{list(experiment.output_sizes)} classes; trained are those of {images.name}, {list(shape)} in "
            f"{classes}"
        )


def _first(*values: int | None) -> int:
    """The first one that there is."""
    return next(value for value in values if value is not None)
