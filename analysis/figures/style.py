"""One look for all figures: readable in print and in grey, safe for colour-blind readers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito, Color Universal Design (2008), in order of use.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, ORANGE, BLACK, GREY = "#56b4e9", "#e69f00", "#000000", "#999999"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK, GREY)
#: Colour map of densities: its lightness rises evenly, so that it can be printed in grey.
DENSITY = "cividis"

#: Inches: a figure within one column of a printed page, and one across both.
COLUMN, PAGE = 3.5, 7.2
#: Height (points) of ticks, tick labels and axis label below the axes.
_BELOW_LABEL = 36


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """A context with the rc parameters of all figures."""
    import matplotlib as mpl
    from cycler import cycler

    parameters: dict[Any, Any] = {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.3,
        "grid.linewidth": 0.6,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
        "font.size": 9,
        "legend.fontsize": 8,
        "legend.title_fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 4,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "pdf.fonttype": 42,  # text stays text
        "svg.fonttype": "none",
        "savefig.dpi": 200,
    }
    with mpl.rc_context(parameters):
        yield


def axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new pyplot figure, which a notebook shows."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(COLUMN, 2.7), layout="constrained")
    return ax


def legend(ax: Axes, *, columns: int = 1, title: str | None = None) -> None:
    """A legend below the axes and their x label, where it hides no data."""
    from matplotlib.transforms import ScaledTranslation

    assert ax.figure is not None
    below = ScaledTranslation(0, -_BELOW_LABEL / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0,
        borderpad=0,
        ncols=columns,
        title=title,
        alignment="left",
    )


def count_by_ones(ax: Axes) -> None:
    """Only whole numbers on the x axis."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def count_by_factors(ax: Axes) -> None:
    """Plain labels on a logarithmic x axis: 0.1, 500, 1k, 2k; decades only where it spans many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = ax.get_xlim()
    steps = (1, 2, 5) if high < 30 * low else (1, 3) if high < 100 * low else (1,)
    ax.xaxis.set_major_locator(LogLocator(subs=steps))
    thousands(ax)
    ax.xaxis.set_minor_formatter(NullFormatter())


def thousands(ax: Axes) -> None:
    """Short labels on the x axis: 0.1, 500, 1k, 2M."""
    from matplotlib.ticker import EngFormatter

    large = EngFormatter(sep="")
    ax.xaxis.set_major_formatter(
        lambda value, _: large(value) if abs(value) >= 1000 else f"{value:g}"
    )


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write ``name.png`` and ``name.pdf``, the same bytes each time; return the PNG's path."""
    png = folder / f"{name}.png"
    for path, metadata in ((png, {}), (png.with_suffix(".pdf"), {"CreationDate": None})):
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
        figure.set_layout_engine(
            None
        )  # its places are found; to find them takes as long as to draw
    return png
