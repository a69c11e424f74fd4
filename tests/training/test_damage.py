"""A byte flipped or a file cut anywhere in a run: detected, or harmless and proved so. Never a wrong weight loaded silently."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bijectory.errors import BijectoryError
from bijectory.experiments.run import train
from bijectory.experiments.use import load


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(
        "smiley_mixture_cdf",
        assignments=["smoke=true", "components=3", "hidden=8"],
        run=tmp_path_factory.mktemp("damage") / "run",
    )


def weights(run: Path) -> dict[str, Tensor]:
    return dict(load(run).model.state_dict())


def state(run: Path) -> dict[str, Tensor]:
    tensors, _ = load(run).record.load_state()
    assert tensors is not None
    return tensors


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)


def damage(run: Path, seed: int) -> str:
    """Flip a byte of one file, or cut the file, at a random place; files are drawn by their size, small ones not forgotten."""
    moment = random.Random(seed)
    files = sorted(
        path for path in run.rglob("*") if path.is_file() and path.suffix in (".safetensors", ".json", ".py")
    )
    path = moment.choices(files, [path.stat().st_size ** 0.5 for path in files])[0]
    data = bytearray(path.read_bytes())
    place = moment.randrange(len(data))
    if moment.random() < 0.3:
        del data[place:]
    else:
        data[place] ^= 1 << moment.randrange(8)
    path.write_bytes(bytes(data))
    return f"{path.name} at {place} of {len(data)}"


def survives(whole: Path, copy: Path, seed: int) -> None:
    reference, running = weights(whole), state(whole)
    shutil.copytree(whole, copy)
    where = damage(copy, seed)
    try:
        got = weights(copy)
    except BijectoryError:
        got = None  # detected
    assert got is None or same(got, reference), where
    try:
        saved = None if got is None else state(copy)
    except BijectoryError:
        saved = None
    assert saved is None or same(saved, running), where


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_detected_or_harmless(whole: Path, tmp_path: Path, seed: int) -> None:
    survives(whole, tmp_path / "copy", seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60, 1060))
def test_much_damage(whole: Path, tmp_path: Path, seed: int) -> None:
    survives(whole, tmp_path / "copy", seed)


def test_the_check_can_fail(whole: Path, tmp_path: Path) -> None:
    """With its checksum made to fit, an altered weight passes the file's check, and the probe rows still catch it."""
    from bijectory.training.checkpoint import read_tensors, write_tensors

    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    tensors, record = read_tensors(copy / "weights.safetensors")
    name = next(name for name in tensors if name.endswith("bias"))
    tensors[name] = tensors[name] + 0.01
    write_tensors(copy / "weights.safetensors", tensors, record)
    with pytest.raises(BijectoryError, match="probe rows"):
        load(copy)
