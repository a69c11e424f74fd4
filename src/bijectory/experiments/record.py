"""A run directory: what is in it, and how it is read and written without ever being half true.

    recipe.py           a copy of the recipe's text       settings.json   name, knobs, seed, device, threads, versions
    metrics.jsonl       a line a look                     arrays/         arrays of figures
    state.safetensors   all that resuming needs           weights.safetensors   the model's weights and 16 probe rows
    result.json         the scores                        verify.json     the certificate

``settings.json`` is written last at creation: a directory without it is no run. Each tensor file carries its own checksum and is
replaced in one step; ``state.safetensors`` alone decides where a resumed run goes on.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError, RunError, RunExistsError, RunIncompleteError
from ..models.base import ExactModel, SampleModel
from ..training.checkpoint import read_tensors, write_bytes, write_tensors

FORMAT = 1
PROBES = 16
JSON_BYTES = 16 * 2**20


class Run:
    """One run directory."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: dict[str, Any], recipe: Path) -> Run:
        """Make the directory; refuses one that is there already."""
        if path.exists():
            raise RunExistsError(
                f"{path} is there already and nothing in it was touched; continue it with --resume, or choose another name with --run"
            )
        try:
            path.mkdir(parents=True)
            (path / "arrays").mkdir()
            shutil.copyfile(recipe, path / "recipe.py")
            run = cls(path, {"format": FORMAT, **settings})
            write_json(path / "settings.json", sealed(run.settings))
        except OSError as error:
            raise RunError(
                f"{path}: cannot be made ({error.strerror}); choose a folder that can be written with --run"
            ) from error
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run; RunIncompleteError where it is missing or half-written."""
        if not path.is_dir():
            raise RunIncompleteError(
                f"{path}: expected a run directory, found none; `bijectory train RECIPE --run {path}` makes one"
            )
        settings = read_json(path / "settings.json", "name the directory of one run; a folder that holds runs is none")
        if not isinstance(settings, dict) or settings.get("format") != FORMAT:
            got = settings.get("format") if isinstance(settings, dict) else type(settings).__name__
            raise RunIncompleteError(
                f"{path}/settings.json: expected format {FORMAT}, got {got!r}; this version reads {FORMAT} only"
            )
        if sealed(settings) != settings:
            raise RunIncompleteError(
                f"{path}/settings.json: its checksum does not match; it was altered after the run began, and the weights would be "
                "read with other settings than they were made with"
            )
        return cls(path, settings)

    def resume_command(self) -> str:
        """What to type to continue this run."""
        settings = self.settings
        recipe = settings.get("recipe", "RECIPE") if settings.get("built_in", True) else settings.get("recipe_file")
        return f"bijectory train {recipe} --run {self.path} --resume"

    # metrics ---------------------------------------------------------------------------------------------------------

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; one cut short by a kill, or damaged, is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        for line in path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row

    def cut_metrics(self, step: int) -> None:
        """Forget what was logged after ``step``, so that a resumed run says everything once."""
        kept = [json.dumps(row) + "\n" for row in self.metrics() if row.get("step", 0) <= step]
        write_bytes(self.path / "metrics.jsonl", "".join(kept).encode())

    # tensors ---------------------------------------------------------------------------------------------------------

    def save_weights(self, model: SampleModel, step: int, probes: Tensor, context: Tensor | None = None) -> None:
        """Write weights.safetensors: the model's state and probe rows with their float64 log density."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors["probe.x"] = probes[:PROBES]
        if context is not None:
            tensors["probe.context"] = context[:PROBES]
        if isinstance(model, ExactModel):
            tensors["probe.log_prob"] = _probe(model, tensors)
        write_tensors(self.path / "weights.safetensors", tensors, {"step": step})

    def load_weights(self, model: SampleModel) -> int:
        """Read weights.safetensors into ``model``; recompute the probe rows and refuse other numbers. Returns the step."""
        path = self.path / "weights.safetensors"
        if not path.exists():
            raise RunIncompleteError(f"{self.path}: has no weights yet; finish it with `{self.resume_command()}`")
        tensors, record = read_tensors(path)
        state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            detail = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: does not fit the model that the recipe builds: {detail}") from error
        if isinstance(model, ExactModel):
            now, then = _probe(model, tensors), tensors["probe.log_prob"]
            # Another processor may sum in another order; 1e-9 relative is far above that and far below any changed constant.
            if not torch.allclose(now, then, rtol=1e-9, atol=1e-9):
                worst = (now - then).abs().max().item()
                raise CheckpointError(
                    f"{path}: the {len(then)} probe rows give other log densities than when they were saved (by up to {worst:.3g} nats); "
                    "the code or a constant of the model has changed since: use the version in settings.json"
                )
        return int(record["step"])

    def save_state(self, tensors: dict[str, Tensor]) -> None:
        """Write state.safetensors; the one before it is kept as state.previous.safetensors."""
        path, previous = self.path / "state.safetensors", self.path / "state.previous.safetensors"
        fresh = self.path / "state.next.safetensors"
        write_tensors(fresh, tensors)
        try:
            if path.exists():
                os.replace(path, previous)
            # A kill between these two lines leaves the previous state, from which the run goes on just as well.
            os.replace(fresh, path)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}); the states saved before are untouched"
            ) from error

    def load_state(self) -> tuple[dict[str, Tensor] | None, str | None]:
        """The last whole state and, where the newest one is not, why; None where training was killed before the first."""
        newest = [self.path / name for name in ("state.safetensors", "state.previous.safetensors")]
        fault: str | None = None
        for path in newest:
            if path.exists():
                try:
                    return read_tensors(path)[0], fault
                except CheckpointError as error:
                    fault = str(error)
        if fault is not None:
            raise CheckpointError(f"{fault}; no earlier state is whole: train again under another name")
        return None, None

    # results ---------------------------------------------------------------------------------------------------------

    def save_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Write arrays/NAME.npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self.path / "arrays" / f"{name}.npz", buffer.getvalue())

    def save_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        write_json(self.path / name, value)

    def load_json(self, name: str) -> Any:
        """Read a JSON file of the run."""
        return read_json(self.path / name, f"finish the run with `{self.resume_command()}`")


def _probe(model: ExactModel, tensors: dict[str, Tensor]) -> Tensor:
    wide = copy.deepcopy(model).double().cpu().eval()
    context = tensors.get("probe.context")
    with torch.no_grad():
        return wide.log_prob(tensors["probe.x"].double().cpu(), None if context is None else context.double().cpu())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN becomes an error, since no other reader accepts it."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def sealed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the checksum of all the others among them."""
    bare = {name: value for name, value in settings.items() if name != "sha256"}
    return {**bare, "sha256": hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()}


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON, or say what is wrong with it. A file of more than 16 MiB, or nested without end, is none of ours."""
    try:
        if path.stat().st_size > JSON_BYTES:
            raise RunIncompleteError(
                f"{path}: expected at most {JSON_BYTES} bytes of JSON, got {path.stat().st_size}; {remedy}"
            )
        return json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise RunIncompleteError(f"{path}: expected this file, found none; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise RunIncompleteError(f"{path}: is not JSON ({error}); {remedy}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
