"""Files in the official layout that are not the official ones: EC-NAS-Bench, and made-up ones."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official import needs, official_file, official_table, records_of

from nasbench_kit import Budget, Cell, Oracle, Table
from nasbench_kit.cli import main
from nasbench_kit.compat.nasbench import api
from nasbench_kit.data.benchmarks.nasbench101.convert import convert
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.benchmarks.nasbench101.tfrecord import write_records
from nasbench_kit.errors import CorruptFile
from nasbench_kit.oracle.source import TableSource

_SHARED = Path(__file__).parents[1].parent / "shared" / "data"
FOUR = _SHARED / "ecnas_4v9e.tfrecord.gz"
FIVE = _SHARED / "ecnas_5v9e.tfrecord.gz"
#: The best of the 91 cells: two 3x3 convolutions in a chain, and two shortcuts.
BEST = Cell.from_text("0111/0010/0001/0000:conv3x3,conv3x3")


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protobuf of doubles, varints and byte strings: another reader of the layout."""

    def varint(at: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            number |= (message[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 128:
                return number, at

    at = 0
    while at < len(message):
        tag, at = varint(at)
        if tag & 7 == 1:
            yield tag >> 3, struct.unpack_from("<d", message, at)[0]
            at += 8
        else:
            number, at = varint(at)
            if tag & 7 == 2:
                yield tag >> 3, message[at : at + number]
                at += number
            else:
                yield tag >> 3, number


def recorded(path: Path) -> list[tuple[str, int, list[dict[int, Any]], dict[int, Any]]]:
    """Hash, epochs, fields of the three evaluations, fields of the metrics, of every record."""
    content, records = gzip.decompress(path.read_bytes()), []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        md5, epochs, _, _, metrics = json.loads(content[12 : 12 + length])
        content = content[16 + length :]
        message = list(fields(base64.b64decode(metrics)))
        points = [dict(fields(value)) for number, value in message if number == 1]
        records.append((md5, epochs, points, dict(message)))
    return records


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Table:
    target = tmp_path_factory.mktemp("ecnas") / "ecnas.h5"
    report = convert(FOUR, target)
    assert (report.cells, report.records, report.repeats) == (91, 1092, 3)
    assert report.epochs == (4, 12, 36, 108)
    assert report.halfway_epochs == dict.fromkeys(("4", "12", "36", "108"), 1)
    assert "1 of 108" in report.summary() and "energy_kwh" in report.summary()
    return Table.open(target)


@pytest.mark.shared
@needs(FOUR)
def test_published_figures(four: Table) -> None:
    validation, test = four.mean("validation_accuracy"), four.mean("test_accuracy")
    assert round(validation.max(), 5) == 0.94247
    assert round(test.max(), 5) == 0.93349
    assert four.row(BEST) == validation.argmax()


@pytest.mark.shared
@needs(FOUR)
def test_further_fields_become_costs_of_the_longest_training(four: Table) -> None:
    energies: dict[str, list[float]] = {}
    totals: dict[str, list[float]] = {}
    for md5, epochs, points, metrics in recorded(FOUR):
        assert [point[1] for point in points] == [0, 1, epochs]
        if epochs == 108:
            energies.setdefault(md5, []).append(points[2][6])
            totals.setdefault(md5, []).append(metrics[5])
    costs = four.costs
    for row in range(len(four)):
        md5 = four.extra["hash"][row].tobytes().hex()
        assert costs["energy_kwh"][row] == pytest.approx(np.mean(energies[md5]), rel=1e-12)
        assert costs["total_co2eq_g"][row] == pytest.approx(np.mean(totals[md5]), rel=1e-12)
    # More work takes more energy: training on the same GPUs, energy follows time.
    assert np.corrcoef(costs["energy_kwh"], four.mean("seconds"))[0, 1] > 0.95


@pytest.mark.shared
@needs(FOUR)
def test_an_early_reading_is_charged_as_what_it_is(four: Table) -> None:
    oracle = Oracle(four, Budget(epochs=110), np.random.default_rng(0))
    early = oracle.query(BEST, epochs=108, halfway=True)
    assert (oracle.budget.spent_epochs, early.halfway, early.epochs) == (1, True, 108)
    assert early.seconds == oracle.budget.spent_seconds < 100
    answer = oracle.query(BEST)
    assert oracle.budget.spent_epochs == 109
    assert answer.costs["energy_kwh"] == four.costs["energy_kwh"][four.row(BEST)]
    mean = Oracle(four, Budget(epochs=110), np.random.default_rng(0), policy="mean")
    mean.query(BEST, epochs=36, halfway=True)
    assert mean.budget.spent_epochs == 3
    # In memory, and sent to another process, the same.
    shown = Table(four.space, four.epochs, four.columns, rows=four.rows, provenance=four.provenance)
    source = TableSource(shown)
    source.__setstate__(source.__getstate__())
    assert source.halfway_epochs == dict.fromkeys(four.epochs, 1)


@pytest.mark.shared
@needs(FOUR)
def test_the_official_interface_counts_the_same_epochs(four: Table, tmp_path: Path) -> None:
    assert four.file is not None
    nasbench = api.NASBench(four.file[0], seed=0)
    nasbench.query(api.ModelSpec(BEST.matrix, list(BEST.operations)), stop_halfway=True)
    assert nasbench.get_budget_counters()[1] == 1
    report = export(four, tmp_path / "again.tfrecord")
    assert report.filled["cost energy_kwh"].startswith("left out")
    convert(tmp_path / "again.tfrecord", tmp_path / "again.h5")
    again = Table.open(tmp_path / "again.h5")
    assert again.halfway_epochs == four.halfway_epochs
    assert not again.costs


@pytest.mark.shared
@needs(FIVE)
def test_one_repeat_is_a_number_of_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = convert(FIVE, tmp_path / "five.h5")
    assert (report.cells, report.repeats, report.halfway_epochs) == (2532, 1, {})
    assert main(["tables", str(tmp_path / "five.h5"), "--json"]) == 0
    (described,) = json.loads(capsys.readouterr().out)
    assert described["halfway_epochs"] == {} and "energy_kwh" in described["costs"]


# Made-up files --------------------------------------------------------------------------------


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_any_number_of_repeats_comes_back(repeats: int, tmp_path: Path) -> None:
    records = records_of(official_file(tmp_path))  # three repeats of a cell follow each other
    write_records(tmp_path / "few.tfrecord", [records[np.arange(len(records)) % 3 < repeats]])
    report = convert(tmp_path / "few.tfrecord", tmp_path / "few.h5")
    table, made = Table.open(tmp_path / "few.h5"), official_table()
    assert (report.repeats, table.repeats) == (repeats, repeats)
    for epochs in table.epochs:
        whole = made.values("test_accuracy", epochs)
        assert np.array_equal(table.values("test_accuracy", epochs), whole[:, :repeats])
    assert "halfway_epochs" not in table.provenance and "costs_are" not in table.provenance
    assert table.halfway_epochs == {4: 2, 12: 6}


def test_earlier_readings_have_one_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = records_of(official_file(tmp_path))
    early = records.current_epoch.copy()
    early[:, 1] = np.where(records.epochs == 12, 2.5, early[:, 1])
    write_records(tmp_path / "early.tfrecord", [replace(records, current_epoch=early)])
    convert(tmp_path / "early.tfrecord", tmp_path / "early.h5")
    table = Table.open(tmp_path / "early.h5")
    assert table.provenance["halfway_epochs"] == {"12": 2.5}
    assert table.halfway_epochs == {4: 2, 12: 2.5}
    oracle = Oracle(table, Budget(epochs=5), np.random.default_rng(0))
    for _ in range(2):
        oracle.query(table.covered[0], 12, halfway=True)
    assert oracle.budget.spent_epochs == 5
    assert main(["tables", str(tmp_path / "early.h5")]) == 0
    assert "after 2.5 of 12 epochs" in capsys.readouterr().out

    for wrong in (3.5, -1.0, 13.0):
        early[-1, 1] = wrong
        write_records(tmp_path / "mixed.tfrecord", [replace(records, current_epoch=early)])
        with pytest.raises(CorruptFile, match="one place for all"):
            convert(tmp_path / "mixed.tfrecord", tmp_path / "mixed.h5")
