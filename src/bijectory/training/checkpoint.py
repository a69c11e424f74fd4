"""Tensors on disk: one file, written whole or not at all, that knows its own checksum."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..errors import CheckpointError, RunError

FORMAT = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def digest(tensors: Mapping[str, Tensor], record: str) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, and over the record beside them."""
    total = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"\x1f{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any] | None = None) -> None:
    """Write tensors and a small JSON record to ``path`` (safetensors); a reader sees the old file or the new one, never a part."""
    text = json.dumps(dict(record or {}), sort_keys=True)
    clean = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"bijectory": str(FORMAT), "record": text, "sha256": digest(clean, text)}
    write_bytes(path, _ordered(to_bytes(clean, metadata)))


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its metadata in the order of their names: as written they stand in one that changes from process
    to process, and two runs of one seed would leave the same numbers in different files."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks that the numbers begin at a multiple of 8
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[8 + size :]))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary file beside it, flushed to the disk, renamed over the old one."""
    # A name of this process's own, opened like any file: a temporary file of the tempfile module would be readable by nobody else.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        # A folder that became read-only, or no folder, refuses this too; the error above says more than this one would.
        with contextlib.suppress(OSError):
            temporary.unlink()


def unwritten(path: Path, error: OSError) -> RunError:
    """What to tell a person whose file could not be written: why, that nothing was lost, and what to do."""
    if error.errno in _NO_ROOM:
        remedy = "there is no room for it: free some"
    elif error.errno in _FORBIDDEN:
        remedy = f"{path.parent} may not be written: make it writable"
    elif error.errno in _GONE:
        remedy = f"{path.parent} is gone: put it back"
    else:
        remedy = "check that the folder exists, may be written, and has room"
    return RunError(f"{path}: cannot be written ({error.strerror}); what was there is untouched; {remedy}")


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can forget the rename although the file's bytes are safe.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and record of a file that ``write_tensors`` made, verified against its checksum.

    Raises CheckpointError where the file is truncated, altered, or none of ours; no code that came with it runs.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected a checkpoint, found no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}); the file is truncated or altered"
        ) from error
    if metadata.get("bijectory") != str(FORMAT):
        raise CheckpointError(
            f"{path}: expected a file of bijectory's format {FORMAT}, got {metadata.get('bijectory', 'none')}"
        )
    text = metadata.get("record", "")
    if digest(tensors, text) != metadata.get("sha256"):
        raise CheckpointError(
            f"{path}: the checksum does not match what the file holds; it was altered after it was written"
        )
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the record beside its tensors is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: expected a JSON object beside its tensors, got {type(record).__name__}")
    return tensors, record


def unsound(tensors: Mapping[str, Tensor]) -> str | None:
    """Which tensor of a state holds numbers that are not finite, and how many; None where all are sound.

    Looks at everything below ``update.`` (weights, moments, averages) and at the weights that an evaluator kept. Sums of terms may be NaN,
    where a step was lost, and a best score is infinite before the first look. A constant of a model that is infinite on purpose is
    registered with ``persistent=False`` and stands in no state.
    """
    for name, tensor in tensors.items():
        trained = name.startswith("update.") or (name.startswith("evaluator.") and ".kept." in name)
        if trained and tensor.is_floating_point() and (bad := int((~torch.isfinite(tensor)).sum())):
            return f"{name} holds {bad} of {tensor.numel()} numbers that are not finite"
    return None
