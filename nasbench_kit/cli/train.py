"""The command ``train``: one cell from scratch, and the options that every training has."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from nasbench_kit import spaces
from nasbench_kit.cli.cells import CELL_HELP, parse_architecture
from nasbench_kit.cli.common import (
    add_json,
    count,
    print_json,
    print_table,
    progress_bar,
    seed,
)
from nasbench_kit.errors import CheckpointLost, InvalidSetting
from nasbench_kit.spaces.skeleton import Precision, Skeleton
from nasbench_kit.system.files import check_writable
from nasbench_kit.training.images import SPLITS
from nasbench_kit.training.recipe import (
    DARTS,
    DARTS_DIGITS,
    DARTS_PTB,
    DARTS_SEARCH,
    DIGITS,
    ENAS_MACRO,
    KATIB,
    NASBENCH101,
    NASBENCH201,
    NOISY_DIGITS,
    RECIPES,
    TOPICS,
    Recipe,
    RegularizedRecipe,
)
from nasbench_kit.training.record import AnyScore, Likelihood

if TYPE_CHECKING:
    from nasbench_kit.training.data_set import DataSet
    from nasbench_kit.training.record import Training

#: Settings that a ``RegularizedRecipe`` has besides those of any.
_OF_PAPERS = ("clip", "drop_path", "scheduled", "auxiliary_weight", "cutout")
#: Epochs of a training in full, by recipe.
FULL = {
    DIGITS.name: 36,
    NOISY_DIGITS.name: 4,
    NASBENCH101.name: 108,
    NASBENCH201.name: 200,
    DARTS.name: 600,
    DARTS_SEARCH.name: 50,
    DARTS_DIGITS.name: 36,
    ENAS_MACRO.name: 310,
    KATIB.name: 10,
    TOPICS.name: 3,
    DARTS_PTB.name: 3600,
}


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "train",
        help="train one cell from scratch",
        description="Train the network of one cell from fresh weights and print its accuracies. "
        "With --checkpoint, a training that was killed goes on where it stopped.",
        epilog="Example: nasbench-kit train resnet --data digits --epochs 12",
    )
    parser.add_argument("cell", help=f"{CELL_HELP}; with --space, a text of that space")
    parser.add_argument("--space", metavar="NAME", help="such as nasbench-macro (default: cells)")
    add_training(parser)
    parser.add_argument("--seed", type=seed, default=0, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="resume from this file; written every ten minutes and with the trained weights",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="keep the trained network in this file, for Network.load and ONNX",
    )
    add_json(parser)
    parser.set_defaults(run=run_train)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The options that say on what and how networks are trained."""
    parser.add_argument(
        "--data",
        default="digits",
        metavar="NAME|PATH",
        help="digits, noisy-digits, cifar10, or a path to images of your own; for recurrent cells topics, or a path to a text (default: %(default)s)",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="how to train (default: the one called as the data are, topics for text, else nasbench101)",
    )
    skeleton = parser.add_argument_group("skeleton", "default: as the recipe has it")
    skeleton.add_argument("--stacks", type=count, metavar="N", help="stacks of cells")
    skeleton.add_argument("--cells-per-stack", type=count, metavar="N", help="deeper or shallower")
    skeleton.add_argument("--stem-channels", type=count, metavar="N", help="wider or narrower")


def add_training(parser: argparse.ArgumentParser) -> None:
    """The options of ``add_recipe``, and those that a single training has besides."""
    add_recipe(parser)
    papers = parser.add_argument_group(
        "the papers' evaluation", "with --recipe darts or darts-digits"
    )
    papers.add_argument(
        "--drop-path",
        type=float,
        metavar="P",
        help="probability by which the output of an operation is dropped in the end; rises from 0",
    )
    papers.add_argument(
        "--scheduled-drop-path",
        dest="scheduled",
        action="store_const",
        const=True,
        help="rises with the depth of a cell as well, as in NASNet",
    )
    papers.add_argument(
        "--auxiliary-weight",
        type=float,
        metavar="W",
        help="of the auxiliary head's loss; 0: no such head",
    )
    papers.add_argument(
        "--cutout", type=int, metavar="PIXELS", help="side of the square that is blanked out"
    )
    papers.add_argument(
        "--clip", type=float, metavar="NORM", help="largest norm of a step's gradient"
    )
    parser.add_argument(
        "--epochs",
        type=count,
        help=f"default: {', '.join(f'{epochs} with {name}' for name, epochs in FULL.items())}",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of the arithmetic (default: %(default)s)",
    )
    parser.add_argument(
        "--cuda-graph", action="store_true", help="let a GPU replay recorded steps: faster"
    )


