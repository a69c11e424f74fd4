"""Files from their official addresses: resumed where they stopped, checked before use, there whole or not at all."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..errors import BijectoryError, DataError

#: Bytes read at a time, and the seconds without one after which a connection counts as dead.
CHUNK, PATIENCE = 1 << 16, 60.0


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    attempts: int = 3,
    quiet: bool = False,
    patience: float = PATIENCE,
) -> Path:
    """Fetch a file whose checksum is known; returns ``path``.

    What arrives is kept in PATH.part until it is whole and its checksum is right, then moved to PATH in one step: nobody ever reads
    half a file. A PATH.part that is there is continued with an HTTP range request, within ``attempts`` connections here and in the
    next call; a server that knows no ranges sends the file anew. A PATH with the right checksum is not fetched again; one with
    another is refused and left alone.

    Raises:
        DataError: no checksum given, no network, no such file on the server, or a checksum that differs: what arrived is then
            deleted, since going on from it could never end well.
    """
    kind, expected = _promised(sha256, md5)
    if not url.startswith(("https://", "http://")):
        raise DataError(f"url: expected an address that begins with https:// or http://, got {url!r}")
    if attempts < 1:
        raise DataError(f"attempts: expected at least 1, got {attempts}")
    if path.exists():
        found = digest(path, kind)
        if found != expected:
            raise DataError(
                f"{path}: expected the {kind} {expected}, got {found}; it is another file than {url}: move it away and fetch again"
            )
        return path
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _complete(url, part, attempts, quiet, patience)
        found = digest(part, kind)
        if found != expected:
            part.unlink()
            raise DataError(
                f"{url}: expected the {kind} {expected}, got {found}; what arrived was deleted: fetch again, and if it differs again, "
                "the file at that address has changed or somebody changes it on the way"
            )
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}; check free space and permissions") from error
    return path


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal: ``kind`` is 'sha256' or 'md5'."""
    # md5 finds damage, and is all that some makers publish; it is no proof against somebody who wants to deceive.
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _promised(sha256: str | None, md5: str | None) -> tuple[str, str]:
    for kind, value, length in (("sha256", sha256, 64), ("md5", md5, 32)):
        if value is not None:
            if len(value) != length or not set(value.lower()) <= set("0123456789abcdef"):
                raise DataError(f"{kind}: expected {length} hexadecimal digits, got {value!r}")
            return kind, value.lower()
    raise DataError("sha256: expected the checksum of the file, got none; nothing is used that cannot be checked")


def _complete(url: str, part: Path, attempts: int, quiet: bool, patience: float) -> None:
    """Bring ``part`` to its full length, from where it stands; a connection that breaks is opened again."""
    fault = "the connection broke"
    for _ in range(attempts):
        try:
            if _receive(url, part, quiet, patience):
                return
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and part.exists():
                    # The part is longer than the file, so it is no part of it (or it is whole: then the checksum passes).
                    if _length(error.headers.get("Content-Range")) == part.stat().st_size:
                        return
                    part.unlink()
                    fault = "the part that was there belonged to another file"
                    continue
                if error.code < 500 and error.code not in (408, 429):
                    raise DataError(
                        f"{url}: the server answers {error.code} {error.reason}; the file has moved: look for it on its maker's page"
                    ) from None
                fault = f"the server answers {error.code} {error.reason}"
        except urllib.error.URLError as error:
            fault = str(error.reason)
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            fault = str(error) or type(error).__name__
    kept = part.stat().st_size if part.exists() else 0
    raise DataError(
        f"{url}: {fault}, in {attempts} attempts; {kept:,} bytes are kept in {part}. Check the network and run the command again: it "
        "goes on from there; or fetch the file by hand"
    )


def _receive(url: str, part: Path, quiet: bool, patience: float) -> bool:
    """One connection's worth of the file; whether that was all of it."""
    have = part.stat().st_size if part.exists() else 0
    # Asked for as it is: a packed answer would have other bytes, and other ranges, than the file whose checksum is known.
    headers = {"User-Agent": "bijectory", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=patience) as answer:
        start, total = have, _length(answer.headers.get("Content-Range"))
        if answer.status != 206:  # the whole file, whatever was asked for
            start, total = 0, _length(answer.headers.get("Content-Length"))
        elif not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException(f"the server sent the range {answer.headers.get('Content-Range')!r}")
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            return _copy(answer, file, part.name.removesuffix(".part"), start, total, quiet)


def _copy(answer: IO[bytes], file: IO[bytes], name: str, start: int, total: int | None, quiet: bool) -> bool:
    from tqdm import tqdm

    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=quiet or None) as bar:
        done = start
        while chunk := _read(answer):
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    # http.client ends a read of so many bytes quietly where the connection broke: only the length tells.
    return total is None or done == total


def _read(answer: IO[bytes]) -> bytes:
    try:
        return answer.read(CHUNK)
    except OSError as error:
        # Told apart from the disk's faults, which no second connection mends.
        raise ConnectionError(str(error) or type(error).__name__) from error


def _length(field: str | None) -> int | None:
    """The file's length from Content-Length ('123') or Content-Range ('bytes 5-122/123'), where the server says it."""
    last = (field or "").rpartition("/")[2].strip()
    return int(last) if last.isdigit() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m bijectory.data.downloads NAME FOLDER`: fetch a data set into a data folder."""
    from .mnist import ADDRESSES, build_mnist

    parser = argparse.ArgumentParser(
        "python -m bijectory.data.downloads", description="Fetch a data set from its official address, and check it."
    )
    parser.add_argument("name", choices=sorted(ADDRESSES))
    parser.add_argument("folder", type=Path, help="the data folder, for --data or BIJECTORY_DATA afterwards")
    given = parser.parse_args(arguments)
    try:
        print(build_mnist(given.folder, given.name))
    except BijectoryError as error:
        print(f"bijectory: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
