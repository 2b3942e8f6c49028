"""The API reference: one page for each package of nasbench_kit, written from its docstrings."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[2]
#: The command line has a page of its own, and its help.
_LEFT_OUT = {"cli"}


def _pages() -> dict[str, str]:
    """The text of each page, by its path in the site."""
    package = _ROOT / "nasbench_kit"
    rooms = sorted(marker.parent for marker in package.glob("*/__init__.py"))
    pages = {"reference/nasbench_kit.md": _page(package, sorted(package.glob("[!_]*.py")))}
    for room in rooms:
        if room.name not in _LEFT_OUT:
            # Scripts lie in folders that are no packages.
            files = (file for file in room.rglob("[!_]*.py") if _in_a_package(file))
            pages[f"reference/{room.name}.md"] = _page(room, sorted(files))
    return pages


def _in_a_package(file: Path) -> bool:
    return (file.parent / "__init__.py").exists()


def _page(room: Path, modules: list[Path]) -> str:
    """What the package says of itself, and all of its modules; what it re-exports stands there."""
    text = f"# {room.name}\n\n::: {_dotted(room)}\n    options: {{members: false}}\n"
    for module in modules:
        heading = module.relative_to(room).with_suffix("").as_posix()
        text += f"\n## {heading}\n\n::: {_dotted(module)}\n"
    return text


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(_ROOT).with_suffix("").parts)


def on_config(config: MkDocsConfig) -> None:
    """Add the pages to the navigation, before its last section."""
    assert config.nav is not None
    config.nav.insert(-1, {"API reference": list(_pages())})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages themselves."""
    for path, text in _pages().items():
        files.append(File.generated(config, path, content=text))
