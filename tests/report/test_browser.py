"""The page in a real browser: it is silent, asks nobody for anything, shows every picture, plays, and fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bijectory.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser to drive")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def address(
    trained: Path,
    trained_line: Path,
    trained_pictures: Path,
    trained_table: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    folder = tmp_path_factory.mktemp("page")
    runs = [Path(shutil.copytree(run, folder / name)) for name, run in (("plane", trained), ("line", trained_line))]
    runs.append(Path(shutil.copytree(runs[0], folder / "a_second_run_of_a_long_name_that_has_to_fit_a_phone_somehow")))
    shutil.rmtree(runs[-1] / "arrays")
    runs += [Path(shutil.copytree(trained_pictures, folder / name)) for name in ("pictures", "pictures_again")]
    runs.append(Path(shutil.copytree(trained_table, folder / "table")))
    return write_report(runs, folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield running
        running.close()


class Visit:
    """A page opened anew; what it said and whom it asked."""

    def __init__(self, browser: Any, address: str, width: int = 1280, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.route("**/*", self._let_through)
        self.page.goto(address)
        self.page.wait_for_function("[...document.querySelectorAll('output')].every(o => o.textContent)")

    def _let_through(self, route: Any) -> None:
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    opened: list[Visit] = []

    def open_page(width: int = 1280, **options: Any) -> Visit:
        opened.append(Visit(browser, address, width, **options))
        return opened[-1]

    yield open_page
    for one in opened:
        one.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_silent_and_alone_with_every_picture(visit: Any, scheme: str) -> None:
    seen = visit(color_scheme=scheme)
    page = seen.page
    widths = page.evaluate("Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))")
    assert len(widths) > 15 and min(widths) > 0
    shown = page.evaluate("[...document.querySelectorAll('picture img')].map(i => i.currentSrc)")
    assert len(set(shown)) > 10
    dark = page.evaluate("[...document.querySelectorAll('picture source')].map(s => s.srcset)")
    assert (shown == dark) is (scheme == "dark")
    assert seen.said == [] and seen.asked == []


def test_a_planted_request_and_a_planted_script_are_refused_and_said(visit: Any) -> None:
    # This also shows that the tests above would see either.
    seen = visit()
    seen.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://example.invalid/x.png'}))")
    seen.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.hit = 1\">')")
    seen.page.wait_for_timeout(200)
    assert sum("Content Security Policy" in line for line in seen.said) == 2
    assert seen.page.evaluate("window.hit") is None


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_nothing_overflows(visit: Any, width: int) -> None:
    page = visit(width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Only what lies in a box that scrolls by itself may be wider than the screen.
    outside = page.evaluate(
        """[...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll') && e.className !== 'skip'
            && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("reel", [0, 1, 2], ids=["plane", "line", "pictures"])
def test_the_slider_changes_the_frame(visit: Any, reel: int) -> None:
    page = visit().page
    root = page.locator(".reel").nth(reel)
    root.scroll_into_view_if_needed()
    drawn = "r => [...r.querySelectorAll('canvas')].map(c => c.toDataURL())"
    slider = root.locator("input[type=range]")
    last, before = slider.input_value(), root.evaluate(drawn)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert int(slider.input_value()) == int(last) - 1
    assert root.locator("output").text_content().startswith("step 10 ·")
    after = root.evaluate(drawn)
    assert all(a != b for a, b in zip(before, after, strict=True))
    page.keyboard.press("ArrowRight")
    assert root.evaluate(drawn) == before


def test_play_runs_to_the_end_and_by_keyboard(visit: Any) -> None:
    page = visit().page
    root = page.locator(".reel").first
    button, slider = root.locator("button"), root.locator("input")
    button.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0"
    page.keyboard.press("Enter")
    assert button.text_content() == "Pause"
    page.wait_for_function(
        "(() => { const input = document.querySelector('.reel input'); return input.value === input.max; })()",
        timeout=15_000,
    )
    page.wait_for_function("document.querySelector('.reel button').textContent === 'Play'", timeout=15_000)
    # Both at once: the film of a smoke run is over before a second key press would come.
    assert button.evaluate("b => { b.click(); const on = b.textContent; b.click(); return [on, b.textContent]; }") == [
        "Pause",
        "Play",
    ]


def test_canvases_follow_the_scheme(visit: Any) -> None:
    seen = visit(color_scheme="light")
    corner = (
        "document.querySelector('canvas.density').getContext('2d').getImageData(2, 2, 1, 1).data.slice(0, 3).join()"
    )
    light = seen.page.evaluate(corner)
    seen.page.emulate_media(color_scheme="dark")
    seen.page.wait_for_function(f"{corner} !== '{light}'", timeout=15_000)


def test_everything_can_be_reached_by_keyboard(visit: Any) -> None:
    page = visit().page
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert {"A.skip", "A.", "BUTTON.play", "INPUT.", "DIV.scroll"} <= reached
