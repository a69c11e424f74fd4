"""Pictures come in as the integers they were stored as; what is no picture, no archive or no honest pickle is refused by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bijectory.data import celeba, pictures
from bijectory.data.archives import read_npz, write_npz
from bijectory.data.celeba import build_celeba32, read_partition
from bijectory.data.generated import generated_pictures
from bijectory.data.images import celeba32_splits, digits_splits, npz_splits
from bijectory.data.mnist import fashion_mnist_splits, mnist_splits
from bijectory.data.pickles import read_pickled_arrays
from bijectory.data.pictures import read_picture, read_pictures, write_picture
from bijectory.data.splits import Rows, Splits, check_rows, check_varies
from bijectory.errors import DataError, MissingExtraError

FACES = {
    "train": np.random.default_rng(0).integers(0, 4, (20, 32, 32, 3), dtype=np.uint8),
    "test": np.random.default_rng(1).integers(0, 4, (7, 32, 32, 3), dtype=np.uint8),
}
DATA = Path(os.environ["BIJECTORY_DATA"]) if os.environ.get("BIJECTORY_DATA") else None


def needs(name: str) -> pytest.MarkDecorator:
    there = DATA is not None and (DATA / name).is_file()
    return pytest.mark.skipif(not there, reason=f"{name} is not in the data folder (BIJECTORY_DATA)")


# ── Splits of integers ───────────────────────────────────────────────────────────────────────────────────────────────


def test_faces_are_turned_to_channels_first_and_held_out_by_the_seed(tmp_path: Path) -> None:
    write_npz(tmp_path / "celeba32_2bit.npz", FACES)
    splits = celeba32_splits(tmp_path, 0, validation=3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (17, 3, 7)
    assert (splits.schema.event_shape, splits.schema.levels, splits.columns) == ((3, 32, 32), 4, ())
    assert splits.train.x.dtype == torch.uint8 and splits.train.x.is_contiguous() and splits.train.labels is None
    assert np.array_equal(splits.test.x.permute(0, 2, 3, 1).numpy(), FACES["test"])
    together = torch.cat([splits.train.x, splits.validation.x]).flatten(1).tolist()
    assert sorted(together) == sorted(FACES["train"].transpose(0, 3, 1, 2).reshape(20, -1).tolist())
    assert torch.equal(celeba32_splits(tmp_path, 0, validation=3).validation.x, splits.validation.x)
    assert not torch.equal(celeba32_splits(tmp_path, 1, validation=3).validation.x, splits.validation.x)


def test_rows_takes_the_first_and_holds_out_a_fifth(tmp_path: Path) -> None:
    write_npz(tmp_path / "celeba32_2bit.npz", FACES)
    splits = celeba32_splits(tmp_path, 0, rows=10)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 2, 7)


def test_a_pickle_of_the_course_gives_the_same_splits(tmp_path: Path) -> None:
    npz, pkl = tmp_path / "a", tmp_path / "b"
    npz.mkdir(), pkl.mkdir()
    write_npz(npz / "celeba32_2bit.npz", FACES)
    (pkl / "hw2_q2.pkl").write_bytes(pickle.dumps(FACES, protocol=2))
    ours, theirs = celeba32_splits(npz, 0), celeba32_splits(pkl, 0)
    assert torch.equal(ours.train.x, theirs.train.x) and torch.equal(ours.test.x, theirs.test.x)
    with pytest.raises(DataError, match=r"expected celeba32_1bit\.npz in the data folder"):
        celeba32_splits(pkl, 0, bits=1)


def test_ones_own_npz(tmp_path: Path) -> None:
    x, y = np.arange(20 * 12, dtype=np.int64).reshape(20, 3, 4) % 5, np.arange(20) % 3
    write_npz(tmp_path / "own.npz", {"a": x, "ya": y, "b": x[:5], "yb": y[:5], "first": x[:, None].repeat(2, axis=1)})
    splits = npz_splits(tmp_path / "own.npz", 0, levels=5, train="a", test="b", labels=("ya", "yb"))
    assert (splits.name, splits.schema.event_shape, splits.levels) == ("own", (1, 3, 4), 5)
    assert splits.test.labels is not None and splits.test.labels.tolist() == y[:5].tolist()
    alone = npz_splits(tmp_path / "own.npz", 0, levels=5, train="first", test=None, channels_last=False)
    assert (len(alone.train), len(alone.validation), len(alone.test)) == (13, 3, 4)
    assert alone.schema.event_shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("arrays", "knobs", "why"),
    [
        ({"train": np.zeros((5, 2, 2)), "test": np.zeros((5, 2, 2))}, {}, "expected integers 0..255, got float64"),
        (
            {"train": np.full((5, 2, 2), 300), "test": np.zeros((5, 2, 2), int)},
            {},
            r"values 300\.\.300, first in row 1",
        ),
        ({"train": np.arange(20).reshape(5, 2, 2), "test": np.zeros((5, 2, 2), int)}, {"levels": 4}, "first in row 2"),
        ({"train": np.zeros((5, 4), int), "test": np.zeros((5, 4), int)}, {}, r"got shape \(5, 4\)"),
        ({"train": np.zeros((5, 2, 2), int), "test": np.zeros((5, 3, 2), int)}, {}, "as in train"),
        ({"train": np.zeros((0, 2, 2), int), "test": np.zeros((5, 3, 2), int)}, {}, "at least 2 training"),
        ({"train": np.zeros((5, 2, 2), int)}, {}, "test is missing"),
        ({"train": np.array([{}, 1]), "test": np.zeros((5, 2, 2), int)}, {}, "got objects, never loaded"),
        ({"train": np.zeros((5, 2, 2), int), "test": np.zeros((5, 2, 2), int)}, {"levels": 1}, "levels: expected 2"),
        (
            {"train": np.zeros((5, 2, 2), int), "test": np.zeros((5, 2, 2), int)},
            {"rows": 1},
            "rows: expected at least 2",
        ),
        ({"train": np.zeros((5, 2, 2), int), "test": np.zeros((5, 2, 2), int)}, {"validation": 0}, "at least one row"),
        (
            {"train": np.zeros((5, 2, 2), int), "test": np.zeros((5, 2, 2), int), "y": np.zeros(4, int)},
            {"labels": ("y", "y")},
            "expected 5 integer labels",
        ),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, arrays: dict[str, Any], knobs: dict[str, Any], why: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=why):
        npz_splits(tmp_path / "x.npz", 0, **knobs)


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_a_cut_archive_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    write_npz(tmp_path / "celeba32_2bit.npz", FACES)
    whole = (tmp_path / "celeba32_2bit.npz").read_bytes()
    (tmp_path / "celeba32_2bit.npz").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"celeba32_2bit\.npz.*(truncated|damaged)"):
        celeba32_splits(tmp_path, 0)


def test_a_flipped_byte_in_an_archive_is_found(tmp_path: Path) -> None:
    write_npz(tmp_path / "celeba32_2bit.npz", FACES)
    data = bytearray((tmp_path / "celeba32_2bit.npz").read_bytes())
    data[2000] ^= 1
    (tmp_path / "celeba32_2bit.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"'train'.*damaged"):
        celeba32_splits(tmp_path, 0)


def test_damaged_archives_are_refused_or_read_as_they_were(tmp_path: Path) -> None:
    arrays = {"train": np.zeros((50, 8, 8, 3), np.uint8), "test": np.arange(9)}
    path, draws, refused = tmp_path / "a.npz", np.random.default_rng(0), 0
    write_npz(path, arrays)
    whole = path.read_bytes()
    for _ in range(200):
        bad = bytearray(whole)
        bad[draws.integers(len(bad))] ^= 1 << int(draws.integers(8))
        path.write_bytes(bad)
        try:
            found = read_npz(path, ("train", "test"))
        except DataError:
            refused += 1
        else:
            assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert refused > 50


@pytest.mark.parametrize(
    ("load", "file", "remedy"),
    [
        (celeba32_splits, "celeba32_2bit.npz or hw2_q2.pkl", "python -m bijectory.data.celeba"),
        (mnist_splits, "mnist.npz", "python -m bijectory.data.downloads mnist"),
        (fashion_mnist_splits, "fashion_mnist.npz", "python -m bijectory.data.downloads fashion_mnist"),
    ],
)
def test_a_missing_file_says_how_to_get_it(tmp_path: Path, load: Callable[..., Splits], file: str, remedy: str) -> None:
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as caught:
            load(folder, 0)
        assert all(word in str(caught.value) for word in (file, remedy, "--data", "BIJECTORY_DATA"))


def test_digits() -> None:
    pytest.importorskip("sklearn")
    splits = digits_splits(0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1258, 180, 359)
    assert (splits.schema.event_shape, splits.levels, int(splits.train.x.max())) == ((1, 8, 8), 17, 16)
    assert splits.train.labels is not None and set(splits.train.labels.tolist()) == set(range(10))
    assert torch.equal(digits_splits(0).test.x, splits.test.x) and not torch.equal(
        digits_splits(1).test.x, splits.test.x
    )
    assert len(digits_splits(0, rows=50).train) == 35


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"bijectory\[digits\]"):
        digits_splits(0)


def test_levels_are_checked_and_constant_pixels_are_lawful() -> None:
    x = torch.zeros((3, 1, 2, 2), dtype=torch.uint8)
    check_varies(x, "black", (), 4)
    with pytest.raises(DataError, match="same value"):
        check_varies(x.float(), "black", ())
    x[1, 0, 1, 0] = 4
    check_rows(x, "x", (), 5)
    with pytest.raises(DataError, match=r"row 2, place \(0, 1, 0\): expected an integer in 0\.\.3, got 4"):
        Splits(Rows(x), Rows(x), Rows(x), (), "x", levels=4)
    with pytest.raises(DataError, match=r"got torch\.float32"):
        check_rows(x.float(), "x", (), 4)


@needs("celeba32_2bit.npz")
def test_the_faces_of_the_data_folder() -> None:
    splits = celeba32_splits(DATA, 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (19_000, 1_000, 8_838)
    assert (int(splits.train.x.min()), int(splits.train.x.max())) == (0, 3)


@needs("mnist.npz")
def test_the_mnist_of_the_data_folder() -> None:
    splits = mnist_splits(DATA, 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (50_000, 10_000, 10_000)
    assert splits.schema.event_shape == (1, 28, 28) and splits.levels == 256
    assert splits.test.labels is not None and splits.test.labels[:3].tolist() == [7, 2, 1]


@needs("fashion_mnist.npz")
def test_the_fashion_mnist_of_the_data_folder() -> None:
    assert len(fashion_mnist_splits(DATA, 0, rows=100).train) == 80


# ── Generated pictures ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("shape", "levels"), [((3, 32, 32), 4), ((1, 8, 8), 17), ((3, 6, 10), 256), ((1, 1, 1), 2)])
def test_generated_pictures_fill_their_levels(shape: tuple[int, int, int], levels: int) -> None:
    splits = generated_pictures(shape, levels, 200, 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (160, 20, 20)
    assert splits.schema.event_shape == shape and splits.levels == levels
    assert torch.equal(generated_pictures(shape, levels, 200, 0).train.x, splits.train.x)
    assert not torch.equal(generated_pictures(shape, levels, 200, 1).train.x, splits.train.x)
    assert len(splits.train.x.unique()) >= min(levels, 100) * 0.5


def test_generated_pictures_have_structure() -> None:
    # Noise of these levels would differ by a third of the range from pixel to pixel.
    x = generated_pictures((3, 32, 32), 256, 50, 0).train.x.float()
    assert float(x.diff(dim=-1).abs().mean()) < 0.05 * float(x.max() - x.min())
    assert float(x.std(0).mean()) > 10


@pytest.mark.parametrize(
    ("shape", "levels", "rows"),
    [((8, 8), 4, 10), ((1, 0, 8), 4, 10), ((1, 8, 8), 1, 10), ((1, 8, 8), 300, 10), ((1, 8, 8), 4, 2)],
)
def test_generated_pictures_refuse(shape: tuple[int, ...], levels: int, rows: int) -> None:
    with pytest.raises(DataError, match="expected"):
        generated_pictures(shape, levels, rows, 0)


# ── Pickles ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ARRAYS = {
    "train": np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3),
    "test": np.asfortranarray(np.arange(12, dtype=">i4").reshape(2, 6)),
    "real": np.linspace(0, 1, 5, dtype="<f8"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_out_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ARRAYS, protocol=protocol))
    found = read_pickled_arrays(tmp_path / "a.pkl", tuple(ARRAYS))
    for key, expected in ARRAYS.items():
        assert found[key].dtype == expected.dtype and np.array_equal(found[key], expected)


def test_the_names_of_numpy_before_2_and_the_strings_of_python_2(tmp_path: Path) -> None:
    old = pickle.dumps(ARRAYS, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "a.pkl").write_bytes(old)
    assert np.array_equal(read_pickled_arrays(tmp_path / "a.pkl", ("train",))["train"], ARRAYS["train"])
    # As Python 2 wrote it: its string is bytes without a call of encode.
    two = (
        b"\x80\x02}q\x00U\x05trainq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R("
        b"K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x02\x03\xfftbs."
    )
    assert {k: v.tolist() for k, v in pickle.loads(two, encoding="latin1").items()} == {"train": [3, 255]}
    (tmp_path / "b.pkl").write_bytes(two)
    assert read_pickled_arrays(tmp_path / "b.pkl", ("train",))["train"].tolist() == [3, 255]


class Calls:
    """Pickles as a call of a function with arguments: what a malicious file does."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch TOUCHED",)),
        (eval, ("open('TOUCHED', 'w')",)),
        (np.save, ("TOUCHED", 1)),
        (getattr, (os, "x")),
    ],
)
def test_a_malicious_pickle_does_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    if os in arguments:
        arguments = (Calls(__import__, "os"), "system")
    path = tmp_path / "hw2_q2.pkl"
    path.write_bytes(pickle.dumps({**ARRAYS, "bad": Calls(function, *arguments)}, protocol=protocol))
    with pytest.raises(DataError, match=r"never imported|is none that writes down an array"):
        read_pickled_arrays(path, ("train",))
    assert os.listdir(tmp_path) == ["hw2_q2.pkl"]


