"""Drawing a figure of a report once, for the page (SVG) and as files beside it (PNG and PDF)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from nasbench_kit.analysis.figures import plots, style
from nasbench_kit.analysis.report.inline_svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nasbench_kit.analysis.figures.plots import Look


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page. All text is plain."""

    name: str
    title: str
    caption: str
    svg: str
    wide: bool = False


class FigureWriter:
    """Draws figures in one style and writes them to one folder.

    Args:
        folder: of the PNG and PDF files.
        styles: look of each algorithm.
    """

    def __init__(self, folder: Path, styles: Mapping[str, Look]) -> None:
        self.folder = folder
        self.styles = styles
        self._count = 0

    def draw(
        self,
        name: str,
        title: str,
        caption: str,
        draw: Callable[[Axes], object],
        *,
        names: Sequence[str] = (),
        wide: bool = False,
        height: float = 2.6,
    ) -> PageFigure:
        """Draw one figure and save its files, which have a heading and a legend.

        The SVG has neither: the page shows them as HTML.

        Raises:
            NotWritable: the folder cannot be made or written, or the disk is full.
        """
        with style.figure_style():
            figure = Figure(figsize=(style.PAGE if wide else 3.8, height), layout="constrained")
            draw(figure.subplots())
            return self._saved(figure, PageFigure(name, title, caption, "", wide), names)

    def draw_panels(
        self,
        name: str,
        title: str,
        caption: str,
        panels: Mapping[str, Callable[[Axes], object]],
        *,
        names: Sequence[str] = (),
        columns: int = 4,
        height: float = 1.5,
    ) -> PageFigure:
        """Draw one wide figure of small panels, each with its title; save its files as ``draw`` does.

        Axis labels stand at the left and below the last panel of a column only.

        Raises:
            NotWritable: as ``draw``.
        """
        columns = min(columns, len(panels))
        rows = -(-len(panels) // columns)
        with style.figure_style():
            figure = Figure(figsize=(style.PAGE, height * rows + 0.4), layout="constrained")
            grid = figure.subplots(rows, columns, squeeze=False).ravel()
            for ax in grid[len(panels) :]:
                ax.remove()
            for place, (ax, (heading, draw)) in enumerate(zip(grid, panels.items(), strict=False)):
                draw(ax)
                for line in [line for line in ax.lines if not np.size(line.get_xdata())]:
                    line.remove()  # the layout would take an empty one for a point at the corner
                ax.set_title(plots.name_label(heading), fontsize="small")
                ax.tick_params(labelsize=6)
                ax.xaxis.label.set_size(7)
                ax.yaxis.label.set_size(7)
                if place % columns:
                    ax.set_ylabel("")
                if place + columns < len(panels):
                    ax.set_xlabel("")
            return self._saved(figure, PageFigure(name, title, caption, "", wide=True), names)

    def _saved(self, figure: Figure, described: PageFigure, names: Sequence[str]) -> PageFigure:
        """A drawn figure as SVG; its files get a heading and, of these algorithms, a legend."""
        self._count += 1
        title, wide = described.title, described.wide
        svg = inline_svg(figure, f"f{self._count}", title)
        figure.suptitle(plots.plain(title), x=0.01, ha="left", fontsize="medium")
        if names:
            plots.legend(figure, names, self.styles)
            height = figure.get_figheight()
            figure.set_figheight(height + 0.2 * (1 + len(names) // (4 if wide else 2)))
        style.save(figure, self.folder, described.name)
        return replace(described, svg=svg)
