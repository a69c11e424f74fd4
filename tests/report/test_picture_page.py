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
from bijectory.report.page import render, write_report
from bijectory.report.pictures import difference
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
    assert len(alts) == 5
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
    names = "curves image_samples image_data image_interpolations image_neighbours"
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
