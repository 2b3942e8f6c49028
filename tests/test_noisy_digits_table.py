"""The shipped table of noisy digits: its cells, trained again, and what it is for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nasbench_kit import CellSpace, Table
from nasbench_kit.analysis.landscape.headroom import headroom
from nasbench_kit.cli import main
from nasbench_kit.data import tables
from nasbench_kit.data.building.build import training_seed
from nasbench_kit.data.building.clock import processor
from nasbench_kit.data.images.noisy_digits import noisy_digits
from nasbench_kit.system.measured import torch_threads
from nasbench_kit.training.recipe import NOISY_DIGITS
from nasbench_kit.training.trainer import train


@pytest.fixture(scope="module")
def table() -> Table:
    return tables.open_table("noisy-digits")


def test_it_is_whole_and_of_the_noisy_digits(table: Table) -> None:
    table.verify()
    assert table.space == CellSpace(5, 5) and table.complete and len(table) == 334
    assert table.repeats == 3 and table.provenance["source"] == "measured"
    assert table.provenance["images_digest"] == noisy_digits().digest
    folder = Path(tables.find("noisy-digits")).parent
    files = [folder / f"noisy-digits.{ending}" for ending in ("h5", "md", "parts.zip")]
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_it_tells_its_best_tenth_apart(table: Table) -> None:
    """What it was made for, in the trainings that no search sees, which did not choose the best tenth."""
    found = headroom(table)
    assert found.fresh and found.architectures == 34
    assert found.ratio >= 3
    assert found.low > headroom(tables.open_table("digits")).high


def test_its_scores_are_those_of_its_best_tenth(table: Table) -> None:
    validation = table.values("validation_accuracy").mean(axis=1)
    scores = table.extra["scoring/test_accuracy"]
    scored = ~np.isnan(scores).any(axis=1)
    assert (scored == ~np.isnan(scores).all(axis=1)).all() and scored.sum() == 34
    assert validation[scored].min() >= validation[~scored].max() - 1e-6  # equal but for rounding


def test_its_parts_make_it_again(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the archive beside it, by the command on its card, without a training."""
    for work in ("build._trained", "build.seconds_an_epoch", "estimate.seconds_an_epoch"):
        monkeypatch.setattr(f"nasbench_kit.data.building.{work}", lambda *_: pytest.fail("trained"))
    shipped, made = Path(tables.find("noisy-digits")), tmp_path / "noisy-digits.h5"
    archive = shipped.with_suffix(".parts.zip").read_bytes()
    made.with_suffix(".parts.zip").write_bytes(archive)
    card = shipped.with_suffix(".md").read_text()
    options = card.partition("`nasbench-kit build noisy-digits.h5 ")[2].partition("`")[0]
    assert main(["build", str(made), *options.split(), "--archive", "--workers", "1"]) == 0
    assert Table.open(made).checksum == table.checksum
    assert made.with_suffix(".md").read_text() == card
    assert made.with_suffix(".parts.zip").read_bytes() == archive


@pytest.mark.parametrize(("share", "repeat"), [(0.2, 0), (0.8, 2)])
def test_a_training_comes_out_as_it_stands_there(table: Table, share: float, repeat: int) -> None:
    row, epochs = int(share * len(table)), table.epochs[0]
    with torch_threads(1):
        seed = training_seed(table.provenance["seed"], row, epochs, repeat)
        training = train(table.space[row], noisy_digits(), NOISY_DIGITS, epochs, seed)
    made_on = table.provenance["clock"]
    same_machine = made_on["processor"] == processor() and made_on["torch"] == torch.__version__
    # Other processors round differently, and training magnifies that.
    tolerance = 0.0 if same_machine else 0.1
    for checkpoint, measured in (("halfway", training.halfway), ("final", training.final)):
        for split in ("train", "validation", "test"):
            column = table.column(f"{split}_accuracy", checkpoint)  # type: ignore[arg-type]
            stored = column.array(table.fidelity(epochs))[row, repeat]
            now = getattr(measured, split).accuracy
            assert np.isclose(now, stored, rtol=1e-6, atol=tolerance), (checkpoint, split)
