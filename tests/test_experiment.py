"""Experiment files and flags: the same plan, and every mistake named before any work."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from numpy.random import Generator

from nasbench_kit import Cell, CellSpace, InvalidSetting, Oracle, Table, spaces
from nasbench_kit.algorithms import (
    ALGORITHMS,
    MULTI_OBJECTIVE,
    ON_EDGES,
    WEIGHT_SHARING,
    ZERO_COST,
    RandomSearch,
    RegularizedEvolution,
)
from nasbench_kit.cli import compare, main, parser
from nasbench_kit.compare.plan import Plan
from nasbench_kit.data.subset import subset
from nasbench_kit.data.tables import find, open_table
from nasbench_kit.errors import UnknownName
from nasbench_kit.experiment.planning import plan_of
from nasbench_kit.experiment.searches import ENTRY_POINTS, search_of
from nasbench_kit.experiment.settings import algorithm_flag, read
from nasbench_kit.spaces.protocols import Numbered
from nasbench_kit.testing.made_up import made_up_table

FILE = """
table = "{table}"
seeds = 3
policy = "once"

[budget]
queries = 12
seconds = 2000

[algorithms.random-search]

[algorithms.re5]
method = "regularized-evolution"
population_size = 5
mutation = "per-edge"
mutation_rate = 2
"""
FLAGS = (
    "--table {table} --seeds 3 --policy once --queries 12 --seconds 2e3 --algorithms random-search "
    "\"re5=regularized-evolution(population_size=5, mutation='per-edge', mutation_rate=2.0)\""
)
EVOLUTION = RegularizedEvolution(population_size=5, mutation="per-edge", mutation_rate=2.0)


@pytest.fixture
def table(small_table: Table, tmp_path: Path) -> Path:
    small_table.save(tmp_path / "table.h5")
    return tmp_path / "table.h5"


def from_flags(*words: str) -> Plan:
    args = parser().parse_args(["compare", *words])
    return plan_of(compare.settings_of(args))


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mine.toml").write_text(text)
    return tmp_path / "mine.toml"


def test_files_and_flags_mean_the_same(table: Path, tmp_path: Path) -> None:
    file = written(tmp_path, FILE.format(table=table))
    plan = plan_of(read(file))
    assert plan.algorithms == {"random-search": RandomSearch(), "re5": EVOLUTION}
    assert plan.budget == {"queries": 12, "seconds": 2000.0}
    assert (list(plan.seeds), plan.policy, plan.table) == ([0, 1, 2], "once", table)
    flags = from_flags(*shlex.split(FLAGS.format(table=table)))
    opened = Table.open(table)
    known, now = plan.manifest(opened), flags.manifest(opened)
    assert json.dumps(known) == json.dumps(now)  # 2 and 2.0 would differ here


def test_the_command_of_a_plan_says_the_plan(table: Path, tmp_path: Path) -> None:
    for text in (FILE.format(table=table), f"table = '{table}'\n[budget]\nseconds = 27.7"):
        plan = plan_of(read(written(tmp_path, text)))
        assert plan.command is not None
        program, _, *words = shlex.split(plan.command)
        assert program == "nasbench-kit"
        assert from_flags(*words) == plan


def test_a_flag_overrides_the_file(table: Path, tmp_path: Path) -> None:
    file = str(written(tmp_path, FILE.format(table=table)))
    plan = from_flags(file, "--seeds", "7", "--queries", "9", "--algorithms", "bohb")
    assert len(plan.seeds) == 7
    assert plan.budget == {"queries": 9, "seconds": 2000.0}
    assert plan.algorithms == {"bohb": ALGORITHMS["bohb"]()}
    assert plan.policy == "once"


@pytest.mark.parametrize(
    ("settings", "seeds", "seconds"), [({}, 20, 30.0), ({"table": "digits"}, 5, 600.0)]
)
def test_on_shipped_images_weight_sharing_competes(
    settings: dict[str, Any], seeds: int, seconds: float
) -> None:
    """Beside a control; what all supernets train for takes minutes on two cores."""
    plan = plan_of(settings)
    assert plan.table == find(settings.get("table", "noisy-digits"))
    assert list(plan.algorithms) == [
        "random-search",
        "regularized-evolution",
        "enas",
        "darts",
        "distinct-random-search",
    ]
    assert (len(plan.seeds), plan.budget) == (seeds, {"seconds": seconds})
    sharing = [plan.algorithms[name].share for name in ("enas", "darts")]  # type: ignore[attr-defined]
    assert 0 < seeds * seconds * sum(sharing) <= 240


def test_elsewhere_it_compares_what_needs_no_images(table: Path) -> None:
    plan = plan_of({"table": str(table)})
    assert list(plan.algorithms) == ["random-search", "regularized-evolution"]
    assert len(plan.seeds) == 20


@pytest.mark.parametrize("full", [False, True])
def test_tables_without_networks_have_defaults(tmp_path: Path, full: bool) -> None:
    """Nothing of theirs can share weights, and no training of theirs has a price."""
    file = tmp_path / "graphs.h5"
    space = spaces.named("nasbench-graph")
    assert isinstance(space, Numbered)
    made_up_table(space).save(file)
    plan = plan_of({"table": str(file), "full": full})
    assert len(plan.seeds) == (100 if full else 20)
    assert not set(plan.algorithms) & set(WEIGHT_SHARING)


def test_a_part_of_the_digits_compares_without_weight_sharing(tmp_path: Path) -> None:
    """It has too few cells to price steps by."""
    subset(open_table("digits"), CellSpace(3)).save(tmp_path / "part.h5")
    plan = plan_of({"table": str(tmp_path / "part.h5")})
    assert list(plan.algorithms) == ["random-search", "regularized-evolution"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"out": 5}, "out is 5; give the path"),
        ({"seeds": 10**10}, "seeds is 10000000000; it must be 1 to 1,000,000"),
        ({"algorithms": {"a": {"method": ["b"]}}}, r"a: method is \['b'\]"),
        ({"reward_images": "test"}, "reward_images is 'test'"),
        ({"device": 3}, "device is 3"),
    ],
)
def test_values_of_another_kind_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        plan_of(settings)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("sampling=cells", {"sampling": "cells"}),
        ("sampling=cells, share=0.1", {"sampling": "cells", "share": 0.1}),
        ("a = one-point ,b=true,c=inf", {"a": "one-point", "b": True, "c": float("inf")}),
        ("a=truest", {"a": "truest"}),
        ("a='b=c, d', e=1", {"a": "b=c, d", "e": 1}),
    ],
)
def test_words_need_no_quotes(words: str, settings: dict[str, Any]) -> None:
    assert algorithm_flag(f"x({words})") == ("x", {"method": "x", **settings})


def test_two_algorithms_of_one_label_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="two algorithms are called 'a'"):
        from_flags("--algorithms", "a=random-search", "a=local-search")


def test_full_names_every_method(table: Path) -> None:
    plan = plan_of({"full": True})
    small = {name for name in WEIGHT_SHARING if name.endswith("-small")}
    small = {name for name in small if not name.startswith(ON_EDGES)}
    on_images = WEIGHT_SHARING.keys() | ZERO_COST.keys()
    black_box = ALGORITHMS.keys() - on_images - MULTI_OBJECTIVE.keys()
    assert set(plan.algorithms) == black_box | small | {"zero-cost-small"}
    elsewhere = plan_of({"full": True, "table": str(table)})
    assert set(elsewhere.algorithms) == black_box
    assert len(elsewhere.seeds) > len(plan.seeds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes = 3", "no key 'sedes'; did you mean 'seeds'"),
        ("seeds = 0", "seeds is 0"),
        ("seeds = 2.5", "seeds is 2.5"),
        ("seeds = true", "seeds is True"),
        ("policy = 'onces'", "did you mean 'once'"),
        ("table = 'digitss'", "did you mean 'digits'"),
        ("table = 3", "table is 3"),
        ("budget = 3", "write a table [budget]"),
        ("[budget]\nsecond = 3", "no key 'second'; did you mean 'seconds'"),
        ("[budget]\nseconds = 'long'", "seconds are 'long'"),
        ("[budget]\nseconds = -1", "seconds are -1"),
        ("[budget]\nseconds = nan", "seconds are nan"),
        ("[budget]\nseconds = inf", "no run would ever end"),
        ("[budget]\nqueries = 2.5", "queries are 2.5"),
        ("[algorithms.bobh]", "did you mean 'bohb'"),
        ("[algorithms.a]\nmethod = 3", "method is 3"),
        ("[algorithms]\nbohb = 3", "write a table [algorithms.bohb]"),
        ("[algorithms.'a/b']\nmethod = 'bohb'", "the label 'a/b'"),
        (
            "[algorithms.bohb]\nsample = 3",
            "algorithm bohb has no key 'sample'; did you mean 'samples'",
        ),
        ("[algorithms.bohb]\nsamples = 2.5", "bohb: samples is 2.5; it must be a whole number"),
        ("[algorithms.bohb]\nsamples = true", "it must be a whole number"),
        ("[algorithms.bohb]\nrandom_fraction = '1'", "it must be a number"),
        ("[algorithms.local-search]\nfull_neighbourhood = 1", "it must be true or false"),
        ("[algorithms.optuna-tpe]\nencoding = 'D'", "it must be one of 'A', 'B', 'C'"),
        (
            "[algorithms.re]\nmethod = 'regularized-evolution'\nsample_size = 0",
            "re: sample_size is 0",
        ),
        ("seeds = ", "is no experiment file"),
    ],
)
def test_mistakes_are_named_before_any_work(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(written(tmp_path, text)), "--workers", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()  # no progress bar either
    assert message in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("re(population_size=5", "cannot be read"),
        ("regularized-evolution(population_size)", "cannot be read"),
        ("a=b=c", "cannot be read"),
        ("x=bohb(eta=3}\nseeds={a=1)", "cannot be read"),
    ],
)
def test_a_garbled_flag_is_named(flag: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        algorithm_flag(flag)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"nowhere\.toml cannot be read"):
        read(tmp_path / "nowhere.toml")


def test_a_dry_run_says_and_writes_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["compare", str(written(tmp_path, FILE.format(table=table))), "--workers", "1"]
    assert main([*command, "--dry-run", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "runs").exists()
    assert printed["folder"] == "runs/mine"
    for row in printed["algorithms"]:
        assert (row["finished"], row["missing"]) == (0, 3)
        assert (row["queries"], row["seconds"]) == (36, 6000.0)
        assert row["queries_about"] == 36
        assert row["processor_seconds_about"] is None
    assert main([*command, "--json"]) == 0
    capsys.readouterr()
    assert main([*command, "--dry-run", "--seeds", "5"]) == 0
    assert "Would run 4 of 10 runs" in capsys.readouterr().out
    assert main([*command, "--dry-run", "--queries", "13"]) == 2
    assert "holds results with another budget queries (12, now 13)" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A search of somebody else's package."""

    greed: float = 0.5
    mode: Literal["calm", "wild"] = "calm"

    def __call__(self, oracle: Oracle, rng: Generator) -> Iterator[Cell]:
        yield oracle.query(oracle.space.sample(rng)).cell


def test_other_packages_add_algorithms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed package is a folder of metadata on the path."""
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = {"foreign": f"{__name__}:Foreign", "broken": "no_such_module:Search", "bohb": "a:b"}
    lines = [f"{name} = {value}\n" for name, value in points.items()]
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n" + "".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    theirs: Any = search_of("mine", {"method": "foreign", "greed": 1, "mode": "wild"})
    assert (theirs.greed, theirs.mode, type(theirs).__name__) == (1.0, "wild", "Foreign")
    assert search_of("bohb", {}) == ALGORITHMS["bohb"]()
    with pytest.raises(UnknownName, match="did you mean 'foreign'"):
        search_of("foriegn", {})
    with pytest.raises(InvalidSetting, match="broken cannot be loaded"):
        search_of("broken", {})
