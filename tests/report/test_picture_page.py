"""The page of runs on pictures: what the homework asks for, the numbers of the run, and runs on the same pictures side by side."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bijectory.experiments.record import sealed
from bijectory.report.groups import difference
from bijectory.report.page import render, write_report
from bijectory.report.tables import read

LIMIT = 6_000_000


@pytest.fixture(scope="module")
def made(trained_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the page made of it beside it."""
    run = Path(shutil.copytree(trained_pictures, tmp_path_factory.mktemp("page") / "blobs"))
    write_report([run], run.parent / "report.html")
    return run


@pytest.fixture(scope="module")
def page(made: Path) -> str:
    return (made.parent / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def pair(trained_pictures: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs on the same pictures, the second of which scores worse by what its result says."""
    runs = [Path(shutil.copytree(trained_pictures, tmp_path / name)) for name in ("good", "bad_mask")]
    result = json.loads((runs[1] / "result.json").read_text())
    for score in result["scores"]:
        if score["name"].startswith("bits_per_dim"):
            score.update(value=score["value"] + 0.4, stderr=0.03)
    (runs[1] / "result.json").write_text(json.dumps(result))
    for run in runs:
        # The rows of both are the same model's: paired, they would not differ.
        for path in (run / "arrays").glob("likelihood-*.npz"):
            path.unlink()
    return runs[0], runs[1]


def headings(page: str) -> list[str]:
    return re.findall(r"<h3>([^<]*)</h3>", page)


def score(run: Path, name: str) -> dict[str, float]:
    scores = json.loads((run / "result.json").read_text())["scores"]
    (found,) = [s for s in scores if (s["name"], s["split"]) == (name, "test")]
    return found


def test_every_deliverable_is_there_and_no_density(page: str) -> None:
    assert headings(page) == [
        "Learning",
        "Expected, and ours",
        "Scores",
        "Samples",
        "Interpolations",
        "Nearest training pictures",
        "Pictures from elsewhere",
        "While it learns",
        "Settings and cost",
    ]
    assert len(page) < LIMIT
    body = page[page.index("<body>") : page.index('id="colours"')]
    assert "ensity" not in body and "mass" not in body and "uniform" not in body
    slider = re.search(r'<input type="range" min="0" max="(\d+)"', page)
    assert slider is not None and slider[1] == "1"
    film = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', page)[0])
    assert film["steps"] == [10, 20] and film["pictures"] == 9 and film["width"] == film["height"] == 26
    assert all(bits is not None for bits in film["bits"])


def test_words_stand_for_every_picture(page: str) -> None:
    alts = re.findall(r'<img src="data:[^"]*" alt="([^"]*)"', page)
    assert len(alts) == 6
    assert [alt for alt in alts if not re.search(r"\d{2}", alt)] == []
    assert "16 samples of the model, 8 × 8 pixels, colour, 4 levels" in page


def test_it_says_bound_and_shows_the_tighter_one_beside(page: str, made: Path) -> None:
    one, four = score(made, "bits_per_dim"), score(made, "bits_per_dim_4_draws")
    lead = re.sub(r"\s+|<[^>]*>", " ", page[page.index('class="lead"') :][:900])
    lead = re.sub(r"\s+", " ", lead)
    assert f"{one['value']:.4f} bits/dim on the test pictures (bound, ± {one['stderr']:.4f})" in lead
    assert f"{four['value']:.4f} with 4 draws of the noise for each (bound, ± {four['stderr']:.4f})" in lead
    assert "a model that knows nothing needs 2.0000" in lead
    assert "They are bounds" in page and "bits/dim, 4 draws" in page and "ours is bound" in page


def test_curves_say_bound(trained_pictures: Path) -> None:
    from bijectory.figures.curves import learning_curves
    from bijectory.figures.style import LIGHT

    reading = read(trained_pictures)
    assert reading.kind == "bound" and len(reading.validation) == 4
    figure = learning_curves(LIGHT, reading.train, reading.validation, None, reading.kept, None, reading.kind)
    assert figure.axes[0].get_ylabel() == "bits/dim (bound)"
    exact = learning_curves(LIGHT, reading.train, reading.validation, None, reading.kept, None, "exact")
    assert exact.axes[0].get_ylabel() == "bits/dim"


def test_measurements_are_put_in_words(page: str, made: Path) -> None:
    found = read(made).pictures
    trip, near = found["image_round_trip"], found["image_neighbours"]
    assert trip["exact"] == trip["pictures"] == 10
    assert "Round trip: all 10 test pictures come back from their latents exactly" in page
    assert f"The median sample lies {np.median(near['distance']):.1f} from" in page


def test_figures_are_files_of_the_run(made: Path) -> None:
    files = {path.name for path in (made / "figures").iterdir()}
    names = "curves image_samples image_data image_temperatures image_interpolations image_neighbours"
    assert files == {*(f"{name}.png" for name in names.split()), "animation.gif"}
    with Image.open(made / "figures" / "animation.gif") as film:
        assert film.n_frames == 2


def test_runs_on_the_same_pictures_are_ranked(pair: tuple[Path, Path]) -> None:
    page = render([read(run) for run in reversed(pair)])
    table = page[page.index("On the same pictures") :]
    assert table.index('<th scope="row">good</th>') < table.index('<th scope="row">bad_mask</th>')
    error = np.hypot(score(pair[0], "bits_per_dim")["stderr"], 0.03)
    assert f'0.4000 <span class="error">± {error:.4f}</span>' in table
    assert f"bad_mask needs 0.4000 bits/dim more than good, ± {error:.4f} (from the errors of both runs" in page
    assert f"{0.4 / error:.1f} standard errors" in page
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", table)
    assert [c.split(":")[0] for c in captions[:3]] == [
        "16 samples of good",
        "16 samples of bad_mask",
        "Validation curves",
    ]


def plain(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_the_group_shows_cost_temperatures_and_ways(pair: tuple[Path, Path]) -> None:
    page = render([read(run) for run in pair])
    group = page[page.index("On the same pictures") : page.index('class="run"')]
    assert re.findall(r"<h4>([^<]*)</h4>", group) == ["Cost", "Temperatures", "Between two pictures"]
    cost = read(pair[0]).pictures["image_cost"]
    result = json.loads((pair[0] / "result.json").read_text())
    bound, sample = (1000 * np.median(cost[key]) / int(cost["pictures"]) for key in ("score", "sample"))
    row = (
        f"good {int(cost['parameters']):,} 20 {result['seconds']:,.0f} {1000 * result['seconds'] / 20:.3g} {bound:.3g} "
        f"{sample:.3g} 1 thread"
    )
    assert row in plain(group)
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", group)
    assert [caption.split(",")[0].split(":")[0] for caption in captions[3:]] == [
        "good",
        "bad_mask",
        "The same held-out pictures at both ends",
        "How likely each run finds the pictures on its own ways",
    ]
    assert "A good, B bad_mask" in captions[5] and "3 pairs, ± one standard error" in captions[6]
    alts = re.findall(r'alt="([^"]*)"', group)
    assert all(re.search(r"\d", alt) for alt in alts) and "at 0.7 mean ± deviation" in alts[3]
    walks = read(pair[0]).pictures["image_walks"]
    apart = (walks["nats"][:, [0, -1]].mean(1) - walks["nats"][:, 2]) / (192 * np.log(2))
    error = apart.std(ddof=1) / np.sqrt(3)
    half = -walks["nats"][:, 2].mean() / (192 * np.log(2))
    sentence = f"good: halfway between 3 pairs of held-out pictures its own need {half:.4f} bits/dim, {abs(apart.mean()):.4f} ± {error:.4f}"
    assert sentence in group and group.count(": halfway between 3 pairs") == 2
    assert f"{apart.mean():+.4f}".replace("-", "−") in alts[-1]


def test_runs_older_than_a_figure_stand_beside_those_that_have_it(pair: tuple[Path, Path]) -> None:
    for name in ("image_cost", "image_temperatures", "image_walks"):
        for path in (pair[1] / "arrays").glob(f"{name}-*.npz"):
            path.unlink()
    page = render([read(run) for run in pair])
    group = page[page.index("On the same pictures") : page.index('class="run"')]
    assert "Without: bad_mask" in group and group.count(": halfway between 3 pairs") == 1
    assert "How likely each run finds" not in group and "A good, B bad_mask" in group
    assert re.search(r"bad_mask – 20 \d+ [\d.]+ – – –", plain(group))


def test_ways_between_other_ends_are_not_shown_together(pair: tuple[Path, Path]) -> None:
    (path,) = (pair[1] / "arrays").glob("image_interpolations-*.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["ends"] = arrays["ends"][::-1]
    np.savez(path, **arrays)
    page = render([read(run) for run in pair])
    assert "The same held-out pictures at both ends" not in page and ": halfway between 3 pairs" in page


def test_runs_of_one_name_keep_their_own_ways(pair: tuple[Path, Path]) -> None:
    (pair[1].parent / "b").mkdir()
    other = pair[1].rename(pair[1].parent / "b" / "good")
    assert "A good, B good" in render([read(pair[0]), read(other)])


def test_other_pictures_stand_in_a_table_with_a_warning(page: str, made: Path) -> None:
    section = plain(page[page.index("Pictures from elsewhere") :])
    arrays = read(made).pictures["image_elsewhere"]
    assert list(arrays["sets"]) == ["test pictures", "other blobs", "pictures of one value", "noise"]
    for index, name in enumerate(arrays["sets"]):
        bits = -arrays["nats"][arrays["set"] == index] / (192 * np.log(2))
        assert f"{name} {len(bits):,} {bits.mean():.4f} ± {bits.std(ddof=1) / np.sqrt(len(bits)):.4f}" in section
    assert "Likelihood alone is no detector" in section and "arXiv:1810.09136" in section
    assert "Not scored: photographs: expected a data folder with photographs.npz, got none" in section


def test_rows_that_both_runs_kept_are_paired(pair: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(-300, 50, 400)
    gaps = rng.normal(20, 2, 400)
    for run, rows in zip(pair, (hard, hard - gaps), strict=True):
        np.savez(run / "arrays" / "likelihood-00000020.npz", test=rows)
    one, other = (read(run) for run in pair)
    found = difference(one, other)
    assert found is not None and found.kind == "paired" and found.stderr is not None
    unit = 3 * 8 * 8 * np.log(2)
    assert found.value == pytest.approx(gaps.mean() / unit)
    assert found.stderr == pytest.approx(gaps.std(ddof=1) / np.sqrt(400) / unit)
    assert "(paired, picture by picture)" in render([one, other])
    np.savez(pair[1] / "arrays" / "likelihood-00000020.npz", test=hard[:300])
    assert (found := difference(one, read(pair[1]))) is not None and found.kind == "unpaired"


def test_a_difference_within_chance_is_called_so(pair: tuple[Path, Path]) -> None:
    result = json.loads((pair[1] / "result.json").read_text())
    for s in result["scores"]:
        if s["name"] == "bits_per_dim":
            s["stderr"] = 0.2
    (pair[1] / "result.json").write_text(json.dumps(result))
    assert "standard errors, which chance may explain" in render([read(run) for run in pair])


def test_other_pictures_are_not_compared(pair: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    (path,) = (pair[1] / "arrays").glob("image_samples-*.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["data"][0, 0, 0, 0] ^= 1
    np.savez(path, **arrays)
    plane = Path(shutil.copytree(trained, tmp_path / "plane"))
    page = render([read(run) for run in (*pair, plane)])
    assert "Comparison" in page and "On the same pictures" not in page
    assert "mass misplaced" in page, "the run in the plane has its own"


def test_runs_in_other_places_leave_the_group_standing(pair: tuple[Path, Path], trained: Path, tmp_path: Path) -> None:
    plane = Path(shutil.copytree(trained, tmp_path / "plane"))
    page = render([read(run) for run in (pair[0], plane, pair[1])])
    assert page.count("On the same pictures") == 1 and headings(page).count("Density") == 1


def test_an_unfinished_run_on_pictures_makes_a_page(pair: tuple[Path, Path]) -> None:
    for run in pair:
        for name in ("result.json", "metrics.jsonl"):
            (run / name).unlink()
        for path in (run / "arrays").iterdir():
            path.unlink()
    page = render([read(run) for run in pair])
    assert "no scores yet" in page and "no pictures" in page


def test_a_truncated_look_is_left_out_and_named(pair: tuple[Path, Path]) -> None:
    broken = pair[0] / "arrays" / "image_frame-00000010.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    reading = read(pair[0])
    assert [step for step, _ in reading.looks] == [20]
    assert any(f"{broken.name} cannot be read" in note for note in reading.missing)
    assert 'max="0"' in render([reading])


def test_names_are_escaped(pair: tuple[Path, Path]) -> None:
    evil = pair[1].rename(pair[1].parent / "<img src=x onerror=alert(1)>")
    settings = json.loads((evil / "settings.json").read_text())
    (evil / "settings.json").write_text(json.dumps(sealed({**settings, "notes": ["<b>bold</b>"]})))
    page = render([read(pair[0]), read(evil)])
    assert "<img src=x" not in page and "<b>bold" not in page and "16 samples of &lt;img" in page
