"""Bad inputs of every command, as data: what is wrong, the words, and what the one line must say.

`test_hostile.py` replays them. Most follow from the parser itself, so that no option of any command is
left out; the others are files that are not what they should be. Words in braces are files that
`make_files` makes: ``{table}`` is its path.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import report_inputs
from PIL import Image

from nasbench_kit import CellSpace
from nasbench_kit.cli import common, parser
from nasbench_kit.compare.run_folder import all_traces
from nasbench_kit.compare.scores import write_results
from nasbench_kit.data.benchmarks.nasbench101.export import export
from nasbench_kit.data.subset import subset
from nasbench_kit.data.tables import open_table


class Input(NamedTuple):
    """One call that must be refused."""

    #: What sort of thing is wrong.
    kind: str
    #: The command line.
    words: tuple[str, ...]
    #: A part of the line that says so.
    message: str


#: Of every command, a call that would work; an option appended to it takes the place of its own.
CALLS = {
    "compare": "{table} --queries 3 --algorithms random-search --workers 1 --out out".replace(
        "{table}", "--table {table}"
    ),
    "report": "{run} --table {run_table} --out page.html",
    "analyze": "noise --table {table} --out out",
    "rank-correlation": "--out out --cells 30 --workers 1",
    "retrain": "{run} --table {run_table} --out out",
    "tables": "{table}",
    "query": "resnet --table {table}",
    "enumerate": "--space v3e3",
    "download": "nasbench101 --from {text}",
    "convert": "{text} new.h5",
    "export": "{table} new.tfrecord",
    "train": "resnet --epochs 4",
    "build": "new.h5 --space v2e1 --epochs 4 --repeats 2 --workers 1",
    "subset": "{table} v2e1 new.h5",
    "fit-surrogate": "{table} new.h5",
    "calibrate": "--cells 1",
    "katib": "{katib} --epochs 1 --trials 1",
    "animate": "{run} --out new.gif",
}

NUMBERS = ("nan", "inf", "-inf", "1e9", "x", "9" * 30, "9" * 5000, "-1", "0")
WORDS = ("", " ", "a\0b", "a\udcffb")
#: What may be 0.
FROM_ZERO = {"--seed", "--scoring", "--held-out-repeats"}
#: Limits of a budget may be 0, and are whole or not.
BUDGET = {("compare", "--seconds"), ("compare", "--epochs"), ("compare", "--queries")}
#: Text options, of which any name can be meant.
FREE = {"--out", "--mirror", "--checkpoint", "--from", "--weights"}


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's own parser."""
    (action,) = (
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    found: dict[str, argparse.ArgumentParser] = action.choices
    return found


def of_the_parser() -> Iterator[Input]:
    """Bad values of every option and argument that takes one."""
    for command, own in commands().items():
        call = (command, *CALLS[command].split())
        yield Input("usage", (*call, "--no-such-option", "5"), "no-such-option")
        for action in own._actions:
            if action.nargs == 0 or isinstance(action, argparse._HelpAction):
                continue
            if not action.option_strings:
                yield from (Input("argument", (command, word), _about(word)) for word in WORDS)
                continue
            option = action.option_strings[-1]
            yield Input("usage", (*call, option), f"{option}: expected")
            for word in WORDS:
                yield Input("argument", (*call, option, word), _about(word))
            yield Input("argument", (*call, f"{option}="), f"{option} is empty")
            if action.choices is not None:
                yield Input("argument", (*call, option, "nonsense"), f"{option}: invalid choice")
            elif action.type not in (None, Path):
                for number in NUMBERS:
                    limit = (command, option) in BUDGET
                    if number == "0" and (limit or option in FROM_ZERO):
                        continue
                    if number == "1e9" and action.type in (float, common.positive):
                        continue
                    yield Input("number", (*call, option, number), option.strip("-").split("-")[0])
            elif option not in FREE and (command, option) != ("compare", "--data"):
                message = "give either" if option in ("--matrix", "--operations") else "nonsense"
                yield Input("name", (*call, option, "nonsense"), message)


def _about(word: str) -> str:
    return "UTF-8" if word.strip() else "is empty"


def _written(name: str, command: str, message: str, kind: str = "file") -> Input:
    return Input(kind, tuple(command.format_map(_Braces(name)).split()), message)


class _Braces(dict[str, str]):
    """Leaves {table} as it is, and puts the name of the file in question for {}."""

    def __init__(self, name: str) -> None:
        super().__init__({"file": f"{{{name}}}"})

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


EXPERIMENTS: dict[str, tuple[bytes, str]] = {
    "utf16": ("seeds = 1".encode("utf-16"), "UTF-16"),
    "utf16_le_without_mark": ("seeds = 1".encode("utf-16-le"), "UTF-16"),
    "utf16_be_without_mark": ("seeds = 1".encode("utf-16-be"), "UTF-16"),
    "utf16_be": ("\ufeffseeds = 1".encode("utf-16-be"), "UTF-16"),
    "utf32": ("seeds = 1".encode("utf-32"), "UTF-16 or UTF-32"),
    "latin1": ("# Zürich\nseeds = 1".encode("latin-1"), "no UTF-8"),
    "nul": (b"seeds = 1\0\0", "no experiment file"),
    "binary": (bytes(range(256)), "no experiment file"),
    "no_toml": (b"seeds: 1", "no experiment file"),
    "json": (b'{"seeds": 1}', "no experiment file"),
    "twice": (b"seeds = 1\nseeds = 2", "no experiment file"),
    "deep": (b"seeds = " + b"[" * 50_000, "no experiment file"),
    "long_number": (b"seeds = " + b"9" * 5000, "no experiment file"),
    "large": (b"# " + b"x" * (1 << 20), "bytes"),
    "unknown_key": (b"sedes = 1", "did you mean 'seeds'"),
    "seeds_0": (b"seeds = 0", "seeds is 0"),
    "seeds_text": (b"seeds = '5'", "seeds is '5'"),
    "seeds_many": (b"seeds = 1000000000000", "seeds is 1000000000000"),
    "seeds_list": (b"seeds = [0, 0]", "seeds is [0, 0]"),
    "seeds_true": (b"seeds = true", "seeds is True"),
    "seeds_nan": (b"seeds = nan", "seeds is nan"),
    "table_empty": (b"table = ''", "table is ''"),
    "table_blank": (b"table = '  '", "table is '  '"),
    "table_nul": (b'table = "a\\u0000b"', "table is"),
    "table_number": (b"table = 3", "table is 3"),
    "table_unknown": (b"table = 'digit'", "did you mean 'digits'"),
    "table_folder": (b"table = '/'", "no table is called"),
    "table_long": (b"table = '" + b"x" * 5000 + b"'", "no table is called"),
    "out_empty": (b"out = ''", "out is ''"),
    "out_number": (b"out = 5", "out is 5"),
    "out_nul": (b'out = "\\u0000"', "out is"),
    "data_empty": (b"data = ''", "data is ''"),
    "data_number": (b"data = 1.5", "data is 1.5"),
    "device_empty": (b"device = ''", "device is ''"),
    "device_number": (b"device = 0", "device is 0"),
    "policy_unknown": (b"policy = 'onces'", "did you mean 'once'"),
    "policy_list": (b"policy = ['once']", "policy is ['once']"),
    "policy_empty": (b"policy = ''", "policy is ''"),
    "reward_unknown": (b"reward_images = 'test'", "reward_images is 'test'"),
    "full": (b"full = true", "no key 'full'"),
    "budget_number": (b"budget = 3", "write a table [budget]"),
    "budget_list": (b"[[budget]]\nseconds = 3", "write a table [budget]"),
    "budget_key": (b"[budget]\nsecond = 3", "did you mean 'seconds'"),
    "budget_text": (b"[budget]\nseconds = '3'", "seconds are '3'"),
    "budget_true": (b"[budget]\nseconds = true", "seconds are True"),
    "budget_date": (b"[budget]\nseconds = 2020-01-01", "seconds are"),
    "budget_nan": (b"[budget]\nseconds = nan", "seconds are nan"),
    "budget_inf": (b"[budget]\nepochs = inf", "no run would ever end"),
    "budget_minus_inf": (b"[budget]\nseconds = -inf", "seconds are -inf"),
    "budget_negative": (b"[budget]\nepochs = -1", "epochs are -1"),
    "budget_endless": (b"[budget]\nseconds = 1e308", "no run would ever end"),
    "budget_queries_endless": (b"[budget]\nqueries = " + b"9" * 400, "no run would ever end"),
    "budget_queries_half": (b"[budget]\nqueries = 2.5", "queries are 2.5"),
    "budget_queries_nan": (b"[budget]\nqueries = nan", "queries are nan"),
    "no_algorithms": (b"[algorithms]", "write a table [algorithms.NAME]"),
    "algorithms_list": (b"algorithms = ['bohb']", "algorithms is ['bohb']"),
    "algorithm_unknown": (b"[algorithms.bobh]", "did you mean 'bohb'"),
    "algorithm_number": (b"[algorithms]\nbohb = 3", "write a table [algorithms.bohb]"),
    "method_number": (b"[algorithms.a]\nmethod = 3", "method is 3"),
    "method_empty": (b"[algorithms.a]\nmethod = ''", "no algorithm is called ''"),
    "label_slash": (b"[algorithms.'a/b']\nmethod = 'bohb'", "the label 'a/b'"),
    "label_up": (b"[algorithms.'../../x']\nmethod = 'bohb'", "the label '../../x'"),
    "label_empty": (b"[algorithms.'']\nmethod = 'bohb'", "the label ''"),
    "label_newline": (b'[algorithms."a\\nb"]\nmethod = "bohb"', "the label"),
    "setting_unknown": (b"[algorithms.bohb]\nsample = 3", "did you mean 'samples'"),
    "setting_half": (b"[algorithms.bohb]\nsamples = 2.5", "it must be a whole number"),
    "setting_nan": (b"[algorithms.bohb]\nrandom_fraction = nan", "must be a number"),
    "setting_huge": (b"[algorithms.bohb]\nrandom_fraction = " + b"9" * 400, "must be a number"),
    "setting_zero": (
        b"[algorithms.re]\nmethod = 'regularized-evolution'\nsample_size = 0",
        "sample_size is 0",
    ),
    "setting_above": (
        b"[algorithms.re]\nmethod = 'regularized-evolution'\ninitial_size = 101",
        "initial_size is 101",
    ),
}

#: Of a table's bytes, something else.
TABLES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty_table": (lambda whole: b"", "{file}"),
    "text_table": (lambda whole: b"cell,accuracy\n", "{file}"),
    "nul_table": (lambda whole: bytes(5000), "{file}"),
    "head_table": (lambda whole: whole[:100], "{file}"),
    "half_table": (lambda whole: whole[: len(whole) // 2], "{file}"),
    "cut_table": (lambda whole: whole[:-1], "{file}"),
    "long_table": (lambda whole: whole[200:], "{file}"),
}
#: Every command that reads a table.
READ_TABLE = (
    "tables {file}",
    "query resnet --table {file}",
    "analyze noise --out out --table {file}",
    "compare --out out --workers 1 --table {file}",
    "compare --dry-run --table {file}",
    "rank-correlation --out out --table {file}",
    "report {run} --out page.html --table {file}",
    "retrain {run} --out out --table {file}",
    "export {file} new.tfrecord",
    "subset {file} v2e1 new.h5",
    "fit-surrogate {file} new.h5",
    "calibrate --table {file}",
)

OFFICIAL: dict[str, bytes] = {
    "empty_records": b"",
    "short_records": b"\1\0\0\0",
    "nul_records": bytes(4096),
    "text_records": b"this is no file of records\n" * 50,
    "endless_record": b"\xff" * 64,
    "cut_gzip": gzip.compress(b"x" * 5000)[:-12],
    "gzip_of_nothing": gzip.compress(b""),
    "json_number": b"5",
    "json_list": b"[]",
    "json_rows": b'[{"hash": 5}]',
    "json_cut": b'[{"hash": "0',
}

MANIFESTS: dict[str, bytes] = {
    "manifest_empty": b"",
    "manifest_list": b"[]",
    "manifest_object": b"{}",
    "manifest_text": b"nonsense",
    "manifest_number": b'{"algorithms": 3, "table": {}}',
    "manifest_utf16": "{}".encode("utf-16"),
}


def of_files() -> Iterator[Input]:
    """Files that are not what they should be."""
    for name, (_, message) in EXPERIMENTS.items():
        yield _written(name, "compare {file} --workers 1", message, "experiment")
    for place in ("folder", "missing", "fifo", "locked"):
        message = {"missing": "No such file", "locked": "Permission denied"}.get(
            place, "regular file"
        )
        if place != "locked":  # root reads everything
            yield _written(place, "compare {file}", message, "experiment")
    yield Input("experiment", ("compare", "/dev/zero"), "regular file")
    yield Input("experiment", ("compare", "/dev/null"), "regular file")
    for command in READ_TABLE:
        for name in TABLES:
            yield _written(name, command, name, "table")
        for place, message in (("folder", "no table is called"), ("missing", "no table is called")):
            yield _written(place, command, message, "table")
        yield Input("table", tuple(command.replace("{file}", "/dev/zero").split()), "no table")
        yield Input("table", tuple(command.replace("{file}", "x" * 5000).split()), "no table")
    for name in OFFICIAL:
        yield _written(name, "convert {file} new.h5", name, "official file")
        yield _written(name, "download nasbench101 --from {file}", name, "official file")
    for command in ("convert {file} new.h5", "download nasbench101 --from {file}"):
        yield _written("folder", command, "folder", "official file")
        yield _written("missing", command, "missing", "official file")
    for command in ("report {file} --out page.html", "retrain {file} --out out"):
        for name in (*MANIFESTS, "folder", "missing", "text"):
            yield _written(name, command, name, "run folder")
    for name in MANIFESTS:
        words = "compare --table {table} --queries 3 --algorithms random-search --workers 1 --out"
        yield _written(name, f"{words} {{file}}", name, "run folder")
    for name, (_, message) in IMAGES.items():
        yield _written(name, "train resnet --epochs 2 --data {file}", message, "images")
        yield _written(name, "build new.h5 --space v2e1 --data {file}", message, "images")


def _reverse(path: Path) -> None:
    """Reverse a table's readings of validation accuracy behind its header."""
    import h5py

    with h5py.File(path, "r+") as file:
        reversed_ones = []

        def reverse(name: str, item: Any) -> None:
            if "validation_accuracy" in name and isinstance(item, h5py.Dataset):
                item[...] = item[...][::-1]
                reversed_ones.append(name)

        file.visititems(reverse)
    assert reversed_ones


def _picture(path: Path, pixels: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.as_posix())).integers(0, 256, (pixels, pixels, 3))
    Image.fromarray(noise.astype(np.uint8)).save(path)


def _no_picture(path: Path) -> None:
    for number in range(6):
        _picture(path / f"train/a/{number}.png")
        _picture(path / f"train/b/{number}.png")
    (path / "train/b/1.png").write_bytes(b"no picture")


def _two_sizes(path: Path) -> None:
    for name, pixels in (("a/1", 8), ("b/1", 9)):
        _picture(path / f"train/{name}.png", pixels)


def _one_class(path: Path) -> None:
    for number in range(6):
        _picture(path / f"train/a/{number}.png")


#: Of a path, what makes images there that are none.
IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no_images": (lambda path: path.mkdir(), "no_images"),
    "empty_train": (lambda path: (path / "train").mkdir(parents=True), "empty_train"),
    "no_picture": (_no_picture, "1.png"),
    "two_sizes": (_two_sizes, "two_sizes"),
    "one_class": (_one_class, "one_class"),
    "empty.npz": (lambda path: path.write_bytes(b""), "empty.npz"),
    "text.npz": (lambda path: path.write_bytes(b"text"), "text.npz"),
    "other.npz": (lambda path: np.savez(path, a=np.zeros(3)), "other"),
    "objects.npz": (
        lambda path: np.savez(path, x=np.array([None, 1]), y=np.array([0, 1])),
        "objects.npz",
    ),
    "float.npz": (
        lambda path: np.savez(path, x=np.full((20, 8, 8, 3), np.nan), y=np.arange(20) % 2),
        "NaN or infinite",
    ),
    "labels.npz": (
        lambda path: np.savez(path, x=np.zeros((9, 8, 8, 3), np.uint8), y=-np.ones(9, int)),
        "labels",
    ),
    "shorter.npz": (
        lambda path: np.savez(path, x=np.zeros((9, 8, 8, 3), np.uint8), y=np.zeros(5, int)),
        "shorter",
    ),
    "archive.tar.gz": (lambda path: path.write_bytes(gzip.compress(b"x")), "archive.tar.gz"),
}

