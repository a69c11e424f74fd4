"""MNIST and Fashion-MNIST: fetched from their official addresses, kept as one NPZ file, read as splits."""

from __future__ import annotations

import dataclasses
import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from .archives import find_file, read_npz, write_npz
from .downloads import fetch
from .images import npz_splits
from .splits import Splits

#: The four files of each set, in their makers' form, with the MD5 sums published beside them.
ADDRESSES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
MD5 = {
    "mnist": {
        "x_train": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "y_train": "d53e105ee54ea40749a09fcbcd1e9432",
        "x_test": "9fb629c4189551a2d022fa330f9573f3",
        "y_test": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion_mnist": {
        "x_train": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "y_train": "25c81989df183df01b3e8a0aad5dffbe",
        "x_test": "bef4ecab320f06d8554ea6380940ec79",
        "y_test": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}
#: What each set is called in words.
NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
#: The usual protocol of papers on likelihood: 50,000 rows to train, 10,000 to choose weights by, 10,000 to test.
VALIDATION = 10_000


def mnist_splits(folder: Path | None, seed: int, *, rows: int | None = None, validation: int = VALIDATION) -> Splits:
    """Handwritten digits: x (rows, 1, 28, 28) uint8 in 0..255 (256 levels), labels 0..9, the official split in its order.

    Reads mnist.npz (arrays x_train, y_train, x_test, y_test) from the data folder. ``validation`` training rows, chosen by the seed,
    are held out. With ``rows``, only the first so many of train and test (a fifth held out at most). ``elsewhere`` are the test pictures
    of Fashion-MNIST, in the same folder.
    Source: LeCun, Bottou, Bengio, Haffner, 1998.

    Raises:
        DataError: no folder, no such file (says how to get it) or a damaged one.
    """
    return _splits("mnist", folder, seed, rows, validation)


def fashion_mnist_splits(
    folder: Path | None, seed: int, *, rows: int | None = None, validation: int = VALIDATION
) -> Splits:
    """Pictures of clothes: x (rows, 1, 28, 28) uint8 in 0..255 (256 levels), labels 0..9, as `mnist_splits`.

    Reads fashion_mnist.npz from the data folder. Source: Xiao, Rasul, Vollgraf, 2017, arXiv 1708.07747.

    Raises:
        DataError: no folder, no such file (says how to get it) or a damaged one.
    """
    return _splits("fashion_mnist", folder, seed, rows, validation)


def _splits(name: str, folder: Path | None, seed: int, rows: int | None, validation: int) -> Splits:
    splits = npz_splits(
        _found(name, folder),
        seed,
        train="x_train",
        test="x_test",
        labels=("y_train", "y_test"),
        validation=validation,
        rows=rows,
        name=name,
    )
    others = {words: partial(_test_pictures, other, folder) for other, words in NAMES.items() if other != name}
    return dataclasses.replace(splits, elsewhere=others)


def _found(name: str, folder: Path | None) -> Path:
    return find_file(
        folder, [f"{name}.npz"], f"`python -m bijectory.data.downloads {name} FOLDER` fetches and builds it"
    )


def _test_pictures(name: str, folder: Path | None) -> Tensor:
    return torch.from_numpy(np.array(read_npz(_found(name, folder), ["x_test"])["x_test"]))[:, None]


def build_mnist(folder: Path, name: str = "mnist", *, address: str | None = None) -> Path:
    """Fetch the four official files into FOLDER/NAME and write FOLDER/NAME.npz; returns its path.

    A file that is there with the right checksum is not fetched again, an interrupted download goes on where it stopped.

    Raises:
        DataError: an unknown name, no network, a checksum that differs, a damaged file; says what to do.
    """
    if name not in ADDRESSES:
        raise DataError(f"name: expected {' or '.join(ADDRESSES)}, got {name!r}")
    kept = folder / name
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{kept}: cannot be made: {error}; name a folder that can be written to") from error
    for key, file in FILES.items():
        fetch((address or ADDRESSES[name]) + file, kept / file, md5=MD5[name][key])
    path = folder / f"{name}.npz"
    write_npz(path, {key: read_idx(kept / file) for key, file in FILES.items()})
    return path


def read_idx(path: Path) -> NDArray[Any]:
    """An array of bytes from MNIST's own form, gzipped: two zero bytes, the type 8, the number of axes, their lengths, the values.

    Raises:
        DataError: truncated, damaged, or of another type.
    """
    try:
        with gzip.open(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 4:
                raise DataError(f"{path}: expected an IDX file of bytes, got a beginning of {head.hex() or 'nothing'}")
            shape = struct.unpack(f">{head[3]}I", file.read(4 * head[3]))
            size = math.prod(shape)
            # One byte more than promised, no more: neither a longer file nor a bomb passes, and neither is unpacked whole.
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error, struct.error, OverflowError) as error:
        raise DataError(f"{path}: truncated or damaged ({error}); delete it and fetch it again") from error
    if len(data) != size:
        raise DataError(
            f"{path}: expected {size:,} bytes for shape {shape}, got {'more' if len(data) > size else len(data)}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
