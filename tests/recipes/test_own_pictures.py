"""The recipe for pictures of one's own: what it chooses by what is there, records, and refuses to choose anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bijectory.data.generated import generated_pictures
from bijectory.errors import DataError, InputError
from bijectory.evaluation.histograms import histogram_rows
from bijectory.evaluation.likelihood import bits_per_dim
from bijectory.experiments import use
from bijectory.experiments.auto import recipe_for
from bijectory.experiments.run import train
from bijectory.recipes.pictures import MODELS, pictures, planned, step_seconds

TINY = ["depth=2", "hidden=16", "batch=8", "minutes=0.01"]


def blobs(folder: Path, count: int = 40, size: tuple[int, int] = (8, 8), channels: int = 1) -> Path:
    """Files of smooth pictures, in which neighbours agree."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = generated_pictures((channels, *size), 256, count, seed=0)
    x = torch.cat([splits.train.x, splits.validation.x, splits.test.x]).permute(0, 2, 3, 1).numpy()
    for i, picture in enumerate(x):
        Image.fromarray(picture[..., 0] if channels == 1 else picture).save(folder / f"{i:03d}.png")
    return folder


def test_it_beats_a_histogram_of_each_value(tmp_path: Path) -> None:
    told: list[str] = []
    words = [f"data={blobs(tmp_path / 'own', 60)}", *TINY, "steps=60", "rate=0.01"]
    run = train("pictures", assignments=words, run=tmp_path / "run", say=told.append)
    assert run is not None
    loaded = use.load(run)
    splits = loaded.splits()
    alone = bits_per_dim(-histogram_rows(splits.train.x, splits.test.x, splits.levels or 0).mean().item(), 64)
    assert any(f"to be beaten: {alone:.4f} ± " in words for words in told)
    scores = json.loads((run / "result.json").read_text())["scores"]
    ours = next(s for s in scores if s["name"] == "bits_per_dim" and s["split"] == "test")
    assert ours["value"] + 4 * ours["stderr"] < alone < 8
    assert told == json.loads((run / "settings.json").read_text())["notes"] == list(splits.notes)


