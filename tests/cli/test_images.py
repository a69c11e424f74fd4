"""Verbs on a run on pictures: interpolate, sample, and what both refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bijectory.data.generated import generated_pictures
from bijectory.data.pictures import write_picture

Command = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = '''
from bijectory.data.generated import generated_pictures
from bijectory.experiments.recipe import Recipe
from bijectory.models.flows.realnvp_image import realnvp_image
from bijectory.models.quantised import Quantised
from bijectory.training.fit import Budget
from bijectory.training.objectives.bound import maximum_bound


def blobs(*, steps: int = 4) -> Recipe:
    """A RealNVP on blobs.

    steps: updates
    """
    return Recipe(
        data=lambda folder, seed: generated_pictures((3, 8, 8), 4, 40, seed=0),
        model=lambda schema: Quantised(
            realnvp_image(schema.event_shape, filters=4, blocks=1, stages=(("checkerboard", 2),)), schema.levels
        ),
        objective=lambda model: maximum_bound(model, rate=1e-3),
        budget=Budget(steps=steps, batch=16),
        draws=1,
        looks=1,
    )
'''


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on pictures and its recipe."""
    from bijectory.experiments.run import train

    recipe = tmp_path_factory.mktemp("blobs") / "blobs.py"
    recipe.write_text(RECIPE, encoding="utf-8")
    run = train(str(recipe), run=recipe.parent / "run")
    assert run is not None
    return run, recipe


@pytest.fixture
def ends(tmp_path: Path) -> list[Path]:
    """Two pictures as a person has them."""
    x = generated_pictures((3, 8, 8), 4, 40, seed=0).test.x
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, picture in zip(paths, x, strict=False):
        write_picture(path, picture, 4)
    return paths


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert all(word in message for word in words), (words, done.stderr)


def test_interpolate_writes_a_strip_from_one_end_to_the_other(
    command: Command, blobs: tuple[Path, Path], ends: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "between.png"
    done = command("interpolate", blobs[0], *ends, "-o", out, "--recipe", blobs[1])
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(f"{out}: 8 pictures, ") and "the ends come back exactly" in done.stdout
    strip = np.asarray(Image.open(out))
    times = strip.shape[0] // 8
    small = strip[times // 2 :: times, times // 2 :: times]
    assert small.shape == (8, 8 * 9 - 1, 3)
    np.testing.assert_array_equal(small.repeat(times, 0).repeat(times, 1), strip)
    for end, left in zip(ends, (0, 63), strict=True):
        np.testing.assert_array_equal(small[:, left : left + 8], np.asarray(Image.open(end)))
    assert (small[:, 8::9] == 0).all(), "black lines between"


def test_interpolate_json_and_integers(
    command: Command, blobs: tuple[Path, Path], ends: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "between.npz"
    done = command("interpolate", blobs[0], *ends, "-o", out, "--steps", 3, "--json", "--recipe", blobs[1])
    assert json.loads(done.stdout) == {
        "file": str(out),
        "first": str(ends[0]),
        "second": str(ends[1]),
        "pictures": 3,
        "width": 8,
        "height": 8,
        "ends_exact": True,
    }
    with np.load(out) as file:
        assert file["x"].shape == (3, 8, 8, 3) and file["x"].dtype == np.uint8 and file["levels"] == 4
        np.testing.assert_array_equal(file["x"][0] * 85, np.asarray(Image.open(ends[0])))
        np.testing.assert_array_equal(file["x"][2] * 85, np.asarray(Image.open(ends[1])))
        assert (file["x"][1] != file["x"][0]).any() and (file["x"][1] != file["x"][2]).any()


def test_interpolate_refuses_what_is_no_picture_of_the_run(
    command: Command, blobs: tuple[Path, Path], finished: Path, ends: list[Path], tmp_path: Path
) -> None:
    run, recipe = blobs
    large = tmp_path / "large.png"
    write_picture(large, np.zeros((3, 9, 8), np.uint8), 4)
    (tmp_path / "text.png").write_text("no picture")
    out = tmp_path / "out.png"
    out.write_bytes(b"what was there")

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return command("interpolate", *words, "--recipe", recipe)

    before = sorted(tmp_path.iterdir())
    refused(call(run, ends[0], large, "-o", out), "large.png", "8×8", "8×9")
    refused(call(run, ends[0], tmp_path / "none.png", "-o", out), "none.png", "found nothing")
    refused(call(run, tmp_path / "text.png", ends[1], "-o", out), "text.png")
    refused(call(run, *ends, "-o", tmp_path / "out.jpg"), "out.jpg", ".png")
    refused(call(run, *ends, "-o", tmp_path / "deep" / "out.png"), "deep", "folder")
    refused(call(tmp_path / "none", *ends, "-o", out), "expected a run directory")
    refused(command("interpolate", finished, *ends, "-o", out), str(finished), "expected a run on pictures")
    assert call(run, *ends, "-o", out, "--steps", 1).returncode == 2
    assert call(run, *ends, "-o", tmp_path).returncode == 2
    assert call(run, *ends).returncode == 2
    assert out.read_bytes() == b"what was there" and sorted(tmp_path.iterdir()) == before
    assert call(run, *ends, "-o", out).returncode == 0
    assert out.read_bytes()[:4] == b"\x89PNG" and sorted(tmp_path.iterdir()) == before


def test_sample_draws_a_sheet_or_integers(command: Command, blobs: tuple[Path, Path], tmp_path: Path) -> None:
    run, recipe = blobs
    for name, count in (("new.npz", 9), ("again.npz", 9), ("new.png", 9), ("many.npz", None), ("many.png", None)):
        given = [] if count is None else ["-n", count]
        done = command("sample", run, *given, "-o", tmp_path / name, "--seed", 3, "--recipe", recipe)
        assert done.returncode == 0 and done.stdout == "", done.stderr
    with np.load(tmp_path / "new.npz") as new, np.load(tmp_path / "again.npz") as again:
        x = new["x"]
        np.testing.assert_array_equal(x, again["x"])
        assert x.shape == (9, 8, 8, 3) and x.max() <= 3 and new["levels"] == 4
    with np.load(tmp_path / "many.npz") as many:
        assert many["x"].shape == (1000, 8, 8, 3)
    sheet = np.asarray(Image.open(tmp_path / "new.png"))
    times = sheet.shape[0] // 26
    small = sheet[times // 2 :: times, times // 2 :: times]
    for index in range(9):
        top, left = (index // 3) * 9, (index % 3) * 9
        np.testing.assert_array_equal(small[top : top + 8, left : left + 8], x[index] * 85)
    with Image.open(tmp_path / "many.png") as many_png:
        assert many_png.size[0] == many_png.size[1] and many_png.size[0] % 89 == 0, "ten by ten"


def test_sample_says_where_pictures_go(
    command: Command, blobs: tuple[Path, Path], finished: Path, tmp_path: Path
) -> None:
    run, recipe = blobs
    refused(command("sample", run, "--recipe", recipe), "standard output", "-o")
    refused(command("sample", run, "-o", tmp_path / "new.csv", "--recipe", recipe), "new.csv", ".png", ".npz")
    refused(command("sample", finished, "-o", tmp_path / "new.png"), "new.png", ".csv")
    assert list(tmp_path.iterdir()) == []
