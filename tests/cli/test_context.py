"""A conditional run on the command line: contexts come from a file, by name, in their own units."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bijectory.experiments.record import sealed
from bijectory.experiments.use import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = [f"c{i + 1}" for i in range(8)]


@pytest.fixture(scope="module")
def conditional(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "regression"
    done = command("train", "regression", "smoke=true", "--run", run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def contexts(tmp_path: Path) -> Path:
    rows = 100 + 10 * np.random.default_rng(0).normal(size=(3, 8))
    text = [
        ",".join(["note", *reversed(NAMES)]),
        *(",".join(map(str, [i, *reversed(row)])) for i, row in enumerate(rows)),
    ]
    path = tmp_path / "contexts.csv"
    path.write_text("\n".join(text) + "\n")
    return path


def read(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    return header, np.array(rows, dtype=float)


def test_the_settings_name_the_context(conditional: Path) -> None:
    settings = json.loads((conditional / "settings.json").read_text())
    assert settings["context_columns"] == NAMES and settings["context_dim"] == 8 and settings["columns"] == ["y"]


def test_sample_draws_for_every_row_and_score_takes_it_back(
    command: Command, conditional: Path, contexts: Path, tmp_path: Path
) -> None:
    done = command("sample", conditional, "--context", contexts, "-n", 4, "-o", tmp_path / "new.csv", "--seed", 1)
    assert done.returncode == 0, done.stderr
    columns, rows = read(tmp_path / "new.csv")
    given = read(contexts)[1][:, :0:-1]
    assert columns == [*NAMES, "y"] and rows.shape == (12, 9)
    np.testing.assert_array_equal(rows[:, :8], np.repeat(given, 4, axis=0))
    assert len(np.unique(rows[:, 8])) == 12
    scored = command("score", conditional, tmp_path / "new.csv", "-o", tmp_path / "scores.csv")
    assert scored.returncode == 0, scored.stderr
    model = load(conditional).model
    expected = model.log_prob(torch.from_numpy(rows[:, 8:]), torch.from_numpy(rows[:, :8])).detach()  # type: ignore[operator]
    np.testing.assert_allclose(read(tmp_path / "scores.csv")[1][:, 0], expected.numpy(), rtol=1e-12)


def test_one_draw_a_row_is_the_default(command: Command, conditional: Path, contexts: Path) -> None:
    lines = command("sample", conditional, "--context", contexts).stdout.splitlines()
    assert len(lines) == 4 and lines[0] == ",".join([*NAMES, "y"])


def test_samples_follow_their_own_context(command: Command, conditional: Path, contexts: Path, tmp_path: Path) -> None:
    command("sample", conditional, "--context", contexts, "-n", 2000, "-o", tmp_path / "many.csv")
    rows = read(tmp_path / "many.csv")[1]
    model = load(conditional).model
    for block in rows.reshape(3, 2000, 9):
        context = torch.from_numpy(block[:1, :8])
        direct = model.sample(4000, context[0], generator=torch.Generator().manual_seed(5))
        error = direct.std().item() / np.sqrt(2000) * np.sqrt(1.5)
        assert abs(block[:, 8].mean() - direct.mean().item()) < 4 * error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("c3", "d3"), ["'c3'", "d3"]),
        (lambda text: text.split("\n")[0] + "\n", ["row"]),
        (lambda text: "1,2,3,4,5,6,7,8\n", ["header", "c1, c2"]),
        (lambda text: text.replace("\n1,", "\n1,nan,").replace("note,", "note,c0,").replace("\n0,", "\n0,1,"), ["row"]),
    ],
    ids=["column", "no rows", "no header", "ragged"],
)
def test_bad_context_files(
    command: Command, conditional: Path, contexts: Path, change: Callable[[str], str], expected: list[str]
) -> None:
    contexts.write_text(change(contexts.read_text()))
    done = command("sample", conditional, "--context", contexts)
    assert done.returncode == 2 and done.stdout == ""
    assert all(word in done.stderr for word in ["contexts.csv", *expected]), done.stderr


def test_a_conditional_run_asks_for_its_context(command: Command, conditional: Path, tmp_path: Path) -> None:
    done = command("sample", conditional, "-n", 3)
    assert done.returncode == 2 and "--context" in done.stderr and "c1, c2" in done.stderr
    (tmp_path / "bare.csv").write_text("y\n1.0\n")
    done = command("score", conditional, tmp_path / "bare.csv")
    assert done.returncode == 2 and "'c1'" in done.stderr
    (tmp_path / "nameless.csv").write_text("1,2,3,4,5,6,7,8,9\n")
    done = command("score", conditional, tmp_path / "nameless.csv")
    assert done.returncode == 2 and "header" in done.stderr


def test_an_unconditional_run_takes_none(command: Command, finished: Path, contexts: Path) -> None:
    done = command("sample", finished, "--context", contexts)
    assert done.returncode == 2 and "not conditional" in done.stderr


def test_runs_of_before_names_still_load(command: Command, conditional: Path, contexts: Path, tmp_path: Path) -> None:
    import shutil

    old = Path(shutil.copytree(conditional, tmp_path / "old"))
    settings = json.loads((old / "settings.json").read_text())
    del settings["context_columns"]
    (old / "settings.json").write_text(json.dumps(sealed(settings)))
    done = command("sample", old, "--context", contexts)
    assert done.returncode == 0, done.stderr
    assert command("evaluate", old).returncode == 0


def test_scores_of_predictions_stand_in_the_result(command: Command, conditional: Path) -> None:
    result = json.loads((conditional / "result.json").read_text())
    names = {score["name"] for score in result["scores"] if score["split"] == "test"}
    assert {"nats", "crps", "coverage_50", "coverage_80", "coverage_90", "coverage_95"} <= names
    assert json.loads(command("evaluate", conditional, "--json").stdout) == result
