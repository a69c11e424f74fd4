"""The page holds everything the run has, nothing that is not its own, and says what is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bijectory.cli.main import bijectory
from bijectory.errors import InputError, RunIncompleteError
from bijectory.experiments.record import sealed
from bijectory.report.page import render, write_report
from bijectory.report.tables import read

ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction"}
LIMIT = 3_000_000


class Outline(HTMLParser):
    """Elements, addresses, headings, alternative texts and visible words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.words[self._open] = self.words.get(self._open, "") + data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def made(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the page made of it beside it."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("page") / "plane"))
    write_report([run], run.parent / "report.html")
    return run


@pytest.fixture(scope="module")
def page(made: Path) -> str:
    return (made.parent / "report.html").read_text(encoding="utf-8")


def change(path: Path, **values: object) -> None:
    changed = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps(sealed(changed) if path.name == "settings.json" else changed), encoding="utf-8")


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    addresses = [v for _, attributes in Outline(page).tags for k, v in attributes.items() if k in ADDRESSES and v]
    assert len(addresses) > 20
    assert [a for a in addresses if not a.startswith(("data:", "#"))] == []
    readable = re.sub(r"[A-Za-z0-9+/=]{80,}", "", page)
    assert re.findall(r"(?:https?:)?//[a-z0-9]", readable, re.IGNORECASE) == []
    assert not re.search(r"@import|url\(", page)
    assert len(page) < LIMIT


def test_every_deliverable_is_there(page: str) -> None:
    outline = Outline(page)
    for heading in (
        "Learning",
        "Density",
        "Samples",
        "Latents",
        "The map",
        "While it learns",
        "Certificate",
        "Settings",
    ):
        assert heading in outline.words["h3"], heading
    images = [image for image in outline.of("img") if image.get("class") != "sprite"]
    assert len(images) == 9 == len(outline.of("source"))
    silent = [image["alt"] for image in images if not re.search(r"\d{2}", image["alt"] or "")]
    assert silent == [], "alternative texts carry the numbers"
    (slider,) = outline.of("input")
    assert slider["type"] == "range" and slider["max"] == "1" and slider["aria-label"]


def test_figures_are_files_of_the_run(trained: Path, made: Path) -> None:
    assert not (trained / "figures").exists()
    files = {path.name for path in (made / "figures").iterdir()}
    names = "curves density_learned density_true samples data data_labelled latents grid_data grid_latents"
    assert files == {*(f"{name}.png" for name in names.split()), "animation.gif"}
    assert all((made / "figures" / name).read_bytes()[:4] in (b"\x89PNG", b"GIF8") for name in files)


