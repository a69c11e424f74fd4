"""A run written by the first version of the format must load for ever, with the same numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bijectory.experiments.use import load, sample

RUN = Path(__file__).parent / "run_format_1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_the_golden_run_loads_and_says_what_it_said(run: Path) -> None:
    loaded = load(run)
    stored = {(s["name"], s["split"]): s["value"] for s in json.loads((run / "result.json").read_text())["scores"]}
    x = loaded.splits().test.x.double()
    with torch.no_grad():
        nats = -loaded.model.log_prob(x).mean().item()  # type: ignore[operator]
    assert nats == pytest.approx(stored["nats", "test"], rel=1e-9)


def test_its_state_is_whole_and_it_can_be_sampled(run: Path) -> None:
    state, fault = load(run).record.load_state()
    assert fault is None
    assert state is not None
    assert int(state["step"]) == 20
    columns, rows = sample(run, 4, seed=1)
    assert columns == ("x1", "x2")
    assert rows.shape == (4, 2)