def test_what_was_chosen_is_recorded_and_needs_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = blobs(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    run = train("pictures", assignments=["data=own", *TINY, "steps=4"], run=tmp_path / "run")
    assert run is not None
    settings = json.loads((run / "settings.json").read_text())
    chosen = settings["knobs"]
    assert chosen["data"] == str(own) and chosen["steps"] == 4 and chosen["scales"] == 2 and chosen["levels"] == 256
    assert chosen["weight_decay"] == 0.1 and len(chosen["checksum"]) == 16
    monkeypatch.chdir(own)
    scores = use.evaluate(run)["scores"]
    assert scores == json.loads((run / "result.json").read_text())["scores"]
    shutil.rmtree(own)
    monkeypatch.chdir(tmp_path)
    assert use.load(run).model.event_shape == (1, 8, 8)
    with pytest.raises(DataError, match="found nothing of that name"):
        use.evaluate(run)


def test_a_folder_that_changed_is_refused(tmp_path: Path) -> None:
    own = blobs(tmp_path / "own")
    run = train("pictures", assignments=[f"data={own}", *TINY, "steps=4"], run=tmp_path / "run")
    assert run is not None
    shutil.copyfile(own / "000.png", own / "new.png")
    with pytest.raises(
        DataError, match=r"own: expected the files that this run was made with.*put them back, or train anew"
    ):
        use.evaluate(run)
    (own / "new.png").unlink()
    assert use.evaluate(run)["scores"]


def chosen(folder: Path, **values: Any) -> dict[str, Any]:
    return dict(pictures(data=folder, **values).chosen)


def test_sizes_are_taken_as_they_are_or_brought_to_ones_that_halve(tmp_path: Path) -> None:
    assert chosen(blobs(tmp_path / "a", 12, (8, 12)))["size"] is None
    assert chosen(blobs(tmp_path / "b", 12, (96, 96)))["size"] == "32x32"
    assert chosen(tmp_path / "b", minutes=90.0)["size"] == "64x64"
    assert chosen(blobs(tmp_path / "c", 12, (40, 160)))["size"] == "16x64"
    assert chosen(tmp_path / "c", size="24")["size"] == "24"
    with pytest.raises(DataError, match=r"even height and width.*got 8×9;.*size=8x8"):
        pictures(data=blobs(tmp_path / "d", 12, (9, 8)))
    blobs(tmp_path / "a" / "more", 3, (8, 8))
    for name in ("000.png", "001.png", "002.png"):
        (tmp_path / "a" / "more" / name).rename(tmp_path / "a" / f"z{name}")
    with pytest.raises(
        DataError, match=r"of one size, got 12×8 \(12, the first 000.png\), 8×8 \(3, the first z000.png\); say size=32"
    ):
        pictures(data=tmp_path / "a")
    assert chosen(tmp_path / "a", size="8x8")["scales"] == 2


@pytest.mark.parametrize(
    ("shape", "count", "scales"),
    [
        ((1, 8, 8), 300, 2),
        ((3, 32, 32), 20_000, 3),
        ((1, 28, 28), 60_000, 2),
        ((3, 64, 48), 20, 3),
        ((1, 2, 2), 10, 1),
        ((3, 6, 10), 50, 1),
    ],
)
def test_a_plan_keeps_to_the_minutes_and_grows_with_them(shape: tuple[int, int, int], count: int, scales: int) -> None:
    small, large = planned(shape, count, 1.0), planned(shape, count, 600.0)
    assert small.scales == large.scales == scales
    for plan, minutes in ((small, 1.0), (large, 600.0)):
        seconds = step_seconds(shape, plan.scales, plan.depth, plan.hidden, plan.batch)
        assert plan.steps * seconds <= 60 * minutes + seconds
        assert plan.steps * plan.batch <= max(300 * count, 300 * plan.batch) and plan.batch <= count
    sizes = [MODELS.index((plan.depth, plan.hidden)) for plan in (small, large)]
    assert sizes[0] <= sizes[1] and large.steps >= small.steps
    assert large.weight_decay == (0.1 if count < 5000 else 0.0)


def test_twenty_pictures_are_enough(tmp_path: Path) -> None:
    own = blobs(tmp_path / "own", 20, (6, 6), channels=3)
    run = train("pictures", assignments=[f"data={own}", *TINY, "steps=4", "bits=3", "flips=true"], run=tmp_path / "run")
    assert run is not None
    settings = json.loads((run / "settings.json").read_text())
    assert settings["levels"] == 8 and settings["event_shape"] == [3, 6, 6]
    assert settings["rows"] == {"train": 12, "validation": 4, "test": 4}


def test_smoke_runs_read_no_file(tmp_path: Path) -> None:
    splits = pictures(data=tmp_path / "nothing", smoke=True).data(None, 0)
    assert splits.name == "generated" and splits.schema.event_shape == (1, 8, 8)


def test_knobs_that_make_no_sense(tmp_path: Path) -> None:
    own = blobs(tmp_path / "own", 12)
    np.savez(tmp_path / "own.npz", x=np.zeros((12, 8, 8), np.uint8))
    with pytest.raises(DataError, match="data: expected a folder of pictures, got none"):
        pictures().data(None, 0)
    for error, values, why in (
        (InputError, {"bits": 9}, "bits: expected 1 to 8"),
        (InputError, {"minutes": 0.0}, "minutes: expected more than 0"),
        (InputError, {"levels": 4}, "levels: says what the integers of an .npz are"),
        (InputError, {"data": tmp_path / "own.npz", "size": "4"}, "size: resizes picture files"),
        (DataError, {"size": "1"}, "size: expected at least 2"),
    ):
        with pytest.raises(error, match=why):
            pictures(**{"data": own, **values})  # type: ignore[arg-type]


def test_the_recipe_for_what_a_person_has(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4, 4), np.uint8), labels=np.zeros(2))
    assert recipe_for(tmp_path) == ("pictures", [f"data={tmp_path}"])
    assert recipe_for(tmp_path / "x.npz") == ("pictures", [f"data={tmp_path / 'x.npz'}"])
    for name in ("rows.csv", "rows.CSV.gz", "rows.tsv", "rows.parquet"):
        (tmp_path / name).write_text("a\n1\n")
        assert recipe_for(tmp_path / name) == ("table", [f"data={tmp_path / name}"])
    np.savez(tmp_path / "matrix.npz", x=np.zeros((5, 2)), columns=np.array(["a", "b"]))
    np.savez(tmp_path / "columns.npz", age=np.zeros(5), town=np.array(["Rome"] * 5))
    assert recipe_for(tmp_path / "matrix.npz")[0] == recipe_for(tmp_path / "columns.npz")[0] == "table"
    parts = tmp_path / "parts" / "year=1990"
    parts.mkdir(parents=True)
    (parts / "a.parquet").write_bytes(b"")
    assert recipe_for(tmp_path / "parts") == ("table", [f"data={tmp_path / 'parts'}"])
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name, why in (
        ("a.png", "put the pictures into a folder"),
        ("none", "found nothing"),
        ("broken.npz", "truncated or damaged"),
    ):
        with pytest.raises(DataError, match=why):
            recipe_for(tmp_path / name)


def test_a_histogram_of_each_value_is_a_distribution() -> None:
    train = torch.randint(3, (7, 1, 1, 2), generator=torch.Generator().manual_seed(0))
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3)).reshape(9, 1, 1, 2)
    assert histogram_rows(train, every, 3).exp().sum().item() == pytest.approx(1, abs=1e-12)
