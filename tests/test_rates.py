"""Prices without a table: rates of work are found again, kept, checked and charged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_kit import Budget, InvalidSetting, Oracle, spaces
from nasbench_kit.cli import main
from nasbench_kit.data.data_sets import open_data
from nasbench_kit.data.tasks import open_trainer, task_on
from nasbench_kit.errors import CorruptFile
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.oracle.rates import Rates
from nasbench_kit.oracle.source import TrainerSource
from nasbench_kit.spaces.edge_cells.darts import DARTS
from nasbench_kit.training.recipe import DIGITS, TOPICS

SPACE = DARTS()
SHAPE = (8, 8, 1)
TRUE = np.array([0.2, 1e-4, 2e-8, 3e-8, 1e-7, 1e-7, 2e-7])


def fitted(space: str = "darts") -> Rates:
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(40)]
    seconds = [float(each.work(DIGITS.skeleton, SHAPE) @ TRUE) for each in drawn]
    return Rates.fitted(
        drawn,
        seconds,
        space=space,
        skeleton=DIGITS.skeleton,
        image_shape=SHAPE,
        images=250,
        processor="any",
    )


def test_additive_seconds_are_found_again() -> None:
    rates = fitted()
    for seed in range(5):
        architecture = SPACE.sample(np.random.default_rng(100 + seed))
        work = architecture.work(DIGITS.skeleton, SHAPE)
        assert rates.price(architecture, 1) == pytest.approx(work @ TRUE, rel=1e-4)
        assert rates.price(architecture, 12, halfway=True) == pytest.approx(
            6 * (work @ TRUE), rel=1e-4
        )
        assert rates.prices([architecture], 2)[0] == rates.price(architecture, 2)


def test_they_are_kept(tmp_path: Path) -> None:
    rates = fitted()
    rates.save(tmp_path / "rates.json")
    assert Rates.load(tmp_path / "rates.json") == rates
    whole = json.loads((tmp_path / "rates.json").read_text())
    changes: list[dict[str, Any]] = [{"seconds": [-1.0]}, {"seconds": []}, {"images": "x"}]
    for change in changes:
        (tmp_path / "bad.json").write_text(json.dumps(whole | change))
        with pytest.raises(CorruptFile, match="holds no rates"):
            Rates.load(tmp_path / "bad.json")


def test_an_oracle_charges_them(tmp_path: Path) -> None:
    rates = fitted()
    trainer = open_trainer("digits", DIGITS, store=tmp_path / "store.sqlite", rates=rates)
    assert trainer.conditions["rates"]["seconds"] == rates.seconds
    source = TrainerSource(trainer, SPACE, (4,), 2)
    oracle = Oracle(
        source, Budget(seconds=1e6), np.random.default_rng(0), task=task_on("digits", DIGITS, rates)
    )
    architecture = SPACE.sample(np.random.default_rng(1))
    seconds, epochs = oracle.price(architecture, 250)
    assert seconds == pytest.approx(rates.price(architecture, 1))
    assert epochs == 1
    mixture = SPACE.relaxation(np.random.default_rng(0)).mixture()
    work = mixture.work(DIGITS.skeleton, SHAPE)
    assert oracle.price(work, 250)[0] == pytest.approx(work @ np.array(rates.seconds))
    assert oracle.price(work, 250)[0] > seconds


def test_text_is_charged_in_seconds_as_images_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured from the shell, and charged to queries and to steps of shared weights."""
    path, file = tmp_path / "mine.txt", tmp_path / "rates.json"
    path.write_text("".join(f"{n % 7} b c d {n % 3}\n" for n in range(1500)))
    asked = ("--space", "darts-recurrent", "--data", str(path), "--cells", "2", "--out", str(file))
    assert main(["calibrate", *asked]) == 0
    assert "darts-recurrent" in capsys.readouterr().out
    rates, text = Rates.load(file), open_data(path)
    assert rates.image_shape == (1, 1, text.classes)
    assert rates.images == len(text.train) == 7200
    space = spaces.named("darts-recurrent")
    trainer = open_trainer(path, TOPICS, store=tmp_path / "store.sqlite", rates=rates)
    source, task = TrainerSource(trainer, space, (4,), 2), task_on(path, TOPICS, rates)
    oracle = Oracle(source, Budget(seconds=1e6), np.random.default_rng(0), task=task)
    architecture = space.sample(np.random.default_rng(1))
    oracle.query(architecture)
    whole = rates.price(architecture, 4)
    assert whole > 0
    assert oracle.budget.spent_seconds == pytest.approx(whole)
    assert oracle.price(architecture, 720)[0] == pytest.approx(whole / 40)  # a tenth of an epoch
    other = replace(rates, image_shape=(1, 1, 5))
    with pytest.raises(InvalidSetting, match="image shape"):
        open_trainer(path, TOPICS, store=tmp_path / "store.sqlite", rates=other)


def test_rates_of_something_else_are_refused(tmp_path: Path) -> None:
    other = replace(fitted(), images=500)
    with pytest.raises(InvalidSetting, match="of images 500, and the trainings of 250"):
        open_trainer("digits", DIGITS, store=tmp_path / "store.sqlite", rates=other)
    fitted("nasnet").save(tmp_path / "rates.json")
    settings = {"space": "darts", "data": "digits", "rates": str(tmp_path / "rates.json")}
    with pytest.raises(InvalidSetting, match="of the space nasnet, and the space is darts"):
        plan_of(settings)
    with pytest.raises(InvalidSetting, match="rates is"):
        plan_of({"rates": "rates.json"})
