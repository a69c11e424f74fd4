"""Every mistake gets one line that says what, where, expected, got, and what to do; exit code 2; nothing lost."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bijectory.experiments.record import sealed

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def refused(done: object, *words: str) -> None:
    code, out, err = done.returncode, done.stdout, done.stderr  # type: ignore[attr-defined]
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    message = err.strip().splitlines()[-1]
    assert all(word in message for word in words), (words, err)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], ["trian", "did you mean 'train'"]),
        (["train", "smiley_realnpv"], ["smiley_realnpv", "did you mean 'smiley_realnvp'"]),
        (["show", "nothing_like_it"], ["nothing_like_it", "smiley_realnvp"]),
        (["train", "smiley_realnvp", "detph=5"], ["detph", "depth"]),
        (["train", "smiley_realnvp", "depth=five"], ["depth", "five", "int"]),
        (["train", "smiley_realnvp", "depth=5.0"], ["depth", "5.0"]),
        (["train", "smiley_realnvp", "rate=nan"], ["rate", "nan"]),
        (["train", "smiley_realnvp", "depth"], ["depth", "="]),
        (["train", "./not_there.py"], ["not_there.py"]),
        (["train", "smiley_realnvp", "smoke=true", "--device", "cuda:9"], ["cuda:9", "cpu"]),
        (["train", "smiley_realnvp", "depth=0"], ["depth", "at least one"]),
        (["train", "smiley_realnvp", "hidden=0"], ["hidden"]),
        (["train", "smiley_realnvp", "rate=-1"], ["rate", "positive"]),
        (["train", "smiley_realnvp", "activation=foo"], ["activation", "foo", "relu"]),
        (["train", "smiley_mixture_cdf", "components=0"], ["components"]),
        (["evaluate", "."], ["settings.json", "one run"]),
        (["evaluate", "nowhere"], ["nowhere", "expected a run directory"]),
        (["verify", "nowhere"], ["nowhere"]),
        (["sample", "nowhere", "-o", "x.xls"], ["x.xls", ".csv"]),
        (["train", "smiley_realnvp", "--resume", "--run", "nowhere"], ["nowhere"]),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_mistakes_on_the_command_line(command: Command, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    refused(command(*words, cwd=tmp_path), *expected)
    assert list(tmp_path.iterdir()) == []


TABLES = {
    "nan": ("x1,x2\n1,2\n3,nan\n", ["row 2", "x2", "nan"]),
    "infinite": ("x1,x2\ninf,2\n", ["row 1", "x1"]),
    "text": ("x1,x2\n1,2\n3,four\n", ["row 2", "x2", "four"]),
    "ragged": ("x1,x2\n1,2\n3\n", ["row 2"]),
    "column": ("x1,y\n1,2\n", ["x2"]),
    "rows": ("x1,x2\n", ["row"]),
    "empty": ("", ["empty"]),
}


@pytest.mark.parametrize("fault", TABLES)
def test_rows_that_cannot_be_scored(command: Command, finished: Path, tmp_path: Path, fault: str) -> None:
    text, expected = TABLES[fault]
    (tmp_path / "rows.csv").write_text(text)
    refused(command("score", finished, tmp_path / "rows.csv", "-o", tmp_path / "out.csv"), "rows.csv", *expected)
    assert not (tmp_path / "out.csv").exists()


def test_an_existing_run_is_never_overwritten(command: Command, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    refused(command("train", "smiley_mixture_cdf", "--run", finished), str(finished), "--resume")
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


def test_resume_with_other_settings_is_refused(command: Command, finished: Path) -> None:
    refused(command("train", "smiley_realnvp", "--run", finished, "--resume"), "smiley_mixture_cdf", "smiley_realnvp")
    refused(command("train", "smiley_mixture_cdf", "components=3", "--run", finished, "--resume"), "knobs")
    refused(command("train", "smiley_mixture_cdf", "--run", finished, "--resume", "--seed", "9"), "seed")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.mark.parametrize("verb", ["evaluate", "verify", "sample"])
@pytest.mark.parametrize(
    "fault", ["no settings", "settings cut", "no weights", "weights cut", "weight altered", "format"]
)
def test_damaged_runs_are_refused(command: Command, copy: Path, verb: str, fault: str) -> None:
    weights, settings = copy / "weights.safetensors", copy / "settings.json"
    if fault == "no settings":
        settings.unlink()
    elif fault == "settings cut":
        settings.write_text(settings.read_text()[:40])
    elif fault == "no weights":
        weights.unlink()
    elif fault == "weights cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "weight altered":
        data = bytearray(weights.read_bytes())
        data[-50] ^= 0x40
        weights.write_bytes(bytes(data))
    else:
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "format": 99}))
    refused(command(verb, copy), str(copy))


def test_weights_of_another_model_are_refused(command: Command, copy: Path) -> None:
    settings = json.loads((copy / "settings.json").read_text())
    settings["knobs"]["components"] = 3
    (copy / "settings.json").write_text(json.dumps(settings))
    refused(command("evaluate", copy), "settings.json", "checksum")
    (copy / "settings.json").write_text(json.dumps(sealed(settings)))
    refused(command("evaluate", copy), "does not fit")


CONSTANT = """
from dataclasses import replace
import torch
from bijectory.data.splits import Rows
from bijectory.recipes.smiley_realnvp import smiley_realnvp

def bad(*, fault: str = "constant"):
    'Rows that no density fits.'
    recipe = smiley_realnvp(smoke=True)
    def data(folder, seed):
        splits = recipe.data(folder, seed)
        x = splits.train.x.clone()
        if fault == "constant":
            x[:, 1] = 3.0
        elif fault == "nan":
            x[17, 0] = float("nan")
        elif fault == "empty":
            x = x[:0]
        return replace(splits, train=Rows(x))
    return replace(recipe, data=data)
"""


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("constant", ["x2", "same value 3"]), ("nan", ["row 18", "x1", "nan"]), ("empty", ["at least one row"])],
)
def test_rows_that_no_density_fits(command: Command, tmp_path: Path, fault: str, expected: list[str]) -> None:
    (tmp_path / "bad.py").write_text(CONSTANT)
    run = tmp_path / "run"
    refused(command("train", tmp_path / "bad.py", f"fault={fault}", "--run", run), *expected)
    assert not run.exists()
