"""The page of runs on pictures: what the homework asks for, the numbers of the run, and runs on the same pictures side by side."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bijectory.experiments.record import sealed
from bijectory.experiments.run import train
from bijectory.report.elsewhere import scored_by_each, scored_comment
from bijectory.report.groups import difference
from bijectory.report.page import render, write_report
from bijectory.report.tables import Arrays, read
from bijectory.report.ways import _ratio, apart_comment, compared, ways_comment

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


@pytest.fixture(scope="module")
def others(trained_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models that were trained on the same pictures and learned other things, the better one first."""
    folder = tmp_path_factory.mktemp("others")
    recipe = str(trained_pictures.parent / "pictures.py")
    longer = train(recipe, assignments=["steps=60"], seed=1, run=folder / "longer")
    shorter = Path(shutil.copytree(trained_pictures, folder / "shorter"))
    assert longer is not None
    return longer, shorter


@pytest.fixture(scope="module")
def page_of_others(others: tuple[Path, Path]) -> str:
    """What the page of both says above the runs' own sections."""
    page = render([read(run) for run in others])
    return html.unescape(page[page.index("On the same pictures") : page.index('class="run"')])


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


def walked(run: Path, **arrays: Any) -> None:
    """Put other ways into a run."""
    (path,) = (run / "arrays").glob("image_walks-*.npz")
    with np.load(path) as file:
        np.savez(path, **{**dict(file), **arrays})


def summaries(arrays: Arrays) -> list[tuple[float, np.ndarray]]:
    """Of each figure of the ways its value without one pair after the other (the jackknife), by the definitions on the page."""
    nats, change, direct = (arrays[name].astype(np.float64) for name in ("nats", "change", "direct"))
    above = (nats[:, [0, -1]].mean(1) - nats[:, 2]) / (192 * np.log(2))
    most = change.mean(0).argmax()

    def figures(rows: np.ndarray) -> list[float]:
        moves = change[rows].mean(0)
        return [above[rows].mean(), change[rows].sum() / direct[rows].sum(), moves[most] / moves.mean()]

    every = np.arange(len(nats))
    without = np.array([figures(np.delete(every, i)) for i in every])
    return list(zip(figures(every), without.T, strict=True))


def said(value: float, digits: int, sign: str = "") -> str:
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def test_ways_of_two_models_are_compared_pair_by_pair(others: tuple[Path, Path], page_of_others: str) -> None:
    one, other = (read(run) for run in others)
    bits = [r.score("bits_per_dim") for r in (one, other)]
    assert bits[0] is not None and bits[1] is not None and bits[0].value < bits[1].value
    arrays = [r.pictures["image_walks"] for r in (one, other)]
    assert not np.array_equal(arrays[0]["nats"], arrays[1]["nats"])
    words = plain(page_of_others[page_of_others.index("Between two pictures") :])
    assert "shorter beside longer, over the same 3 pairs: its pictures halfway are" in words
    for (a, _), (b, _), digits in zip(*(summaries(x) for x in arrays), (4, 3, 3), strict=True):
        assert f"{said(b, digits)} against {said(a, digits)} " in words
        assert f"difference {said(b - a, digits, '+')} ± " in words
    first = arrays[1]["nats"][:, [0, -1]].mean(1) - arrays[1]["nats"][:, 2]
    apart = (first - (arrays[0]["nats"][:, [0, -1]].mean(1) - arrays[0]["nats"][:, 2])) / (192 * np.log(2))
    error = apart.std(ddof=1) / np.sqrt(3)
    assert f"difference {said(apart.mean(), 4, '+')} ± {error:.4f}" in words
    row = re.search(r"shorter (−?[\d.]+) ± ([\d.]+) \( ?(−?[\d.]+) ± ([\d.]+) ?\)", words)
    assert row is not None and (row[3], row[4]) == (said(apart.mean(), 4), f"{error:.4f}")


