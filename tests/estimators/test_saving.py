"""Estimators on the disk: the same numbers again, nothing that runs, and damage that is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from bijectory import FlowAnomaly, FlowDensity, FlowRegressor
from bijectory.errors import CheckpointError, InputError

RNG = np.random.default_rng(0)
X = {"a": RNG.normal(size=80), "town": RNG.choice(["Oslo", "Rome"], 80), "n": RNG.integers(0, 9, 80).astype(float)}
Y = X["a"] + RNG.normal(size=80)


def fitted(kind: Any) -> Any:
    return kind(max_steps=4, random_state=0, kinds={"n": "real"}).fit(X, Y)


@pytest.mark.parametrize(
    ("kind", "asked"), [(FlowDensity, "score_samples"), (FlowAnomaly, "predict"), (FlowRegressor, "predict")]
)
def test_what_was_saved_is_loaded(kind: Any, asked: str, tmp_path: Path) -> None:
    before = fitted(kind)
    before.save(tmp_path / "e.safetensors")
    after = kind.load(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(getattr(before, asked)(X), getattr(after, asked)(X))
    assert before.get_params() == after.get_params()
    assert before.kinds_ == after.kinds_
    assert list(before.feature_names_in_) == list(after.feature_names_in_)
    after.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "e.safetensors").read_bytes()


def test_the_file_is_tensors_and_json(tmp_path: Path) -> None:
    fitted(FlowDensity).save(tmp_path / "e.safetensors")
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        record = json.loads(file.metadata()["record"])
    assert record["estimator"] == "FlowDensity"
    assert record["params"]["kinds"] == {"n": "real"}


def test_another_estimators_file_is_refused(tmp_path: Path) -> None:
    fitted(FlowDensity).save(tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match="expected a saved FlowRegressor, got FlowDensity"):
        FlowRegressor.load(tmp_path / "e.safetensors")


def test_damage_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    fitted(FlowDensity).save(path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="checksum"):
        FlowDensity.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FlowDensity.load(path)


def test_a_model_that_says_other_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bijectory.models import table_heads

    fitted(FlowDensity).save(tmp_path / "e.safetensors")
    monkeypatch.setattr(table_heads, "SCALE_MIDDLE", table_heads.SCALE_MIDDLE + 0.01)
    with pytest.raises(CheckpointError, match="other log densities than when it was saved"):
        FlowDensity.load(tmp_path / "e.safetensors")


def test_parameters_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    density = FlowDensity(max_steps=2, random_state=np.random.RandomState(0)).fit(X)
    with pytest.raises(InputError, match="random_state: expected a number, a text or None"):
        density.save(tmp_path / "e.safetensors")
    assert not list(tmp_path.iterdir())


def test_nothing_is_saved_before_fit(tmp_path: Path) -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        FlowDensity().save(tmp_path / "e.safetensors")
