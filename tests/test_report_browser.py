"""The report in headless Chromium: it renders, sorts, toggles, prints, and runs nobody's script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from report_inputs import EVIL, hand_made, table

from nasbench_kit.analysis.figures import style
from nasbench_kit.analysis.report.report import analyse, write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    finals: dict[str, list[int | None]] = {
        "random-search": [30, 40, 50],
        EVIL: [0, 1, 2],
        "b": [3, None, None],
    }
    first = hand_made(table(name=EVIL), finals, EVIL, policy=EVIL)
    second = hand_made(table(1), finals, "second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda *_: Path())  # the files are another test's
        write_report(path, *analyse([first, second]))
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened; complaints of the browser fail the test."""
    opened = browser.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))

    def asked(request: Request) -> None:
        if request.url != address and not request.url.startswith("data:"):
            complaints.append(request.url)

    opened.on("request", asked)
    opened.goto(address)
    yield opened
    opened.close()
    assert not complaints


def column(page: Page, place: int) -> list[str]:
    cells = page.locator("table.results").first.locator(f"tbody tr > :nth-child({place})")
    return [text or "" for text in (cell.get_attribute("data-value") for cell in cells.all())]


def test_it_renders(page: Page) -> None:
    assert page.locator("figure svg").count() == page.locator("figure").count() == 2 * 9 + 1
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 100
    assert page.locator(".cell svg").count() > 0
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1]  # nothing makes the page itself scroll sideways


def test_tables_sort_by_number_and_by_name(page: Page) -> None:
    medians = page.get_by_role("button", name="Median regret").first
    medians.click()
    values = [float(value) for value in column(page, 3)]
    assert values == sorted(values) and values[-1] == float("inf")  # "b" recommended nothing twice
    medians.click()
    assert [float(value) for value in column(page, 3)] == values[::-1]
    assert page.locator("th[aria-sort]").count() == 1
    page.get_by_role("button", name="Algorithm").first.click()
    assert column(page, 1)[1:] == ["b", "random-search"]


def test_series_are_hidden_and_shown(page: Page) -> None:
    def seen() -> list[int]:
        """Parts shown of the algorithm "b", and of the first."""
        return [
            page.evaluate(
                """place => [...document.querySelectorAll(`figure [data-series="${place}"]`)]
                .filter((part) => getComputedStyle(part).display !== "none").length""",
                place,
            )
            for place in (2, 0)
        ]

    every, others = seen()
    assert every > 10 and others > 10
    button = page.get_by_role("button", name="b", exact=True)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert seen() == [0, others]
    button.click()
    assert seen() == [every, others]
    button.dblclick()
    assert seen() == [every, 0]
    page.get_by_role("button", name="show all").click()
    assert seen() == [every, others]


def test_text_of_users_stays_text(page: Page) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("table.results tbody th").first.inner_text().strip() == EVIL
    assert EVIL in page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_can_be_read_on_any_ground(
    browser: Browser, address: str, scheme: Literal["light", "dark"]
) -> None:
    opened = browser.new_page(color_scheme=scheme)
    opened.goto(address)
    luminance = """element => {
        const [r, g, b] = getComputedStyle(element)[PROPERTY].match(/[\\d.]+/g).map((part) => {
            const value = part / 255;
            return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }"""
    figure = opened.locator("figure").first
    ground = figure.evaluate(luminance.replace("PROPERTY", '"backgroundColor"'))
    ink = figure.locator("svg text").first.evaluate(luminance.replace("PROPERTY", '"fill"'))
    lines = opened.locator('figure:first-of-type g[data-series] > path[style*="fill: none"]').all()
    strokes = [line.evaluate(luminance.replace("PROPERTY", '"stroke"')) for line in lines]
    opened.close()
    assert (ground > 0.9) == (scheme == "light") and (ground < 0.05) == (scheme == "dark")

    def contrast(value: float) -> float:
        return float((max(ground, value) + 0.05) / (min(ground, value) + 0.05))

    assert contrast(ink) > 7  # WCAG 2.1, enhanced
    assert strokes and min(map(contrast, strokes)) > 2


def test_it_prints(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"  # paper is white, whatever the screen is
    assert page.pdf().startswith(b"%PDF")
