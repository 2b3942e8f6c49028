"""nasbench_kit.compat.nats_bench: the official queries, by hand on small rows and on the authors' own."""

import bz2
import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_nats_records import GOLDEN, META, SHARED, TEXTS, row, write
from test_plain_pickle import Call, ran

import nasbench_kit
from nasbench_kit.compat import alias, nats_bench
from nasbench_kit.compat.nats_bench import NATSsize, NATStopology, create
from nasbench_kit.compat.nats_bench.genotype_utils import TopologyStructure, topology_str2structure
from nasbench_kit.errors import (
    CorruptFile,
    InvalidArchitecture,
    InvalidSetting,
    NasbenchKitError,
    NotInTable,
    NotRecorded,
    WrongTable,
)

TOPOLOGIES = SHARED / "NATS-tss-v1_0-3ffb9-simple"
SIZES = SHARED / "NATS-sss-v1_0-50262-simple"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cells; percent is 10 * seed + epoch on training images, one more on each further set."""
    place = tmp_path / "NATS-tss-small-simple"
    place.mkdir()
    write(place / "meta.pickle.pbz2", META)
    hps = {"12": {"cifar10-valid": [1, 3], "cifar10": [1], "cifar100": [2, 4, 5]}}
    write(place / "000000.pickle.pbz2", row(0, hps))
    write(place / "000001.pickle.pbz2", row(1, {"12": {"cifar10-valid": [6]}}, latency=None))
    write(place / "000002.pickle.pbz2", row(2, {"12": {"cifar10-valid": [6]}}, params=0.5))
    return place


@pytest.fixture
def api(folder: Path) -> NATStopology:
    opened = create(str(folder), "tss", fast_mode=True, verbose=False)
    assert isinstance(opened, NATStopology)
    return opened


def test_metrics_by_hand(api: NATStopology) -> None:
    info = api.get_more_info(0, "cifar10-valid", is_random=3)
    assert "12" in info.pop("comment")
    assert info == {
        "train-loss": 0.31, "train-accuracy": 31.0, "train-per-time": 2.0, "train-all-time": 4.0,
        "valid-loss": 0.31, "valid-accuracy": 31.0, "valid-per-time": 0.5, "valid-all-time": 1.0,
        "test-loss": 0.32, "test-accuracy": 32.0, "test-per-time": 0.5, "test-all-time": 1.0,
    }  # fmt: skip
    mean = api.get_more_info(0, "cifar100", iepoch=0, is_random=False)
    accuracies = {key: value for key, value in mean.items() if "accuracy" in key}
    assert accuracies == {
        "train-accuracy": pytest.approx(110 / 3),
        "valid-accuracy": pytest.approx(110 / 3),
        "test-accuracy": pytest.approx(110 / 3 + 1),
        "valtest-accuracy": pytest.approx(110 / 3 + 2),
    }
    assert mean["train-all-time"] == 2.0
    whole = api.get_more_info(0, "cifar10", hp=12)
    assert whole["test-accuracy"] == 11.0 and "valid-accuracy" not in whole


def test_costs_by_hand(api: NATStopology) -> None:
    assert api.get_cost_info(0, "cifar10-valid") == {
        "flops": 12.5, "params": 0.25, "latency": 0.375,
        "T-train@epoch": 2.0, "T-train@total": 4.0,
        "T-x-valid@epoch": 0.5, "T-x-valid@total": 1.0,
        "T-ori-test@epoch": 0.5, "T-ori-test@total": 1.0,
    }  # fmt: skip
    assert api.get_latency(0, "cifar10") == 0.375
    assert api.get_latency(1, "cifar10-valid") is None


def test_an_evaluation_that_is_missing_at_some_epochs_has_no_time(folder: Path) -> None:
    changed = row(0, {"12": {"cifar10": [1]}})
    del changed["12"]["all_results"]["cifar10", 1]["eval_times"]["ori-test@0"]
    write(folder / "000000.pickle.pbz2", changed)
    api = create(folder, "tss", fast_mode=True, verbose=False)
    costs = api.get_cost_info(0, "cifar10")
    assert costs["T-ori-test@total"] is None and costs["T-train@total"] == 4.0


def test_where_seeds_disagree_on_parameters_seed_888_counts(folder: Path) -> None:
    changed = row(0, {"12": {"cifar100": [777, 888]}})
    changed["12"]["all_results"]["cifar100", 777]["params"] = 9.0
    write(folder / "000000.pickle.pbz2", changed)
    api = create(folder, "tss", fast_mode=True, verbose=False)
    assert api.get_cost_info(0, "cifar100")["params"] == 0.25


def test_simulated_training(api: NATStopology) -> None:
    random.seed(0)
    answers = [api.simulate_train_eval(TEXTS[0], "cifar10") for _ in range(20)]
    random.seed(0)
    seeds = [random.choice([1, 3]) for _ in range(20)]
    assert [answer[0] for answer in answers] == [10 * seed + 1 for seed in seeds]
    assert {answer[1:3] for answer in answers} == {(0.375, 4.5)}
    assert [answer[3] for answer in answers] == [4.5 * n for n in range(1, 21)]
    assert api.used_time == 90
    api.simulate_train_eval(0, "cifar10", account_time=False)
    assert api.used_time == 90
    api.reset_time()
    assert api.used_time == 0


def test_the_last_validation_is_charged_where_an_epoch_has_none(folder: Path) -> None:
    changed = row(0, {"200": {"cifar100": [7]}})
    found = changed["200"]["all_results"]["cifar100", 7]
    for values in (found["eval_acc1es"], found["eval_losses"]):
        del values["x-valid@0"]
    write(folder / "000000.pickle.pbz2", changed)
    api = create(folder, "tss", fast_mode=True, verbose=False)
    accuracy, _, cost, _ = api.simulate_train_eval(0, "cifar100", iepoch=0, hp="200")
    assert (accuracy, cost) == (72.0, 2.5)  # of both halves of the test images


def test_one_draw_of_random_an_answer_and_none_for_means(api: NATStopology) -> None:
    random.seed(1)
    api.get_more_info(0, "cifar100", is_random=False)
    api.get_more_info(0, "cifar100", is_random=4)
    assert random.getstate() == _state_after(lambda: None)
    drawn = [api.get_more_info(0, "cifar100")["train-accuracy"] for _ in range(9)]
    random.seed(1)
    assert drawn == [10 * random.choice([2, 4, 5]) + 1 for _ in range(9)]
    random.seed(2)
    rows = [api.random() for _ in range(9)]
    random.seed(2)
    assert rows == [random.randint(0, 2) for _ in range(9)]


def _state_after(action: Any) -> Any:
    random.seed(1)
    action()
    return random.getstate()


def test_the_best(api: NATStopology, folder: Path) -> None:
    assert api.find_best("cifar10", "valid", enforce_all=False) == (-1, None)
    assert api.find_best("cifar10", "valid") == (1, 61.0)  # the first of equals
    assert api.find_best("cifar10", "valid", param_max=0.1) == (-1, None)
    assert api.find_best("cifar10", "valid", flop_max=12.5, param_max=0.25) == (1, 61.0)
    whole = create(folder, "tss", fast_mode=False, verbose=False)
    assert whole.find_best("cifar10", "valid") == (1, 61.0)
    (folder / "000001.pickle.pbz2").unlink()
    part = create(folder, "tss", fast_mode=False, verbose=False)
    assert part.find_best("cifar10", "valid") == (2, 61.0)
    with pytest.raises(NotInTable, match="000001"):
        create(folder, "tss", fast_mode=True, verbose=False).find_best("cifar10", "valid")


class Text:
    def tostr(self) -> str:
        return TEXTS[1]


def test_architectures_by_text_number_and_object(api: NATStopology) -> None:
    assert len(api) == 3 and list(api) == TEXTS and api[1] == api.arch(1) == TEXTS[1]
    for name in (TEXTS[1], 1, np.int64(1), Text(), topology_str2structure(TEXTS[1])):
        assert api.query_index_by_arch(name) == 1
        assert api.get_more_info(name, "cifar10-valid")["train-accuracy"] == 61.0
    assert [api.query_index_by_arch(name) for name in ("8:8:8:8:8", None, 0.5)] == [-1, -1, -1]
    for outside in (-1, 3):
        with pytest.raises(ValueError, match="outside 0 to 2"):
            api.query_index_by_arch(outside)


def test_what_was_evaluated(api: NATStopology, folder: Path) -> None:
    assert repr(api).startswith("NATStopology(0/3 architectures")
    api.get_cost_info(2, "cifar10-valid")
    assert api.evaluated_indexes == {2} and list(api.arch2infos_dict) == [2]
    assert list(api.arch2infos_dict[2]) == api.avaliable_hps == ["12"]
    assert api.statistics("cifar10-valid", 12) == {1: 1}
    assert api.statistics("cifar10", 12) == {0: 1}
    trained = api.query_by_index(0, "cifar100")
    assert list(trained) == [2, 4, 5] and trained[4].train_acc1es == {0: 40.0, 1: 41.0}
    trained[4].train_acc1es[0] = 0.0  # a copy
    assert api.query_by_index(0, "cifar100")[4].get_train(0)["accuracy"] == 40.0
    assert api.get_net_config(0, "cifar10") == {
        "name": "infer.tiny", "C": 16, "N": 5, "arch_str": TEXTS[0], "num_classes": 10,
    }  # fmt: skip
    assert api.get_net_param(0, "cifar100", None) == {2: None, 4: None, 5: None}


def test_many_rows_are_not_kept(api: NATStopology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_kit.compat.nats_bench.api_utils._KEPT", 2)
    for index in (0, 1, 2, 0):
        assert api.get_cost_info(index, "cifar10-valid")["flops"] == 12.5
    assert list(api._kept) == [2, 0]
    assert api.evaluated_indexes == {0, 1, 2} == set(api.arch2infos_dict)


def test_another_folder_takes_over_a_row(api: NATStopology, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / "meta.pickle.pbz2", META)
    write(other / "000001.pickle.pbz2", row(1, {"12": {"cifar10-valid": [8]}}))
    api.reload(str(other), 1)
    assert api.get_more_info(1, "cifar10-valid")["train-accuracy"] == 81.0
    assert api.get_more_info(2, "cifar10-valid")["train-accuracy"] == 61.0
    api.reset_archive_dir(str(other))
    with pytest.raises(NotInTable):
        api.get_more_info(2, "cifar10-valid")


def _first(api: NATStopology) -> Any:
    return api.get_more_info(0, "cifar100", is_random=False)


def test_an_api_goes_to_a_spawned_process(api: NATStopology) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first, (api,)) == _first(api)


@pytest.mark.parametrize(
    ("ask", "kind", "official", "words"),
    [
        (lambda api: api.get_more_info("8:8:8:8:8", "cifar10"), InvalidArchitecture, ValueError, "topology"),
        (lambda api: api.get_more_info(100_000, "cifar10"), InvalidArchitecture, ValueError, "outside"),
        (lambda api: api.arch(3), InvalidArchitecture, ValueError, "outside"),
        (lambda api: api.get_more_info(0, "mnist"), NotRecorded, KeyError, "cifar10-valid"),
        (lambda api: api.get_more_info(0, "cifar10", hp="90"), NotRecorded, KeyError, "90"),
        (lambda api: api.get_more_info(0, "cifar10", is_random=5), NotRecorded, ValueError, "seed 5"),
        (lambda api: api.get_more_info(0, "cifar10", is_random="a"), InvalidSetting, ValueError, "seed"),
        (lambda api: api.get_more_info(0, "cifar10", iepoch=2), NotRecorded, ValueError, "0 to 1"),
        (lambda api: api.query_info_str_by_arch(0, "200"), NotRecorded, ValueError, "12"),
        (lambda api: api.query_by_index(0, "mnist"), NotRecorded, ValueError, "mnist"),
        (lambda api: api.simulate_train_eval(0, "cifar10-valid"), InvalidSetting, ValueError, "cifar100"),
        (lambda api: api.statistics("mnist", "12"), InvalidSetting, ValueError, "mnist"),
        (lambda api: api.str2matrix("|odd~0|"), InvalidArchitecture, ValueError, "odd"),
        (lambda api: api.str2lists("8:8"), InvalidArchitecture, ValueError, "8:8"),
        (lambda api: create(None, "both"), InvalidSetting, ValueError, "both"),
        (lambda api: create({}, "tss"), InvalidSetting, ValueError, "dict"),  # type: ignore[arg-type]
        (lambda api: create(api.archive_dir, "sss", verbose=False), WrongTable, ValueError, "sss"),
        (lambda api: create("/none", "tss"), CorruptFile, ValueError, "does not exist"),
    ],
)  # fmt: skip
def test_bad_questions_get_one_line_of_both_kinds(
    ask: Any, kind: type[Exception], official: type[Exception], words: str, api: NATStopology
) -> None:
    with pytest.raises(kind, match=words) as caught:
        ask(api)
    assert isinstance(caught.value, official) and isinstance(caught.value, NasbenchKitError)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == caught.value.args[0]  # a KeyError would put it into quotation marks


def test_a_hostile_row_is_refused_by_name(api: NATStopology, folder: Path) -> None:
    hostile = pickle.dumps({"12": Call(ran, "as if by a row")})
    (folder / "000000.pickle.pbz2").write_bytes(bz2.compress(hostile))
    with pytest.raises(CorruptFile, match=r"000000\.pickle\.pbz2 wants .*\.ran"):
        api.get_more_info(0, "cifar10")


def test_the_default_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "NATS-tss-v1_0-3ffb9-simple")
    monkeypatch.setenv("TORCH_HOME", str(folder.parent))
    assert len(create(None, "topology", fast_mode=True, verbose=False)) == 3


def test_texts_as_structures() -> None:
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    cell = topology_str2structure(text)
    assert cell.tostr() == text and len(cell) == 4 and cell[0] == (("nor_conv_3x3", 0),)
    assert cell.check_valid() and cell.check_valid_op(nats_bench.api_topology.OPERATIONS)
    assert NATStopology.str2lists(text) == cell.nodes
    assert NATStopology.str2matrix(text).tolist() == [
        [0, 0, 0, 0], [3, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 0],
    ]  # fmt: skip
    assert cell.to_unique_str(consider_zero=True) == "#+#+(#+(0)@nor_conv_3x3)@avg_pool_3x3"
    assert not topology_str2structure(TEXTS[0]).check_valid()
    assert topology_str2structure(TEXTS[1]).tolist("none")[1] is False
    with pytest.raises(InvalidArchitecture):
        TopologyStructure([[("none", 1)]])


def test_what_is_told_of_the_package() -> None:
    assert nats_bench.version() == "v1.8"
    assert nats_bench.search_space_info("nats-bench", "size")["num_layers"] == 5
    assert len(nats_bench.search_space_info("nas-bench-201", None)["op_names"]) == 5
    with pytest.raises(ValueError, match="mars"):
        nats_bench.search_space_info("mars", None)


# --- the authors' rows ------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("index", GOLDEN)
def test_golden_rows(index: int) -> None:
    api = create(str(TOPOLOGIES), "tss", fast_mode=True, verbose=False)
    names = {"x-valid": "valid", "x-test": "test", "ori-test": "test"}
    for dataset, readings in GOLDEN[index].items():
        info = api.get_more_info(index, dataset, hp="200", is_random=777)
        for name, percent in readings.items():
            assert info[f"{names[name]}-accuracy"] == pytest.approx(percent, abs=5e-5)


@pytest.mark.shared
def test_golden_costs() -> None:
    api = create(str(TOPOLOGIES), "tss", fast_mode=True, verbose=False)
    costs = api.get_cost_info(11, "cifar10-valid")
    assert (costs["params"], costs["flops"]) == (0.802426, 113.95137)
    assert costs["latency"] == pytest.approx(0.016163, abs=5e-7)
    assert costs["T-train@epoch"] == pytest.approx(12.462, abs=5e-4)
    assert costs["T-x-valid@epoch"] == pytest.approx(4.151, abs=5e-4)
    assert api.get_cost_info(11, "cifar10")["T-train@epoch"] == pytest.approx(24.924, abs=5e-4)
    _, latency, seconds, used = api.simulate_train_eval(11, "cifar10")
    assert latency == costs["latency"] and seconds == used
    assert seconds == pytest.approx(12 * 12.462057 + 4.151252, abs=1e-4)
    assert api.search_space_name == "topology" and api.full_train_epochs == 200


@pytest.mark.shared
@pytest.mark.parametrize(("place", "space"), [(TOPOLOGIES, "tss"), (SIZES, "sss")])
def test_numbers_are_the_files_own_to_the_last_bit(place: Path, space: str) -> None:
    """Every training's every epoch, from the authors' file itself."""
    api = create(str(place), space, fast_mode=True, verbose=False)
    content = pickle.loads(bz2.decompress((place / "000011.pickle.pbz2").read_bytes()))
    for hp, found in content.items():
        for (dataset, seed), run in found["all_results"].items():
            for epoch in (0, run["epochs"] // 2, run["epochs"] - 1):
                setname = (
                    "ori-test"
                    if dataset.startswith("cifar10") and dataset != "cifar100"
                    else "x-test"
                )
                key = f"{setname}@{epoch}"
                if dataset == "cifar10-valid" and f"x-valid@{epoch}" not in run["eval_acc1es"]:
                    with pytest.raises(KeyError):
                        api.get_more_info(11, dataset, epoch, hp, seed)
                    continue
                info = api.get_more_info(11, dataset, epoch, hp, seed)
                assert info["train-accuracy"] == run["train_acc1es"][epoch]
                assert info["train-loss"] == run["train_losses"][epoch]
                seconds = sum(run["train_times"][one] for one in range(epoch + 1))
                assert info["train-all-time"] == seconds
                assert info["train-per-time"] == seconds / (epoch + 1)
                assert info.get("test-accuracy") == run["eval_acc1es"].get(key)
                assert info.get("test-loss") == run["eval_losses"].get(key)


@pytest.mark.shared
@pytest.mark.parametrize(("place", "space"), [(TOPOLOGIES, "tss"), (SIZES, "sss")])
def test_means_are_sums_in_the_files_order(place: Path, space: str) -> None:
    api = create(str(place), space, fast_mode=True, verbose=False)
    content = pickle.loads(bz2.decompress((place / "000000.pickle.pbz2").read_bytes()))
    for hp, found in content.items():
        for dataset in ("cifar100", "ImageNet16-120"):
            runs = [found["all_results"][dataset, seed] for seed in found["dataset_seed"][dataset]]
            last = runs[0]["epochs"] - 1
            info = api.get_more_info(0, dataset, hp=hp, is_random=False)
            for name, setname in (
                ("valid", "x-valid"),
                ("test", "x-test"),
                ("valtest", "ori-test"),
            ):
                values = [run["eval_acc1es"][f"{setname}@{last}"] for run in runs]
                assert info[f"{name}-accuracy"] == sum(values) / len(values)


@pytest.mark.shared
def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    api = create(str(TOPOLOGIES), "tss", fast_mode=True, verbose=False)
    told = api.query_info_str_by_arch(11, "12").splitlines()
    assert told == api.query_by_arch(api[11], "12").splitlines()
    assert told[0] == api[11] and told[1].endswith("extra-info : arch-index=11")
    assert told[2] == "cifar10-valid  FLOP=113.95 M, Params=0.802 MB, latency=16.16 ms."
    assert told[3] == (
        "cifar10-valid  train : [loss = 1.003 & top1 = 63.45%], valid : [loss = 1.026 & top1 = 63.28%]"
    )
    api.show(11)
    shown = capsys.readouterr().out
    assert ">>> 012 epochs >>>" in shown and ">>> 200 epochs >>>" in shown
    sizes = create(str(SIZES), "sss", fast_mode=True, verbose=False)
    assert isinstance(sizes, NATSsize)
    assert sizes.get_net_config(11, "cifar10")["channels"] == "8:8:8:16:32"
    assert sizes.query_info_str_by_arch(11, "90").splitlines()[3].count("top1") == 3
    sizes.show()
    assert "000011-th architecture" in capsys.readouterr().out


@pytest.mark.shared
def test_flops_and_parameters_do_not_depend_on_the_epochs() -> None:
    for place, space in ((TOPOLOGIES, "tss"), (SIZES, "sss")):
        api = create(str(place), space, fast_mode=True, verbose=False)
        for index in (0, 11):
            for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
                short = api.get_cost_info(index, dataset, hp="12")
                long = api.get_cost_info(index, dataset, hp=api.full_epochs_in_paper)
                for name in ("flops", "params"):
                    assert short[name] == pytest.approx(long[name], rel=1e-4)


@pytest.mark.shared
def test_6466_topologies_are_different() -> None:
    api = create(str(TOPOLOGIES), "tss", fast_mode=True, verbose=False)
    assert isinstance(api, NATStopology)
    assert len({api.get_unique_str(text) for text in api}) == 6466


# --- the alias --------------------------------------------------------------------------------------

CLIENT = """
import sys
from nats_bench import create
from nats_bench.api_topology import NATStopology
from nats_bench.genotype_utils import topology_str2structure
api = create(sys.argv[1], "tss", fast_mode=True, verbose=False)
assert type(api) is NATStopology and type(api).__module__ == "nasbench_kit.compat.nats_bench.api_topology"
print(api.get_more_info(0, "cifar10-valid", is_random=3)["valid-accuracy"])
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(nasbench_kit.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "nasbench_kit.compat", *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )


def test_a_client_runs_unchanged(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    done = _run(tmp_path, "client.py", str(folder))
    assert (done.returncode, done.stdout) == (0, "31.0\n"), done.stderr


def test_an_installed_package_is_used(tmp_path: Path) -> None:
    (tmp_path / "nats_bench").mkdir()
    (tmp_path / "nats_bench" / "__init__.py").write_text("print('the other one')")
    (tmp_path / "client.py").write_text("import nats_bench")
    done = _run(tmp_path, "client.py")
    assert (done.returncode, done.stdout) == (0, "the other one\n"), done.stderr


def test_a_module_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in sys.modules if name.partition(".")[0] in ("nasbench", "nats_bench")]
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats_bench", json)
    try:
        alias.install()
        assert sys.modules["nats_bench"] is json
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "nasbench"]:
            del sys.modules[name]
