"""Every recipe in the folder: its knobs, its expectation, and a smoke run from command line to certificate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bijectory.cli.main import bijectory
from bijectory.experiments import knobs
from bijectory.experiments.recipe import built_in_recipes, find_recipe

RECIPES = sorted(built_in_recipes())
#: Recipes for data of one's own, which can promise no figure.
OWN = {"pictures", "table"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_declares_itself(name: str) -> None:
    function = find_recipe(name).function
    declared = knobs.knobs(function)
    assert declared["smoke"].default is False
    assert all(knob.doc for knob in declared.values()), [k.name for k in declared.values() if not k.doc]
    expect = function().expect
    assert (expect is None) == (name in OWN)
    if expect is None:
        return
    assert expect.tolerance > 0
    assert expect.minutes > 0
    assert any(mark in expect.source for mark in ("arXiv", "CS294", "exact", "benchmarks/")), expect.source


@pytest.mark.parametrize("name", RECIPES)
def test_smoke(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = CliRunner().invoke(bijectory, ["train", name, "smoke=true", "--run", str(run)], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads((run / "result.json").read_text())
    assert set(result) == {"format", "recipe", "seed", "steps", "seconds", "scores"}
    test = {score["name"]: score for score in result["scores"] if score["split"] == "test"}
    assert {"nats", "bits_per_dim"} <= set(test)
    assert all(set(s) == {"name", "split", "value", "stderr", "unit", "kind"} for s in result["scores"])
    settings = json.loads((run / "settings.json").read_text())
    assert settings["recipe"] == name
    assert settings["knobs"]["smoke"] is True
    present = {path.name for path in run.iterdir()}
    assert {
        "recipe.py",
        "metrics.jsonl",
        "weights.safetensors",
        "state.safetensors",
        "arrays",
        "verify.json",
    } <= present
    checks = json.loads((run / "verify.json").read_text())["checks"]
    assert [c["law"] for c in checks if not c["passed"]] == []


@pytest.mark.parametrize("name", ["mnist_glow", "fashion_mnist_glow"])
def test_what_is_promised_in_minutes_is_capped_in_seconds_unless_updates_are_named(name: str) -> None:
    function = find_recipe(name).function
    expect = function(preset="gpu").expect
    assert expect is not None and function(preset="gpu").budget.seconds == 60 * expect.minutes == 480
    assert function(preset="gpu", steps=100).budget.seconds is None and function().budget.seconds is None
