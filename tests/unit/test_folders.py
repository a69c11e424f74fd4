"""A person's own pictures: what lies in a folder or an archive is looked at, prepared as asked, split by the seed, or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from bijectory.data.archives import write_npz
from bijectory.data.arrays import BYTE, fewest_levels, npz_pictures, reduced
from bijectory.data.folders import list_pictures, picture_splits, survey
from bijectory.data.pictures import read_picture, read_pictures
from bijectory.data.preparation import Preparation, parsed_size
from bijectory.data.splits import Splits
from bijectory.errors import DataError

OWN = Preparation(convert=True)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 3), dtype=np.uint8)


def folder(path: Path, count: int = 20, grey: bool = False, start: int = 0) -> Path:
    """``count`` pictures of 8×6 pixels."""
    path.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        Image.fromarray(NOISE[i, ..., 0] if grey else NOISE[i]).save(path / f"{i:02d}.png")
    return path


def splits(path: Path, *, levels: int | None = None, prepare: Preparation = OWN, **options: Any) -> Splits:
    found = survey(list_pictures(path), prepare=prepare, skip=options.get("skip", False))
    size = options.pop("size", None) or next(iter(found.sizes))
    return picture_splits(found, options.pop("seed", 0), size=size, levels=levels, prepare=prepare, **options)


# ── What is there ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_survey_says_sizes_channels_levels_and_the_first_of_each(tmp_path: Path) -> None:
    found = survey(list_pictures(folder(tmp_path)), prepare=OWN)
    assert (found.sizes, found.channels, found.levels, found.pictures) == ({(6, 8): (20, "00.png")}, 3, 256, 20)
    Image.new("L", (5, 4)).save(tmp_path / "z.png")
    found = survey(list_pictures(tmp_path), prepare=OWN)
    assert found.sizes == {(6, 8): (20, "00.png"), (4, 5): (1, "z.png")} and found.channels == 3


def test_the_checksum_is_of_names_and_lengths_and_travels(tmp_path: Path) -> None:
    first = list_pictures(folder(tmp_path / "a")).checksum
    assert list_pictures(Path(shutil.copytree(tmp_path / "a", tmp_path / "b"))).checksum == first
    (tmp_path / "a" / "00.png").rename(tmp_path / "a" / "x.png")
    assert list_pictures(tmp_path / "a").checksum != first
    folder(tmp_path / "b", 21)
    assert list_pictures(tmp_path / "b").checksum != first


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_pictures_are_refused_with_the_reason(tmp_path: Path, count: int) -> None:
    folder(tmp_path, count)
    why = "found none" if count == 0 else f"at least 10 pictures, got {count}; a density needs some to learn from"
    with pytest.raises(DataError, match=why) as caught:
        survey(list_pictures(tmp_path), prepare=OWN)
    assert str(caught.value).startswith(str(tmp_path))


def test_what_is_no_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "cats").mkdir()
    (tmp_path / "none.npz").write_bytes(b"junk")
    for path, why in (
        (tmp_path / "a.txt", "got another file"),
        (tmp_path / "nothing", "nothing of that name"),
        (tmp_path, "found only the folders cats"),
        (tmp_path / "none.npz", "damaged"),
        (tmp_path / "gone.npz", "found none"),
    ):
        with pytest.raises(DataError, match=why):
            list_pictures(path)


# ── Splits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_split_by_the_seed_and_nothing_is_lost(tmp_path: Path) -> None:
    found = splits(folder(tmp_path))
    assert [len(part) for part in (found.train, found.validation, found.test)] == [12, 4, 4]
    assert (found.schema.event_shape, found.levels) == ((3, 6, 8), 256)
    together = torch.cat([found.train.x, found.validation.x, found.test.x]).flatten(1).tolist()
    assert sorted(together) == sorted(NOISE[:20].transpose(0, 3, 1, 2).reshape(20, -1).tolist())
    assert torch.equal(splits(tmp_path).test.x, found.test.x)
    assert not torch.equal(splits(tmp_path, seed=1).test.x, found.test.x)
    assert found.notes == (
        "20 pictures of 8×6 pixels, in colour; 256 levels a value",
        "12 to train, 4 to choose weights by, 4 to test, drawn by the seed",
    )


def test_of_many_pictures_a_tenth_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_npz(path, {"x": np.random.default_rng(1).integers(0, 256, (300, 2, 2), dtype=np.uint8)})
    found = splits(path)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [240, 30, 30]


@pytest.mark.parametrize("name", ["valid", "val", "validation"])
def test_parts_are_taken_as_they_are_named(tmp_path: Path, name: str) -> None:
    folder(tmp_path / "train", 12)
    folder(tmp_path / name, 3, start=12)
    folder(tmp_path / "test", 5, start=15)
    found = splits(tmp_path)
    assert torch.equal(found.test.x, torch.from_numpy(NOISE[15:20].transpose(0, 3, 1, 2).copy()))
    assert (len(found.train), len(found.validation)) == (12, 3) and found.notes[1].endswith("as they are named")
    shutil.rmtree(tmp_path / name)
    found = splits(tmp_path)
    assert (len(found.train), len(found.validation), len(found.test)) == (10, 2, 5)
    assert found.notes[1].endswith("validation held out of train by the seed")


def test_parts_that_leave_a_question(tmp_path: Path) -> None:
    folder(tmp_path / "test", 5)
    with pytest.raises(DataError, match="expected train beside test"):
        list_pictures(tmp_path)
    folder(tmp_path / "train", 12, start=5)
    folder(tmp_path, 1, start=30)
    with pytest.raises(DataError, match=r"found others beside them, such as 30\.png"):
        list_pictures(tmp_path)


def test_pictures_that_stand_in_train_and_in_test_are_counted(tmp_path: Path) -> None:
    folder(tmp_path / "train", 20)
    folder(tmp_path / "test", 6, start=18)
    assert any(note.startswith("2 of the test pictures are also in train") for note in splits(tmp_path).notes)


# ── Levels and channels ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "levels"),
    [([0, 255], 2), ([0, 85, 170, 255], 4), (range(0, 255, 15), 18), (range(256), 256), ([7], 2), ([3, 4], 64)],
)
def test_the_fewest_levels_that_tell_values_apart(values: Any, levels: int) -> None:
    x = np.array(list(values), np.uint8)
    assert fewest_levels([x]) == levels
    assert len(np.unique(reduced(x, BYTE, levels, ""))) == len(x)
    assert levels == 2 or len(np.unique(reduced(x, BYTE, levels - 1, ""))) < len(x)


def test_levels_without_gaps_unless_bits_are_asked_for(tmp_path: Path) -> None:
    for i in range(20):
        Image.fromarray(NOISE[i, ..., 0] // 64 * 85).save(tmp_path / f"{i}.png")
    found = splits(tmp_path)
    assert found.levels == 4 and int(found.train.x.max()) == 3 and found.schema.event_shape == (1, 6, 8)
    assert (
        found.notes[0]
        == "20 pictures of 8×6 pixels, grey; 4 levels a value of the files' 256, which tell all that occur apart"
    )
    assert splits(tmp_path, levels=32).levels == 32


def test_grey_in_the_dress_of_colour_is_grey_only_where_all_are(tmp_path: Path) -> None:
    for i in range(20):
        Image.fromarray(NOISE[i, ..., 0]).convert("RGB").save(tmp_path / f"{i:02d}.png")
    grey = splits(tmp_path)
    assert grey.schema.event_shape == (1, 6, 8)
    Image.fromarray(NOISE[0]).save(tmp_path / "20.png")
    Image.fromarray(NOISE[0, ..., 0]).save(tmp_path / "21.png")
    assert splits(tmp_path).schema.event_shape == (3, 6, 8)
    shape = (1, 6, 8)
    assert torch.equal(
        read_picture(tmp_path / "00.png", shape, 256, prepare=OWN), torch.from_numpy(NOISE[0, None, ..., 0])
    )
    with pytest.raises(DataError, match="expected grey"):
        read_picture(tmp_path / "20.png", shape, 256, prepare=OWN)
    with pytest.raises(DataError, match="expected grey"):
        read_picture(tmp_path / "00.png", shape, 256)


def test_black_and_white_files_have_two_levels(tmp_path: Path) -> None:
    for i in range(12):
        Image.fromarray(NOISE[i, ..., 0] > 127).save(tmp_path / f"{i}.png")
    assert splits(tmp_path).levels == 2


# ── Archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_archive_says_its_levels_or_is_told(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    write_npz(path, {"train": NOISE[:12] // 64, "test": NOISE[12:20] // 64, "labels": np.arange(3)})
    with pytest.raises(DataError, match="none past 3; say how many levels they have with levels=4"):
        survey(list_pictures(path), prepare=OWN)
    told = splits(path, prepare=Preparation(convert=True, depth=4))
    assert told.levels == 4 and np.array_equal(told.test.x.permute(0, 2, 3, 1).numpy(), NOISE[12:20] // 64)
    write_npz(path, {"x": NOISE[:20, ..., 0] // 64, "levels": np.int64(4)})
    assert splits(path).levels == 4 and splits(path, levels=2).levels == 2
    with pytest.raises(DataError, match="at least 8 levels, got 4"):
        splits(path, levels=8)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": NOISE.astype(float)}, "expected integers of 2 to 256 levels, got float64"),
        ({"x": NOISE[..., :2]}, "1 or 3"),
        ({"x": NOISE[:0]}, "got shape"),
        ({"x": NOISE.astype(int) * 2}, "expected integers 0..255, got"),
        ({"a": NOISE, "b": NOISE}, "expected the array x, or train and test, got a, b"),
        ({"train": NOISE, "test": NOISE[:, :4]}, "of one shape"),
        ({"test": NOISE}, None),
        ({"x": NOISE, "levels": np.int64(999)}, "2 to 256"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, arrays: dict[str, Any], why: str | None) -> None:
    write_npz(tmp_path / "x.npz", arrays)
    with pytest.raises(DataError, match=why or "expected train beside test"):
        survey(list_pictures(tmp_path / "x.npz"), prepare=OWN)


def test_arrays_keep_their_place(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", {"x": NOISE})
    found, levels = npz_pictures(tmp_path / "x.npz", {"all": "x"}, None)
    assert levels == 256 and np.array_equal(found["all"], NOISE.transpose(0, 3, 1, 2))


# ── Preparation ──────────────────────────────────────────────────────────────────────────────────────────────────────

TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_pictures_stand_upright(tmp_path: Path, turn: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(NOISE[0]).save(tmp_path / f"a.{ending}", exif=exif)
    upright = TURNS[turn](NOISE[0])
    read = read_pictures([tmp_path / f"a.{ending}"], (3, *upright.shape[:2]), 256)
    assert np.array_equal(read.x[0].permute(1, 2, 0).numpy(), upright)
    assert read.done == ({} if turn == 1 else {"turned upright, as their EXIF orientation says": 1})


def test_damaged_exif_leaves_the_picture_as_it_lies(tmp_path: Path) -> None:
    Image.fromarray(NOISE[0]).save(tmp_path / "a.png", exif=b"Exif\x00\x00rubbish that is no EXIF")
    assert read_picture(tmp_path / "a.png", (3, 6, 8), 256).shape == (3, 6, 8)


def test_resizing_cuts_around_the_middle_and_keeps_what_is_even(tmp_path: Path) -> None:
    wide = Image.new("RGB", (90, 30), "red")
    ImageDraw.Draw(wide).rectangle([30, 0, 59, 29], fill="blue")
    wide.save(tmp_path / "a.png")
    read = read_pictures([tmp_path / "a.png"], (3, 10, 10), 256, prepare=Preparation(resize=True))
    assert (read.x[0, 2, :, 1:-1] > 250).all() and (read.x[0, 0, :, 1:-1] < 5).all()
    small = read_pictures([tmp_path / "a.png"], (3, 60, 60), 256, prepare=Preparation(resize=True))
    assert small.done == {"enlarged, which adds pixels that carry nothing": 1}


def test_resized_sets_say_so(tmp_path: Path) -> None:
    folder(tmp_path)
    Image.new("RGB", (16, 12)).save(tmp_path / "z.png")
    found = splits(tmp_path, prepare=Preparation(resize=True, convert=True), size=(4, 4))
    assert found.schema.event_shape == (3, 4, 4)
    assert found.notes[0].startswith(
        "21 pictures of 8×6 to 16×12 pixels, in colour, brought to 4×4: cut to its proportions around the middle, resized by LANCZOS"
    )


def clear(path: Path, opacity: int) -> Path:
    x = np.concatenate([NOISE[0], np.full((6, 8, 1), 255, np.uint8)], -1)
    x[0, 0, 3] = opacity
    Image.fromarray(x).save(path)
    return path


def test_transparency_is_refused_or_laid_on_a_colour(tmp_path: Path) -> None:
    path = clear(tmp_path / "a.png", 0)
    with pytest.raises(DataError, match=r"a\.png: expected an opaque picture.*background=white"):
        read_picture(path, (3, 6, 8), 256, prepare=OWN)
    for colour, value in (("white", 255), ("black", 0)):
        prepare = Preparation(convert=True, background=colour)  # type: ignore[arg-type]
        read = read_pictures([path], (3, 6, 8), 256, prepare=prepare)
        assert read.done == {f"laid on {colour}": 1} and read.x[0, :, 0, 0].tolist() == [value] * 3
        assert np.array_equal(read.x[0, :, 1:].permute(1, 2, 0).numpy(), NOISE[0, 1:])


def test_full_opacity_is_dropped_and_loses_nothing(tmp_path: Path) -> None:
    path = clear(tmp_path / "a.png", 255)
    read = read_pictures([path], (3, 6, 8), 256, prepare=OWN)
    assert read.done == {} and np.array_equal(read.x[0].permute(1, 2, 0).numpy(), NOISE[0])
    with pytest.raises(DataError, match="mode RGBA"):
        read_picture(path, (3, 6, 8), 256)
    Image.fromarray(np.stack([NOISE[0, ..., 0], np.full((6, 8), 255, np.uint8)], -1)).save(tmp_path / "b.png")
    assert np.array_equal(read_picture(tmp_path / "b.png", (1, 6, 8), 256, prepare=OWN)[0].numpy(), NOISE[0, ..., 0])


def test_bad_files_stop_it_or_are_left_out_by_name(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"junk")
    cut = (tmp_path / "00.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(DataError, match=r"bad\.png: .*skip=true leaves bad files out"):
        splits(tmp_path)
    found = splits(tmp_path, skip=True)
    assert len(found.train) + len(found.validation) + len(found.test) == 20
    assert any(note.startswith("2 bad files left out: bad.png (") and "cut.png (" in note for note in found.notes)
    (tmp_path / "bad.png").unlink()
    with pytest.raises(DataError, match=r"cut\.png: truncated.*skip=true leaves bad files out"):
        splits(tmp_path)


@pytest.mark.parametrize("text", ["", "x", "32x", "32x32x3", "-4", "1", "1x8", "²", "3.5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match="size: expected"):
        parsed_size(text)
    assert parsed_size("24X32") == (24, 32)
