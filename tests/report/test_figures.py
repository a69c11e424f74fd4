"""Figures from arrays: what they show, how they share a scale, and what they survive."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bijectory.figures.curves import learning_curves, smoothed
from bijectory.figures.frames import animation, reel
from bijectory.figures.plates import Plate, gap, peak_of, plates
from bijectory.figures.style import DARK, LIGHT, pixels

CELLS = 20
COLUMNS = ("x1", "x2")


def normal(mean: float, cells: int = CELLS) -> np.ndarray:
    """log N(x; (mean, 0), I) on the middles of a grid over (−4, 4)², x1 along the last axis."""
    middles = -4 + 8 * (np.arange(cells) + 0.5) / cells
    squares = (middles[None, :] - mean) ** 2 + middles[:, None] ** 2
    return (-squares / 2 - np.log(2 * np.pi)).astype(np.float32)


@pytest.fixture
def density() -> dict[str, np.ndarray]:
    ends = np.array([-4, -4], np.float32), np.array([4, 4], np.float32)
    return {"low": ends[0], "high": ends[1], "log_density": normal(1.0), "log_truth": normal(0.0)}


def frame(step: int, mean: float, cells: int = CELLS) -> tuple[int, dict[str, np.ndarray]]:
    latents = np.random.default_rng(step).random((30, 2)).astype(np.float32)
    ends = {"low": np.array([-4, -4]), "high": np.array([4, 4])}
    return step, {**ends, "log_density": normal(mean, cells), "latents": latents, "labels": np.arange(30) % 3}


def test_learned_and_true_density_share_one_scale(density: dict[str, np.ndarray]) -> None:
    learned, true = plates("density", density, COLUMNS)
    norms = [plate.draw(LIGHT).axes[0].images[0].norm for plate in (learned, true)]
    assert {(norm.vmin, norm.vmax) for norm in norms} == {(0, peak_of(density))}


def test_words_say_where_the_density_is_highest(density: dict[str, np.ndarray]) -> None:
    learned, true = plates("density", density, COLUMNS)
    assert "at x1 = 1.00, x2 = -0.20" in learned.alt and "0.9987 of its mass" in learned.alt
    assert "at x1 = -0.20, x2 = -0.20" in true.alt
    # Two unit normals one apart overlap but for 2 Φ(½) − 1 of their mass.
    assert gap(density) == pytest.approx(0.3829, abs=0.003)
    assert "38." in learned.alt
    assert gap({key: value for key, value in density.items() if key != "log_truth"}) is None


def test_x1_runs_to_the_right_and_x2_upwards(density: dict[str, np.ndarray]) -> None:
    (image,) = plates("density", density, COLUMNS)[0].draw(LIGHT).axes[0].images
    assert image.origin == "lower" and tuple(image.get_extent()) == (-4, 4, -4, 4)
    assert np.unravel_index(image.get_array().argmax(), (CELLS, CELLS))[1] == 12


def test_a_true_density_that_is_nowhere_is_drawn(density: dict[str, np.ndarray]) -> None:
    density["log_truth"][:, : CELLS // 2] = -np.inf
    assert all(pixels(plate.draw(DARK)).any() for plate in plates("density", density, COLUMNS))


@pytest.mark.parametrize("columns", [("$\\frac{", "<b>&"), ("größe", "身長"), ("a" * 200, "")])
def test_any_column_name_is_drawn(density: dict[str, np.ndarray], columns: tuple[str, str]) -> None:
    for plate in plates("density", density, columns):
        assert pixels(plate.draw(LIGHT)).shape[2] == 4


def test_a_picture_that_is_no_figure_has_no_plates() -> None:
    assert plates("uniformity", {"p": np.ones(3)}, COLUMNS) == []


def test_themes_differ_and_both_keep_the_paper_blank(density: dict[str, np.ndarray]) -> None:
    (plate,) = plates("density", density, COLUMNS)[:1]
    corners = {theme.name: pixels(plate.draw(theme))[0, 0, :3].tolist() for theme in (LIGHT, DARK)}
    assert corners == {"light": [255, 255, 255], "dark": [0x15, 0x18, 0x1C]}


def test_classes_are_told_apart() -> None:
    u, labels = np.random.default_rng(0).random((40, 2)), np.arange(40) % 2
    (plate,) = plates("latents", {"latents": u, "labels": labels}, COLUMNS)
    figure = plate.draw(LIGHT)
    colours = figure.axes[0].collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 2
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["class 0", "class 1"]
    (plain,) = plates("latents", {"latents": u}, COLUMNS)
    assert plain.draw(LIGHT).axes[0].get_legend() is None


def test_curves_show_the_entropy_and_what_matters() -> None:
    steps = np.arange(1, 101)
    fall = np.stack([steps, 1 + 50 * np.exp(-steps / 2.0)], 1)
    axes = learning_curves(LIGHT, fall, fall[::10], 0.9, 91.0).axes[0]
    low, high = axes.get_ylim()
    assert low < 0.9 < 1 < high < 2, "the fall of the first steps must not flatten the rest"
    assert any(text.get_text() == "entropy 0.9000" for text in axes.texts)
    assert learning_curves(LIGHT, np.zeros((0, 2)), np.zeros((0, 2)), None, None).axes


def test_smoothing_keeps_a_straight_line_and_the_ends() -> None:
    line = np.stack([np.arange(40.0), 3 - 0.5 * np.arange(40.0)], 1)
    np.testing.assert_allclose(smoothed(line), line)
    assert smoothed(line[:5]) is not None and len(smoothed(line[:5])) == 5


def test_the_sprite_holds_every_frame() -> None:
    film = reel([frame(step, step / 10) for step in (1, 2, 3, 4, 5)], peak=1 / (2 * np.pi))
    sheet = np.asarray(Image.open(io.BytesIO(film.sprite())))
    assert film.columns == 3 and sheet.shape == (2 * CELLS, 3 * CELLS)
    for index in range(5):
        row, column = divmod(index, 3)
        part = sheet[row * CELLS : (row + 1) * CELLS, column * CELLS : (column + 1) * CELLS]
        share = np.exp(normal((index + 1) / 10).astype(np.float64)) * 2 * np.pi
        np.testing.assert_allclose((part[::-1] / 255.0) ** 2, share, atol=0.005)


def test_a_frame_of_a_broken_model_is_blank() -> None:
    step, arrays = frame(1, 0.0)
    arrays["log_density"][:] = np.nan
    arrays["latents"][:] = np.nan
    film = reel([(step, arrays), frame(2, 0.0)], peak=0.2)
    assert not film.levels[0].any() and not film.latents[0].any() and film.levels[1].any()


@pytest.mark.parametrize("dims", [1, 2])
def test_the_animation_has_a_frame_a_look(dims: int) -> None:
    frames = [frame(step, step / 4) for step in (1, 2, 3)]
    if dims == 1:
        frames = [(s, {**a, "log_density": a["log_density"][10], "latents": a["latents"][:, :1]}) for s, a in frames]
    with Image.open(io.BytesIO(animation(reel(frames, peak=0.2), side=40))) as picture:
        assert picture.n_frames == 3 and picture.size == (94, 42)


def test_plates_have_names_fit_for_files(density: dict[str, np.ndarray]) -> None:
    found: list[Plate] = plates("frame", {**frame(1, 0.0)[1]}, ("../../x", "y"))
    assert [plate.name for plate in found] == ["frame_density_learned", "frame_latents"]
