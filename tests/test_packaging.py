"""pyproject.toml: what an installed package holds is what the checkout holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_of_the_checkout_is_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = setuptools["package-dir"]
    expected = set()
    for top in ("nasbench_kit", "algorithms", "analysis", "data"):
        for marker in (ROOT / top).rglob("__init__.py"):
            inner = ".".join(marker.parent.relative_to(ROOT).parts)
            expected.add(inner if top == "nasbench_kit" else f"nasbench_kit.{inner}")
    assert set(setuptools["packages"]) == expected
    assert {name: folder for name, folder in folders.items() if name != "nasbench_kit"} == {
        f"nasbench_kit.{top}": top for top in ("algorithms", "analysis", "data")
    }
