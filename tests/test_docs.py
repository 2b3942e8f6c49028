"""README and docs/: links lead somewhere, names exist, Python blocks run, commands parse."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import re
import runpy
import shlex
from pathlib import Path

import pytest

from nasbench_kit.cli import parser

ROOT = Path(__file__).parent.parent
#: Links in docs/ to pages elsewhere appear once, as the pages that they lead to.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "analysis/experiments/README.md",
    ]
    if not path.is_symlink()
)
#: Pages about modules that are still to come.
AHEAD = ()
#: Pages that a build of the site writes.
GENERATED = "reference/"

_FENCE = re.compile(
    r"^(?P<why><!-- not run: .+ -->\n)?``` ?(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_PATH = re.compile(r"(?<![\w./-])(?:tests|analysis|algorithms|data|nasbench_kit|docs)/[\w./*-]*")
_MODULE = re.compile(r"\bnasbench_kit(?:\.[A-Za-z_]\w*)+")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language that are not excused."""
    return [
        match["code"]
        for match in _FENCE.finditer(text(page))
        if match["language"] == language and not match["why"]
    ]


def code(page: str) -> str:
    """All that a page sets as code: fenced blocks and inline spans."""
    fenced = [match["code"] for match in _FENCE.finditer(text(page))]
    return "\n".join(fenced + re.findall(r"`([^`\n]+)`", _FENCE.sub("", text(page))))


def commands(page: str) -> list[list[str]]:
    """The nasbench-kit commands in the shell blocks of a page; a variable is 1."""
    parsed = []
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(re.sub(r"\$\w+", "1", line), posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        for separator, words in itertools.groupby(lexer, lambda word: not word.strip("();<>|&")):
            command = list(words)
            while command[0] in ("do", "time") or "=" in command[0]:
                command.pop(0)
            if not separator and command[0] == "nasbench-kit":
                parsed.append(command[1:])
    return parsed


def heading_anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts and the site make them."""
    headings = re.findall(
        r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_shell_blocks_are_read_as_a_shell_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        "```sh\npip install x && nasbench-kit compare 'a b'   # why\n"
        "for n in 1 2; do nasbench-kit subset t 1shot1-$n o; done > f\n```\n"
        "<!-- not run: no such file -->\n```sh\nnasbench-kit nonsense\n```\n"
    )
    monkeypatch.setitem(globals(), "text", lambda _: page)
    assert commands("page") == [["compare", "a b"], ["subset", "t", "1shot1-1", "o"]]


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files_and_headings(page: str) -> None:
    for target in _LINK.findall(_FENCE.sub("", text(page))):
        if re.match(r"[a-z]+:", target) or target.startswith(GENERATED):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in heading_anchors(file), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    for path in _PATH.findall(code(page)):
        assert list(ROOT.glob(path.rstrip("./"))), f"{page} names {path}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in AHEAD])
def test_named_modules_and_objects_exist(page: str) -> None:
    for name in _MODULE.findall(code(page)):
        module, *attributes = name.split(".")
        value = importlib.import_module(module)
        for attribute in attributes:
            module += f".{attribute}"
            if not hasattr(value, attribute):
                importlib.import_module(module)
            value = getattr(value, attribute)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in AHEAD])
def test_python_blocks_run_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASBENCH_KIT_HOME", str(tmp_path / "home"))
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    runpy.run_path(str(program))


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page: str) -> None:
    for command in commands(page):
        parser().parse_args(command)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_named_in_the_text_exist(page: str) -> None:
    for span in re.findall(r"`nasbench-kit ([^`]+)`", text(page)):
        command, *words = span.split()
        if command.startswith("-"):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit, match=r"^0$"):
            parser().parse_args([command, "--help"])
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", printed.getvalue()), (
                f"{page}: {command} has no {option}"
            )


def test_the_readme_keeps_the_two_commands() -> None:
    set_up = (
        "python -m venv .venv && . .venv/bin/activate && pip install torch==2.13.0 && "
        "pip install -c constraints.txt -e "
    )
    assert [block.strip() for block in blocks("README.md", "sh")] == [
        f"{set_up}. && nasbench-kit compare",
        f"{set_up}'.[test]' && pytest -n auto --dist loadfile",
    ]
