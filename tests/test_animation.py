"""Animations: what was sampled is drawn, in order, from a run that is played again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from PIL import Image

from nasbench_kit import Cell, spaces
from nasbench_kit.analysis.figures import animation
from nasbench_kit.analysis.figures.animation import animate
from nasbench_kit.analysis.figures.svg import draw_svg, path_of
from nasbench_kit.cli import main
from nasbench_kit.compare.samples import Sample
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.spaces.layers.nasbench_macro import NASBenchMacro
from nasbench_kit.testing.made_up import made_up_table


def kit(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    made_up_table(NASBenchMacro()).save(folder / "macro.h5")
    searches = ("--algorithms", "random-search", "local-search", "--seeds", 2, "--queries", 9)
    where = ("--table", folder / "macro.h5", "--out", folder / "run", "--workers", 1)
    assert kit("compare", *searches, *where) == 0
    return folder / "run"


def test_a_run_is_played_again_and_every_sample_is_a_frame(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.gif"
    words = ("animate", run, "--algorithm", "local-search", "--seed", 1, "--out", out, "--json")
    assert kit(*words) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "samples": 9, "frames": 9}
    with Image.open(out) as image:
        assert (image.n_frames, image.size) == (9, (800, 450))  # type: ignore[attr-defined]
        assert image.info["duration"] == 250
    first = out.read_bytes()
    assert kit(*words) == 0
    assert out.read_bytes() == first


def test_of_many_samples_some_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit("animate", run, "--frames", 4, "--frames-a-second", 2) == 0
    assert "4 of 9 samples" in capsys.readouterr().out
    with Image.open(run / "random-search-0.gif") as image:
        assert (image.n_frames, image.info["duration"]) == (4, 500)  # type: ignore[attr-defined]


@pytest.mark.skipif(animation._ffmpeg() is None, reason="there is no ffmpeg")
def test_a_video_is_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    assert kit("animate", run, "--frames", 3, "--frames-a-second", 2, "--out", out) == 0
    assert out.read_bytes()[4:8] == b"ftyp"
    frames = (str(animation._ffmpeg()), "-loglevel", "error", "-i", out, tmp_path / "%d.png")
    subprocess.run(frames, check=True)
    shown = sorted(tmp_path.glob("?.png"))
    assert [picture.name for picture in shown] == ["1.png", "2.png", "3.png"]
    assert kit("animate", run, "--frames", 3, "--out", tmp_path / "a.gif") == 0
    with Image.open(tmp_path / "a.gif") as still:
        for number, picture in enumerate(shown):  # the same pictures, but for compression
            still.seek(number)
            with Image.open(picture) as frame:
                difference = np.asarray(still.convert("L"), float) - np.asarray(frame.convert("L"))
            assert np.abs(difference).mean() < 3


def test_without_ffmpeg_a_video_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert kit("animate", run, "--out", run / "a.mp4") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs ffmpeg, which is not installed" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--algorithm", "bohb"], "no algorithm 'bohb'"),
        (["--seed", 7], "no finished run of random-search with seed 7"),
        (["--frames", 0], "frames is 0"),
        (["--frames-a-second", 99], "at most 50"),
        (["--out", "a.png"], "ends in .gif or .mp4"),
    ],
)
def test_what_cannot_be_animated_is_refused(
    run: Path, words: list[Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit("animate", run, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_other_files_are_not_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.gif").write_text("my notes")
    assert kit("animate", run, "--out", tmp_path / "a.gif") == 2
    assert "is not an animation" in capsys.readouterr().err
    assert kit("animate", tmp_path) == 2
    assert "neither a comparison nor a Katib experiment" in capsys.readouterr().err


def test_a_run_of_something_else_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = shutil.copytree(run, tmp_path / "run")
    trace = changed / "traces" / "random-search-0.json"
    other = json.loads((changed / "traces" / "random-search-1.json").read_text())
    trace.write_text(json.dumps(other | {"seed": 0}))
    assert kit("animate", changed) == 2
    assert "is another run than that in" in capsys.readouterr().err


def test_trials_of_katib_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    file = Path(__file__).parent / "katib_experiments" / "enas.yaml"
    out = tmp_path / "out"
    assert kit("katib", file, "--out", out, "--trials", 2, "--epochs", 1) == 0
    assert kit("animate", out) == 0
    with Image.open(out / "trials.gif") as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
    assert kit("animate", out, "--algorithm", "enas") == 2
    next((out / "trials").glob("*.json")).write_text("{}")
    assert kit("animate", out) == 2


@pytest.mark.parametrize(
    "name",
    [
        "v5e9",
        "nasbench201",
        "nasbench-graph",
        "nats-sizes",
        "enas-macro",
        "nas-rl-4",
        "katib",
        "darts",
    ],
)
def test_pictures_of_every_space_can_be_drawn(name: str) -> None:
    """As many patches and texts as the picture has elements."""
    space: Any = spaces.named(name)
    svg = space.sample(np.random.default_rng(0))._repr_svg_()
    axes = Figure().add_subplot()
    draw_svg(axes, svg, (3.0, 3.0))
    visible = re.sub("<defs>.*?</defs>", "", svg)
    assert len(axes.texts) == visible.count("<text")
    shapes = sum(visible.count(f"<{kind} ") for kind in ("rect", "circle", "path"))
    assert len(axes.patches) == shapes


def test_pictures_in_a_picture_stand_where_they_say() -> None:
    axes = Figure().add_subplot()
    inner = (
        '<svg x="3" y="10"><rect x="1" y="2" width="4" height="5"/><text x="1" y="2">a</text></svg>'
    )
    draw_svg(axes, f'<svg viewBox="0 0 20 20">{inner}</svg>', (1.0, 1.0))
    (box,) = axes.patches
    extents = box.get_extents().transformed(axes.transData.inverted())
    assert sorted(extents.intervalx) == pytest.approx([4, 8])
    assert sorted(extents.intervaly) == pytest.approx([12, 17])
    assert axes.texts[0].get_position() == (4, 12)


def test_paths_by_hand() -> None:
    outline = path_of("M1 2H4V6C4 7 5 8 6 8.5L0 -1z")
    expected = [(1, 2), (4, 2), (4, 6), (4, 7), (5, 8), (6, 8.5), (0, -1), (0, -1)]
    np.testing.assert_array_equal(outline.vertices, np.array(expected, dtype=float))
    codes = [Outline.MOVETO, *[Outline.LINETO] * 2, *[Outline.CURVE4] * 3, Outline.LINETO]
    np.testing.assert_array_equal(np.asarray(outline.codes), [*codes, Outline.CLOSEPOLY])
    for wrong in ("M1", "Q1 2 3 4", "m1 2"):
        with pytest.raises(ValueError, match="no command"):
            path_of(wrong)
    with pytest.raises(ValueError, match="polygon"):
        draw_svg(Figure().add_subplot(), '<svg viewBox="0 0 9 9"><polygon/></svg>', (1, 1))


def test_nothing_and_what_has_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="nothing was sampled"):
        animate([], tmp_path / "a.gif", "")
    with pytest.raises(InvalidSetting, match="has no picture"):
        animate([Sample("a cell", 0.5, 4)], tmp_path / "a.gif", "")
    assert animate([Sample(Cell.named("resnet"), 0.5, 4)] * 3, tmp_path / "a.gif", "") == 3
