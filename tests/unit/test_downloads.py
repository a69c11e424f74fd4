"""A download is whole and checked or not there; one that broke goes on where it stopped. Against a server of our own."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bijectory.data import downloads, mnist
from bijectory.data.downloads import digest, fetch
from bijectory.data.mnist import build_mnist, mnist_splits, read_idx
from bijectory.errors import DataError

BODY = np.random.default_rng(0).bytes(300_000)
SHA256, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; writes down each (path, Range) asked for. Its habits are attributes that a test sets."""

    daemon_threads = True
    ranges = True  # whether it knows range requests
    lengths = True  # whether it says how long an answer is
    breaks = 0  # how many answers it cuts short …
    after = 100_000  # … after so many bytes
    status = 0  # answers this instead, ``fails`` times
    fails = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file": BODY}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.server.fails:
            self.server.fails -= 1
            return self.send_error(self.server.status)
        if self.path not in self.server.files:
            return self.send_error(404)
        body = self.server.files[self.path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            self.wfile.write(body[start : start + self.server.after])
            return None
        self.wfile.write(body[start:])
        return None

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    assert fetch(f"{server.address}/file", path, sha256=SHA256) == path
    assert path.read_bytes() == BODY and os.listdir(path.parent) == ["file"]
    fetch(f"{server.address}/file", path, md5=MD5.upper())
    assert len(server.asked) == 1
    assert (digest(path), digest(path, "md5")) == (SHA256, MD5)


def test_a_broken_connection_is_opened_again_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.asked == [("/file", None), ("/file", "bytes=100000-"), ("/file", "bytes=200000-")]


def test_the_next_call_goes_on_from_the_part(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    with pytest.raises(DataError, match=r"the connection broke, in 2 attempts; 200,000 bytes are kept in .*file\.part"):
        fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256, attempts=2)
    assert os.listdir(tmp_path) == ["file.part"] and (tmp_path / "file.part").read_bytes() == BODY[:200_000]
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY and server.asked[-1] == ("/file", "bytes=200000-")


def test_a_server_without_ranges_sends_the_file_anew(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = 1, False
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_server_that_does_not_say_how_long(server: Server, tmp_path: Path) -> None:
    server.lengths = False
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize(("part", "attempts"), [(BODY, 1), (BODY + b"more", 2)])
def test_a_part_that_is_whole_already_or_too_long(server: Server, tmp_path: Path, part: bytes, attempts: int) -> None:
    (tmp_path / "file.part").write_bytes(part)
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == BODY and len(server.asked) == attempts


def test_a_part_of_another_file_is_deleted_and_the_next_call_succeeds(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(bytes(1000))
    with pytest.raises(DataError, match=f"expected the sha256 {SHA256}, got .* what arrived was deleted"):
        fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert os.listdir(tmp_path) == []
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_checksum_that_differs(server: Server, tmp_path: Path, kind: str) -> None:
    wrong = {"sha256": "0" * 64, "md5": "0" * 32}
    with pytest.raises(DataError, match=f"expected the {kind} 000"):
        fetch(f"{server.address}/file", tmp_path / "file", **{kind: wrong[kind]})
    assert os.listdir(tmp_path) == []


def test_another_file_in_its_place_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(DataError, match="it is another file"):
        fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == b"mine" and server.asked == []


def test_no_such_file_and_a_server_in_trouble(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answers 404 Not Found"):
        fetch(f"{server.address}/none", tmp_path / "file", sha256=SHA256)
    assert len(server.asked) == 1
    server.status, server.fails = 503, 2
    fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    server.fails = 3
    with pytest.raises(DataError, match=r"the server answers 503.*in 3 attempts; 0 bytes"):
        fetch(f"{server.address}/file", tmp_path / "other", sha256=SHA256)


def test_no_network(server: Server, tmp_path: Path) -> None:
    server.server_close()  # the port is ours no longer, and nobody listens
    with pytest.raises(DataError, match=r"refused.*Check the network"):
        fetch(f"{server.address}/file", tmp_path / "file", sha256=SHA256)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_refuses(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        fetch(f"{server.address}/file", tmp_path / "taken" / "file", sha256=SHA256)


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("http://x/f", {}, "sha256: expected the checksum"),
        ("http://x/f", {"sha256": "abc"}, "64 hexadecimal digits"),
        ("http://x/f", {"md5": "g" * 32}, "32 hexadecimal digits"),
        ("file:///etc/passwd", {"sha256": SHA256}, "expected an address"),
        ("http://x/f", {"sha256": SHA256, "attempts": 0}, "attempts"),
    ],
)
def test_arguments_are_refused(tmp_path: Path, url: str, options: dict[str, object], why: str) -> None:
    with pytest.raises(DataError, match=why):
        fetch(url, tmp_path / "file", **options)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


# ── MNIST ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def idx(array: np.ndarray) -> bytes:
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    # Without a time of its own: two workers of pytest would else collect tests of other names.
    return gzip.compress(head + array.tobytes(), mtime=0)


def offered(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A small MNIST on our server, its checksums in place of the official ones."""
    draws = np.random.default_rng(0)
    arrays = {
        "x_train": draws.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "y_train": draws.integers(0, 10, 10, dtype=np.uint8),
        "x_test": draws.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "y_test": draws.integers(0, 10, 4, dtype=np.uint8),
    }
    sums = {}
    for key, name in mnist.FILES.items():
        data = idx(arrays[key])
        server.files[f"/{name}"], sums[key] = data, hashlib.md5(data).hexdigest()
    monkeypatch.setitem(mnist.MD5, "mnist", sums)
    monkeypatch.setitem(mnist.ADDRESSES, "mnist", f"{server.address}/")
    return arrays


def test_mnist_is_fetched_built_and_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = offered(server, monkeypatch)
    assert downloads.main(["mnist", str(tmp_path)]) == 0
    assert str(tmp_path / "mnist.npz") in capsys.readouterr().out
    with np.load(tmp_path / "mnist.npz") as found:
        assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    splits = mnist_splits(tmp_path, 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 2, 4)
    build_mnist(tmp_path)
    assert len(server.asked) == 4


def test_a_changed_mnist_is_refused_and_nothing_is_built(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered(server, monkeypatch)
    server.files["/t10k-images-idx3-ubyte.gz"] = idx(np.zeros((4, 28, 28), np.uint8))
    assert downloads.main(["mnist", str(tmp_path)]) == 2
    assert "expected the md5" in capsys.readouterr().err and not (tmp_path / "mnist.npz").exists()
    with pytest.raises(DataError, match="name: expected mnist or fashion_mnist"):
        build_mnist(tmp_path, "kmnist")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "nothing"),
        (b"junk", "damaged"),
        (gzip.compress(b"\x00\x00\x0d\x01" + bytes(8), mtime=0), "expected an IDX file of bytes"),
        (gzip.compress(b"\x00\x00\x08\x01\x00", mtime=0), "damaged"),
        (idx(np.zeros(9, np.uint8))[:-9], "damaged"),
        (gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05" + bytes(4), mtime=0), "expected 5 bytes .* got 4"),
        (gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05" + bytes(9), mtime=0), "got more"),
    ],
)
def test_a_bad_idx_file(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.gz").write_bytes(data)
    with pytest.raises(DataError, match=why):
        read_idx(tmp_path / "a.gz")
