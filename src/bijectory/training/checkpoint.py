"""Tensors on disk: one file, written whole or not at all, that knows its own checksum."""

from __future__ import annotations

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
    write_bytes(path, to_bytes(clean, metadata))


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
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written ({error.strerror}); what was there is untouched; check that the folder exists, may be "
            "written, and has room"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    record: dict[str, Any] = json.loads(text)
    return tensors, record
