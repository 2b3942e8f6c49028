"""Run the notebooks and write their outputs into them: ``python tests/notebooks.py [FILE ...]``.

What is written depends on the sources, the tables and the versions only: no clock readings, no marks
of an editor, so that a change of outputs means something.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from nasbench_kit.system.files import write_text

FOLDER = Path(__file__).parents[1] / "analysis" / "notebooks"


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook as it is, in whatever version of the format."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=nbformat.NO_CONVERT)


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with new outputs, run in a folder.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = read(path)
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
    NotebookClient(
        notebook,
        timeout=300,  # seconds a cell
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return notebook


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        write_text(path, nbformat.writes(executed(path, path.parent)) + "\n")
        print(path.name, f"{path.stat().st_size:,} bytes")
