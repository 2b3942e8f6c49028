"""One look for all figures: readable in print, safe for colour-blind readers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_kit.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito, Color Universal Design (2008), darkest first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """The rc parameters of all figures, for the time of a block."""
    import matplotlib as mpl
    from cycler import cycler

    parameters: dict[Any, Any] = {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "grid.linewidth": 0.6,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "font.size": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "pdf.fonttype": 42,  # text stays text
        "svg.fonttype": "none",
        "savefig.dpi": 150,
    }
    with mpl.rc_context(parameters):
        yield


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write ``name.png`` and ``name.pdf``, the same bytes each time; returns the PNG's path."""
    png = folder / f"{name}.png"
    for path, metadata in ((png, {}), (png.with_suffix(".pdf"), {"CreationDate": None})):
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return png
