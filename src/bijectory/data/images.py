"""Data sets of pictures as splits: stored integers, uint8, (rows, channels, height, width).

The files lie in a data folder that the person names (--data or BIJECTORY_DATA); none comes with the package. Every set keeps the
test rows of its makers; the rows for choosing weights are held out of the training rows, chosen by the seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError, MissingExtraError
from ..numerics.seeds import seed_for
from .archives import find_file, read_npz
from .pickles import read_pickled_arrays
from .splits import Rows, Splits, hold_out

#: An 8-bit file has this many values a channel.
BYTE_LEVELS = 1 << 8

CELEBA_REMEDY = (
    "fetch img_align_celeba.zip and list_eval_partition.txt by hand from the Google Drive of "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (its agreement forbids passing them on), put both into one folder and run "
    "`python -m bijectory.data.celeba img_align_celeba.zip OUT.npz`; or put the course's hw2_q2.pkl into the data folder"
)


def celeba32_splits(
    folder: Path | None, seed: int, *, bits: int = 2, rows: int | None = None, validation: int = 1_000
) -> Splits:
    """Faces of 32×32 pixels with ``bits`` bits a channel: x (rows, 3, 32, 32) uint8 in 0..2^bits-1, no labels.

    Reads celeba32_{bits}bit.npz from the data folder (arrays train and test, (rows, 32, 32, 3); `bijectory.data.celeba` makes one
    from the official archive) or, for 2 bits, the file of the CS294-158 homework, hw2_q2.pkl. ``validation`` training rows, chosen
    by the seed, are held out. With ``rows``, only the first so many of train and test (a fifth held out at most).

    Raises:
        DataError: no folder, no such file (says how to get it), a damaged one, or values past the depth.
    """
    if not 1 <= bits <= 8:
        raise DataError(f"bits: expected 1 to 8 a channel, got {bits}; 2 is the homework's")
    names = [f"celeba32_{bits}bit.npz"] + (["hw2_q2.pkl"] if bits == 2 else [])
    path = find_file(folder, names, CELEBA_REMEDY)
    arrays = (
        read_npz(path, ("train", "test")) if path.suffix == ".npz" else read_pickled_arrays(path, ("train", "test"))
    )
    for key, x in arrays.items():
        if x.shape[1:] != (32, 32, 3):
            raise DataError(
                f"{path} ({key}): expected faces of shape (rows, 32, 32, 3), got {x.shape}; this is another file"
            )
    return _splits(path, "celeba32", arrays["train"], arrays["test"], None, None, 1 << bits, seed, validation, rows)


def npz_splits(
    path: Path,
    seed: int,
    *,
    levels: int = BYTE_LEVELS,
    train: str = "train",
    test: str | None = "test",
    labels: tuple[str, str] | None = None,
    channels_last: bool = True,
    validation: int = 1_000,
    rows: int | None = None,
    name: str | None = None,
) -> Splits:
    """Pictures of one's own NPZ file: arrays of integers 0..levels-1, (rows, height, width) or (rows, height, width, channels).

    ``train``, ``test`` and ``labels`` (one name for each of the two) say what the arrays are called; with ``test=None`` a fifth of
    the rows, chosen by the seed, is the test split. ``channels_last=False`` reads (rows, channels, height, width).

    Raises:
        DataError: no such file or array, a damaged one, other shapes, or values past the levels.
    """
    keys = [train, *([] if test is None else [test]), *(labels or ())]
    if test is None and labels is not None:
        raise DataError("labels: expected names for train and test, but test is None; leave the labels out")
    arrays = read_npz(path, keys)
    label_train, label_test = (None, None) if labels is None else (arrays[labels[0]], arrays[labels[1]])
    x_train = arrays[train]
    if test is None:
        order = np.random.default_rng(seed_for(seed, "npz_test")).permutation(len(x_train))
        fifth = max(1, len(order) // 5)
        x_train, x_test = x_train[order[fifth:]], x_train[order[:fifth]]
    else:
        x_test = arrays[test]
    return _splits(
        path, name or path.stem, x_train, x_test, label_train, label_test, levels, seed, validation, rows, channels_last
    )


def digits_splits(seed: int, *, rows: int | None = None) -> Splits:
    """scikit-learn's 1,797 digits of 8×8 pixels: x (rows, 1, 8, 8) uint8 in 0..16 (17 levels), labels 0..9; no file is needed.

    Shuffled by the seed, then 70 % to train, 10 % to choose weights by, 20 % to test. With ``rows``, only as many, split likewise.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("the digits come with scikit-learn: pip install 'bijectory[digits]'") from error
    found = load_digits()
    x = torch.from_numpy(found.images.astype(np.uint8)).unsqueeze(1)
    y = torch.from_numpy(found.target.astype(np.int64))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed_for(seed, "digits")))[:rows]
    test, validation = round(0.2 * len(order)), round(0.1 * len(order))
    parts = order[test + validation :], order[test : test + validation], order[:test]
    split = [Rows(x[part], None, y[part]) for part in parts]
    return Splits(split[0], split[1], split[2], (), "digits", levels=17)


