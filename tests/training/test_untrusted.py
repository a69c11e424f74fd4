"""A run directory from a stranger: opening it executes nothing, writes nothing outside it, and never asks for memory without bound."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bijectory.errors import BijectoryError, CheckpointError, RunError, RunIncompleteError
from bijectory.experiments.json_files import JSON_BYTES, read_json
from bijectory.experiments.record import Run, sealed
from bijectory.experiments.run import train
from bijectory.experiments.use import load
from bijectory.report.tables import read
from bijectory.training.checkpoint import digest, read_tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("untrusted") / "run"
    train("smiley_mixture_cdf", assignments=["smoke=true", "components=3", "hidden=8"], run=run)
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def settle(run: Path, **changes: Any) -> None:
    """Settings with these changes, and a checksum that fits: anybody can compute it."""
    path = run / "settings.json"
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **changes})))


# nothing is executed -----------------------------------------------------------------------------------------------------


def trap(path: Path, mark: Path) -> None:
    path.write_text(f"open({str(mark)!r}, 'w')\ndef recipe(*, smoke: bool = False): ...\n")


@pytest.mark.parametrize("built_in", [True, False])
@pytest.mark.parametrize("name", ["{run}/recipe.py", "recipe.py", "../x", "../run/recipe", "{run}/recipe"])
def test_a_recipe_named_in_the_settings_is_not_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, built_in: bool
) -> None:
    """``find_recipe`` runs a file that a person names; a name in the settings is no person's."""
    mark = tmp_path / "executed"
    trap(run / "recipe.py", mark)
    trap(tmp_path / "x.py", mark)
    settle(run, recipe=name.format(run=run), built_in=built_in, recipe_file=str(run / "recipe.py"))
    monkeypatch.chdir(run)
    with pytest.raises(BijectoryError, match="recipe"):
        load(run)
    assert not mark.exists()


def test_objects_in_arrays_are_left_out(run: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return os.mkdir, (str(mark),)

    np.savez(run / "arrays" / "density-99999999.npz", density=np.array([Trap()], dtype=object))
    assert any("density-99999999" in note for note in read(run).missing)
    assert not mark.exists()


def test_the_command_to_go_on_is_safe_to_paste(run: Path) -> None:
    settle(run, built_in=False, recipe_file="mine.py; rm -rf ~")
    moved = run.rename(run.with_name("a run"))
    assert Run.open(moved).resume_command() == f"bijectory train 'mine.py; rm -rf ~' --run '{moved}' --resume"


# nothing is written outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../outside", "../../outside", "{outside}"])
def test_names_do_not_lead_out(run: Path, tmp_path: Path, name: str) -> None:
    name = name.format(outside=tmp_path / "elsewhere" / "outside")
    (tmp_path / "elsewhere").mkdir()
    record = Run.open(run)
    before = sorted(tmp_path.rglob("*"))
    for write in (
        lambda: record.save_json(f"{name}.json", 1),
        lambda: record.save_arrays(f"../{name}", {"x": np.ones(1)}),
    ):
        with pytest.raises(RunError, match="leads out of the run directory"):
            write()
    assert sorted(tmp_path.rglob("*")) == before


def test_links_do_not_lead_out(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run / "arrays", elsewhere)
    (run / "arrays").symlink_to(elsewhere)
    log = tmp_path / "log"
    log.write_text('{"step": 1}\n')
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(log)
    record, before = Run.open(run), sorted(elsewhere.iterdir())
    with pytest.raises(RunError, match="leads out of the run directory"):
        record.save_arrays("x", {"x": np.ones(1)})
    record.cut_metrics(1)  # what every resumed run begins with
    record.append_metrics({"step": 2})
    assert sorted(elsewhere.iterdir()) == before
    assert log.read_text() == '{"step": 1}\n'
    assert [row["step"] for row in record.metrics()] == [1, 2]


def test_a_run_that_is_a_link_itself_is_used(run: Path, tmp_path: Path) -> None:
    """A folder on another disk is a person's own choice."""
    (tmp_path / "link").symlink_to(run)
    Run.open(tmp_path / "link").save_arrays("x", {"x": np.ones(1)})
    assert (run / "arrays" / "x.npz").exists()


# sizes and depths --------------------------------------------------------------------------------------------------------


@pytest.fixture
def patience() -> Iterator[None]:
    """What would wait for ever is interrupted."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("claim", [2**30, 2**40, 2**63, 2**64 - 1, 0, 7])
@pytest.mark.parametrize("real", [0, 64, 2**20])
def test_a_header_that_claims_another_size_is_refused(tmp_path: Path, claim: int, real: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", claim) + b"{" * real)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_tensors(path)


def test_a_header_larger_than_any_of_ours_is_refused(tmp_path: Path) -> None:
    """100 MB, the format's own bound, although the file is as long as it says (a hole on the disk)."""
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30))
        file.truncate(8 + 2**30)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_tensors(path)


