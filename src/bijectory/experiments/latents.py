"""Latents of a person's pictures or rows under a run, and pictures or rows from latents."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.archives import npz_names, read_npz, write_npz
from ..data.pictures import write_picture
from ..data.tables import read_table
from ..errors import DataError, InputError
from ..models.base import LatentEstimateModel, LatentModel
from .files import read_rows
from .images import CHUNK, Given, Integers, checked_picture_shape, integer_model, read_given
from .record import Run
from .use import Loaded, context_columns, load, recorded_recipe


@dataclass(frozen=True)
class Encoded:
    """Latents z (n, *latent event) of pictures, float64, and how many of them decode to their picture, value for value."""

    given: Given
    z: NDArray[np.float64]
    exact: int
    levels: int


def encode_pictures(path: Path, source: Path, *, skip: bool = False, recipe: Path | None = None) -> Encoded:
    """The latents of the pictures of a folder, a file or an .npz, in float64, each decoded again to see whether it comes back.

    Raises DataError for the first picture that cannot be used (with ``skip`` it is left out), InputError for a run not on pictures.
    """
    record = Run.open(path)
    given = read_given(record, recorded_recipe(record, recipe), source, skip=skip)
    # In float32 a cell at the end of a long flow may be narrower than its rounding.
    model = integer_model(load(path, recipe)).double()
    model.check_integers(given.x)
    parts, exact = [], 0
    with torch.inference_mode():
        for x in given.x.split(CHUNK):
            z = model.encode(x)
            exact += int((model.decode(z) == x).flatten(1).all(1).sum())
            parts.append(z)
    return Encoded(given, torch.cat(parts).numpy(), exact, model.levels)


def write_latents(path: Path, encoded: Encoded, run: Path) -> None:
    """Write z, the names of the pictures (``files``) and a mark of the model they belong to, as an .npz; replaced in one step."""
    mark = np.array(_mark(run))
    write_npz(path, {"z": encoded.z, "files": np.array(encoded.given.names), "model": mark})


def decode_pictures(path: Path, file: Path, *, recipe: Path | None = None) -> tuple[Integers, tuple[str, ...], int]:
    """The pictures (n, channels, height, width) of the latents ``z`` of an .npz, their names, and their levels.

    Latents may have been changed in between, or be made by hand; their mark, where they have one, must be that of the run's model.
    Raises DataError for another shape, another mark or a latent that is not finite, InputError for a run that is not on pictures.
    """
    record = Run.open(path)
    checked_picture_shape(record)
    found = [name for name in ("files", "model") if name in npz_names(file)]
    arrays = read_npz(file, ["z", *found])
    if "model" in arrays and str(arrays["model"]) != _mark(path):
        raise DataError(
            f"{file}: expected latents of {path}, got those of another model, whose latents mean something else; encode the pictures under "
            "this run, or name the run that they are of"
        )
    model = integer_model(load(path, recipe)).double()
    z = _checked_latents(file, arrays["z"], tuple(model.model.base.event_shape))
    with torch.inference_mode():
        x = torch.cat([model.decode(part) for part in torch.from_numpy(z).split(CHUNK)])
    names = tuple(str(name) for name in arrays["files"].ravel()) if "files" in arrays else ()
    if len(names) != len(x):
        names = tuple(f"{i + 1:05d}" for i in range(len(x)))
    return x.numpy(), names, model.levels


def check_folder(path: Path) -> None:
    """Refuse a place where no folder of pictures can be written, before anything is computed."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        what = "a file" if path.is_file() else "a folder with something in it"
        raise InputError(
            f"{path}: expected a new or an empty folder, got {what}; nothing in it was touched: name another"
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: expected an existing folder, found none at {path.parent}; create it first")


def write_folder(path: Path, pictures: Integers, names: tuple[str, ...], levels: int) -> None:
    """Write each picture as a PNG of its name into a new folder, which appears whole or not at all."""
    check_folder(path)
    growing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        growing.mkdir()
        for name, picture in zip(_file_names(names), pictures, strict=True):
            write_picture(growing / f"{name}.png", picture, levels)
        growing.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}; check free space and permissions") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def encode_rows(path: Path, file: Path, *, recipe: Path | None = None) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The latents of each row of a table: (columns, rows), the columns z1, z2, … behind those of the context, in the rows' order.

    Raises DataError for a bad table, InputError for a run whose model has no latents.
    """
    loaded = load(path, recipe)
    model = _row_model(loaded)
    rows = read_rows(loaded.record, file)
    x = torch.from_numpy(rows.x).reshape(-1, *loaded.schema.event_shape)
    context = None if rows.context is None else torch.from_numpy(rows.context)
    with torch.inference_mode():
        z = model.encode(x, context).flatten(1).numpy()
    given = context_columns(loaded.record)
    return (*given, *_latent_columns(model)), z if rows.context is None else np.concatenate([rows.context, z], 1)


def decode_rows(path: Path, file: Path, *, recipe: Path | None = None) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The rows of a table of latents z1, z2, … (and of the context, for a conditional run): (columns, rows), in their order.

    Raises DataError for a bad table, InputError for a run whose model has no latents.
    """
    loaded = load(path, recipe)
    model = _row_model(loaded)
    given = context_columns(loaded.record)
    values = torch.from_numpy(read_table(file, columns=[*given, *_latent_columns(model)]).values)
    context = values[:, : len(given)] if given else None
    z = values[:, len(given) :].reshape(-1, *model.base.event_shape)
    with torch.inference_mode():
        x = model.decode(z, context).flatten(1)
    return (*given, *loaded.schema.columns), (x if context is None else torch.cat([context, x], 1)).numpy()


def _row_model(loaded: Loaded) -> LatentModel | LatentEstimateModel:
    if not isinstance(loaded.model, LatentModel | LatentEstimateModel):
        raise InputError(f"{loaded.record.path}: expected a model with latents, got {type(loaded.model).__name__}")
    return loaded.model.double()


def _latent_columns(model: LatentModel | LatentEstimateModel) -> tuple[str, ...]:
    return tuple(f"z{i + 1}" for i in range(int(np.prod(model.base.event_shape))))


def _checked_latents(file: Path, z: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if z.dtype.kind not in "iuf" or z.shape[1:] != shape or not len(z):
        raise DataError(
            f"{file} (z): expected numbers of shape (n, {', '.join(map(str, shape))}), got {z.dtype} {z.shape}"
        )
    bad = ~np.isfinite(z).reshape(len(z), -1).all(1)
    if bad.any():
        raise DataError(f"{file} (z): expected finite latents, got others in row {int(bad.argmax()) + 1}; leave it out")
    return z.astype(np.float64)


def _mark(run: Path) -> str:
    """What tells one model's weights from another's."""
    return hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()[:16]


def _file_names(names: tuple[str, ...]) -> list[str]:
    """Names as files of their own may have them: no folders, nothing hidden, none twice."""
    taken: set[str] = set()
    found = []
    for name in names:
        stem = re.sub(r"[^\w.-]+", "-", Path(name).stem).strip("-.") or "picture"
        free = next(c for c in (stem, *(f"{stem}-{i}" for i in range(2, len(names) + 2))) if c not in taken)
        taken.add(free)
        found.append(free)
    return found
