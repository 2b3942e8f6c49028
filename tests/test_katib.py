"""Katib's experiments: files of the documentation's form, read, refused, and run on the digits."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from nasbench_kit import spaces
from nasbench_kit.cli import main
from nasbench_kit.errors import CorruptFile, InvalidSetting, TrainingFailed, UnknownName
from nasbench_kit.katib import trials
from nasbench_kit.katib.experiment import DARTS, ENAS, read
from nasbench_kit.spaces.layers.katib import EXAMPLE
from nasbench_kit.training import trainer

HERE = Path(__file__).parent / "katib_experiments"
#: As Katib's collector of standard output looks for metrics by default.
FILTER = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)")


def kit(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    spaces.named.cache_clear()


@pytest.fixture
def document() -> Any:
    return yaml.safe_load((HERE / "enas.yaml").read_text())


def written(document: Any, folder: Path) -> Path:
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_an_enas_experiment_is_read() -> None:
    experiment = read(HERE / "enas.yaml")
    assert (experiment.name, experiment.algorithm) == ("enas-small", "enas")
    assert (experiment.layers, experiment.trials, experiment.parallel) == (3, 4, 2)
    assert (experiment.input_sizes, experiment.output_sizes) == ((8, 8, 1), (10,))
    assert (experiment.metric, experiment.goal, experiment.epochs) == (
        "Validation-Accuracy",
        0.99,
        2,
    )
    assert experiment.settings == {
        **{name: setting.default for name, setting in ENAS.items()},
        "controller_hidden_size": 16,
        "controller_learning_rate": 0.01,
        "controller_train_steps": 5,
        "controller_temperature": None,
    }
    assert experiment.operations == [
        ("convolution", {"filter_size": ["3", "5"], "num_filter": ["16", "24"]}),
        ("reduction", {"reduction_type": ["max_pooling"], "pool_size": [2, 3]}),
    ]
    assert len(trials.space_of(experiment).operations) == 6


def test_katibs_settings_reach_the_controller() -> None:
    search = trials.search_of(read(HERE / "enas.yaml"), 2)
    assert (search.hidden_size, search.learning_rate, search.steps) == (16, 0.01, 5)
    assert (search.temperature, search.tanh_constant) == (1.0, 2.25)  # None is no temperature
    assert (search.cells_per_step, search.skip_target, search.skip_weight) == (2, 0.4, 0.8)
    assert (search.entropy_weight, search.baseline_decay, search.epochs) == (1e-5, 0.999, 2)


def test_the_example_of_all_operations_is_the_space_katib() -> None:
    experiment = read(HERE / "enas_all_operations.yaml")
    assert trials.space_of(experiment).name == "katib"
    assert trials.space_of(experiment).operations == tuple(EXAMPLE)
    assert (experiment.trials, experiment.parallel, experiment.epochs) == (12, 3, None)


def test_a_darts_experiment_is_read() -> None:
    experiment = read(HERE / "darts.yaml")
    assert (experiment.algorithm, experiment.layers, experiment.metric) == (
        "darts",
        3,
        "Best-Genotype",
    )
    assert experiment.settings == {
        **{name: setting.default for name, setting in DARTS.items()},
        "num_epochs": 2,
        "num_nodes": 2,
        "init_channels": 4,
        "stem_multiplier": 1,
        "batch_size": 50,
    }


def changed(document: Any, path: str, value: Any) -> None:
    *keys, last = path.split(".")
    for key in keys:
        document = document[int(key) if key.isdecimal() else key]
    if value is None:
        del document[last]
    else:
        document[int(last) if last.isdecimal() else last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", "Deployment", "0 documents of kind Experiment"),
        ("metadata.name", "../x", "metadata.name is '../x'"),
        ("spec", None, "no spec"),
        ("spec", [], "spec is"),
        ("spec.algorithm.algorithmName", "tpe", "algorithmName is 'tpe'"),
        ("spec.algorithm.algorithmSettings", {}, "must be a list"),
        ("spec.algorithm.algorithmSettings.0", "x", "give name and value"),
        ("spec.algorithm.algorithmSettings.0.name", "hidden", "enas has no setting 'hidden'"),
        ("spec.algorithm.algorithmSettings.0.value", "0", "whole number in [1, inf)"),
        ("spec.algorithm.algorithmSettings.0.value", "1.5", "controller_hidden_size is '1.5'"),
        ("spec.algorithm.algorithmSettings.0.value", "None", "controller_hidden_size is 'None'"),
        ("spec.algorithm.algorithmSettings.1.value", "2", "number in (0, 1]"),
        ("spec.algorithm.algorithmSettings.1.value", "nan", "controller_learning_rate is 'nan'"),
        ("spec.algorithm.algorithmSettings.3.value", "inf", ", or None"),
        ("spec.nasConfig", None, "no nasConfig"),
        ("spec.nasConfig.graphConfig", "x", "graphConfig is 'x'"),
        ("spec.nasConfig.graphConfig.numLayers", 0, "numLayers is 0"),
        ("spec.nasConfig.graphConfig.numLayers", "three", "numLayers is 'three'"),
        ("spec.nasConfig.graphConfig.inputSizes", 3, "inputSizes is 3"),
        ("spec.nasConfig.operations", [], "lists no operations"),
        ("spec.nasConfig.operations.0", "convolution", "give an operationType"),
        ("spec.nasConfig.operations.0.parameters.0", "x", "give its name"),
        ("spec.nasConfig.operations.0.parameters.0.parameterType", "double", "parameterType 'double'"),
        ("spec.nasConfig.operations.0.parameters.0.feasibleSpace", None, "no feasibleSpace"),
        ("spec.nasConfig.operations.0.parameters.0.feasibleSpace", {}, "no list of values"),
        ("spec.nasConfig.operations.1.parameters.1.feasibleSpace.min", None, "min is None"),
        ("spec.nasConfig.operations.1.parameters.1.feasibleSpace.step", "0", "step is 0"),
        ("spec.objective.objectiveMetricName", "Validation-Loss", "trials report Validation-Accuracy"),
        ("spec.objective.type", "minimize", "type is 'minimize'"),
        ("spec.objective.goal", "high", "goal is 'high'"),
        ("spec.maxTrialCount", "many", "maxTrialCount is 'many'"),
        ("spec.parallelTrialCount", -1, "parallelTrialCount is -1"),
    ],
)  # fmt: skip
def test_experiments_that_cannot_be_are_refused(
    document: Any, tmp_path: Path, path: str, value: Any, message: str
) -> None:
    changed(document, path, value)
    with pytest.raises(InvalidSetting, match=re.escape(message)):
        read(written(document, tmp_path))


def test_files_that_are_no_experiments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="there is no experiment"):
        read(tmp_path / "none.yaml")
    file = tmp_path / "file.yaml"
    for text in ("a: [1", "\x00", "- !!python/object/apply:os.system [ls]\n", "[" * 1000):
        file.write_text(text)
        with pytest.raises(CorruptFile, match="is no YAML"):
            read(file)
    file.write_text("a: &a [1, 1]\nb: &b [*a, *a]\n")
    with pytest.raises(InvalidSetting, match="aliases"):
        read(file)
    file.write_text("")
    with pytest.raises(InvalidSetting, match="0 documents"):
        read(file)
    file.write_bytes(b"\xff" * 10)
    with pytest.raises(CorruptFile):
        read(file)
    file.write_text("#" * (1 << 17) + "\n")
    with pytest.raises(CorruptFile, match="larger than"):
        read(file)


def test_an_experiment_runs_and_prints_what_katib_collects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("katib", HERE / "enas.yaml", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    metrics = [m for m in FILTER.findall(printed) if m[0] == "Validation-Accuracy"]
    assert len(metrics) == 4
    files = sorted((tmp_path / "out" / "trials").iterdir())
    assert [file.name for file in files] == [f"enas-small-{i:04}.json" for i in range(1, 5)]
    space = trials.space_of(read(HERE / "enas.yaml"))
    for file, metric in zip(files, metrics, strict=True):
        trial = json.loads(file.read_text())
        assignments = {each["name"]: each["value"] for each in trial["parameterAssignments"]}
        assert space.from_assignments(**assignments).to_text() == trial["text"]
        values = dict.fromkeys(("latest", "min", "max"), metric[1])  # as it was reported once
        assert trial["observation"]["metrics"][0] == {"name": metric[0], **values}
    experiment = json.loads((tmp_path / "out" / "experiment.json").read_text())
    best = max(metrics, key=lambda metric: float(metric[1]))[1]
    assert experiment["currentOptimalTrial"]["observation"]["metrics"][0]["latest"] == best
    # The space of the experiment has a name now, which other commands know.
    assert spaces.named(trial["space"]) == space


def test_an_experiment_goes_on_without_training_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("katib", HERE / "enas.yaml", "--out", tmp_path / "out", "--json")
    assert kit(*words, "--trials", 3) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["trials"]) == 3

    def never(*args: object, **settings: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("nasbench_kit.training.trainer.train", never)
    assert kit(*words, "--trials", 3) == 0
    assert json.loads(capsys.readouterr().out) == first
    monkeypatch.undo()
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    assert kit(*words) == 0  # four trials by the file
    more = json.loads(capsys.readouterr().out)
    assert more["trials"][:3] == first["trials"]
    assert kit(*words, "--seed", 1) == 2
    assert "another experiment, or the same under other conditions" in capsys.readouterr().err


def test_trials_of_a_round_are_trained_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / f"home-{name}"))
        where = ("--out", tmp_path / name, "--trials", 3, "--workers", workers)
        assert kit("katib", HERE / "enas.yaml", *where) == 0
    trials_of = [sorted((tmp_path / name / "trials").iterdir()) for name in ("one", "two")]
    one, two = [[path.read_text() for path in paths] for paths in trials_of]
    assert one == two
    assert len(one) == 3


def test_a_round_is_trained_ahead_as_far_as_the_budget_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[int] = []

    def finished(work: Any, jobs: list[Any], worker_arguments: list[Any]) -> Any:
        ahead.append(len(jobs))
        assert len(worker_arguments) == 2
        return []

    monkeypatch.setattr(trials, "finished", finished)
    where = ("--out", tmp_path / "out", "--workers", 5)  # of which two have something to do
    assert kit("katib", HERE / "enas.yaml", *where, "--trials", 3) == 0
    assert ahead == [2, 1]
    assert kit("katib", HERE / "enas.yaml", *where, "--total-epochs", 3) == 0
    assert ahead == [2, 1, 1]


@pytest.mark.parametrize(("failures", "code"), [(0, 2), (1, 0)])
def test_trials_may_fail_as_often_as_the_experiment_says(
    document: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failures: int,
    code: int,
) -> None:
    changed(document, "spec.maxFailedTrialCount", failures)
    train, count = trainer.train, 0

    def fails_once(*args: Any, **settings: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise TrainingFailed("out of memory")
        return train(*args, **settings)

    monkeypatch.setattr(trainer, "train", fails_once)
    out = tmp_path / "out"
    assert kit("katib", written(document, tmp_path), "--out", out) == code
    captured = capsys.readouterr()
    assert "out of memory" in captured.err
    kept = [json.loads(path.read_text()) for path in sorted((out / "trials").iterdir())]
    if failures == 0:
        assert len(kept) == 1
        return
    assert len(kept) == 4
    assert [trial.get("failure") for trial in kept] == [None, "out of memory", None, None]
    assert kept[1]["observation"] == {"metrics": []}
    assert kit("animate", out) == 0
    assert "3 of 3 samples" in capsys.readouterr().out


def test_settings_that_nothing_heeds_are_named(
    document: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(HERE / "enas.yaml").unused == ()
    changed(document, "spec.earlyStopping", {"algorithmName": "medianstop"})
    changed(document, "spec.objective.metricStrategies", [{"name": "x", "value": "max"}])
    names = ["Training-Accuracy", "Validation-Loss"]
    changed(document, "spec.objective.additionalMetricNames", names)
    assert kit("katib", written(document, tmp_path), "--dry-run") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "earlyStopping (every trial is trained to its end)" in line
    assert "metricStrategies (a metric is reported once" in line
    assert "additionalMetricNames 'Validation-Loss'" in line


def test_the_command_that_trains_the_best_trial_longer_says_how_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--trials", 1, "--recipe", "noisy-digits", "--out", tmp_path / "out")
    assert kit("katib", HERE / "enas.yaml", *words) == 0
    *_, last = capsys.readouterr().out.splitlines()
    command = shlex.split(last.removeprefix("in full: nasbench-kit "))
    assert command[-4:] == ["--data", "digits", "--recipe", "noisy-digits"]
    assert kit(*command, "--epochs", 1) == 0


def test_a_budget_and_a_goal_end_an_experiment(
    document: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("katib", HERE / "enas.yaml", "--out", tmp_path / "out", "--json")
    assert kit(*words, "--total-epochs", 5) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2  # of two epochs each
    changed(document, "spec.objective.goal", 0.01)
    path = written(document, tmp_path)
    assert kit("katib", path, "--out", tmp_path / "goal", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", 0], "trials is 0"),
        (["--epochs", 0], "epochs is 0"),
        (["--total-epochs", 1], "pays for no trial of 2"),
        (["--data", "nowhere"], "nowhere"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_bad_options_end_in_one_line(
    words: list[Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("katib", HERE / "enas.yaml", "--out", "nowhere", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("nowhere").exists()


def test_a_dry_run_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert kit("katib", HERE / "enas.yaml", "--out", out, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials"], plan["epochs"], plan["layers"]) == (4, 2, 3)
    assert spaces.named(plan["space"]).name == plan["space"]
    assert plan["recipe"] == "digits"
    assert not out.exists()
    assert kit("katib", HERE / "enas.yaml", "--data", "cifar10", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "katib"