def test_numbers_on_the_page_are_the_runs(page: str, trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    for score in result["scores"]:
        form = ".1e" if abs(score["value"]) < 1e-4 else ".4f"
        value = f"{score['value']:{form}}".replace("-", "−")
        assert f'{value} <span class="error">± {score["stderr"]:{form}}' in page, score
    expect = json.loads((trained / "settings.json").read_text())["expect"]
    (nats,) = [s["value"] for s in result["scores"] if (s["name"], s["split"]) == ("nats", "test")]
    assert f"{expect['value']:.4f}" in page
    assert f"{nats - expect['value']:+.4f}".replace("-", "−") in page
    assert '<th scope="row">knob components</th><td>16</td>' in page and "<td>False</td>" not in page, (
        "defaults may change: a run shows its own"
    )
    for check in json.loads((trained / "verify.json").read_text())["checks"]:
        assert f'<th scope="row">{check["law"]}</th>' in page


def test_published_excess_counts_from_the_entropy(trained: Path) -> None:
    reading = read(trained)
    nats, excess, bits = reading.against()
    assert reading.entropy == pytest.approx(1.33393, abs=1e-4)
    assert excess.published == pytest.approx(1.3607 - 1.33393, abs=1e-4)
    assert nats.ours is not None
    assert nats.difference == pytest.approx(nats.ours.value - 1.3607)
    assert bits.published == pytest.approx(1.3607 / 2 / np.log(2))


def test_uniformity_is_measured_and_put_in_words(page: str, trained: Path) -> None:
    arrays = read(trained).pictures["uniformity"]
    overall = (arrays["split"] == 1) & (arrays["group"] == -1)
    assert arrays["latent"][overall].tolist() == [0, 1]
    for latent, distance, n in zip(*(arrays[k][overall] for k in ("latent", "distance", "n")), strict=True):
        assert re.search(rf"z{latent + 1} is [a-z ]+ overall[^.]*KS {distance:.4f}", page)
        assert f"n = {n:,}" in page
    assert set(arrays["group"]) == {-1, 0, 1, 2}


def test_strings_from_data_are_escaped(plane: Path, page: str) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">\'"&'
    clean = Outline(page)
    settings = json.loads((plane / "settings.json").read_text())
    settings["expect"]["source"] = evil
    change(
        plane / "settings.json",
        recipe=evil,
        columns=[evil, "$\\frac{"],
        notes=[evil],
        expect=settings["expect"],
        knobs={evil: evil},
        versions={evil: evil},
    )
    certificate = json.loads((plane / "verify.json").read_text())
    certificate["checks"][0].update(law=evil, note=evil)
    change(plane / "verify.json", **certificate)
    renamed = plane.rename(plane.parent / "<b>run & <i>")
    soiled = Outline(render([read(renamed)]))
    assert [len(soiled.of(tag)) for tag in ("script", "img")] == [len(clean.of(tag)) for tag in ("script", "img")]
    assert soiled.of("b") == soiled.of("i") == []
    assert not [a for _, a in soiled.tags if any(k.startswith("on") for k in a)]
    assert soiled.words["td"].count(evil) >= 2 and "<b>run & <i>" in soiled.words["h1"]
    assert any(evil in (image["alt"] or "") for image in soiled.of("img"))


def test_an_unfinished_run_says_what_it_lacks(plane: Path) -> None:
    for name in ("result.json", "verify.json", "metrics.jsonl"):
        (plane / name).unlink()
    for path in (plane / "arrays").iterdir():
        path.unlink()
    page = render([read(plane), read(plane)])
    for words in ("no scores yet", "no certificate yet", "no curves", "no pictures"):
        assert words in page
    assert "Settings and cost" in page and Outline(page).of("img") == []


def test_settings_alone_make_a_page(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(sealed({"format": 1})), encoding="utf-8")
    assert "no scores yet" in render([read(tmp_path)])


def test_a_truncated_array_is_left_out_and_named(plane: Path) -> None:
    (broken,) = (plane / "arrays").glob("density-*.npz")
    broken.write_bytes(broken.read_bytes()[:100])
    reading = read(plane)
    assert any(f"{broken.name} cannot be read" in note for note in reading.missing)
    assert set(reading.pictures) == {"samples", "latents", "grid", "uniformity"}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(RunIncompleteError, match="expected a run directory"):
        write_report([tmp_path / "none"], tmp_path / "report.html")
    with pytest.raises(RunIncompleteError, match=r"settings\.json"):
        write_report([tmp_path], tmp_path / "report.html")
    with pytest.raises(InputError, match="at least one run"):
        write_report([], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_several_runs_are_compared(plane: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(plane, plane.parent / "other")
    monkeypatch.chdir(plane.parent)
    done = CliRunner().invoke(
        bijectory, ["report", "plane", "other", "-o", "deep/er/page.html"], catch_exceptions=False
    )
    assert done.exit_code == 0 and "page.html: 2 runs," in done.output
    outline = Outline(Path("deep/er/page.html").read_text(encoding="utf-8"))
    assert [s["id"] for s in outline.of("section")] == ["comparison", "run-1", "run-2"]
    assert "Learned by planeLearned by other" in re.sub(r"\s*\n\s*", "", outline.words["figcaption"])
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_data_of_one_column_beside_data_of_two(plane: Path, trained_line: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_line, tmp_path / "line"))
    page = render([read(plane), read(run)])
    assert "Comparison" in page and "Learned by" not in page, "runs on other data share no figure"
    names = {path.stem for path in (run / "figures").iterdir()}
    assert names == {"curves", "density", "samples", "latents", "map", "animation"}
    assert "The learned CDF, which is the map x → u" in page
    assert "no certificate yet: bijectory verify" in page


def test_figures_that_cannot_be_saved_do_not_stop_the_page(plane: Path) -> None:
    shutil.rmtree(plane / "arrays")
    (plane / "figures").write_text("a file where the folder should be", encoding="utf-8")
    page = render([read(plane)])
    assert "figures are in this page only" in page and len(Outline(page).of("img")) == 1


def test_command_line(plane: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(plane / "arrays")
    monkeypatch.chdir(plane.parent)
    done = CliRunner().invoke(bijectory, ["report", "plane"], catch_exceptions=False)
    assert done.exit_code == 0 and "report.html: 1 run," in done.output
    assert (plane.parent / "runs" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert CliRunner().invoke(bijectory, ["report"]).exit_code == 2
