"""The faces of the homework's form, built from CelebA's official archive, which everybody must fetch by hand.

    aligned 178×218 picture -> centre crop 148×148 -> Lanczos to 32×32 -> v >> (8 - bits)

Source: Liu, Luo, Wang, Tang, 2015, arXiv 1411.7766. Differs from the CS294-158 file, whose faces are CelebA-HQ's: bits/dim of the two
cannot be compared. The official partition keeps a person's pictures together, so nobody stands in train and in test.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BijectoryError, DataError
from .archives import write_npz
from .pictures import DEPTH, load_picture, open_picture

PARTITION = "list_eval_partition.txt"
#: What the official pictures measure, the square that is cut out of their middle, and the side that is left of it.
ALIGNED, CROP, SIDE = (178, 218), 148, 32
#: No picture of that size has more bytes, packed or not; what has is no such picture.
LARGEST = 1 << 20
#: As many of each as the homework's file has.
TRAIN, TEST = 20_000, 8_838


def build_celeba32(
    archive: Path,
    out: Path,
    bits: int = 2,
    *,
    partition: Path | None = None,
    train: int | None = TRAIN,
    test: int | None = TEST,
    quiet: bool = False,
) -> Path:
    """Write OUT (.npz) with train and test, (rows, 32, 32, 3) uint8 in 0..2^bits-1, from img_align_celeba.zip or its folder.

    ``partition`` is list_eval_partition.txt (default: beside the archive, or in the folder): its 0 is train, its 2 test, in its
    order, the first ``train`` and ``test`` of them (None: all). Nothing is unpacked onto the disk; OUT appears whole or not at all.

    Raises:
        DataError: an archive, partition or picture that is missing, damaged, of another size, a bomb, or whose path climbs out of
            its folder; names it. Nothing is written.
    """
    if not 1 <= bits <= DEPTH:
        raise DataError(f"bits: expected 1 to {DEPTH} a channel, got {bits}; 2 is the homework's")
    if out.suffix != ".npz":
        raise DataError(f"{out}: expected a name ending in .npz, got {out.suffix or 'no ending'}")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: expected an existing folder, found none at {out.absolute().parent}; create it first")
    beside = archive if archive.is_dir() and (archive / PARTITION).is_file() else archive.parent
    parts = read_partition(partition or beside / PARTITION)
    with _opened(archive) as (names, read):
        wanted = {"train": parts[0][:train], "test": parts[2][:test]}
        for split, files in wanted.items():
            if not files:
                raise DataError(f"{archive}: the partition names no picture for {split}; take the official {PARTITION}")
            missing = [file for file in files if file not in names]
            if missing:
                raise DataError(
                    f"{archive}: {len(missing)} of the {len(files)} pictures for {split} are missing, the first {missing[0]}; "
                    "fetch the archive again"
                )
        arrays = {split: _faces(files, read, bits, split, quiet) for split, files in wanted.items()}
    write_npz(out, arrays)
    return out


def read_partition(path: Path) -> tuple[list[str], list[str], list[str]]:
    """The file names of train, validation and test from lines such as '000001.jpg 0'.

    Raises:
        DataError: no such file, or a line of another form; names the line.
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected CelebA's {PARTITION} ({error}); fetch it from the archive's own page, beside the pictures"
        ) from error
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2") or _climbs(words[0]) or words[0] in seen:
            raise DataError(
                f"{path}, line {number}: expected a new file name and 0, 1 or 2, got {line!r:.80}; fetch it again"
            )
        seen.add(words[0])
        parts[int(words[1])].append(words[0])
    return parts


def _faces(files: Sequence[str], read: Callable[[str], bytes], bits: int, split: str, quiet: bool) -> NDArray[np.uint8]:
    from tqdm import tqdm

    faces = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    for i, file in enumerate(tqdm(files, desc=split, unit="picture", disable=quiet or None)):
        faces[i] = _face(file, read(file)) >> (DEPTH - bits)
    return faces


def _face(name: str, data: bytes) -> NDArray[np.uint8]:
    with open_picture(io.BytesIO(data), name) as image:
        if image.size != ALIGNED or image.mode != "RGB":
            raise DataError(
                f"{name}: expected an aligned picture, RGB of {ALIGNED[0]}×{ALIGNED[1]} pixels, got {image.mode} of "
                f"{image.size[0]}×{image.size[1]}; take img_align_celeba"
            )
        load_picture(image, name)
        left, top = (ALIGNED[0] - CROP) // 2, (ALIGNED[1] - CROP) // 2
        square = image.crop((left, top, left + CROP, top + CROP))
        return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[set[str], Callable[[str], bytes]]]:
    """The names of the pictures, and a reader of their bytes."""
    if archive.is_dir():
        # As the archive unpacks: the pictures, or one folder that holds them.
        inner = archive / "img_align_celeba"
        folder = inner if inner.is_dir() else archive
        yield (
            {path.name for path in folder.iterdir()},
            lambda name: _bounded(name, (folder / name).stat().st_size, folder / name),
        )
        return
    if not archive.is_file():
        raise DataError(
            f"{archive}: expected img_align_celeba.zip or the folder of its pictures, found none; check the path"
        )
    try:
        with zipfile.ZipFile(archive) as file:
            members: dict[str, zipfile.ZipInfo] = {}
            for member in file.infolist():
                if _climbs(member.filename):
                    raise DataError(
                        f"{archive}: the path {member.filename!r:.200} climbs out of its folder; this is not the official archive"
                    )
                if not member.is_dir():
                    members[PurePosixPath(member.filename).name] = member

            def read(name: str) -> bytes:
                if members[name].file_size > LARGEST:
                    raise DataError(
                        f"{archive}, {name}: unpacks to {members[name].file_size:,} bytes: no such picture, a bomb"
                    )
                with file.open(members[name]) as packed:
                    return packed.read(LARGEST)

            yield set(members), read
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: truncated, damaged or no ZIP archive ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error}; check the file and its permissions") from error


def _bounded(name: str, size: int, path: Path) -> bytes:
    if size > LARGEST:
        raise DataError(f"{path}: has {size:,} bytes: no such picture as {name}")
    return path.read_bytes()


def _climbs(name: str) -> bool:
    """Whether a path is absolute, has a drive, or goes up: unpacked somewhere, it would write outside its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m bijectory.data.celeba ARCHIVE OUT.npz`: build the faces."""
    parser = argparse.ArgumentParser(
        "python -m bijectory.data.celeba", description="Build 32×32 faces from CelebA's archive."
    )
    parser.add_argument("archive", type=Path, help="img_align_celeba.zip, or the folder of its pictures")
    parser.add_argument("out", type=Path, help="the file to write: celeba32_2bit.npz in the data folder")
    parser.add_argument("--bits", type=int, default=2, help="bits a channel [2]")
    parser.add_argument("--partition", type=Path, help=f"{PARTITION} [beside the archive]")
    parser.add_argument("--train", type=int, default=TRAIN, help=f"pictures to train, 0 for all [{TRAIN}]")
    parser.add_argument("--test", type=int, default=TEST, help=f"pictures to test, 0 for all [{TEST}]")
    given = parser.parse_args(arguments)
    try:
        print(
            build_celeba32(
                given.archive,
                given.out,
                given.bits,
                partition=given.partition,
                train=given.train or None,
                test=given.test or None,
            )
        )
    except BijectoryError as error:
        print(f"bijectory: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