#: Calls whose words contradict each other, or ask for what is not there.
CALLED = [
    Input(kind, tuple(words.split()), message)
    for kind, words, message in (
        ("usage", "no-such-command", "no-such-command"),
        ("usage", "compare --sec 5", "--sec"),
        ("query", "query", "name a cell"),
        ("query", "query resnext", "no cell is called 'resnext'"),
        ("query", f"query {'0' * 32}", "no cell of the space"),
        ("query", "query 01/00", "no cell is called"),
        ("query", "query :", "must be square"),
        ("query", "query 0x/00:", "is not a cell"),
        ("query", "query 01/00:conv3x3", "1 operation for 2 vertices"),
        ("query", "query 011/001:conv3x3", "must be square"),
        ("query", "query 010/101/000:conv3x3", "diagonal"),
        ("query", "query 000/001/000:conv3x3", "no path leads"),
        ("query", "query 010/001/000:conv5x5", "'conv5x5'"),
        ("query", f"query {'/'.join(['0' * 500] * 500)}:", "operations for 500 vertices"),
        ("query", "query best", "has 7 vertices"),
        ("query", "query resnet --epochs 5", "no trainings of 5 epochs"),
        ("query", "query resnet --matrix 01/00", "either a cell, or --matrix"),
        ("query", "query --operations conv3x3", "either a cell, or --matrix"),
        ("query", "query --matrix 012/000/000", "write rows of 0 and 1"),
        ("query", "query --matrix 011/001", "must be square"),
        ("query", "query --matrix 010/001/000 --operations conv5x5", "'conv5x5'"),
        ("space", "enumerate --space big", "no space is called 'big'"),
        ("space", "enumerate --space v9e9", "max_vertices is 9"),
        ("space", "enumerate --space v1e1", "max_vertices is 1"),
        ("space", "enumerate --space v5e0", "max_edges is 0"),
        ("space", "enumerate --space v7e99999999999999999999", "no space is called"),
        ("space", "enumerate --space 1shot1-4", "no space 4"),
        ("space", "enumerate --hashes", "goes with --list"),
        ("space", "enumerate --list --json", "leave out --json"),
        ("space", "subset digits v2e1 digits.txt", "its name must end with .h5"),
        ("space", "subset digits big new.h5", "no space is called 'big'"),
        ("space", "build new.h5 --space big", "no space is called 'big'"),
        ("target", "build new.txt", "must end with .h5"),
        ("target", "convert {text} new.txt", "must end with .h5"),
        ("target", "convert {table} new.h5", "is a table already"),
        ("target", "export digits new.h5", "must end with .tfrecord"),
        ("target", "fit-surrogate {table} new.txt", "must end with .h5"),
        ("target", "fit-surrogate {table} {table}", "is the table itself"),
        ("target", "subset {table} v2e1 {table}", "is the table itself"),
        ("target", "compare --table {table} --queries 3 --out {text} --workers 1", "cannot write"),
        ("target", "compare --table {table} --queries 3 --out /proc/x --workers 1", "cannot write"),
        ("algorithm", "compare --algorithms random-serch", "did you mean 'random-search'"),
        ("algorithm", "compare --algorithms a=b=c", "cannot be read"),
        ("algorithm", "compare --algorithms bohb(", "cannot be read"),
        ("algorithm", "compare --algorithms bohb(samples)", "cannot be read"),
        ("algorithm", "compare --algorithms =bohb", "cannot be read"),
        ("algorithm", "compare --algorithms a/b=bohb", "the label 'a/b'"),
        ("algorithm", "compare --algorithms ../x=bohb", "the label '../x'"),
        ("algorithm", "compare --algorithms bohb bohb", "two algorithms are called 'bohb'"),
        ("algorithm", "compare --algorithms bohb(samples=nan)", "whole number"),
        ("algorithm", 'compare --algorithms bohb(method="x")', "bohb"),
        ("algorithm", "rank-correlation --methods bohb --out out", "shares no weights"),
        ("budget", "compare --seconds 1e308 --dry-run", "no run would ever end"),
        ("budget", "compare --seconds nan --dry-run", "seconds are nan"),
        ("budget", "compare --epochs 1e400 --dry-run", "no run would ever end"),
        ("budget", "compare --queries 2.5", "--queries"),
        ("device", "train resnet --epochs 4 --device meta", "'meta' cannot be used"),
        ("device", "train resnet --epochs 4 --device cuda:99", "'cuda:99' cannot be used"),
        ("device", "train resnet --epochs 4 --device gpu", "'gpu' cannot be used"),
        ("device", "train resnet --epochs 4 --device cpu:x", "'cpu:x' cannot be used"),
        ("device", "retrain {run} --table {run_table} --out out --devices meta", "'meta' cannot"),
        ("count", "calibrate --cells 99999999", "--cells"),
        ("count", "calibrate --table digits --cells 2533", "has 2,532"),
        ("count", "rank-correlation --table digits --cells 2533 --out out", "has 2,532"),
        ("count", "rank-correlation --cells 29 --out out", "cells is 29"),
        ("count", "train resnet --epochs 4 --stem-channels 0", "stem_channels is 0"),
        ("count", "build new.h5 --space v2e1 --epochs 0", "epochs"),
        ("count", "build new.h5 --space v2e1 --repeats 0", "repeats"),
        ("experiment", "katib {text}", "0 documents of kind Experiment"),
        ("experiment", "katib {table}", "is no YAML"),
        ("experiment", "katib {folder}", "there is no experiment"),
        ("experiment", "katib {missing}", "there is no experiment"),
        ("experiment", "katib {fifo}", "there is no experiment"),
        ("cell", "train resnext", "no cell is called 'resnext'"),
        ("cell", "train 010/001/000:conv5x5", "'conv5x5'"),
        ("table", "tables digit", "did you mean 'digits'"),
        ("table", "calibrate --table {table}", "not trained on scikit-learn's digits"),
        ("table", "fit-surrogate {table} new.h5", "200"),
        ("table", "report {run} --out page.html", "--table"),
    )
]


