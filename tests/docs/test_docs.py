"""The documentation is run: its Python, its commands in this process, and its lists of laws, options and files.

A page's blocks run in order, in one namespace and one temporary folder. A ``python`` block with a title is written to the file of that
name; any other is executed, and a ``text`` block right behind one is what it prints. Of ``sh`` blocks the lines that begin with
``bijectory`` are run, built-in recipes with ``smoke=true``; ``# exit code 2`` behind a command says what is expected.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest

from bijectory.cli.main import VERBS, main
from bijectory.experiments.check import certify
from bijectory.experiments.recipe import built_in_recipes
from bijectory.experiments.run import train

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
#: Commands of a shell block that are not ours to run.
OTHERS = {"git", "make", "python3", "torchrun", "uv"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind it, its text, its first line, and whether it touches the block before."""

    language: str
    info: str
    text: str
    line: int
    follows: bool


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page in order."""
    text, end = page.read_text(encoding="utf-8"), 0
    for match in FENCE.finditer(text):
        between, line = text[end : match.start()], text[: match.start()].count("\n") + 1
        yield Block(match[1], match[2].strip(), match[3], line, not between.strip())
        end = match.end()


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    """Execute a block, its line numbers those of the page; what it printed."""
    code = compile("\n" * block.line + block.text, str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, namespace)
    return out.getvalue()


def assert_printed(printed: str, shown: str, place: str) -> None:
    """The words alike, the numbers within 2 %: processors round differently."""
    assert NUMBER.split(printed) == NUMBER.split(shown), f"{place}: the block prints\n{printed}"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=1e-6), f"{place}: the block prints\n{printed}"


def run_command(words: list[str]) -> tuple[int, str]:
    """``bijectory words…`` through the door of the console script, small where it trains: (exit code, standard error)."""
    trains = words[0] == "fit" or (words[0] == "train" and words[1] in built_in_recipes())
    if trains and not {"--resume", "smoke=true"} & set(words):
        words = [*words, "smoke=true"]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["bijectory", *words]),
        pytest.raises(SystemExit) as left,
    ):
        main()
    return int(left.value.code or 0), err.getvalue()


def run_shell(block: Block, place: str) -> None:
    """Run the lines that are ours; of the others only their first word is known to be no slip."""
    for line in block.text.splitlines():
        command, _, comment = line.partition(" #")
        words = shlex.split(command)
        if not words or Path(words[0]).name in OTHERS:
            continue
        assert words[0] == "bijectory", f"{place}: {line!r} is nothing this test knows how to run"
        words = words[1 : words.index("|")] if "|" in words else words[1:]
        expected = re.search(r"exit code (\d+)", comment)
        code, err = run_command(words)
        assert code == (int(expected[1]) if expected else 0), f"{place}: {line!r} left with {code}: {err}"


def section(text: str, title: str) -> str:
    """A page's part below a heading, up to the next of the same or a higher level."""
    match = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert match is not None, f"no heading {title!r}"
    return match[2]


@functools.cache
def six_lines() -> str:
    """The README's block of Python."""
    found = [block.text for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "README.md"], ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, where it compiles
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A reader has no such folder; CI has one, and the pages' own files are not in it.
    monkeypatch.delenv("BIJECTORY_DATA", raising=False)
    namespace: dict[str, Any] = {"__name__": page.stem}
    printed: str | None = None
    for block in blocks(page):
        place = f"{page.name}:{block.line}"
        if block.language == "text" and block.follows and printed is not None:
            assert_printed(printed, block.text, place)
        printed = None
        if block.language == "python" and (title := re.search(r'title="([\w.]+)"', block.info)):
            (tmp_path / title[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            printed = run_python(block, page, namespace)
        elif block.language == "sh":
            run_shell(block, place)
        else:
            assert block.language in ("text", "sh"), f"{place}: a block of {block.language!r} is tested by nothing"


def test_the_readme_and_the_first_page_show_the_same_lines() -> None:
    """The README's block is run as the first page's."""
    assert six_lines() in [block.text for block in blocks(DOCS / "index.md")]


def test_commands_of_the_readme_are_valid() -> None:
    """Those that it lists are parsed, not run: verb, arguments and options exist. Words stand behind them, three spaces away."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [re.split(r" {3,}", line)[0] for line in lines if line.startswith("bijectory ")]
    assert commands
    for command in commands:
        _, verb, *words = shlex.split(command)
        VERBS[verb].make_context(verb, words)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_described(verb: str) -> None:
    text = section((DOCS / "command-line.md").read_text(encoding="utf-8"), verb)
    options = [option.opts[0] for option in VERBS[verb].params if isinstance(option, click.Option)]
    assert [option for option in options if f"| `{option}" not in text] == []


def test_every_law_and_every_file_of_a_run_is_described(tmp_path: Path) -> None:
    laws = section((DOCS / "tutorial.md").read_text(encoding="utf-8"), "What verify proves")
    files = section((DOCS / "command-line.md").read_text(encoding="utf-8"), "Files of a run")
    run = train("smiley_mixture_cdf", assignments=["smoke=true"], run=tmp_path / "run")
    held = [check["law"] for check in certify(run)["checks"]]
    assert len(held) > 20
    assert [law for law in held if f"`{law}`" not in laws] == []
    kept = [path.name + "/" * path.is_dir() for path in run.iterdir()]
    assert [name for name in kept if f"`{name}`" not in files] == []


def test_links_between_pages_lead_somewhere() -> None:
    missing = []
    for page in pages():
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert missing == []
