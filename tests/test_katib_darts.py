"""Katib's DARTS experiments: their space, settings and genotype, and a search that goes on."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nasbench_kit import spaces
from nasbench_kit.cli import main
from nasbench_kit.data.images.digits import digits
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.katib import darts
from nasbench_kit.katib.experiment import read
from nasbench_kit.oracle.budget import Budget
from nasbench_kit.oracle.fallback import StoredTrainer
from nasbench_kit.spaces.edge_cells.katib_darts import KatibDARTS, search_space
from nasbench_kit.spaces.kept import keep
from nasbench_kit.spaces.protocols import Space
from nasbench_kit.spaces.skeleton import Skeleton
from nasbench_kit.testing.spaces import SpaceConformance
from nasbench_kit.training.recipe import DIGITS

FILE = Path(__file__).parent / "katib_experiments" / "darts.yaml"
#: metricsFormat of Katib's example.
FILTER = re.compile(r"([\w-]+)=(Genotype.*)")
OPERATIONS = ("separable_convolution_3x3", "max_pooling_3x3", "skip_connection")


def kit(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    spaces.named.cache_clear()


class TestKatibDARTS(SpaceConformance):
    @pytest.fixture
    def space(self) -> Space:
        return KatibDARTS(OPERATIONS, 3, 2, 1)


def test_cells_at_a_third_and_two_thirds_are_reduction_cells() -> None:
    space = KatibDARTS(OPERATIONS, 8)
    layers = space.layers(Skeleton(16, 1, 1))
    assert [layer.kind for layer in layers] == [0, 0, 1, 0, 0, 1, 0, 0]
    assert [layer.out_channels for layer in layers] == [16, 16, 32, 32, 32, 64, 64, 64]
    assert layers[0].in_channels == 3 * 16
    assert layers[3].in_channels == 4 * 32
    assert [layer.kind for layer in KatibDARTS(OPERATIONS, 1).layers(Skeleton(4, 1, 1))] == [1]


def test_spaces_of_experiments_are_found_again() -> None:
    space = KatibDARTS(OPERATIONS, 3, 2, 1)
    keep(space)
    assert spaces.named(space.name) == space
    again: Any = spaces.named(space.name)
    assert (again.cells, again.stem_multiplier) == (3, 1)
    assert space.name != KatibDARTS(OPERATIONS, 4, 2, 1).name


def test_assignments_are_written_as_katib_writes_them() -> None:
    """Defaults are numbers, what the experiment gives is text; operations without ``none``."""
    assert darts.assignments(read(FILE)) == {
        "algorithm-settings": "{'num_epochs': '2', 'w_lr': 0.025, 'w_lr_min': 0.001, 'w_momentum': 0.9, "
        "'w_weight_decay': 0.0003, 'w_grad_clip': 5.0, 'alpha_lr': 0.0003, 'alpha_weight_decay': 0.001, "
        "'batch_size': '50', 'num_workers': 4, 'init_channels': '4', 'print_step': 50, 'num_nodes': '2', "
        "'stem_multiplier': '1'}",
        "search-space": "['separable_convolution_3x3', 'separable_convolution_5x5', 'max_pooling_3x3', "
        "'skip_connection']",
        "num-layers": "3",
    }


def test_katibs_settings_reach_the_search() -> None:
    search = darts.search_of(read(FILE))
    assert (search.order, search.epochs, search.batch_size) == (2, 2, 50)
    assert (search.learning_rate, search.learning_rate_min, search.momentum) == (0.025, 0.001, 0.9)
    assert (search.weight_decay, search.clip) == (3e-4, 5.0)
    assert (search.architecture_learning_rate, search.architecture_weight_decay) == (3e-4, 1e-3)
    space = darts.space_of(read(FILE))
    assert (space.cells, space.nodes, space.stem_multiplier) == (3, 2, 1)
    assert space.slots[0].operations == (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "max_pool_3x3",
        "skip_connect",
        "none",
    )


def test_a_search_ends_in_a_genotype_that_katib_collects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("katib", FILE, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    ((name, genotype),) = FILTER.findall(
        printed.replace("nasbench-kit train", "").split("\nin ")[0]
    )
    assert name == "Best-Genotype"
    assert " " not in genotype
    fields = dict(re.findall(r"(\w+)=(\[\[.*?\]\]|range\(\d,\d\))", genotype))
    assert fields["normal_concat"] == fields["reduce_concat"] == "range(2,4)"
    for cell in (fields["normal"], fields["reduce"]):
        nodes = ast.literal_eval(cell)
        assert [len(node) for node in nodes] == [2, 2]
        assert {operation for node in nodes for operation, _ in node} <= {
            *search_space(read(FILE).operations)
        }
    trial = json.loads(next((tmp_path / "out" / "trials").iterdir()).read_text())
    unordered = {"min": "unavailable", "max": "unavailable"}  # as Katib has it of texts
    assert trial["observation"]["metrics"] == [{"name": name, "latest": genotype, **unordered}]
    space = spaces.named(trial["space"])
    assert space.parse(genotype).to_text() == trial["text"]
    # The best of the epochs, the first of equals.
    accuracies = json.loads((tmp_path / "out" / "epochs.json").read_text())
    assert len(accuracies) == 2
    assert kit("train", trial["text"], "--space", trial["space"], "--epochs", 1) == 0


def test_a_search_that_was_stopped_goes_on(tmp_path: Path) -> None:
    experiment = read(FILE)
    images = digits()
    trainer = StoredTrainer(images, DIGITS)

    def epochs(folder: Path, most: int) -> list[darts.Epoch]:
        task = darts.task_of(experiment, images, DIGITS, "cpu", folder / "checkpoint")
        task = replace(task, checkpoint_every_seconds=0.0)
        under_way = darts.run(
            experiment, task, trainer, budget=Budget(epochs=1e9), seed=0, record=folder / "record"
        )
        return [epoch for _, epoch in zip(range(most), under_way, strict=False)]

    whole = epochs(tmp_path / "whole", 2)
    assert len(whole) == 2
    assert epochs(tmp_path / "parts", 1) == whole[:1]
    assert epochs(tmp_path / "parts", 2) == whole


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("operations", 0, "operationType"), "convolution", "operationType is 'convolution'"),
        (("operations", 0, "parameters"), [], "must have filter_size alone"),
        (("operations", 0, "parameters", 0, "feasibleSpace", "list"), ["9"], "filter_size is '9'"),
        (("operations", 0, "parameters", 0, "feasibleSpace", "list"), ["3", "3"], "each once"),
        (("graphConfig", "numLayers"), 65, "numLayers is 65"),
    ],
)
def test_spaces_that_there_are_not_are_refused(
    path: Any, value: Any, message: str, tmp_path: Path
) -> None:
    document = yaml.safe_load(FILE.read_text())
    place = document["spec"]["nasConfig"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(InvalidSetting, match=re.escape(message)):
        darts.space_of(read(file))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("w_lr", "0", "w_lr is 0"),
        ("w_lr_min", "1", "at most w_lr"),
        ("w_momentum", "1", "below 1"),
        ("batch_size", "126", "there are 125 images"),
        ("num_nodes", "9", "num_nodes is 9"),
        ("num_nodes", "None", "num_nodes is 'None'"),
    ],
)
def test_settings_that_cannot_work_end_in_one_line(
    name: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(FILE.read_text())
    document["spec"]["algorithm"]["algorithmSettings"].append({"name": name, "value": value})
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(document))
    assert kit("katib", file, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_options_of_enas_and_budgets_for_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("katib", FILE, "--epochs", 3) == 2
    assert "num_epochs" in capsys.readouterr().err
    assert kit("katib", FILE, "--out", tmp_path / "out", "--total-epochs", 0.1) == 2
    assert "pays for no epoch" in capsys.readouterr().err.splitlines()[-1]


def test_a_dry_run_shows_the_assignments(capsys: pytest.CaptureFixture[str]) -> None:
    assert kit("katib", FILE, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["assignments"] == darts.assignments(read(FILE))
    assert (plan["epochs"], plan["trials"]) == (2, 1)


def test_batch_sizes_of_none_are_katibs_default() -> None:
    experiment = read(FILE)
    without = replace(experiment, settings={**experiment.settings, "batch_size": None})
    assert darts.search_of(without).batch_size == 128
    assert np.isclose(darts.search_of(without).clip, 5)
