"""Whether a person's file is the one that a run was made with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import DataError


def fingerprint(path: Path) -> str:
    """A checksum of a file's content; of a folder, of its files' names and lengths, hidden ones aside.

    Raises:
        DataError: nothing of that name, or it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.csv").write_text("x\\n1\\n")
        ...     fingerprint(Path(folder) / "a.csv")[:8]
        '5b1465f7'
    """
    found = hashlib.blake2b(digest_size=16)
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith((".", "_")))
            for file in files:
                found.update(f"{file.relative_to(path).as_posix()}\x1f{file.stat().st_size}\x1e".encode())
        else:
            with path.open("rb") as content:
                while chunk := content.read(1 << 20):
                    found.update(chunk)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; check the path and its permissions") from error
    return found.hexdigest()