def asked_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the options of ``add_recipe``, or of ``add_training``, ask for.

    Raises:
        InvalidSetting: a number of the skeleton is below 1, or a setting that the recipe lacks or refuses.
    """
    from nasbench_kit.data.data_sets import usual_recipe

    recipe = RECIPES[args.recipe or usual_recipe(args.data)]
    settings = {
        name: value for name in _OF_PAPERS if (value := getattr(args, name, None)) is not None
    }
    if settings and not isinstance(recipe, RegularizedRecipe):
        raise InvalidSetting(
            f"the recipe {recipe.name} has no {', no '.join(settings)}; add --recipe {DARTS.name} or "
            f"{DARTS_DIGITS.name}, or leave these settings"
        )
    recipe = dataclasses.replace(recipe, **settings)
    changes = {
        field.name: value
        for field in dataclasses.fields(Skeleton)
        if (value := getattr(args, field.name)) is not None
    }
    return dataclasses.replace(recipe, skeleton=dataclasses.replace(recipe.skeleton, **changes))


def asked_epochs(args: argparse.Namespace, recipe: Recipe) -> int:
    """The epochs that the options of ``add_training`` ask for: a training in full, if they do not."""
    return FULL[recipe.name] if args.epochs is None else int(args.epochs)


def run_train(args: argparse.Namespace) -> int:
    """Train, then print what came out."""
    from nasbench_kit.data.data_sets import open_data
    from nasbench_kit.spaces.trained_network import check_target
    from nasbench_kit.training.trainer import train_network

    cell = parse_architecture(args.cell, None if args.space is None else spaces.named(args.space))
    recipe = asked_recipe(args)
    epochs = asked_epochs(args, recipe)
    if args.weights is not None:
        if args.checkpoint is not None and args.weights.resolve() == args.checkpoint.resolve():
            raise InvalidSetting(f"{args.weights} is the checkpoint too; name two files")
        check_target(args.weights)
    if args.checkpoint is not None:
        check_writable(args.checkpoint)
    images = open_data(args.data)
    lost = None
    try:
        with progress_bar(f"training {args.cell}") as progress:
            training, network = train_network(
                cell,
                images,
                recipe,
                epochs,
                args.seed,
                device=args.device,
                precision=args.precision,
                cuda_graph=args.cuda_graph,
                checkpoint=args.checkpoint,
                progress=progress,
            )
    except CheckpointLost as error:
        training, network, lost = error.training, error.network, error
    _print(args, images, recipe, epochs, training)
    if args.weights is not None:  # after the results, which a full disk must not cost
        network.save(args.weights)
    if lost is not None:
        raise lost
    return 0


def _print(
    args: argparse.Namespace, images: DataSet, recipe: Recipe, epochs: int, training: Training
) -> None:
    if args.json:
        conditions = {
            "images": images.name,
            "splits": {name: len(getattr(images, name)) for name in SPLITS},
            "dealt": getattr(images, "dealt", ()),
            "recipe": dataclasses.asdict(recipe),
            "device": args.device,
            "precision": args.precision,
        }
        print_json(training.to_dict() | {"seconds": training.seconds} | conditions)
        return
    title = f"{training.cell.to_text()} on {images.name}: {epochs} epochs, seed {args.seed}, {args.device}"
    _print_training(title, training, images.sizes)


def _print_training(title: str, training: Training, sizes: str) -> None:
    points = {"start": training.start, "half": training.halfway, "end": training.final}
    rows = [
        (
            name,
            *(_shown(getattr(point, split)) for split in SPLITS),
            f"{point.seconds:.2f}",
        )
        for name, point in points.items()
    ]
    measured = "perplexity" if isinstance(training.final.test, Likelihood) else "accuracy"
    note = (
        f"{sizes}.\n{training.trainable_parameters:,} trainable parameters; at most "
        f"{training.peak_memory / 2**20:,.0f} MiB of memory in use."
    )
    if training.failed:
        note += " FAILED: a loss was NaN or infinite."
    print_table(
        title, (f"{measured} at", *SPLITS, "seconds"), rows, note, secondary=("seconds", "train")
    )


def _shown(score: AnyScore) -> str:
    return f"{score.perplexity:.2f}" if isinstance(score, Likelihood) else f"{score.accuracy:.4f}"