@pytest.mark.parametrize("sign", [1, -1])
def test_words_on_ways_follow_from_paired_differences(pair: tuple[Path, Path], sign: int) -> None:
    rng = np.random.default_rng(0)
    n, unit = 50, 192 * np.log(2)
    hard, direct = rng.normal(-300, 40, n), rng.uniform(0.1, 0.4, n)
    for run, extra in zip(pair, (0.0, 0.1 * sign), strict=True):
        halfway = hard - (0.2 + extra + rng.normal(0, 0.02, n)) * unit
        nats = np.stack([hard, hard, halfway, hard, hard], 1)
        shape = np.array([1.0, 1 + 0.5 + extra, 1.0, 1.0])
        change = (1 + 0.5 + extra) * direct[:, None] * shape / shape.sum() * rng.normal(1, 0.02, (n, 4))
        walked(run, nats=nats, change=change, direct=direct, blend=hard)
    readings = [read(run) for run in pair]
    (words,) = ways_comment(compared(readings))
    found = [summaries(r.pictures["image_walks"]) for r in readings]
    assert "bad_mask beside good, over the same 50 pairs" in words
    says = (
        ("its pictures halfway are less likely than the other's", "its pictures halfway are likelier than the other's"),
        ("its ways are longer", "its ways are shorter"),
        ("they change less evenly", "they change more evenly"),
    )
    for (a, before), (b, after), digits, kinds in zip(*found, (4, 3, 3), says, strict=True):
        assert (b - a) * sign > 0
        apart = after - before
        error = np.sqrt((n - 1) / n * ((apart - apart.mean()) ** 2).sum())
        shown = re.search(
            rf"{kinds[sign < 0]}[^()]*\([^()]*difference {re.escape(said(b - a, digits, '+'))} ± ([\d.]+)\)", words
        )
        assert shown is not None, kinds
        # The jackknife's error and the delta method's agree to the square of the ratios' own scatter.
        assert float(shown[1]) == pytest.approx(error, rel=0.05, abs=6 * 10.0 ** -(digits + 1))


