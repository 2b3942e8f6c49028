"""HTML pages from the templates beside this module: complete files that load nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from nasbench_kit.spaces.protocols import Architecture
from nasbench_kit.system.files import write_text

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, template: str, context: dict[str, Any], **filters: Any) -> None:
    """Render a template and write the page.

    Args:
        path: of the page.
        template: file name in ``templates``.
        context: the template's variables. All text is escaped, except what the template marks as safe.
        **filters: functions that the template applies to values.

    Raises:
        NotWritable: the folder cannot be made or written, or the disk is full.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    write_text(path, environment.get_template(template).render(context))


def drawing(architecture: Architecture) -> str:
    """HTML: an architecture's own drawing where it has one, its text otherwise."""
    draw = getattr(architecture, "_repr_svg_", None)
    return f"<pre>{escape(architecture.to_text())}</pre>" if draw is None else str(draw())