#: Of a trace, what is read and what stands there instead.
TRACES: dict[str, tuple[str, str]] = {
    "trace_cut": ('"queries": 15', '"queries'),
    "trace_nan": ('"seconds": ', '"seconds": NaN, "was": '),
    "trace_endless": ('"seconds": ', '"seconds": Infinity, "was": '),
    "trace_negative": ('"seconds": ', '"seconds": -'),
    "trace_overspent": ('"seconds": ', '"seconds": 1'),
    "trace_text": ('"seconds": ', '"seconds": "5", "was": '),
    "trace_other_label": ("random-search", "somebody-else"),
    "trace_other_seed": ('"seed": 0', '"seed": 7'),
    "trace_no_seed": ('"seed": 0', '"seed": null'),
    "trace_negative_queries": ('"queries": 15', '"queries": -15'),
    "trace_cell": ('"architecture": ["', '"architecture": ["no cell", "'),
    "trace_number": ('"architecture": [', '"architecture": [-1, '),
    "trace_null": ('"architecture": [', '"architecture": [null, '),
    "trace_ended": ('"ended": "budget"', '"ended": "yesterday"'),
}
#: Of a manifest, the same.
BUDGETS: dict[str, tuple[str, str]] = {
    "budget_nan_manifest": ('"seconds": 900.0', '"seconds": NaN'),
    "budget_negative_manifest": ('"seconds": 900.0', '"seconds": -900.0'),
    "budget_endless_manifest": ('"seconds": 900.0', '"seconds": Infinity'),
    "budget_text_manifest": ('"seconds": 900.0', '"seconds": "900"'),
    "budget_other_manifest": ('"seconds": 900.0', '"minutes": 15'),
    "budget_less_manifest": ('"seconds": 900.0', '"seconds": 9.0'),
}
#: Commands that publish what a table says, or derive another from it.
PUBLISH = (
    "query resnet --table {file}",
    "analyze noise --out out --table {file}",
    "report {run} --out page.html --table {file}",
    "export {file} new.tfrecord",
    "subset {file} v2e1 new.h5",
    "fit-surrogate {file} new.h5",
    "retrain {run} --out out --table {file}",
    "compare --out out --queries 3 --workers 1 --algorithms random-search --table {file}",
    "tables {file} --verify",
)
#: Commands that write, to be called where nothing can be written.
WRITE = (
    "compare --table {table} --queries 3 --algorithms random-search --workers 1 --out /proc/x/y",
    "report {run} --table {run_table} --out /proc/x/page.html",
    "analyze noise --table {table} --out /proc/x/y",
    "rank-correlation --out /proc/x/y",
    "retrain {run} --table {run_table} --out /proc/x/y",
    "convert {records} /proc/x/new.h5",
    "export {digits_part} /proc/x/new.tfrecord",
    "train resnet --epochs 4 --checkpoint /proc/x/state",
    "build /proc/x/new.h5 --space v2e1",
    "subset {table} v2e1 /proc/x/new.h5",
    "fit-surrogate digits /proc/x/new.h5",
    "katib {katib} --out /proc/x/y",
)


