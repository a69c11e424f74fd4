"""A run directory: what is in it, and how it is read and written without ever being half true.

    recipe.py           a copy of the recipe's text       settings.json   name, knobs, seed, device, threads, versions
    metrics.jsonl       a line a look                     arrays/         arrays of figures
    state.safetensors   all that resuming needs           weights.safetensors   the model's weights and 16 probe rows
    result.json         the scores                        verify.json     the certificate

A run directory appears whole, with ``settings.json`` in it: a directory without is no run. Each tensor file carries its own checksum
and is replaced in one step; ``state.safetensors`` alone decides where a resumed run goes on. What a directory says of itself is read as
a stranger's word: nothing in it is executed, and nothing is written outside it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..data.kinds import Column
from ..errors import CheckpointError, NonFiniteError, RunError, RunExistsError, RunIncompleteError
from ..evaluation.likelihood import bound_rows, estimate_rows, log_prob_rows
from ..models.base import BoundModel, ColumnModel, EstimateModel, ExactModel, SampleModel
from ..training.checkpoint import read_tensors, unsound, unwritten, write_bytes, write_tensors
from ..training.precision import set_precision
from .json_files import bounded, read_json, without_nan, write_json

FORMAT = 1
PROBES = 16
METRICS_BYTES = 2**28


class Settings(msgspec.Struct):
    """As what the settings must stand in settings.json before any of them is used; there may be more."""

    recipe: str = "unknown"
    built_in: bool = True
    recipe_file: str | None = None
    knobs: dict[str, Any] = {}
    seed: int = 0
    device: str = "cpu"
    data: str | None = None
    threads: int = 1
    columns: list[str] = []
    event_shape: list[int] = []
    context_dim: int = 0
    context_columns: list[str] = []
    kinds: list[Column] = []
    context_kinds: list[Column] = []


class Run:
    """One run directory."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: dict[str, Any], recipe: Path) -> Run:
        """Make the directory; refuses one that is there already."""
        if path.exists():
            raise RunExistsError(_taken(path))
        # Built beside its place and renamed: a kill leaves a whole run or none, never one that can be neither resumed nor made.
        growing = path.with_name(f".{path.name}.{os.getpid()}.new")
        run = cls(path, sealed({"format": FORMAT, **settings}))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            growing.mkdir()
            try:
                (growing / "arrays").mkdir()
                shutil.copyfile(recipe, growing / "recipe.py")
                write_json(growing / "settings.json", run.settings)
                growing.rename(path)
            finally:
                shutil.rmtree(growing, ignore_errors=True)
        except (OSError, RunError) as error:
            if path.is_dir():
                raise RunExistsError(_taken(path)) from error
            cause = error if isinstance(error, OSError) else error.__cause__
            raise RunError(
                f"{path}: cannot be made ({getattr(cause, 'strerror', error)}); choose a folder that can be written with --run"
            ) from error
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run; RunIncompleteError where it is missing or half-written."""
        if not path.is_dir():
            raise RunIncompleteError(
                f"{path}: expected a run directory, found none; `bijectory train RECIPE --run {shlex.quote(str(path))}` makes one"
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
        _check_settings(path, settings)
        return cls(path, settings)

    def resume_command(self) -> str:
        """What to type to continue this run."""
        settings = self.settings
        recipe = settings.get("recipe", "RECIPE") if settings.get("built_in", True) else settings.get("recipe_file")
        # Quoted, because it is typed into a shell: a name with a space would be two words, and a stranger's could be a command.
        return f"bijectory train {shlex.quote(str(recipe))} --run {shlex.quote(str(self.path))} --resume"

    @contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        """The path of a file of this run that is about to be written; what goes wrong with it is told with the way to go on.

        The directory may have gone, or be another's by now, since training takes hours: nothing is made anew in its place.
        """
        path, go_on = self.path / name, f"go on with `{self.resume_command()}`"
        try:
            self._check_place(path, go_on)
        except OSError as error:
            raise RunError(f"{unwritten(path, error)}, then {go_on}") from error
        try:
            yield path
        except OSError as error:
            raise RunError(f"{unwritten(path, error)}, then {go_on}") from error
        except RunError as error:
            raise RunError(f"{error}, then {go_on}") from error

    def _check_place(self, path: Path, go_on: str) -> None:
        if not self.path.is_dir():
            raise RunError(
                f"{self.path}: the run directory is gone, moved or deleted while this run was writing to it; nothing was made in its "
                f"place: put it back under this name and {go_on}, or train anew"
            )
        found = read_json(self.path / "settings.json", f"put it back and {go_on}")
        if not isinstance(found, dict) or found.get("sha256") != self.settings.get("sha256"):
            raise RunError(
                f"{self.path}: is another run's directory by now, made while this one was training; nothing was written to it: give one "
                "of the two another name with --run"
            )
        here = self.path.resolve()
        if path.parent.resolve() not in (here, here / "arrays"):
            raise RunError(f"{path}: leads out of the run directory, to {path.parent.resolve()}; nothing was written")

    # metrics ---------------------------------------------------------------------------------------------------------

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl; a figure that is not finite stands there as null, since no other reader accepts NaN."""
        line = json.dumps(without_nan(row), allow_nan=False) + "\n"
        with self._writing("metrics.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(line)

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; one cut short by a kill, or damaged, is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        for line in bounded(path, METRICS_BYTES, "move it away: training and scores do without it").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("step", 0), int | float):
                yield row

    def cut_metrics(self, step: int) -> None:
        """Forget what was logged after ``step``, so that a resumed run says everything once, and what a kill left half-written."""
        kept = [json.dumps(row) + "\n" for row in self.metrics() if row.get("step", 0) <= step]
        with self._writing("metrics.jsonl") as path:
            write_bytes(path, "".join(kept).encode())
            for folder in (self.path, self.path / "arrays"):
                for left in folder.glob(".*.tmp"):
                    left.unlink()
            # A kill between the two renames of the last state: nothing is saved after it, so that the second has to be made up for.
            if (fresh := path.with_name("state.next.safetensors")).exists() and not (
                self.path / "state.safetensors"
            ).exists():
                os.replace(fresh, self.path / "state.safetensors")

    # tensors ---------------------------------------------------------------------------------------------------------

    def save_weights(self, model: SampleModel, step: int, probes: Tensor, context: Tensor | None = None) -> None:
        """Write weights.safetensors: the model's state and probe rows with their float64 log density."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors["probe.x"] = probes[:PROBES]
        if context is not None:
            tensors["probe.context"] = context[:PROBES]
        if (probe := _probe_name(model)) is not None:
            tensors[probe] = _probe(model, tensors)
        for name, tensor in tensors.items():
            # A density may be 0 at a row, and its logarithm −inf: that is a number to compare with. NaN is none, but the mark of a gap in
            # the rows of a typed table.
            gaps = isinstance(model, ColumnModel) and name in ("probe.x", "probe.context")
            if not gaps and bool(torch.isnan(tensor).any() if name == probe else not torch.isfinite(tensor).all()):
                raise NonFiniteError(
                    f"{self.path}: {name} of step {step} is not finite; the weights were not saved, the training's last state is as it was"
                )
        with self._writing("weights.safetensors") as path:
            write_tensors(path, tensors, {"step": step})

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
        probe = _probe_name(model)
        if "step" not in record or (probe is not None and not {"probe.x", probe} <= tensors.keys()):
            raise CheckpointError(f"{path}: expected the weights of a run with their probe rows, got another file")
        if probe is not None:
            now, then = _probe(model, tensors), tensors[probe]
            # Another processor may sum in another order; 1e-9 relative is far above that and far below any changed constant.
            if not torch.allclose(now, then, rtol=1e-9, atol=1e-9):
                worst = (now - then).abs().max().item()
                raise CheckpointError(
                    f"{path}: the {len(then)} probe rows give other log densities than when they were saved (by up to {worst:.3g} nats); "
                    "the code or a constant of the model has changed since: use the version in settings.json"
                )
        return int(record["step"])

    def save_state(self, tensors: dict[str, Tensor]) -> None:
        """Write state.safetensors; the one before it is kept as state.previous.safetensors.

        Raises NonFiniteError for a state whose weights are not finite: it never takes the place of a sound one.
        """
        if (fault := unsound(tensors)) is not None:
            sound = self.load_state()[0]
            kept = (
                "no earlier one was saved" if sound is None else f"the sound one of step {int(sound['step'])} is kept"
            )
            raise NonFiniteError(
                f"{self.path}: the state of step {int(tensors['step'])} was not saved, since {fault}; {kept}; train anew with a lower "
                "learning rate, or with clipped gradients"
            )
        with self._writing("state.next.safetensors") as fresh:
            if (log := self.path / "metrics.jsonl").exists():
                # On the disk before the state is: after a power cut nothing that was logged before this step may be missing.
                with log.open("rb") as file:
                    os.fsync(file.fileno())
            write_tensors(fresh, tensors)
            if (self.path / "state.safetensors").exists():
                os.replace(self.path / "state.safetensors", self.path / "state.previous.safetensors")
            # A kill between these two lines leaves the fresh state under its first name, where load_state finds it.
            os.replace(fresh, self.path / "state.safetensors")

    def load_state(self) -> tuple[dict[str, Tensor] | None, str | None]:
        """The last whole and sound state and, where the newest is not, why; None where training was killed before the first."""
        fault: str | None = None
        for name in ("state", "state.next", "state.previous"):
            path = self.path / f"{name}.safetensors"
            if not path.exists():
                continue
            try:
                tensors, _ = read_tensors(path)
            except CheckpointError as error:
                fault = fault or str(error)
                continue
            wrong = "it holds no training's state" if "step" not in tensors else unsound(tensors)
            if wrong is None:
                return tensors, fault
            fault = fault or f"{path}: {wrong}"
        if fault is not None:
            raise CheckpointError(f"{fault}; no earlier state is whole: train again under another name")
        return None, None

    # results ---------------------------------------------------------------------------------------------------------

    def save_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Write arrays/NAME.npz."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        with self._writing(f"arrays/{name}.npz") as path:
            write_bytes(path, buffer.getvalue())

    def save_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        with self._writing(name) as path:
            write_json(path, value)

    def load_json(self, name: str) -> Any:
        """Read a JSON file of the run."""
        return read_json(self.path / name, f"finish the run with `{self.resume_command()}`")


def _probe_name(model: SampleModel) -> str | None:
    """What the probe rows tell of this model: its density, its bound, its estimate, or nothing."""
    names = {
        ExactModel: "probe.log_prob",
        BoundModel: "probe.log_prob_bound",
        EstimateModel: "probe.log_prob_estimate",
    }
    return next((name for kind, name in names.items() if isinstance(model, kind)), None)


def _probe(model: SampleModel, tensors: dict[str, Tensor]) -> Tensor:
    wide = copy.deepcopy(model).double().cpu().eval()
    set_precision(wide, None)
    x, context = tensors["probe.x"].double().cpu(), tensors.get("probe.context")
    context = None if context is None else context.double().cpu()
    # The noise of bounds and estimates is drawn row by row from a seed, and so the same at every load.
    if isinstance(wide, EstimateModel):
        return estimate_rows(wide, x, context)
    return bound_rows(wide, x, context) if isinstance(wide, BoundModel) else log_prob_rows(wide, x, context)


def sealed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the checksum of all the others among them."""
    bare = {name: value for name, value in settings.items() if name != "sha256"}
    return {**bare, "sha256": hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()}


def _taken(path: Path) -> str:
    return f"{path} is there already and nothing in it was touched; continue it with --resume, or choose another name with --run"


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuse settings that no run of ours wrote, however well sealed: a recipe's name is looked up, and must not be a file's."""
    try:
        known = msgspec.convert(settings, Settings)
    except msgspec.ValidationError as error:
        raise RunIncompleteError(f"{path}/settings.json: {error}; it was not written by bijectory") from error
    # find_recipe takes a name that ends in .py for a file, and runs it: here that would run what came with the settings.
    if known.built_in and known.recipe.endswith(".py"):
        raise RunIncompleteError(
            f"{path}/settings.json: expected the name of a recipe, got the file {known.recipe!r}, which is not run unasked; name it with "
            "--recipe if you trust it"
        )
    if not 1 <= known.threads <= 4096:
        raise RunIncompleteError(f"{path}/settings.json: threads: expected between 1 and 4096, got {known.threads}")
