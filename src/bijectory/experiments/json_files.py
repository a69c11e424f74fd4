"""JSON of a run directory: whole or not at all, without NaN, and bounded in size and depth when it is read."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import NonFiniteError, RunError, RunIncompleteError
from ..training.checkpoint import write_bytes

JSON_BYTES = 16 * 2**20


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN becomes an error, since no other reader accepts it."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError as error:
        raise NonFiniteError(f"{path}: {_where_nan(value)} is not finite; nothing was written") from error
    write_bytes(path, (text + "\n").encode())


def without_nan(value: Any) -> Any:
    """The same with null where a number is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: without_nan(item) for name, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _where_nan(value: Any, at: str = "the value") -> str:
    """Where in ``value`` its first number stands that is not finite: scores.0.value."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in parts:
        path = f"{name}" if at == "the value" else f"{at}.{name}"
        if isinstance(item, float) and not math.isfinite(item):
            return path
        if (found := _where_nan(item, path)) != path:
            return found
    return at


def bounded(path: Path, limit: int, remedy: str) -> bytes:
    """A regular file's bytes, if they are not too many: a pipe would be waited for without end."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise RunIncompleteError(f"{path}: expected a regular file; {remedy}")
    if facts.st_size > limit:
        raise RunIncompleteError(f"{path}: expected at most {limit} bytes, got {facts.st_size}; {remedy}")
    return path.read_bytes()


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON, or say what is wrong with it. A file of more than 16 MiB, or nested without end, is none of ours."""
    try:
        return json.loads(bounded(path, JSON_BYTES, remedy).decode())
    except FileNotFoundError:
        raise RunIncompleteError(f"{path}: expected this file, found none; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise RunIncompleteError(f"{path}: is not JSON ({error}); {remedy}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