def of_other_hands() -> Iterator[Input]:
    """What other people's programs, disks and hands do to files that were right once."""
    for command in PUBLISH:
        yield _written("altered", command, "altered", "altered table")
    for command in ("report {file} --table {run_table} --out page.html",):
        for name in (*TRACES, *BUDGETS):
            yield _written(name, command, name, "trace or manifest")
    for command in WRITE:
        yield Input("unwritable target", tuple(command.split()), "cannot write")
    for name, message in BESIDE.items():
        yield _written(name, "train resnet --epochs 2 --data {file}", message, "beside the images")
    words = "compare --table {table} --queries 3 --algorithms random-search --out out --workers 1"
    yield Input("beside the images", (*words.split(), "--data", "nonsense"), "nonsense")


#: What lies beside train/, that is neither a split nor ignored.
BESIDE = {"beside_eval": "eval", "beside_two": "val", "beside_labels": "labels.csv"}


def inputs() -> list[Input]:
    """All of them."""
    return [*of_the_parser(), *of_files(), *CALLED, *of_other_hands()]


def placed(words: tuple[str, ...], files: dict[str, Path]) -> list[str]:
    """The words with paths for names in braces."""
    return [re.sub(r"\{([\w.]+)\}", lambda name: str(files[name[1]]), word) for word in words]


