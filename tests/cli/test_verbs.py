"""Each verb as a person uses it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bijectory.experiments.use import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def read(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    return header, np.array(rows, dtype=float)


def test_list_and_show(command: Command) -> None:
    assert "smiley_mixture_cdf" in command("list").stdout
    shown = command("show", "smiley_realnvp").stdout
    assert "depth" in shown
    assert "1.3939" in shown


def test_evaluate_json_is_the_result_and_nothing_else(command: Command, finished: Path) -> None:
    done = command("evaluate", finished, "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout) == json.loads((finished / "result.json").read_text())


def test_evaluate_prints_unit_and_kind(command: Command, finished: Path) -> None:
    lines = command("evaluate", finished).stdout.splitlines()
    assert any("bits/dim" in line and line.endswith("exact") for line in lines)


def test_sample_then_score_in_order(command: Command, finished: Path, tmp_path: Path) -> None:
    assert command("sample", finished, "-n", 40, "-o", tmp_path / "new.csv", "--seed", 3).returncode == 0
    columns, rows = read(tmp_path / "new.csv")
    assert columns == ["x1", "x2"]
    assert rows.shape == (40, 2)
    assert command("score", finished, tmp_path / "new.csv", "-o", tmp_path / "s.npz").returncode == 0
    with np.load(tmp_path / "s.npz") as file:
        assert file["columns"].tolist() == ["log_prob"]
        scored = file["x"][:, 0]
    model = load(finished).model
    expected = model.log_prob(torch.from_numpy(rows)).detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(scored, expected, rtol=1e-12)


def test_sample_is_the_same_for_the_same_seed(command: Command, finished: Path) -> None:
    first, again, other = (command("sample", finished, "-n", 5, "--seed", seed).stdout for seed in (1, 1, 2))
    assert first == again != other
    assert len(first.splitlines()) == 6


def test_score_takes_columns_by_name(command: Command, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text("x1,x2\n1.5,2.5\n0.0,-1.0\n")
    (tmp_path / "mixed.csv").write_text("note,x2,x1\n7,2.5,1.5\n8,-1.0,0.0\n")
    plain, mixed = (
        command("score", finished, tmp_path / "plain.csv"),
        command("score", finished, tmp_path / "mixed.csv"),
    )
    assert plain.stdout == mixed.stdout
    assert len(plain.stdout.splitlines()) == 3
    assert "note" in mixed.stderr


def test_verify_passes_and_says_so(command: Command, finished: Path) -> None:
    done = command("verify", finished, "--json")
    assert done.returncode == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert checks
    assert all(check["passed"] for check in checks)
    assert json.loads((finished / "verify.json").read_text())["checks"] == checks


def test_a_pipe_that_closes_early_is_quiet(finished: Path) -> None:
    text = f"{sys.executable} -m bijectory sample {finished} -n 20000 | head -1"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "x1,x2"
    assert done.stderr == ""


def test_training_is_quiet_where_nobody_looks(command: Command, tmp_path: Path) -> None:
    done = command("train", "smiley_mixture_cdf", "smoke=true", "--run", tmp_path / "r")
    assert done.returncode == 0
    assert done.stderr == ""


def test_default_run_names_do_not_collide(command: Command, tmp_path: Path) -> None:
    for name in ("smiley_mixture_cdf", "smiley_mixture_cdf-2"):
        done = command("train", "smiley_mixture_cdf", "smoke=true", cwd=tmp_path)
        assert f"runs/{name}:" in done.stdout


def test_a_recipe_of_ones_own(command: Command, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from bijectory.recipes.smiley_realnvp import smiley_realnvp\n"
        "def mine(*, width: int = 8):\n"
        "    'A narrow one.'\n"
        "    return smiley_realnvp(hidden=(width,), smoke=True)\n"
    )
    run = tmp_path / "run"
    done = command("train", mine, "width=4", "--run", run)
    assert done.returncode == 0, done.stderr
    refused = command("evaluate", run)
    assert refused.returncode == 2
    assert "--recipe" in refused.stderr
    assert command("evaluate", run, "--recipe", mine).returncode == 0
