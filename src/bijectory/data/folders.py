"""A person's own pictures as splits: a folder of files, or an .npz of integers, is looked at first and then read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..numerics.seeds import generator_for
from .archives import npz_names
from .arrays import BYTE, fewest_levels, npz_pictures, reduced, same_channels
from .pictures import ENDINGS, check_header, depth_of, open_picture, picture_files, read_pictures
from .preparation import Preparation, upright_size
from .splits import Rows, Splits

#: What the parts of a set are called, as folders or as arrays.
PARTS = {"train": ("train",), "validation": ("valid", "val", "validation"), "test": ("test",)}
#: Fewer pictures leave nothing to learn from or nothing to judge by; and no more than so many of a large set are held out for either.
LEAST, MOST_HELD = 10, 5_000
LEAVE_OUT = "skip=true leaves bad files out"


@dataclass(frozen=True)
class Listing:
    """What a folder or an archive holds: files or array names by part ("all", or train, validation, test), and their checksum."""

    source: Path
    parts: Mapping[str, tuple[Path, ...] | str]
    checksum: str


@dataclass(frozen=True)
class Survey:
    """What the pictures are, by their headers: how many of which (height, width), with the first of each, channels and levels.

    ``bad`` are files that were passed over, with their reasons.
    """

    listing: Listing
    sizes: Mapping[tuple[int, int], tuple[int, str]]
    channels: int
    levels: int
    bad: tuple[tuple[Path, str], ...] = ()

    @property
    def pictures(self) -> int:
        """How many there are."""
        return sum(count for count, _ in self.sizes.values())


def list_pictures(source: Path) -> Listing:
    """The pictures of a folder, or the arrays of an .npz; with train/ (and valid/, test/) inside, these are the parts.

    The checksum is over names and lengths in bytes: a folder that was added to is another set, with other splits.

    Raises:
        DataError: nothing of that name, another kind of file, no pictures, or parts without train.
    """
    if source.is_dir():
        inside = {name: source / name for names in PARTS.values() for name in names if (source / name).is_dir()}
        folders = _parts(source, inside)
        if folders and (beside := [path for path in source.iterdir() if path.suffix.lower() in ENDINGS]):
            raise DataError(
                f"{source}: expected pictures in {', '.join(folders)} alone, found others beside them, such as {beside[0].name}; "
                "move them in or out"
            )
        files = {part: tuple(picture_files(folder)) for part, folder in (folders or {"all": source}).items()}
        names = [
            f"{path.relative_to(source).as_posix()}\t{_length(path)}\n" for part in files.values() for path in part
        ]
        return Listing(source, files, _checksum(sorted(names)))
    if source.suffix.lower() == ".npz":
        keys = [name for name in npz_names(source) if name not in ("levels", "labels")]
        named: dict[str, str] = _parts(source, {name: name for name in keys})
        if not named and "x" not in keys and len(keys) != 1:
            raise DataError(
                f"{source}: expected the array x, or train and test, got {', '.join(keys) or 'none'}; save it under that name"
            )
        parts = named or {"all": "x" if "x" in keys else keys[0]}
        return Listing(source, parts, _checksum([f"{source.name}\t{_length(source)}\n"]))
    if source.exists():
        raise DataError(
            f"{source}: expected a folder of pictures, or an .npz of them, got another file; put the pictures into a folder and name that"
        )
    raise DataError(f"{source}: expected a folder of pictures, found nothing of that name; check the path")


def survey(listing: Listing, *, prepare: Preparation, skip: bool = False) -> Survey:
    """Look at every header, decode nothing. Files that cannot be used are refused by name; with ``skip``, passed over.

    Raises:
        DataError: a bad file, or fewer than 10 pictures.
    """
    if listing.source.is_dir():
        found = _survey_files(listing, prepare, skip)
    else:
        arrays, levels = _arrays(listing, prepare.depth)
        sizes: dict[tuple[int, int], tuple[int, str]] = {}
        for x in arrays.values():
            count, first = sizes.get((x.shape[2], x.shape[3]), (0, str(listing.source)))
            sizes[x.shape[2], x.shape[3]] = count + len(x), first
        found = Survey(listing, sizes, next(iter(arrays.values())).shape[1], levels)
    if found.pictures < LEAST:
        passed = f" and {len(found.bad)} that cannot be used, the first: {found.bad[0][1]}" if found.bad else ""
        raise DataError(
            f"{listing.source}: expected at least {LEAST} pictures, got {found.pictures}{passed}; a density needs some to learn from "
            "and others to be judged by: add pictures"
        )
    return found


def picture_splits(
    found: Survey, seed: int, *, size: tuple[int, int], levels: int | None, prepare: Preparation, skip: bool = False
) -> Splits:
    """The pictures as splits: x (rows, channels, height, width) uint8 in 0..levels-1, one channel where all of them are grey.

    With ``levels`` None, 8-bit values are counted in the fewest levels that tell apart all that occur, if 128 do: the same pictures,
    without gaps that a density could not see. The parts train, valid and test are taken as they are named; what is not named is held out
    of train, chosen by the seed: a tenth, of few pictures a fifth. What was done to the files is in the splits' notes.

    Raises:
        DataError: a file that cannot be decoded (with ``skip`` it is left out and named in the notes), or a part of one picture.
    """
    listing = found.listing
    notes: list[str] = []
    if listing.source.is_dir():
        parts, skipped, done = _read_files(found, size, prepare, skip)
        notes += [f"{count:,} pictures {words}" for words, count in done.items()]
        if skipped:
            some = "; ".join(f"{path.name} ({reason.removeprefix(f'{path}: ')})" for path, reason in skipped[:3])
            notes.append(f"{len(skipped):,} bad files left out: {some}{'; …' * (len(skipped) > 3)}")
    else:
        parts, _ = _arrays(listing, prepare.depth)
    counted = levels or found.levels
    if levels is None and found.levels == BYTE and (fewest := fewest_levels(parts.values())) <= BYTE // 2:
        # Otherwise it is chance that a few pictures lack some of the values.
        counted = fewest
    parts = {part: reduced(x, found.levels, counted, listing.source) for part, x in same_channels(parts).items()}
    rows, how = _split({part: torch.from_numpy(x) for part, x in parts.items()}, seed, listing.source)
    train, validation, test = (rows[part] for part in PARTS)
    words = f"{sum(map(len, rows.values())):,} pictures of {_sizes(found)} pixels, {'grey' if train.shape[1] == 1 else 'in colour'}"
    if set(found.sizes) != {size}:
        words += f", brought to {_by(size)}: cut to its proportions around the middle, resized by LANCZOS"
    words += f"; {counted} levels a value"
    if counted != found.levels:
        words += f" of the files' {found.levels}" + (", which tell all that occur apart" if levels is None else "")
    parted = f"{len(train):,} to train, {len(validation):,} to choose weights by, {len(test):,} to test, {how}"
    if twins := _twins(train, test):
        notes.append(
            f"{twins:,} of the test pictures are also in train, value for value: they cost fewer bits than new ones would"
        )
    return Splits(
        Rows(train),
        Rows(validation),
        Rows(test),
        (),
        listing.source.name,
        notes=(words, parted, *notes),
        levels=counted,
    )


def _parts(source: Path, inside: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``inside`` that are named as parts of a set."""
    found = {part: inside[name] for part, names in PARTS.items() for name in names if name in inside}
    if found and "train" not in found:
        raise DataError(
            f"{source}: expected train beside {', '.join(found)}, found none; name the pictures to learn from train"
        )
    return found


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; check the path and its permissions") from error