def make_files(folder: Path) -> dict[str, Path]:
    """The files that the words in braces mean."""
    files = {name: folder / name for name in ("table", "text", "folder", "missing", "fifo")}
    files["table"] = folder / "table.h5"
    toy = report_inputs.table(3)
    toy.save(files["table"])
    whole = files["table"].read_bytes()
    files["text"].write_text("nothing of use\n")
    files["folder"].mkdir()
    os.mkfifo(files["fifo"])
    files["run"] = report_inputs.compared(folder / "run", report_inputs.table(4), seeds=3)
    write_results(files["run"], report_inputs.table(4), all_traces(files["run"]))
    files["run_table"] = folder / "run.h5"
    files["katib"] = folder / "experiment.yaml"
    shutil.copy(Path(__file__).parent / "katib_experiments" / "enas.yaml", files["katib"])
    contents: dict[str, bytes] = {name: content for name, (content, _) in EXPERIMENTS.items()}
    contents |= {name: alter(whole) for name, (alter, _) in TABLES.items()} | OFFICIAL
    for name, content in contents.items():
        files[name] = folder / name
        files[name].write_bytes(content)
    for name, content in MANIFESTS.items():
        files[name] = folder / name
        shutil.copytree(files["run"], files[name])
        (files[name] / "manifest.json").write_bytes(content)
    for name, (was, now) in (TRACES | BUDGETS).items():
        files[name] = folder / name
        shutil.copytree(files["run"], files[name])
        kind = "traces/random-search-0.json" if name in TRACES else "manifest.json"
        whole_text = (files[name] / kind).read_text()
        assert was in whole_text
        (files[name] / kind).write_text(whole_text.replace(was, now, 1))
    files["altered"] = folder / "altered.h5"
    shutil.copy(files["table"], files["altered"])
    _reverse(files["altered"])
    files["records"] = folder / "toy.tfrecord"
    files["digits_part"] = folder / "part.h5"
    part = subset(open_table("digits"), CellSpace(3))
    part.save(files["digits_part"])
    export(part, files["records"])
    for name in BESIDE:
        files[name] = folder / name
        for number in range(10):
            _picture(files[name] / f"train/{'ab'[number % 2]}/{number}.png")
    _picture(folder / "beside_eval/eval/a/1.png")
    for split in ("val", "valid"):
        for label in "ab":
            _picture(folder / f"beside_two/{split}/{label}/1.png")
    (folder / "beside_labels/labels.csv").write_text("file,label\n")
    for name, (make, _) in IMAGES.items():
        files[name] = folder / name
        make(files[name])
    return files
