"""TensorBoard is shown the curves and the pictures of the page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bijectory.errors import MissingExtraError
from bijectory.experiments.board import Board
from bijectory.experiments.record import Run

pytest.importorskip("tensorboard", reason="tensorboard is not installed: its events cannot be read back")


def events(folder: Path):  # type: ignore[no-untyped-def]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def test_curves_and_pictures_of_a_run(trained: Path) -> None:
    found = events(trained / "tensorboard")
    tags = found.Tags()
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    train = [(row["step"], row["train"]["bits_per_dim"]) for row in rows if "bits_per_dim" in row["train"]]
    read = [(event.step, event.value) for event in found.Scalars("train/bits_per_dim")]
    assert [step for step, _ in read] == [step for step, _ in train]
    np.testing.assert_allclose([v for _, v in read], [v for _, v in train], rtol=1e-6)
    assert "validation/bits_per_dim" in tags["scalars"]
    assert {"frame_density_learned", "frame_latents"} <= set(tags["images"]), "while training runs"
    assert {"density_learned", "density_true", "samples", "latents", "grid_latents"} <= set(tags["images"]), (
        "at the end"
    )
    assert [event.step for event in found.Images("frame_latents")] == [10, 20]
    picture = Image.open(io.BytesIO(found.Images("density_learned")[0].encoded_image_string))
    assert picture.width > 200 and len(picture.convert("RGB").getcolors(10**6) or []) > 100


def test_samples_of_a_run_on_pictures(trained_pictures: Path) -> None:
    found = events(trained_pictures / "tensorboard")
    images = {
        "frame_samples",
        "image_samples",
        "image_data",
        "image_temperatures",
        "image_interpolations",
        "image_neighbours",
    }
    assert images == set(found.Tags()["images"])
    assert [event.step for event in found.Images("frame_samples")] == [10, 20]


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(plane: Path) -> None:
    record = Run.open(plane)
    board = Board(record, 10)
    board.add(20, {"bits_per_dim": 123.0}, [], [])
    board.close()
    read = [(event.step, event.value) for event in events(plane / "tensorboard").Scalars("train/bits_per_dim")]
    assert [v for step, v in read if step == 20] == [123.0]
    assert [step for step, _ in read if step <= 10] != []


def test_without_tensorboard_the_remedy_is_named(plane: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        Board(Run.open(plane), 0)
