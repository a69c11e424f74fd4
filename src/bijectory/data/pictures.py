"""A person's own picture files: read as the integers that a model was trained on, or refused; written so that they read back."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import DataError
from .archives import whole_file
from .preparation import AS_IS, MODES, Preparation, check_mode, orientation, prepared, upright_size

#: Decoders that read pictures and nothing else: Pillow's full list has one (EPS) that starts another program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
#: Bits of one value in a file of the usual depth.
DEPTH = 8
#: Grey files of fewer bits, by the beginning of their decoder's mode, and the levels they have.
SHALLOW = {"1": 2, "L;2": 4, "L;4": 16}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures that were read: x (N, channels, height, width) uint8, their files, (file, reason) for those passed over, and how many
    had something done to them, by the words for it."""

    x: Tensor
    files: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)


def read_picture(
    path: str | os.PathLike[str], shape: Sequence[int], levels: int, *, prepare: Preparation = AS_IS
) -> Tensor:
    """One file as integers 0..levels-1: (channels, height, width) uint8, x = floor(levels v / 256) of its 8-bit values v.

    For a power of two that is a shift (2 bits: v >> 6). A picture stands upright, as its EXIF orientation says. Nothing is resized,
    recoloured or flattened unless ``prepare`` asks for it: the file has the size of ``shape``, and is grey for one channel, colour
    without transparency for three.

    Raises:
        DataError: no such file, no picture, a corrupt or truncated one, a decompression bomb, several frames, another size or mode,
            16 bits a value, or fewer levels than asked for; names the file.
    """
    channels, height, width = _checked_shape(shape)
    _check_levels(levels)
    values, _ = _decode(Path(path), channels, (width, height), levels, prepare)
    return torch.from_numpy(values)


def read_pictures(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    shape: Sequence[int] | None,
    levels: int,
    *,
    skip: bool = False,
    prepare: Preparation = AS_IS,
) -> Pictures:
    """Many files, or the pictures of a folder in the order of their names (folders inside it are not entered).

    With ``shape`` None, the first picture that can be read gives it and the others must agree. The first bad file is refused by
    name; with ``skip``, bad files are passed over and listed, each with its reason, in `Pictures.skipped`.

    Raises:
        DataError: a bad file (see `read_picture`), a folder without pictures, or no file that could be read.
    """
    _check_levels(levels)
    wanted = None if shape is None else _checked_shape(shape)
    read: list[NDArray[np.uint8]] = []
    done: Counter[str] = Counter()
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path in _listed(paths):
        try:
            channels, height, width = wanted or _shape_of(path)
            values, words = _decode(path, channels, (width, height), levels, prepare)
        except DataError as error:
            if not skip:
                if shape is None and files:
                    raise DataError(f"{error} (the shape is that of the first picture, {files[0]})") from error
                raise
            skipped.append((path, str(error)))
            continue
        read.append(values)
        done.update(words)
        files.append(path)
        wanted = channels, height, width
    if not read:
        first = f", the first: {skipped[0][1]}" if skipped else ""
        raise DataError(f"expected at least one picture that can be read, got {len(skipped)} that cannot{first}")
    return Pictures(torch.from_numpy(np.stack(read)), tuple(files), tuple(skipped), dict(done))


def write_picture(path: str | os.PathLike[str], array: ArrayLike | Tensor, levels: int) -> None:
    """Write integers 0..levels-1, (channels, height, width) with 1 or 3 channels, as a PNG that `read_picture` reads back exactly.

    0 is black and levels-1 white; between them the grey levels are even, as far as 8 bits allow.

    Raises:
        DataError: another ending than .png, another shape, values past the levels, no such folder, a full disk.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise DataError(f"{path}: expected a name ending in .png, got {path.suffix or 'no ending'}; others lose values")
    _check_levels(levels)
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if values.ndim != 3 or values.shape[0] not in MODES or not values.size:
        raise DataError(f"{path}: expected (1 or 3 channels, height, width), got shape {values.shape}")
    if values.dtype.kind not in "iu" or int(values.min()) < 0 or int(values.max()) >= levels:
        raise DataError(
            f"{path}: expected integers 0..{levels - 1}, got {values.dtype} in {values.min()}..{values.max()}; quantise them first"
        )
    shown = _shades(levels)[values]
    with whole_file(path) as file:
        Image.fromarray(shown[0] if len(shown) == 1 else np.ascontiguousarray(shown.transpose(1, 2, 0))).save(
            file, "PNG"
        )


def open_picture(source: Path | IO[bytes], name: object) -> Image.Image:
    """A picture's header, nothing decoded yet; Pillow's warning of a decompression bomb is an error here.

    Raises:
        DataError: no picture, a corrupt header, a bomb; names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(source, formats=FORMATS)
    except FileNotFoundError as error:
        raise DataError(f"{name}: expected a picture, found nothing of that name; check the path") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{name}: a decompression bomb, not decoded ({error}); leave it out, or make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: expected a picture ({', '.join(FORMATS)}), got another file; leave it out") from error
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{name}: cannot be read: {error}; check the path and its permissions") from error
    # Decoders raise whatever the damage led them to: OSError, SyntaxError, struct.error, KeyError …
    except Exception as error:
        raise DataError(
            f"{name}: cannot be read as a picture ({error}); corrupt: leave it out or save it again"
        ) from error


