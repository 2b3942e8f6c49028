"""Each notebook runs anywhere without error or complaint, and what is committed of it is fresh and clean."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from notebooks import FOLDER, executed, read

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: A path from the root of a machine; a cell's text (0110/0010) and a plain "and/or" are none.
ABSOLUTE = re.compile(r"(?<![\w./<])/[A-Za-z][\w.+-]*/|[A-Za-z]:\\\\|site-packages")
LARGEST = 300_000  # bytes


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def figures(notebook: nbformat.NotebookNode) -> dict[str, int]:
    """How many images each cell shows, by its id."""
    return {
        cell.id: sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in code(notebook)
    }


def texts(notebook: nbformat.NotebookNode) -> str:
    """All that the outputs say in words."""
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )


def test_there_are_eight() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number}_" for number in range(1, 9)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # not the user's start-up files
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    notebook = executed(path, folder)
    complaints = [
        output.text
        for cell in code(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert not complaints
    assert figures(notebook) == figures(read(path)), "run it again: python tests/notebooks.py"
    assert sum(figures(notebook).values()) >= 2
    assert not list(folder.iterdir()), "a notebook leaves nothing behind"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_clean(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5), "the format with ids of cells"
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [cell.id for cell in notebook.cells if cell.metadata], "no clock readings, no marks"
    assert not ABSOLUTE.findall(texts(notebook)), "a path of a machine"
    assert path.stat().st_size < LARGEST


def test_links_lead_to_notebooks() -> None:
    links = []
    for path in NOTEBOOKS:
        prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        links += [path.parent / name for name in re.findall(r"\]\(([^)#]+\.ipynb)\)", prose)]
    assert links
    assert [path for path in links if not path.is_file()] == []