def _checksum(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _survey_files(listing: Listing, prepare: Preparation, skip: bool) -> Survey:
    sizes: dict[tuple[int, int], tuple[int, str]] = {}
    bad, channels, levels = [], 1, 0
    for path in (path for part in listing.parts.values() for path in part):
        assert isinstance(path, Path)
        try:
            with open_picture(path, path) as image:
                check_header(path, image, None, 2, prepare)
                width, height = upright_size(image)
                depth, grey = depth_of(image, path), image.mode in ("L", "1", "LA", "La")
        except DataError as error:
            if not skip:
                raise DataError(f"{error}; {LEAVE_OUT}") from error
            bad.append((path, str(error)))
            continue
        count, first = sizes.get((height, width), (0, path.name))
        sizes[height, width] = count + 1, first
        channels, levels = channels if grey else 3, max(levels, depth)
    return Survey(listing, sizes, channels, levels, tuple(bad))


def _read_files(
    found: Survey, size: tuple[int, int], prepare: Preparation, skip: bool
) -> tuple[dict[str, NDArray[np.uint8]], list[tuple[Path, str]], dict[str, int]]:
    passed = {path for path, _ in found.bad}
    parts, skipped, done = {}, list(found.bad), dict[str, int]()
    for part, files in found.listing.parts.items():
        good = [path for path in files if isinstance(path, Path) and path not in passed]
        try:
            read = read_pictures(good, (found.channels, *size), found.levels, skip=skip, prepare=prepare)
        except DataError as error:
            raise error if skip else DataError(f"{error}; {LEAVE_OUT}") from error
        parts[part] = read.x.numpy()
        skipped += read.skipped
        for words, count in read.done.items():
            done[words] = done.get(words, 0) + count
    return parts, skipped, done


def _arrays(listing: Listing, depth: int | None) -> tuple[dict[str, NDArray[np.uint8]], int]:
    keys = {part: str(key) for part, key in listing.parts.items()}
    found, levels = npz_pictures(listing.source, keys, depth)
    shapes = {x.shape[1:] for x in found.values()}
    if len(shapes) > 1:
        raise DataError(
            f"{listing.source}: expected pictures of one shape, got {' and '.join(map(str, sorted(shapes)))}; save them alike"
        )
    return found, levels


def _split(x: Mapping[str, Tensor], seed: int, source: Path) -> tuple[dict[str, Tensor], str]:
    """train, validation and test, and words for where they come from."""
    rows = {
        "train": x["all"] if "all" in x else x["train"],
        **{part: x[part] for part in x if part not in ("all", "train")},
    }
    missing = [part for part in PARTS if part not in rows]
    whole = rows["train"]
    held = min(max(len(whole) // 10, min(len(whole) // 5, 10)), MOST_HELD)
    order = torch.randperm(len(whole), generator=generator_for(seed, "own pictures"))
    for place, part in enumerate(missing):
        rows[part] = whole[order[place * held : (place + 1) * held]]
    rows["train"] = whole[order[len(missing) * held :].sort().values]
    for part in PARTS:
        if len(rows[part]) < 2:
            raise DataError(f"{source} ({part}): expected at least 2 pictures, got {len(rows[part])}; add pictures")
    if "all" in x:
        return rows, "drawn by the seed"
    drawn = f"; {' and '.join(missing)} held out of train by the seed" if missing else ""
    return rows, f"as they are named{drawn}"


def _twins(train: Tensor, test: Tensor) -> int:
    seen = {row.numpy().tobytes() for row in train}
    return sum(row.numpy().tobytes() in seen for row in test)


def _sizes(found: Survey) -> str:
    """One size, or the smallest and the largest, as width×height."""
    order = sorted(found.sizes, key=lambda size: size[0] * size[1])
    return _by(order[0]) if len(order) == 1 else f"{_by(order[0])} to {_by(order[-1])}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"