def load_picture(image: Image.Image, name: object) -> None:
    """Decode the pixels of an opened picture.

    Raises:
        DataError: truncated, corrupt or of several frames; names the file.
    """
    try:
        frames = getattr(image, "n_frames", 1)
        image.load()
    except Exception as error:  # see open_picture
        raise DataError(f"{name}: truncated or corrupt ({error}); leave it out or save it again") from error
    if frames != 1:
        raise DataError(f"{name}: expected one picture, got {frames} frames; save the one you mean")


def quantised(values: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """floor(levels v / 256) of 8-bit values; a shift where levels is a power of two."""
    return (values.astype(np.uint16) * levels >> DEPTH).astype(np.uint8)


def check_header(path: Path, image: Image.Image, channels: int | None, levels: int, prepare: Preparation) -> None:
    """Refuse what the header of an opened picture gives away, so that a file that will be refused is never decoded."""
    if levels > (has := depth_of(image, path)):
        raise DataError(f"{path}: expected {levels} levels, but the file has only {has}; use pictures of that depth")
    check_mode(image, channels, prepare, path)


def _decode(
    path: Path, channels: int, size: tuple[int, int], levels: int, prepare: Preparation
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    with open_picture(path, path) as image:
        check_header(path, image, channels, levels, prepare)
        if (found := upright_size(image)) != size and not prepare.resize:
            raise DataError(
                f"{path}: expected {size[0]}×{size[1]} pixels, got {found[0]}×{found[1]}; crop or resize it first"
            )
        turned = orientation(image) in range(2, 9)
        load_picture(image, path)
        values, done = prepared(image, channels, size, prepare, path)
    words = ("turned upright, as their EXIF orientation says",) * turned
    return np.ascontiguousarray(quantised(values, levels)), (*words, *done)


def depth_of(image: Image.Image, name: object) -> int:
    """How many values a picture's file has for each of its own: 256, or 2, 4 or 16 of a shallow grey.

    Raises:
        DataError: more than 8 bits a value; names the file.
    """
    raw = _raw_mode(image)
    # A colour PNG of 16 bits opens as RGB with half of its bits dropped unsaid: only the decoder's own mode tells.
    if image.mode[0] in "IF" or "16" in raw or "15" in raw:
        raise DataError(
            f"{name}: expected {DEPTH} bits a value, got another depth (mode {raw or image.mode}); convert it first"
        )
    return SHALLOW.get("1" if image.mode == "1" else raw[:3], 1 << DEPTH)


def _raw_mode(image: Image.Image) -> str:
    """What the decoder is told to read, such as 'RGB;16B'; '' where a format has no such word."""
    tiles: list[Any] = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _shades(levels: int) -> NDArray[np.uint8]:
    """The 8-bit value that stands for each level: evenly from black to white, moved up by one where it would not read back."""
    k = np.arange(levels)
    top = (1 << DEPTH) - 1
    lowest = -(-(k << DEPTH) // levels)
    return np.maximum((2 * k * top + levels - 1) // (2 * (levels - 1)), lowest).astype(np.uint8)


def _shape_of(path: Path) -> tuple[int, int, int]:
    with open_picture(path, path) as image:
        width, height = upright_size(image)
        return 1 if image.mode in MODES[1] else 3, height, width


def picture_files(folder: Path) -> list[Path]:
    """The picture files of a folder in the order of their names; folders inside it are not entered, hidden files left out.

    Raises:
        DataError: none is there, or the folder cannot be read.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}; check the path and its permissions") from error
    files = [path for path in inside if path.suffix.lower() in ENDINGS and path.name[0] != "." and not path.is_dir()]
    if not files:
        folders = [path.name for path in inside if path.is_dir() and path.name[0] != "."]
        what = (
            f"only the folders {', '.join(folders[:5])}{' …' * (len(folders) > 5)}"
            if folders
            else "none in this folder"
        )
        raise DataError(f"{folder}: expected pictures ({', '.join(ENDINGS)}), found {what}; name another")
    return files


def _listed(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(paths, str | os.PathLike):
        files = [Path(path) for path in paths]
        if not files:
            raise DataError("paths: expected at least one picture, got none")
        return files
    path = Path(paths)
    return picture_files(path) if path.is_dir() else [path]


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] not in MODES or min(shape) < 1:
        raise DataError(f"shape: expected (1 or 3 channels, height, width), got {tuple(shape)}")
    return shape[0], shape[1], shape[2]


def _check_levels(levels: int) -> None:
    if not 2 <= levels <= 1 << DEPTH:
        raise DataError(f"levels: expected 2 to {1 << DEPTH}, the most that a file of {DEPTH} bits has, got {levels}")
