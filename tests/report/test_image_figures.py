"""Pictures as figures: the right way up, in the right colours and places, over the full range; and as the frames of a film."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from bijectory.figures.image_plates import compared_rows_plate
from bijectory.figures.images import mosaic, packed, shown, slides, slides_animation, square_columns
from bijectory.figures.plate import Plate
from bijectory.figures.plates import plates
from bijectory.figures.style import DARK, LIGHT, pixels
from bijectory.figures.walks import Between, compared_ways

LEVELS = 4


def marked(n: int = 6, channels: int = 3, size: int = 8) -> np.ndarray:
    """Black pictures, each with its upper left pixel bright in the channel of its number."""
    x = np.zeros((n, channels, size, size), np.uint8)
    x[np.arange(n), np.arange(n) % channels, 0, 0] = LEVELS - 1
    return x


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, LEVELS, shape).astype(np.uint8)


def sheet(plate: Plate, theme=LIGHT) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The pixels that the figure shows, before they are enlarged."""
    return np.asarray(plate.draw(theme).axes[0].images[0].get_array())


def test_levels_reach_from_black_to_white_whatever_their_number() -> None:
    for levels in (2, 4, 17, 256):
        ramp = np.arange(levels).reshape(1, 1, levels)
        colours = shown(ramp, levels)[0, 0, :, 0]
        assert (colours[0], colours[-1]) == (0, 255) and (np.diff(colours.astype(int)) > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_and_last_are_the_same_picture(channels: int) -> None:
    x = noise(5, channels, 8, 6)
    colours = shown(x, LEVELS)
    assert colours.shape == (5, 8, 6, 3)
    np.testing.assert_array_equal(colours[..., :channels], np.moveaxis(x, 1, -1) * 85)
    np.testing.assert_array_equal(shown(np.moveaxis(x, 1, -1), LEVELS), colours)
    if channels == 1:
        np.testing.assert_array_equal(shown(x[:, 0], LEVELS), colours)


def test_other_numbers_of_channels_lie_side_by_side() -> None:
    x = noise(2, 4, 8, 6)
    np.testing.assert_array_equal(shown(x, LEVELS)[1, :, 12:18, 0], x[1, 2] * 85)


def test_pictures_stand_upright_in_their_own_colours() -> None:
    (samples, _) = plates("image_samples", {"samples": marked(), "data": marked(), "levels": np.array(LEVELS)}, ())
    image = pixels(samples.draw(LIGHT))[..., :3].astype(int)
    # Three rows of two, one pixel of paper between: the corner of each is red, green or blue, all else of it black.
    step = image.shape[1] / (2 * 8 + 1)
    for index in range(6):
        top, left = (index // 2) * 9, (index % 2) * 9
        y, x = round((top + 0.5) * step), round((left + 0.5) * step)
        assert image[y, x].tolist() == [255 * (c == index % 3) for c in range(3)]
        assert image[round((top + 7.5) * step), x].tolist() == [0, 0, 0]
    assert image[round(8.5 * step), round(4 * step)].tolist() == [255, 255, 255], "paper between the rows"


def test_every_pixel_is_a_square_of_whole_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bijectory.figures.style.DPI", 200)
    x = noise(100, 3, 32, 32)
    (samples, _) = plates("image_samples", {"samples": x, "data": x, "levels": np.array(LEVELS)}, ())
    image = pixels(samples.draw(LIGHT))[..., :3]
    np.testing.assert_array_equal(image, sheet(samples).repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(sheet(samples)[34:66, 68:100], np.moveaxis(x[12], 0, -1) * 85)


def test_the_paper_is_the_themes() -> None:
    (samples, _) = plates("image_samples", {"samples": marked(), "data": marked(), "levels": np.array(LEVELS)}, ())
    assert sheet(samples, LIGHT)[8, 0].tolist() == [255, 255, 255]
    assert sheet(samples, DARK)[8, 0].tolist() == [0x15, 0x18, 0x1C]


def test_a_place_without_a_picture_is_paper() -> None:
    grid = mosaic(shown(marked(5), LEVELS), 3, np.array([1, 2, 3]), 1)
    assert grid.shape == (17, 26, 3) and (grid[9:, 18:] == [1, 2, 3]).all()


@pytest.mark.parametrize(
    ("n", "shape", "columns"), [(100, (32, 32), 10), (1, (8, 8), 1), (48, (8, 32), 3), (3, (99, 1), 3)]
)
def test_grids_are_nearly_square(n: int, shape: tuple[int, int], columns: int) -> None:
    assert square_columns(n, shape) == columns


def walk() -> dict[str, np.ndarray]:
    rows = np.repeat(np.arange(4, dtype=np.uint8)[None, :, None], 2, 0)[..., None, None] * np.ones((3, 8, 8), np.uint8)
    return {"levels": np.array(LEVELS), "rows": rows, "ends": rows[:, [0, -1]]}


def test_the_ends_of_an_interpolation_are_marked() -> None:
    (plate,) = plates("image_interpolations", walk(), ())
    axes = plate.draw(LIGHT).axes[0]
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [text.get_text() for text in axes.texts].count("held out") == 2 == len(frames)
    image = sheet(plate)
    # What each frame encloses is one end in both rows: the first picture black, the last white.
    for frame, value in zip(sorted(frames, key=lambda f: f.get_x()), (0, 255), strict=True):
        left = round(frame.get_x() + frame.get_width() / 2 - 4)
        assert (image[1:9, left + 1 : left + 8] == value).all() and (image[10:18, left + 1 : left + 8] == value).all()
    assert "4 of 4 ends come back from their latents exactly" in plate.alt
    assert "change by 33.3, 33.3, 33.3 %" in plate.alt


def test_the_ways_of_several_runs_stand_under_one_another() -> None:
    one, other = noise(2, 4, 3, 8, 8), noise(2, 4, 3, 8, 8, seed=1)
    plate = compared_rows_plate([("a_run", one), ("another", other)], LEVELS)
    axes = plate.draw(LIGHT).axes[0]
    letters = [text.get_text() for text in axes.texts if len(text.get_text()) == 1]
    assert letters == ["A", "B", "A", "B"]
    image, colours = sheet(plate), [shown(x.reshape(-1, 3, 8, 8), LEVELS) for x in (one, other)]
    margin = image.shape[1] - (1 + 4 * 9 + 2 * 4)
    for row, top in enumerate((1, 10, 22, 31)):
        pair, run = divmod(row, 2)
        for column, left in enumerate((1, 14, 23, 36)):
            found = image[top : top + 8, margin + left : margin + left + 8]
            np.testing.assert_array_equal(found, colours[run][4 * pair + column])
    assert (image[:, :margin] == 255).all() and margin > 0
    moves = 100 * np.abs(np.diff(one.astype(float), axis=1)).mean((0, 2, 3, 4)) / 3
    assert f"a_run {', '.join(f'{move:.1f}' for move in moves)}; another" in plate.alt
    assert "A a_run, B another" in plate.caption


def test_a_row_of_samples_a_temperature() -> None:
    samples = noise(2, 5, 1, 8, 8)
    arrays = {"levels": np.array(LEVELS), "temperatures": np.array([0.7, 1.0]), "samples": samples}
    (plate,) = plates("image_temperatures", arrays, ())
    assert [text.get_text() for text in plate.draw(DARK).axes[0].texts] == ["0.7", "1.0"]
    image = sheet(plate)
    margin = image.shape[1] - (5 * 9 - 1)
    np.testing.assert_array_equal(image[9:17, margin + 9 : margin + 17], shown(samples[1], LEVELS)[1])
    assert "5 latents at 2 temperatures" in plate.alt and "at 1.0 mean ± deviation" in plate.alt


def test_ways_are_drawn_where_they_were_measured() -> None:
    runs = [
        Between("a", np.array([0.1, 0.3, -0.1]), np.full(3, 0.05), 0.6),
        Between("b", np.zeros(3), np.zeros(3), -0.2),
    ]
    axes = compared_ways(LIGHT, runs).axes[0]
    drawn = {tuple(np.asarray(line.get_ydata(), float)) for line in axes.lines}
    assert {(0.1, 0.3, -0.1), (0.0, 0.0, 0.0), (0.6,), (-0.2,)} <= drawn
    low, high = axes.get_ylim()
    assert low < -0.2 and high > 0.6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_an_end_that_does_not_come_back_is_counted() -> None:
    arrays = walk()
    arrays["ends"] = arrays["ends"].copy()
    arrays["ends"][1, 1, 0, 0, 0] ^= 1
    assert "3 of 4 ends" in plates("image_interpolations", arrays, ())[0].alt


def test_each_sample_stands_beside_its_neighbour_over_their_distance() -> None:
    samples, nearest = marked(5), noise(5, 3, 8, 8)
    distance = np.array([9.0, 7.25, 8.0, 6.0, 5.0, 99.0])
    arrays = {
        "levels": np.array(LEVELS),
        "samples": samples,
        "nearest": nearest,
        "shown": np.array([4, 3, 1, 2, 0]),
        "distance": distance,
        "held_out": np.array([7.0, 8.0, 9.0]),
    }
    (plate,) = plates("image_neighbours", arrays, ())
    assert [text.get_text() for text in plate.draw(LIGHT).axes[0].texts] == ["5.0", "6.0", "7.2", "8.0", "9.0"]
    image = sheet(plate)
    np.testing.assert_array_equal(image[:8, :8], shown(samples, LEVELS)[0])
    np.testing.assert_array_equal(image[:8, 9:17], shown(nearest, LEVELS)[0])
    assert "of all 6 samples is 7.6, of 3 test pictures 8.0" in plate.alt


def test_words_tell_noise_from_flat_pictures() -> None:
    flat, rough = np.ones((4, 1, 8, 8), np.uint8), noise(4, 1, 8, 8)
    arrays = {"samples": flat, "data": rough, "levels": np.array(LEVELS)}
    first, second = plates("image_samples", arrays, ())
    assert "differ by 0.0 %" in first.alt and "33.3 ± 0.0 % of the full range" in first.alt
    assert float(second.alt.split("differ by ")[1].split(" ")[0]) > 30
    assert "8 × 8 pixels, grey, 4 levels" in second.alt


@pytest.mark.parametrize(("channels", "levels", "colourful"), [(1, 256, False), (3, 4, False), (3, 8, True)])
def test_only_fine_colour_is_colourful(channels: int, levels: int, colourful: bool) -> None:
    x = np.zeros((4, channels, 8, 8), np.uint8)
    assert [
        p.colourful for p in plates("image_samples", {"samples": x, "data": x, "levels": np.array(levels)}, ())
    ] == [colourful] * 2


def film(looks: int, levels: int = LEVELS) -> list[tuple[int, dict[str, np.ndarray]]]:
    return [
        (10 * i, {"samples": noise(9, 3, 8, 8, seed=i) % levels, "levels": np.array(levels)})
        for i in range(1, looks + 1)
    ]


def test_the_sprite_holds_every_look() -> None:
    frames = film(5)
    made = slides(frames)
    sprite, (height, width) = made.sprite(), made.sheets.shape[1:3]
    assert (height, width) == (26, 26) and made.steps == [10, 20, 30, 40, 50] and made.pictures == 9
    for index, (_, arrays) in enumerate(frames):
        top, left = (index // made.columns) * height, (index % made.columns) * width
        np.testing.assert_array_equal(sprite[top + 9 : top + 17, left : left + 8], shown(arrays["samples"], LEVELS)[3])


def test_a_sprite_with_room_is_exact() -> None:
    made = slides(film(5))
    kept, data = packed(made, 10**6)
    assert kept is made
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), made.sprite())


def test_a_sprite_without_room_has_fewer_looks_and_the_last() -> None:
    made = slides(film(12))
    kept, data = packed(made, 4_000)
    assert len(data) <= 4_000 and 1 <= len(kept.steps) < 12 and kept.steps[-1] == 120
    np.testing.assert_array_equal(kept.sheets[-1], made.sheets[-1])
    assert len(packed(made, 1)[0].steps) == 1, "one look is never left out"


def test_the_animation_has_a_frame_a_look() -> None:
    made = slides(film(3))
    with Image.open(io.BytesIO(slides_animation(made, side=60))) as picture:
        assert picture.n_frames == 3 and picture.size == (52, 52)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB"))[::2, ::2], made.sheets[0])


def test_a_look_is_a_grid() -> None:
    (plate,) = plates("image_frame", film(1)[0][1], ())
    assert plate.name == "frame_samples" and plate.alt.startswith("9 samples of the model, 8 × 8 pixels, colour")