@pytest.mark.parametrize(
    "header",
    [
        '{"x": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}',
        '{"x": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8]}}',
        '{"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}',
        '{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "y": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
        f'{{"x": {nested(100_000)}}}',
        f'{{"__metadata__": {{"record": {nested(100_000)}}}}}',
    ],
    ids=["huge", "overflow", "backwards", "overlapping", "deep", "deep-metadata"],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(8))
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_tensors(path)


@pytest.mark.parametrize("text", [nested(100_000), "[1]", "{"], ids=["deep", "list", "cut"])
def test_the_record_beside_tensors_is_read_with_care(tmp_path: Path, text: str) -> None:
    """With a checksum that fits."""
    path, tensors = tmp_path / "x.safetensors", {"x": torch.ones(2)}
    save_file(tensors, path, {"bijectory": "1", "record": text, "sha256": digest(tensors, text)})
    with pytest.raises(CheckpointError, match="beside its tensors"):
        read_tensors(path)


@pytest.mark.parametrize("file", ["settings.json", "result.json"])
@pytest.mark.parametrize(
    "text", [nested(100_000), " " * (JSON_BYTES + 1), "1" * 10_000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_json_is_bounded(run: Path, file: str, text: str | bytes) -> None:
    (run / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunIncompleteError, match=file):
        Run.open(run).load_json(file)


def test_a_pipe_is_not_waited_for(run: Path, patience: None) -> None:
    for name in ("result.json", "settings.json", "metrics.jsonl"):
        (run / name).unlink()
        os.mkfifo(run / name)
    with pytest.raises(RunIncompleteError, match="regular file"):
        read_json(run / "result.json", "")
    with pytest.raises(RunIncompleteError, match="regular file"):
        Run.open(run)


def test_rows_of_the_log_that_are_none_are_left_out(run: Path) -> None:
    log = run / "metrics.jsonl"
    before = list(Run.open(run).metrics())
    rows = [nested(100_000), '{"step": "1"}', "[]", '{"step": null}', "\x00", "{"]
    log.write_text("\n".join(rows) + "\n" + log.read_text())
    assert list(Run.open(run).metrics()) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 10**9},
        {"threads": 0},
        {"seed": "1"},
        {"knobs": []},
        {"device": 1},
        {"event_shape": "2"},
        {"columns": None},
    ],
    ids=str,
)
def test_settings_of_another_type_are_refused(run: Path, changes: dict[str, Any]) -> None:
    settle(run, **changes)
    with pytest.raises(RunIncompleteError, match=next(iter(changes))):
        Run.open(run)


# one file in the place of another ----------------------------------------------------------------------------------------


def test_files_are_not_taken_for_each_other(run: Path) -> None:
    """Both are whole, with checksums that fit; neither is what its name says."""
    weights, state = run / "weights.safetensors", run / "state.safetensors"
    shutil.copy(weights, run / "kept")
    shutil.copy(state, weights)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        load(run)
    (run / "state.previous.safetensors").unlink(missing_ok=True)
    shutil.copy(run / "kept", state)
    with pytest.raises(CheckpointError, match="no training's state"):
        Run.open(run).load_state()
