"""The command ``animate``: what a search sampled, as a GIF or a video."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.cli.common import (
    add_json,
    count,
    positive,
    print_json,
    print_text,
    progress_bar,
    seed,
)
from nasbench_kit.compare.run_folder import read_manifest
from nasbench_kit.errors import CorruptFile, InvalidSetting, UnknownName
from nasbench_kit.system.files import check_replaceable, existing, read_json

if TYPE_CHECKING:
    from nasbench_kit.compare.plan import Plan
    from nasbench_kit.compare.samples import Sample

#: More frames would fill the memory.
_MOST_FRAMES = 2000


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "animate",
        help="show what a search sampled, frame by frame",
        description="Draw the architectures that one run of a comparison, or a Katib experiment, sampled, "
        "one after the other beside their accuracies, into a GIF or (with ffmpeg) a video. A run of a "
        "comparison is played again for it, from its table or the store of trainings.",
        epilog="Example: nasbench-kit animate runs/digits --algorithm regularized-evolution",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="of `compare` or `katib`")
    parser.add_argument(
        "--algorithm", metavar="LABEL", help="of a comparison (default: its first one)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the run (default: %(default)s)")
    parser.add_argument(
        "--frames", type=count, default=60, metavar="N", help="at most (default: %(default)s)"
    )
    parser.add_argument(
        "--frames-a-second", type=positive, default=4.0, metavar="N", help="default: %(default)g"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="ends in .gif or .mp4 (default: RUN/ALGORITHM-SEED.gif)",
    )
    add_json(parser)
    parser.set_defaults(run=run_animate)


def run_animate(args: argparse.Namespace) -> int:
    """Play the run again, and draw it."""
    from nasbench_kit.analysis.figures import animation

    if not 1 <= args.frames <= _MOST_FRAMES:
        raise InvalidSetting(f"frames is {args.frames}; it must be 1 to {_MOST_FRAMES:,}")
    if not args.frames_a_second <= 50:
        raise InvalidSetting(
            f"frames-a-second is {args.frames_a_second:g}; at most 50 can be shown"
        )
    folder = existing(args.run_folder, "folder of a run")
    katib = (folder / "experiment.json").is_file()
    manifest = None if katib else read_manifest(folder)
    if manifest is None and not katib:
        raise UnknownName(f"{folder} holds neither a comparison nor a Katib experiment")
    label = args.algorithm
    if manifest is not None:
        label = label or next(iter(manifest["algorithms"]), "")
        if label not in manifest["algorithms"]:
            others = ", ".join(manifest["algorithms"])
            raise UnknownName(f"{folder} has no algorithm {label!r}; it has {others}")
    elif label is not None:
        raise InvalidSetting(f"{folder} is a Katib experiment; leave --algorithm out")
    stem = "trials" if label is None else f"{label}-{args.seed}"
    out = args.out or folder / f"{stem}.gif"
    animation.check_target(out)
    check_replaceable(out, "an animation", _is_animation)
    if manifest is None:
        shown, title = _trials(folder), folder.name
    else:
        from nasbench_kit.compare.samples import samples

        plan = _plan(manifest["commands"], label, folder)
        shown = samples(plan, folder, label, args.seed)
        title = f"{label}, seed {args.seed}, in {folder.name}"
    with progress_bar("frames") as progress:
        frames = animation.animate(
            shown,
            out,
            title,
            frames=args.frames,
            frames_a_second=args.frames_a_second,
            progress=progress,
        )
    if args.json:
        print_json({"file": str(out), "samples": len(shown), "frames": frames})
    else:
        print_text(f"{out}: {frames} of {len(shown)} samples")
    return 0


def _plan(commands: Sequence[str], label: str, folder: Path) -> Plan:
    """The plan of the command that ran an algorithm.

    Raises:
        InvalidSetting: none did: the comparison was made in Python.
    """
    from nasbench_kit.cli import parser
    from nasbench_kit.cli.compare import settings_of
    from nasbench_kit.experiment.planning import plan_of

    for command in reversed(commands):
        words = shlex.split(command)[1:]
        if words[:1] != ["compare"]:
            continue
        plan = plan_of(settings_of(parser().parse_args(words)))
        if label in plan.algorithms:
            return plan
    raise InvalidSetting(
        f"no command of {folder} ran {label}; animate what Python compared with "
        "nasbench_kit.compare.samples"
    )


def _trials(folder: Path) -> list[Sample]:
    """The trials of a Katib experiment.

    Raises:
        CorruptFile: a file of them is damaged.
        InvalidSetting: the experiment has one trial that mixes all architectures.
    """
    from nasbench_kit import spaces
    from nasbench_kit.compare.samples import Sample

    shown = []
    algorithm, epochs = _content(
        folder / "experiment.json",
        lambda content: (
            content["conditions"]["experiment"]["algorithm"],
            content["conditions"]["epochs"],
        ),
    )
    if algorithm != "enas":
        raise InvalidSetting(
            f"{folder} has a search by {algorithm}, which samples no architectures; animate one by enas"
        )
    for path in sorted((folder / "trials").glob("*.json")):
        if _content(path, lambda trial: "failure" in trial):
            continue
        space, text, accuracy = _content(
            path,
            lambda trial: (
                trial["space"],
                trial["text"],
                float(trial["observation"]["metrics"][0]["latest"]),
            ),
        )
        shown.append(Sample(spaces.named(space).parse(text), accuracy, epochs))
    return shown


def _content(path: Path, read: Any) -> Any:
    try:
        return read(read_json(path))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise CorruptFile(f"{path} is damaged; run the experiment again") from error


def _is_animation(head: bytes) -> bool:
    return head.startswith((b"GIF8", b"\0\0\0")) and (head[:3] == b"GIF" or head[4:8] == b"ftyp")