def program(*pieces: bytes) -> bytes:
    return b"\x80\x02" + b"".join(pieces) + b"."


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "truncated, damaged"),
        (b"\x80\x04\x95", "truncated, damaged"),
        (b"no pickle", "damaged|instruction"),
        (pickle.dumps(ARRAYS)[:-40], "truncated, damaged"),
        (pickle.dumps([1, 2]), "the instruction EMPTY_LIST at byte"),
        (pickle.dumps({"a": 1.5}), "the instruction BINFLOAT"),
        (pickle.dumps({"train": 3}), "'train': expected an array of numbers"),
        (pickle.dumps({"train": {"train": ARRAYS["train"]}}), "'train': expected an array"),
        (pickle.dumps({"train": np.array([{}], dtype=object)}), "makes neither an array"),
        (pickle.dumps({"train": np.zeros(2, "datetime64[s]")}), "makes neither an array|instruction"),
        (pickle.dumps({"train": np.zeros(2, "u1,f4")}), "makes neither an array|instruction"),
        (pickle.dumps(7), "expected a dictionary of arrays"),
        (pickle.dumps({1: ARRAYS["train"]}), "expected names and arrays"),
        (pickle.dumps({"test": ARRAYS["test"]}), "expected the arrays train, got test"),
        (program(b"cnumpy\ndtype\n", b"X\x02\x00\x00\x00u1\x85R"), "makes neither"),
        (program(b"cnumpy\nndarray\n", b"K\x05\x85R"), "makes neither an array"),
        (program(b"Pid\n"), "the instruction PERSID"),
        (program(b"}\x82\x01"), "the instruction EXT1"),
        (program(b"(K\x01"), "expected one object, got 2"),
        (program(b"u"), "without its beginning"),
        (program(b"K\x01b"), "damaged"),
        (program(b"h\x07"), "damaged"),
        (program(b"}K\x01K\x02s"), "expected names and arrays"),
        (program(b"\x85"), "a tuple without its items"),
        # Asks for 2^62 bytes: neither read nor reserved.
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.", "damaged"),
        # One text, encoded again and again: the memory would fill from a small file.
        (program(b"X\xe8\x03\x00\x00" + b"a" * 1000 + b"q\x00", b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x02",
                 *[b"h\x01h\x00h\x02\x86R"] * 50), "grows in memory"),
    ],
)  # fmt: skip
def test_a_pickle_that_is_no_dictionary_of_arrays(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.pkl: .*({why})"):
        read_pickled_arrays(tmp_path / "a.pkl", ("train",))


def test_a_shape_that_is_not_the_bytes(tmp_path: Path) -> None:
    data = pickle.dumps({"train": np.zeros((3, 5), np.uint8)}, protocol=3)
    assert data.count(b"K\x03K\x05\x86") == 1
    (tmp_path / "a.pkl").write_bytes(data.replace(b"K\x03K\x05\x86", b"K\x03K\x06\x86"))
    with pytest.raises(DataError, match=r"shape \(3, 6\) and type uint8 with 15 bytes"):
        read_pickled_arrays(tmp_path / "a.pkl", ("train",))


def test_flipped_bytes_in_a_pickle_are_refused_or_read_as_numbers(tmp_path: Path) -> None:
    data, draws = pickle.dumps(ARRAYS, protocol=2), np.random.default_rng(0)
    path, refused = tmp_path / "a.pkl", 0
    for _ in range(300):
        bad = bytearray(data)
        bad[draws.integers(len(bad))] = draws.integers(256)
        path.write_bytes(bad)
        try:
            found = read_pickled_arrays(path, tuple(ARRAYS))
        except DataError:
            refused += 1
        else:
            assert all(isinstance(value, np.ndarray) for value in found.values())
    assert refused > 100


# ── A person's own files ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_level_of_every_depth_reads_back() -> None:
    lost = []
    for levels in range(2, 257):
        shown = pictures._shades(levels)
        back = pictures.quantised(shown, levels)
        even = np.abs(shown - np.linspace(0, 255, levels)).max() <= 1
        if back.tolist() != list(range(levels)) or (shown[0], shown[-1]) != (0, 255) or not even:
            lost.append(levels)
    assert lost == []


@pytest.mark.parametrize("levels", [2, 3, 17, 200, 256])
def test_every_level_reads_back_from_a_file(tmp_path: Path, levels: int) -> None:
    ramp = torch.arange(levels, dtype=torch.uint8).reshape(1, 1, levels)
    write_picture(tmp_path / "a.png", ramp, levels)
    assert torch.equal(read_picture(tmp_path / "a.png", (1, 1, levels), levels), ramp)


def test_a_shift_where_levels_is_a_power_of_two(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    for bits in range(1, 9):
        read = read_picture(tmp_path / "a.png", (3, 6, 5), 1 << bits)
        assert np.array_equal(read.permute(1, 2, 0).numpy(), values >> (8 - bits))


def test_colour_is_written_and_read_channel_by_channel(tmp_path: Path) -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (3, 6, 5), dtype=np.uint8))
    write_picture(tmp_path / "a.png", x, 4)
    assert torch.equal(read_picture(tmp_path / "a.png", (3, 6, 5), 4), x)
    assert os.listdir(tmp_path) == ["a.png"]