def _splits(
    path: Path,
    name: str,
    train: NDArray[Any],
    test: NDArray[Any],
    train_labels: NDArray[Any] | None,
    test_labels: NDArray[Any] | None,
    levels: int,
    seed: int,
    validation: int,
    rows: int | None,
    channels_last: bool = True,
) -> Splits:
    if rows is not None and rows < 2:
        raise DataError(f"rows: expected at least 2, one to train and one to choose weights by, got {rows}")
    if validation < 1:
        raise DataError(f"validation: expected at least one row held out, got {validation}")
    all_train = _rows(
        path, "train", train[:rows], None if train_labels is None else train_labels[:rows], levels, channels_last
    )
    all_test = _rows(
        path, "test", test[:rows], None if test_labels is None else test_labels[:rows], levels, channels_last
    )
    if len(all_train) < 2:
        raise DataError(f"{path}: expected at least 2 training pictures, got {len(all_train)}; one is held out")
    if all_train.x.shape[1:] != all_test.x.shape[1:]:
        raise DataError(
            f"{path}: expected test pictures of {tuple(all_train.x.shape[1:])}, as in train, got {tuple(all_test.x.shape[1:])}"
        )
    # A small file or a small part of one: held out is a fifth at most, so that most rows train.
    held = min(validation, max(1, len(all_train) // 5))
    kept, chosen = hold_out(all_train, held / len(all_train), seed)
    return Splits(kept, chosen, all_test, (), name, levels=levels)


def _rows(
    path: Path, what: str, x: NDArray[Any], labels: NDArray[Any] | None, levels: int, channels_last: bool
) -> Rows:
    if x.dtype.kind not in "iu":
        raise DataError(
            f"{path} ({what}): expected integers 0..{levels - 1}, got {x.dtype}; save uint8, the values before any scaling"
        )
    if x.ndim not in (3, 4):
        raise DataError(
            f"{path} ({what}): expected (rows, height, width) or (rows, height, width, channels), got shape {x.shape}"
        )
    if not 2 <= levels <= BYTE_LEVELS:
        raise DataError(f"levels: expected 2 to {BYTE_LEVELS}, got {levels}; pictures are stored in one byte a value")
    if len(x) and (int(x.min()) < 0 or int(x.max()) >= levels):
        # Before the cast to one byte, in which a value past it would wrap into the range unseen.
        row = int(np.argwhere((x < 0) | (x >= levels))[0][0])
        raise DataError(
            f"{path} ({what}): expected integers 0..{levels - 1}, got values {x.min()}..{x.max()}, first in row {row + 1}; "
            "give the right number of levels, or quantise the values"
        )
    if x.ndim == 3:
        x = x[:, None]
    elif channels_last:
        x = x.transpose(0, 3, 1, 2)
    if labels is not None and (labels.shape != (len(x),) or labels.dtype.kind not in "iu"):
        raise DataError(
            f"{path} ({what}): expected {len(x)} integer labels, got {labels.dtype} of shape {labels.shape}; save one a picture"
        )
    # Copied always: torch warns of an array that may not be written to, which is what the pickle's reader gives.
    pictures = torch.from_numpy(np.array(x, dtype=np.uint8, order="C"))
    return Rows(pictures, None, None if labels is None else torch.from_numpy(labels.astype(np.int64)))
