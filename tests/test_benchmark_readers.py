"""Readers of other benchmarks' files: published figures, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from nasbench_kit import Budget, Oracle, Table, spaces
from nasbench_kit.cli import main
from nasbench_kit.data import available
from nasbench_kit.data.benchmarks import download
from nasbench_kit.data.benchmarks.analog_nasbench import read as analog
from nasbench_kit.data.benchmarks.nasbench_graph import read as graph
from nasbench_kit.data.benchmarks.nasbench_macro import read as macro
from nasbench_kit.data.benchmarks.readers import Options, reader_of
from nasbench_kit.data.benchmarks.rows import Metrics, table_of_rows
from nasbench_kit.errors import CorruptFile, InvalidSetting

_SHARED = Path(__file__).parents[1].parent / "shared" / "data"
MACRO = _SHARED / "nas-bench-macro_cifar10.json.gz"


def installed(package: str) -> pytest.MarkDecorator:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return pytest.mark.skip(reason=f"the package {package} is not installed")
    return pytest.mark.skipif(False, reason="")


def kit(*words: object) -> int:
    return main([str(word) for word in words])


# NAS-Bench-Macro ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def macro_table() -> Table:
    (table,) = macro.tables(MACRO, Options())
    return table


@pytest.mark.shared
@pytest.mark.skipif(not MACRO.exists(), reason=f"{MACRO.name} lies only in ../shared")
class TestMacro:
    def test_published_figures(self, macro_table: Table) -> None:
        assert macro_table.complete and (
            len(macro_table),
            macro_table.epochs,
            macro_table.repeats,
        ) == (6561, (50,), 3)
        means = macro_table.mean("validation_accuracy")
        best = macro_table.space.parse("22212220")
        assert means[macro_table.row(best)] == means.max()
        assert round(100 * means.max(), 5) == 93.12666
        readings = macro_table.values("validation_accuracy")[macro_table.row(best)]
        assert np.round(100 * readings, 2).tolist() == [93.28, 93.33, 92.77]
        assert macro_table.extra["trainable_parameters"][macro_table.row(best)] == 1_985_514
        assert macro_table.costs["flops"][macro_table.row(best)] == 85_164_544
        assert round(100 * np.median(means), 2) == 90.99
        deviations = macro_table.values("validation_accuracy").std(axis=1)
        assert round(100 * deviations.mean(), 3) == 0.151

    def test_texts_of_one_network_share_their_trainings(self, macro_table: Table) -> None:
        """An identity that does not begin a stage is none: 9 * 21 * 21 networks are different."""
        of_network: dict[tuple[str, ...], set[tuple[float, ...]]] = {}
        readings = macro_table.values("validation_accuracy")
        for row in range(len(macro_table)):
            text = macro_table.space[row].to_text()
            stages = text[:2], text[2:5], text[5:]
            layers = tuple(stage[0] + stage[1:].replace("0", "") for stage in stages)
            of_network.setdefault(layers, set()).add(tuple(readings[row]))
        assert len(of_network) == 9 * 21 * 21
        assert all(len(trainings) == 1 for trainings in of_network.values())

    def test_its_accuracies_are_of_test_images_and_it_says_so(
        self, macro_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert macro_table.selection_metric == "test accuracy" and not macro_table.has(
            "test_accuracy"
        )
        macro_table.save(tmp_path / "macro.h5")
        words = ("compare", "--table", tmp_path / "macro.h5", "--seeds", 2, "--workers", 1)
        assert kit(*words, "--out", tmp_path / "runs") == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "regret in mean test accuracy (which searches select by, too)" in printed
        assert "40 queries" in printed  # the default, as nobody recorded seconds
        assert kit("report", tmp_path / "runs", "--table", tmp_path / "macro.h5") == 0
        assert "which searches select by, too" in (tmp_path / "runs" / "report.html").read_text()
        assert kit("query", "22212220", "--table", tmp_path / "macro.h5") == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "what searches select by: test accuracy here" in printed

    def test_download(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
        content = gzip.decompress(MACRO.read_bytes())
        assert len(content) == 1_178_821
        assert hashlib.sha256(content).hexdigest() == download.MACRO.sha256
        (tmp_path / "macro.json").write_bytes(content)
        mirror = tmp_path.as_uri()
        (tmp_path / download.MACRO.file).write_bytes(content)
        assert kit("download", "nasbench-macro", "--mirror", mirror) == 0
        assert "6,561" in capsys.readouterr().out
        assert Table.open(tmp_path / "home" / "tables" / "nasbench-macro.h5").complete
        assert kit("download", "nasbench-macro") == 0
        assert "there already" in capsys.readouterr().out
        (tmp_path / "macro.json").write_bytes(content[:-1] + b" ")
        words = ("download", "nasbench-macro", "--force", "--from", tmp_path / "macro.json")
        assert kit(*words) == 2
        assert kit("download", "nasbench-macro", "--only108") == 2


@pytest.mark.parametrize(
    "content",
    [
        b'{"22212220": {"test_acc": [93.28], "mean_acc": 93, "std": 1, "params": 1}}',
        b'{"22212220": {"test_acc": [9328], "mean_acc": 93, "std": 1, "params": 1, "flops": 1}}',
        b'{"22212223": {"test_acc": [93.28], "mean_acc": 93, "std": 1, "params": 1, "flops": 1}}',
        b'{"22212220": {"test_acc": ["93.28"], "mean_acc": 93, "params": 1, "flops": 1}}',
        b'{"22212220": {"test_acc": [93.28], "mean_acc": 93, "params": 1, "flops": 1}',
    ],
)
def test_other_json_is_refused_by_name(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    assert kit("convert", tmp_path / "bad.json", tmp_path / "out.h5") == 2
    assert "bad.json" in capsys.readouterr().err
    assert not (tmp_path / "out.h5").exists()


# NAS-Bench-Graph ------------------------------------------------------------------------------

#: Task -> key of the best validation accuracy, that accuracy, its test accuracy; the same of test.
GRAPH = {
    "arxiv": (83533, 0.736667, 0.719537, 81344, 0.723865),
    "citeseer": (31144, 0.728000, 0.710333, 47206, 0.715667),
    "computers": (73033, 0.919000, 0.820330, 20407, 0.855834),
    "cora": (87072, 0.819333, 0.826333, 77016, 0.831333),
    "cs": (26503, 0.921333, 0.905856, 21506, 0.912624),
    "photo": (30743, 0.940667, 0.920841, 30747, 0.927896),
    "physics": (60717, 0.940000, 0.913452, 45155, 0.930049),
    "proteins": (74578, 0.853333, 0.761124, 85414, 0.792634),
    "pubmed": (30224, 0.811333, 0.756000, 21512, 0.786000),
}


@pytest.fixture(scope="module")
def graph_tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    folder = tmp_path_factory.mktemp("graph")
    assert kit("convert", graph.PACKAGE, folder) == 0
    return {task: Table.open(folder / f"nasbench-graph-{task}.h5") for task in GRAPH}


@installed(graph.PACKAGE)
class TestGraph:
    def test_published_figures(self, graph_tables: dict[str, Table]) -> None:
        for task, (key, validation, its_test, best_test, test) in GRAPH.items():
            table = graph_tables[task]
            means, tests = table.mean("validation_accuracy"), table.mean("test_accuracy")
            best = table.row(table.space.parse(f"{key:05d}"))
            assert means[best] == means.max()
            assert (round(means[best], 6), round(tests[best], 6)) == (validation, its_test)
            assert table.covered[int(tests.argmax())].to_text() == f"{best_test:05d}"
            assert round(tests.max(), 6) == test
        pubmed = graph_tables["pubmed"]
        validations, tests = pubmed.mean("validation_accuracy"), pubmed.mean("test_accuracy")
        assert round(np.corrcoef(validations, tests)[0, 1], 2) == 0.34

    def test_its_keys_are_exactly_the_canonical_forms(self) -> None:
        """All files but one have all networks; proteins those of the five operations alone."""
        space = spaces.named("nasbench-graph")
        texts = {space[row].to_text() for row in range(len(space))}  # type: ignore[index, arg-type]
        for path in graph.files():
            keys = {text for text, _ in graph.rows(path)}
            if path.stem == "proteins":
                assert keys == {text for text in texts if not set(text[1:]) - set("14578")}
                assert len(keys) == 2021
            else:
                assert keys == texts

    def test_answers_have_costs(self, graph_tables: dict[str, Table]) -> None:
        oracle = Oracle(graph_tables["cora"], Budget(queries=1), np.random.default_rng(0))
        answer = oracle.query(graph_tables["cora"].space.parse("87072"))
        assert answer.costs.keys() == {"latency", "parameters"}
        assert 0 < answer.costs["latency"] < 1
        assert answer.seconds is None

    def test_one_file(self, tmp_path: Path) -> None:
        (path,) = (path for path in graph.files() if path.stem == "proteins")
        assert kit("convert", path, tmp_path / "one.h5") == 0
        assert len(Table.open(tmp_path / "one.h5")) == 2021


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("it ran",)


def test_a_hostile_file_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cora.bench", "data.anb"):
        (tmp_path / name).write_bytes(pickle.dumps({0: Hostile()}, 3))
        assert kit("convert", tmp_path / name, tmp_path / "out.h5") == 2
        told = capsys.readouterr()
        assert "print" in told.err and "it ran" not in told.out


@pytest.mark.parametrize("content", [[], {0: 3}, {"0": {}}, {0: {"valid_perf": "x"}}, {}])
def test_other_pickles_are_refused_by_name(content: object, tmp_path: Path) -> None:
    for name in ("cora.bench", "data.anb"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(content, 3))
        reader = reader_of(path)
        assert reader is not None
        with pytest.raises(CorruptFile, match=name):
            list(reader.tables(path, Options()))
    (tmp_path / "karate.bench").write_bytes(pickle.dumps({}, 3))
    with pytest.raises(CorruptFile, match="the name of no task"):
        graph.table(tmp_path / "karate.bench")


@pytest.mark.parametrize("target", ["tables", "table.h5"])
@pytest.mark.parametrize("source", ["nowhere", "empty"])
def test_a_source_that_is_none_is_told_before_the_target(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert kit("convert", tmp_path / source, tmp_path / target) == 2
    assert "is neither a file, nor a folder of NATS-Bench, nor a package" in capsys.readouterr().err


def test_a_package_that_is_not_there_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(InvalidSetting, match=r"pip install 'nasbench-kit\[graph\]'"):
        graph.files()
    with pytest.raises(InvalidSetting, match="pip install --no-deps analog-nasbench"):
        analog.file()


# AnalogNAS-Bench ------------------------------------------------------------------------------


def test_analog_keys_name_their_edges_in_another_order() -> None:
    assert analog.text((2, 2, 0, 2, 3, 2)) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
        "+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    )


@pytest.fixture(scope="module")
def analog_table() -> Table:
    (table,) = analog.tables(Path(analog.PACKAGE), Options())
    return table


@installed(analog.PACKAGE)
class TestAnalog:
    def test_published_figures(self, analog_table: Table) -> None:
        assert analog_table.complete and len(analog_table) == 15_625 and analog_table.repeats == 1
        means = analog_table.mean("validation_accuracy")
        assert round(100 * means.max(), 4) == 94.0664
        best = analog_table.space[int(means.argmax())]
        assert best.to_text() == analog.text((2, 2, 0, 2, 3, 2))
        row_11 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
        assert round(100 * means[analog_table.row(analog_table.space.parse(row_11))], 2) == 91.14

    def test_accuracy_is_chance_exactly_where_nothing_joins_input_and_output(
        self, analog_table: Table
    ) -> None:
        """What shows that the order of the edges is right."""
        means = analog_table.mean("validation_accuracy")
        for row in range(0, len(analog_table), 7):
            nodes = [
                part.strip("|").split("|") for part in analog_table.space[row].to_text().split("+")
            ]
            reached = {0}
            for node, edges in enumerate(nodes, 1):
                operations = dict(reversed(edge.split("~")) for edge in edges)
                if any(
                    name != "none" and int(source) in reached for source, name in operations.items()
                ):
                    reached.add(node)
            assert (means[row] == 0.1) == (3 not in reached)

    def test_it_says_what_its_accuracies_are(self, analog_table: Table) -> None:
        assert analog_table.selection_metric == "test accuracy"
        assert {"analog_error", "analog_error_after_30d", "qat_error"} <= analog_table.costs.keys()
        assert (analog_table.costs["analog_error"] <= 1).all()


# Rows -----------------------------------------------------------------------------------------


def test_rows_in_any_order_keep_their_numbers(tmp_path: Path) -> None:
    space = spaces.named("nasbench-macro")
    rows: list[tuple[str, Metrics]] = [
        ("00000002", {"validation_accuracy": [0.1, 1 / 3], "seconds": [3, 4], "energy": [1, 2]}),
        ("00000001", {"validation_accuracy": [0.7, 0.2], "seconds": [5, 6], "energy": [3, 4]}),
    ]
    table = table_of_rows(
        space,  # type: ignore[arg-type]
        rows,
        source=tmp_path,
        epochs=9,
        provenance={"name": "two"},
    )
    assert table.values("validation_accuracy").tolist() == [[0.7, 0.2], [0.1, 1 / 3]]
    assert table.values("seconds").tolist() == [[5, 6], [3, 4]]
    assert table.costs["energy"].tolist() == [3.5, 1.5]
    assert [each.to_text() for each in table.covered] == ["00000001", "00000002"]
    for bad in (rows + rows[:1], [*rows, ("00000000", {"seconds": [1.0, 2.0]})], []):
        with pytest.raises(CorruptFile):
            table_of_rows(space, bad, source=tmp_path, epochs=9, provenance={})  # type: ignore[arg-type]


# What can be had ------------------------------------------------------------------------------


def test_what_can_be_had_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert kit("tables", "--available") == 0
    printed = capsys.readouterr().out
    assert "NAS-Bench-Macro" in printed and "download nasbench-macro" in printed
    assert kit("tables", "--available", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [each.name for each in available.AVAILABLE]
    assert all(entry["how"] and entry["size"] and entry["licence"] for entry in listed)
    assert kit("tables", "digits", "--available") == 2
    capsys.readouterr()
    assert kit("tables") == 0
    assert "--available" in capsys.readouterr().out