def picture(
    folder: Path, mode: str = "RGB", size: tuple[int, int] = (4, 4), name: str = "a.png", **options: Any
) -> Path:
    Image.new(mode, size).save(folder / name, **options)
    return folder / name


def png(folder: Path, width: int, height: int, depth: int, colour: int, rows: bytes) -> Path:
    """A PNG written by hand, for depths and sizes that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return folder / "a.png"


def frames(folder: Path) -> Path:
    first, second = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), "red")
    first.save(folder / "a.png", save_all=True, append_images=[second])
    return folder / "a.png"


def cut(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((4, 4)).save(folder / "a.png")
    path = folder / "a.png"
    path.write_bytes(path.read_bytes()[:60])
    return path


def written(folder: Path, data: bytes, name: str = "a.png") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "size": (lambda f: picture(f, size=(5, 4)), "expected 4×4 pixels, got 5×4"),
    "grey for colour": (lambda f: picture(f, "L"), "expected colour .* got mode L"),
    "transparent": (lambda f: picture(f, "RGBA"), "got mode RGBA"),
    "palette with transparency": (lambda f: picture(f, "P", transparency=0), "got mode P with transparency"),
    "inks": (lambda f: picture(f, "CMYK", name="a.jpg"), "got mode CMYK"),
    "16 bits of grey": (lambda f: picture(f, "I;16"), "expected 8 bits a value"),
    "16 bits of colour": (lambda f: png(f, 4, 4, 16, 2, bytes(4 * 25)), "expected 8 bits a value.*RGB;16B"),
    "floats": (lambda f: picture(f, "F", name="a.tif"), "expected 8 bits a value"),
    "one bit": (lambda f: picture(f, "1"), "expected 4 levels, but the file has only 2"),
    "cut": (cut, "truncated|corrupt"),
    "text": (lambda f: written(f, b"not a picture"), "got another file"),
    "empty": (lambda f: written(f, b""), "got another file"),
    "PostScript": (lambda f: written(f, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n", "a.eps"), "another file"),
    "frames": (frames, "expected one picture, got 2 frames"),
    "bomb": (lambda f: png(f, 60_000, 60_000, 8, 2, b""), "decompression bomb"),
    "small bomb": (lambda f: png(f, 10_000, 10_000, 8, 2, b""), "decompression bomb"),
    "missing": (lambda f: f / "a.png", "found nothing of that name"),
    "folder": (lambda f: f, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    make, why = BAD[kind]
    path = make(tmp_path)
    with pytest.raises(DataError, match=why) as caught:
        read_picture(path, (3, 4, 4), 4)
    assert str(caught.value).startswith(str(path))


def test_shallow_greys_have_the_levels_of_their_depth(tmp_path: Path) -> None:
    path = png(tmp_path, 4, 2, 2, 0, bytes([0, 0b00011011, 0, 0b11100100]))
    assert read_picture(path, (1, 2, 4), 4).tolist() == [[[0, 1, 2, 3], [3, 2, 1, 0]]]
    with pytest.raises(DataError, match="expected 17 levels, but the file has only 4"):
        read_picture(path, (1, 2, 4), 17)
    black = picture(tmp_path, "1", name="b.png")
    assert read_picture(black, (1, 4, 4), 2).sum() == 0


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 128, 0, 255, 64])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", (3, 1, 2), 256)[:, 0].tolist() == [[255, 0], [0, 255], [128, 64]]


def test_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for i, name in enumerate(["b.png", "a.png", "c.PNG"]):
        write_picture(tmp_path / name, np.full((1, 2, 3), i), 4)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "sub").mkdir()
    found = read_pictures(tmp_path, None, 4)
    assert found.x[:, 0, 0, 0].tolist() == [1, 0, 2] and tuple(found.x.shape) == (3, 1, 2, 3)
    assert [file.name for file in found.files] == ["a.png", "b.png", "c.PNG"] and found.skipped == ()


def test_bad_files_are_skipped_by_name_and_count_when_asked(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.ones((1, 2, 2), int), 4)
    write_picture(tmp_path / "b.png", np.ones((1, 3, 2), int), 4)
    (tmp_path / "c.png").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"b\.png: expected 2×2 pixels, got 2×3.*that of the first picture, .*a\.png"):
        read_pictures(tmp_path, None, 4)
    found = read_pictures(tmp_path, None, 4, skip=True)
    assert len(found.x) == 1 and [path.name for path, _ in found.skipped] == ["b.png", "c.png"]
    assert "expected 2×2" in found.skipped[0][1] and "another file" in found.skipped[1][1]
    with pytest.raises(DataError, match=r"got 1 that cannot, the first: .*c\.png"):
        read_pictures([tmp_path / "c.png"], (1, 2, 2), 4, skip=True)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none in this folder"):
        read_pictures(tmp_path, (1, 2, 2), 4)
    with pytest.raises(DataError, match="got none"):
        read_pictures([], (1, 2, 2), 4)


@pytest.mark.parametrize(
    ("name", "array", "levels", "why"),
    [
        ("a.jpg", np.zeros((1, 2, 2), int), 4, "ending in .png"),
        ("a.png", np.zeros((2, 2, 2), int), 4, "1 or 3 channels"),
        ("a.png", np.zeros((1, 0, 2), int), 4, "1 or 3 channels"),
        ("a.png", np.full((1, 2, 2), 4), 4, "expected integers 0..3"),
        ("a.png", np.full((1, 2, 2), -1), 4, "expected integers 0..3"),
        ("a.png", np.zeros((1, 2, 2)), 4, "got float64"),
        ("a.png", np.zeros((1, 2, 2), int), 257, "levels: expected 2 to 256"),
        ("no/a.png", np.zeros((1, 2, 2), int), 4, "existing folder"),
    ],
)
def test_nothing_is_written_of_a_bad_picture(tmp_path: Path, name: str, array: Any, levels: int, why: str) -> None:
    with pytest.raises(DataError, match=why):
        write_picture(tmp_path / name, array, levels)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 4), (3, 0, 4)])
def test_a_shape_that_no_picture_has(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape: expected"):
        read_picture(tmp_path / "a.png", shape, 4)


# ── CelebA's archive ─────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [f"{i:06d}.jpg" for i in range(1, 7)]


def aligned(i: int) -> Image.Image:
    """An aligned picture: a slope of colours of its own, and white outside the square that is cut out."""
    image = np.full((218, 178, 3), 255, np.uint8)
    ramp = np.linspace(0, 120 + 20 * i, 148).astype(np.uint8)
    image[35:183, 15:163] = np.stack(
        [np.tile(ramp, (148, 1)), np.tile(ramp[:, None], (1, 148)), np.full((148, 148), 40 * i)], -1
    )
    return Image.fromarray(image)


def jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def archive(folder: Path, extra: dict[str, bytes] | None = None, drop: str = "") -> Path:
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(NAMES, "001122", strict=True)))
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as file:
        for i, name in enumerate(NAMES):
            if name != drop:
                file.writestr(f"img_align_celeba/{name}", jpeg(aligned(i)))
        for name, data in (extra or {}).items():
            file.writestr(name, data)
    return folder / "img_align_celeba.zip"


def test_faces_from_the_archive_and_from_its_folder(tmp_path: Path) -> None:
    path, data = archive(tmp_path), tmp_path / "data"
    data.mkdir()
    build_celeba32(path, data / "celeba32_2bit.npz")
    with np.load(data / "celeba32_2bit.npz") as found:
        assert sorted(found.files) == ["test", "train"]
        assert found["train"].shape == found["test"].shape == (2, 32, 32, 3)
        test = found["test"]
    # The partition's 2 are the last two pictures; an independent route to the second of them.
    cropped = (
        Image.open(io.BytesIO(jpeg(aligned(5)))).crop((15, 35, 163, 183)).resize((32, 32), Image.Resampling.LANCZOS)
    )
    assert np.array_equal(test[1], np.asarray(cropped) >> 6)
    with zipfile.ZipFile(path) as file:
        file.extractall(tmp_path)
    for folder in (tmp_path, tmp_path / "img_align_celeba"):
        build_celeba32(folder, data / "again.npz", quiet=True)
        with np.load(data / "again.npz") as again:
            assert np.array_equal(again["test"], test)
    splits = celeba32_splits(data, 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1, 1, 2)


def test_other_depths_and_counts(tmp_path: Path) -> None:
    path = archive(tmp_path)
    build_celeba32(path, tmp_path / "five.npz", 5, train=1, test=None)
    with np.load(tmp_path / "five.npz") as found:
        assert (len(found["train"]), len(found["test"])) == (1, 2) and 16 < found["test"].max() < 32


def test_the_command_that_builds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = archive(tmp_path), tmp_path / "celeba32_2bit.npz"
    assert celeba.main([str(path), str(out), "--train", "0"]) == 0
    assert out.is_file() and str(out) in capsys.readouterr().out
    assert celeba.main([str(tmp_path / "no.zip"), str(out)]) == 2
    assert "found none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda f: archive(f, {"../../evil.sh": b"x"}), "climbs out of its folder"),
        (lambda f: archive(f, {"/etc/evil": b"x"}), "climbs out of its folder"),
        (lambda f: archive(f, {"C:/evil": b"x"}), "climbs out of its folder"),
        (lambda f: archive(f, drop=NAMES[5]), "1 of the 2 pictures for test are missing, the first 000006.jpg"),
        (lambda f: archive(f, {NAMES[0]: bytes(2 << 20)}), "000001.jpg: unpacks to 2,097,152 bytes"),
        (lambda f: archive(f, {NAMES[0]: b"junk"}), "000001.jpg: expected a picture"),
        (lambda f: archive(f, {NAMES[0]: jpeg(aligned(0))[:2000]}), "000001.jpg: truncated or corrupt"),
        (lambda f: archive(f, {NAMES[0]: jpeg(Image.new("RGB", (10, 10)))}), "RGB of 178×218 pixels, got RGB of 10×10"),
        (lambda f: archive(f, {NAMES[0]: jpeg(Image.new("L", (178, 218)))}), "got L of 178×218"),
        (lambda f: f / "none.zip", "expected img_align_celeba.zip or the folder"),
        (lambda f: written(f, b"junk", "img_align_celeba.zip"), "no ZIP archive"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_bad_archive_leaves_nothing(tmp_path: Path, make: Callable[[Path], Path], why: str) -> None:
    archive(tmp_path)
    path = make(tmp_path)
    with pytest.raises(DataError, match=why):
        build_celeba32(path, tmp_path / "out.npz")
    assert not [file for file in os.listdir(tmp_path) if "out.npz" in file]


def test_a_flipped_byte_in_the_archive_is_found(tmp_path: Path) -> None:
    path = archive(tmp_path)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged|corrupt"):
        build_celeba32(path, tmp_path / "out.npz")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("000001.jpg 0\n000002.jpg 3\n", "line 2"),
        ("000001.jpg 0\n000001.jpg 2\n", "line 2"),
        ("../../x 0\n", "line 1"),
        ("a b c\n", "line 1"),
    ],
)
def test_a_bad_partition_names_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(DataError, match=why):
        read_partition(tmp_path / "p.txt")


def test_a_partition_without_a_test_split_or_without_a_file(tmp_path: Path) -> None:
    path = archive(tmp_path)
    (tmp_path / "p.txt").write_text(f"{NAMES[0]} 0\n")
    with pytest.raises(DataError, match="names no picture for test"):
        build_celeba32(path, tmp_path / "out.npz", partition=tmp_path / "p.txt")
    with pytest.raises(DataError, match=r"expected CelebA's list_eval_partition\.txt"):
        build_celeba32(path, tmp_path / "out.npz", partition=tmp_path / "none.txt")
    for out, bits in ((tmp_path / "out.npz", 9), (tmp_path / "out.dat", 2), (tmp_path / "no" / "out.npz", 2)):
        with pytest.raises(DataError, match="expected"):
            build_celeba32(path, out, bits)


def test_only_formats_that_start_no_program() -> None:
    assert "EPS" not in pictures.FORMATS