def test_differences_of_ways_within_chance_are_called_so(pair: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(1)
    for run in pair:
        nats = rng.normal(-300, 40, (50, 5))
        walked(run, nats=nats, change=rng.uniform(0.1, 0.2, (50, 4)), direct=np.full(50, 0.3), blend=nats[:, 0])
    (words,) = ways_comment(compared([read(run) for run in pair]))
    assert words.count(", which chance may explain)") == 3
    assert "are as likely as the other's" in words and "ways are as long (" in words and "change as evenly (" in words


def test_ways_between_other_pictures_are_not_compared(pair: tuple[Path, Path]) -> None:
    direct = read(pair[1]).pictures["image_walks"]["direct"]
    walked(pair[1], direct=direct + 0.05)
    ways = compared([read(run) for run in pair])
    assert [way.more for way in ways] == [{}, {}]
    assert ways_comment(ways) == [
        "bad_mask and good did not walk between the same pictures: their figures are not compared."
    ]


def test_a_ratio_has_the_error_of_many_draws() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        y = rng.uniform(0.1, 0.5, 50)
        figure = _ratio(1.2 * y + rng.normal(0, 0.03, 50), y).figure("")
        found.append((figure.value, figure.stderr))
    values, errors = np.array(found).T
    # The deviation of 400 draws is itself off by 3.5 %.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.12)


def test_pictures_between_are_set_beside_each_other_and_beside_mixed_pixels(pair: tuple[Path, Path]) -> None:
    # Both ends are flat, at 0 and 3 of 4 levels: a third of the way mixing gives 1, two thirds 2.
    ends = np.zeros((2, 2, 3, 8, 8), np.uint8)
    ends[:, 1] = 3
    mixed = np.broadcast_to(np.arange(4, dtype=np.uint8).reshape(1, 4, 1, 1, 1), (2, 4, 3, 8, 8))
    turned = mixed.copy()
    turned[:, 1:3] = mixed[:, 2:0:-1]

    def words(*rows: np.ndarray) -> str:
        for run, found in zip(pair, rows, strict=True):
            (path,) = (run / "arrays").glob("image_interpolations-*.npz")
            np.savez(path, rows=found, ends=ends, levels=4)
        return " ".join(apart_comment([read(run) for run in pair]))

    together = words(turned, turned)
    assert (
        "The 2 pictures between the ends of 2 pairs, bad_mask beside good: they differ by 0.0 ± 0.0 % of the range"
        in together
    )
    assert (
        "from the ends' pixels mixed by 33.3 ± 0.0 % and 33.3 ± 0.0 %, where the ends differ by 100.0 ± 0.0 %"
        in together
    )
    assert "so the two go nearer to one another than to mixed pixels" in together
    half = mixed.copy()
    half[:, 1:3, :, :4] = turned[:, 1:3, :, :4]
    other = mixed.copy()
    other[:, 1:3, :, 4:] = turned[:, 1:3, :, 4:]
    assert "so each goes nearer to mixed pixels than to the other" in words(half, other)
    assert "so they are not nearer to one another than to mixed pixels" in words(mixed, turned)
    assert words(ends, ends) == "", "ways of two steps have nothing between"


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


def test_models_and_the_sets_they_scored_stand_in_one_table(others: tuple[Path, Path], page_of_others: str) -> None:
    readings = [read(run) for run in others]
    words = plain(page_of_others[page_of_others.index("Pictures from elsewhere, under each model") :])
    for reading in readings:
        arrays = reading.pictures["image_elsewhere"]
        for index, name in enumerate(arrays["sets"]):
            bits = -arrays["nats"][arrays["set"] == index] / (192 * np.log(2))
            error = bits.std(ddof=1) / np.sqrt(len(bits))
            assert f"{reading.name} {name} {len(bits):,} {bits.mean():.4f} ± {error:.4f}" in words
    assert "Likelihood alone is no detector" in words and "arXiv:1810.09136" in words
    told = [f"{name} by {r.name} (" for r in readings for name in r.pictures["image_elsewhere"]["sets"][1:]]
    assert all(words.count(one) == 1 for one in told) and len(told) == 6
    assert scored_by_each(readings[:1]) == []


def two_sets(run: Path, own: float, other: str, others: float) -> None:
    """Put into a run what it made of 60 test pictures and of another set's: means in bits/dim."""
    (path,) = (run / "arrays").glob("image_elsewhere-*.npz")
    spread = np.linspace(-0.5, 0.5, 60)
    needs = np.concatenate([own + spread, others + spread]) * 192 * np.log(2)
    nats, train, sets = -needs, -(own + spread) * 192 * np.log(2), np.array(["test pictures", other])
    np.savez(path, sets=sets, nats=nats, set=np.repeat([0, 1], 60), train=train, missing=np.array([], dtype=np.str_))


@pytest.mark.parametrize("clothes", [6.0, 0.5])
def test_one_direction_may_be_fooled_and_the_other_not(pair: tuple[Path, Path], clothes: float) -> None:
    two_sets(pair[0], 1.5, "Fashion-MNIST", clothes)
    two_sets(pair[1], 3.5, "MNIST", 1.75)
    *told, warning = scored_comment(scored_by_each([read(run) for run in pair]))
    assert told[0].startswith("Found likelier than the test pictures of the model's own set: ")
    fooled = "MNIST by bad_mask (1.7500 against 3.5000 bits/dim; AUROC 0.000 ± 0.000 by the bound, 1.000 ± 0.000 by typicality)"
    assert told[0].endswith(f"{fooled}.")
    if clothes > 3:
        assert told[1:] == ["Found less likely: Fashion-MNIST by good (6.0000 against 1.5000 bits/dim)."]
    else:
        assert told[1:] == [] and "Fashion-MNIST by good (0.5000 against 1.5000" in told[0]
    assert warning.startswith("Likelihood alone is no detector")
    assert warning.endswith(f"here it is so in {1 if clothes > 3 else 2} of 2 cases.")


def test_models_that_are_not_fooled_are_not_said_to_be(pair: tuple[Path, Path]) -> None:
    two_sets(pair[0], 1.5, "Fashion-MNIST", 6.0)
    two_sets(pair[1], 3.5, "MNIST", 3.5)
    less, same, warning = scored_comment(scored_by_each([read(run) for run in pair]))
    assert less == "Found less likely: Fashion-MNIST by good (6.0000 against 1.5000 bits/dim)."
    assert same == "Found as likely, as far as these can tell: MNIST by bad_mask (3.5000 against 3.5000 bits/dim)."
    assert warning.endswith("here it is so in none of 2 cases.")


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
