"""What a search sampled, frame by frame: the architecture, and the accuracies so far."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.figures.svg import draw_svg
from nasbench_kit.errors import InvalidSetting
from nasbench_kit.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter

    from nasbench_kit.compare.samples import Sample

#: By ending of the file.
ENDINGS = (".gif", ".mp4")
#: Inches and dots an inch of a frame: even numbers of pixels, as videos need.
_SIZE, _DPI = (8.0, 4.5), 100
#: Width and height of the picture, as shares of a frame.
_PICTURE = (0.46, 0.83)


def check_target(path: Path) -> None:
    """Refuse a file of another kind, and a video where nothing can make it.

    Raises:
        InvalidSetting: saying so.
    """
    if path.suffix not in ENDINGS:
        raise InvalidSetting(f"{path} is no animation; choose a name that ends in .gif or .mp4")
    if path.suffix == ".mp4" and _ffmpeg() is None:
        raise InvalidSetting(
            f"{path} needs ffmpeg, which is not installed; install it (pip install imageio-ffmpeg has one, "
            "too), or choose a name that ends in .gif"
        )


def _ffmpeg() -> str | None:
    """The program, of the system or of the package imageio-ffmpeg."""
    if (path := shutil.which("ffmpeg")) is not None:
        return path
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: the package came without the program
        return None


def check_drawable(architecture: Any) -> None:
    """Refuse an architecture without a picture.

    Raises:
        InvalidSetting: saying so.
    """
    if not callable(getattr(architecture, "_repr_svg_", None)):
        raise InvalidSetting(f"{architecture!r} has no picture, so its search cannot be animated")


def animate(
    samples: Sequence[Sample],
    path: Path,
    title: str,
    *,
    frames: int = 60,
    frames_a_second: float = 4.0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write an animation of samples; of more samples than frames, evenly many are passed over.

    Args:
        samples: in their order, at least one.
        path: ends in .gif or .mp4.
        title: stands above every frame.
        frames: at most.
        frames_a_second: how fast.
        progress: called with (done, in all).

    Returns:
        The number of frames.

    Raises:
        InvalidSetting: no samples, no pictures of them, another ending, or no ffmpeg for .mp4.
        NotWritable: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib import animation
    from matplotlib.figure import Figure

    check_target(path)
    if not samples:
        raise InvalidSetting("nothing was sampled, so there is nothing to animate")
    check_drawable(samples[0].architecture)
    shown = np.unique(np.linspace(0, len(samples) - 1, frames).round().astype(int)).tolist()
    writer: AbstractMovieWriter
    if path.suffix == ".gif":
        writer = animation.PillowWriter(fps=frames_a_second)  # type: ignore[arg-type]
    else:
        writer = animation.FFMpegWriter(fps=frames_a_second)  # type: ignore[arg-type]
    with (
        replacing(path) as target,
        tempfile.TemporaryDirectory() as folder,
        style.figure_style(),
        mpl.rc_context({"savefig.dpi": _DPI, "animation.ffmpeg_path": _ffmpeg() or "ffmpeg"}),
    ):
        figure = Figure(figsize=_SIZE, dpi=_DPI)
        made = Path(folder) / f"frames{path.suffix}"
        with writer.saving(figure, str(made), _DPI):
            for done, last in enumerate(shown, 1):
                figure.clear()
                _draw(figure, samples, last, title)
                writer.grab_frame()
                if progress is not None:
                    progress(done, len(shown))
        shutil.copyfile(made, target)
    return len(shown)


def _draw(figure: Any, samples: Sequence[Sample], last: int, title: str) -> None:
    """One frame: the picture of a sample, and all accuracies up to it."""
    sample = samples[last]
    figure.text(0.02, 0.955, title, fontsize=10)
    figure.text(
        0.02,
        0.90,
        f"sample {last + 1} of {len(samples)}: {sample.validation_accuracy:.4f} after {sample.epochs} epochs",
        fontsize=9,
    )
    picture = figure.add_axes((0.02, 0.03, *_PICTURE))
    inches = _PICTURE[0] * _SIZE[0], _PICTURE[1] * _SIZE[1]
    draw_svg(picture, sample.architecture._repr_svg_(), inches)
    axes = figure.add_axes((0.58, 0.13, 0.39, 0.72))
    accuracies = np.array([each.validation_accuracy for each in samples])
    numbers = np.arange(1, last + 2)
    axes.scatter(numbers, accuracies[: last + 1], s=10, color=style.GREY, label="sampled")
    axes.plot(
        numbers,
        np.maximum.accumulate(accuracies[: last + 1]),
        color=style.BLUE,
        drawstyle="steps-post",
        label="best so far",
    )
    axes.scatter([last + 1], [accuracies[last]], s=40, color=style.VERMILION, zorder=3)
    low, high = accuracies.min(), accuracies.max()
    margin = 0.05 * (high - low) or 0.05
    axes.set(xlim=(0, len(samples) + 1), ylim=(low - margin, high + margin))
    axes.set(xlabel="samples", ylabel="validation accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)  # hides no sample
