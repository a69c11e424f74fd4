"""What a run directory says of its run, as far as it goes: missing parts are named, never guessed."""

from __future__ import annotations

import hashlib
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BijectoryError
from ..evaluation.likelihood import bits_per_dim
from ..experiments.record import Run

#: A file of arrays that unpacks to more than this is none of ours.
ARRAY_BYTES = 2**28

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Figure:
    """A number with what a reader needs to weigh it: standard error, unit and kind (exact, bound or estimate)."""

    value: float
    stderr: float | None
    unit: str
    kind: str = ""


@dataclass(frozen=True)
class Against:
    """A published figure beside ours, in one unit; ``ours`` may be missing, and the difference with it."""

    what: str
    published: float
    ours: Figure | None

    @property
    def difference(self) -> float | None:
        """Ours less theirs: for nats and bits, below zero is better."""
        return None if self.ours is None else self.ours.value - self.published


@dataclass
class Reading:
    """One run, read: its settings and whatever else was there. ``missing`` says in words what was not."""

    run: Run
    settings: dict[str, Any]
    result: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    train: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    validation: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    pictures: dict[str, Arrays] = field(default_factory=dict)
    frames: list[tuple[int, Arrays]] = field(default_factory=list)
    #: What was seen of a model of pictures while it trained: samples of every look.
    looks: list[tuple[int, Arrays]] = field(default_factory=list)
    #: What kind of statement the likelihoods are; every score says it, and so do the validation rows of the log.
    kind: str = ""
    missing: list[str] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the page calls the run: its directory's name."""
        return self.run.path.resolve().name

    @property
    def recipe(self) -> str:
        """The recipe it is a run of."""
        return str(self.settings.get("recipe", "unknown"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the data's columns."""
        return tuple(str(column) for column in self.settings.get("columns", ()))

    @property
    def dims(self) -> int:
        """Dimensions of one row."""
        return math.prod(int(side) for side in self.settings.get("event_shape", (1,)))

    @property
    def levels(self) -> int | None:
        """Values 0 … levels − 1 of integer data; None for real numbers."""
        found = self.settings.get("levels")
        return None if found is None else int(found)

    @property
    def shows_pictures(self) -> bool:
        """Whether the rows are integer pictures (channels, height, width)."""
        return self.levels is not None and len(self.settings.get("event_shape", ())) == 3

    @property
    def entropy(self) -> float | None:
        """Entropy of the data in joint nats, where it is known."""
        return self.settings.get("entropy")

    @property
    def entropy_bits(self) -> float | None:
        """The same in bits per dimension."""
        return None if self.entropy is None else bits_per_dim(self.entropy, self.dims)

    def score(self, name: str, split: str = "test") -> Figure | None:
        """A score of the result."""
        for score in (self.result or {}).get("scores", ()):
            if (score["name"], score["split"]) == (name, split):
                return Figure(score["value"], score["stderr"], score["unit"], score["kind"])
        return None

    def tighter(self, split: str = "test") -> tuple[int, Figure] | None:
        """The bound from most draws, in bits/dim, and how many they were."""
        draws = [int(match[1]) for s in (self.result or {}).get("scores", ()) if (match := _DRAWS.fullmatch(s["name"]))]
        found = self.score(f"bits_per_dim_{max(draws)}_draws", split) if draws else None
        return None if found is None else (max(draws), found)

    def bits_near(self, step: int) -> float | None:
        """Bits per dimension of the validation rows at the look nearest to a step."""
        if not len(self.validation):
            return None
        value = float(self.validation[np.abs(self.validation[:, 0] - step).argmin(), 1])
        return round(value, 4) if math.isfinite(value) else None

    @property
    def kept(self) -> float | None:
        """The step with the lowest validation score: the one whose weights are kept."""
        if not len(self.validation):
            return None
        return float(self.validation[np.nanargmin(self.validation[:, 1]), 0])

    @property
    def failed(self) -> list[str] | None:
        """Laws that the certificate says do not hold; None where there is no certificate."""
        if self.certificate is None:
            return None
        return [check["law"] for check in self.certificate["checks"] if not check["passed"]]

    def against(self) -> list[Against]:
        """What was published beside what was measured: the metric itself and, for nats of known entropy, excess and bits/dim."""
        expect = self.settings.get("expect")
        if not expect:
            return []
        metric, value, split = expect["metric"], float(expect["value"]), expect["split"]
        found = [Against(METRICS.get(metric, metric), value, self.score(metric, split))]
        if metric == "nats":
            if self.entropy is not None:
                excess = self.score("excess_nats", split)
                found.append(Against("nats above the entropy", value - self.entropy, excess))
            bits = bits_per_dim(value, self.dims)
            found.append(Against("bits/dim", bits, self.score("bits_per_dim", split)))
        return found


#: How scores are called in words.
METRICS = {
    "nats": "joint nats",
    "bits_per_dim": "bits/dim",
    "excess_nats": "nats above the entropy",
    "crps": "CRPS, in units of the target",
    "coverage_50": "share inside central 50 % intervals",
    "coverage_80": "share inside central 80 % intervals",
    "coverage_90": "share inside central 90 % intervals",
    "coverage_95": "share inside central 95 % intervals",
    "float32_bias": "float32 over float64, nats",
}
_DRAWS = re.compile(r"bits_per_dim_(\d+)_draws")
_ANY_DRAWS = re.compile(r"(\w+?)_(\d+)_draws")


def metrics_of(readings: Sequence[Reading]) -> dict[str, str]:
    """The scores that any of the runs has, and how each is called: those of more draws behind those of one."""
    names = {score["name"] for r in readings for score in (r.result or {}).get("scores", ())}
    found = {}
    for name, words in METRICS.items():
        if name in names:
            found[name] = words
        more = sorted((int(m[2]), m[0]) for n in names if (m := _ANY_DRAWS.fullmatch(n)) and m[1] == name)
        found.update({key: f"{words}, {draws} draws" for draws, key in more})
    return found


def read(path: Path) -> Reading:
    """Read a run directory. Raises RunIncompleteError where it is no run; anything less is noted in ``missing``."""
    run = Run.open(path)
    reading = Reading(run, run.settings)
    again = f"bijectory train {reading.recipe} --resume --run {path}"
    reading.result = _try(reading, lambda: _has(run.load_json("result.json"), "scores"), "scores", again)
    reading.certificate = _try(
        reading, lambda: _has(run.load_json("verify.json"), "checks"), "certificate", f"bijectory verify {path}"
    )
    _read_metrics(reading)
    _read_arrays(reading)
    final = reading.score("bits_per_dim")
    reading.kind = reading.kind if final is None else final.kind
    return reading


def _has(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict) or key not in value:
        raise ValueError(f"it has no {key!r}")
    return value


def _try(reading: Reading, load: Callable[[], dict[str, Any]], what: str, remedy: str) -> dict[str, Any] | None:
    try:
        return load()
    except (BijectoryError, ValueError):
        reading.missing.append(f"no {what} yet: {remedy}")
        return None


def _read_metrics(reading: Reading) -> None:
    train, validation = [], []
    for row in reading.run.metrics():
        step = row.get("step", 0)
        reading.faults += row.get("faults", [])
        if "bits_per_dim" in row.get("train", {}):
            train.append((step, row["train"]["bits_per_dim"]))
        for score in row.get("scores", ()):
            if (score["name"], score["split"]) == ("bits_per_dim", "validation"):
                validation.append((step, score["value"]))
                reading.kind = str(score.get("kind", ""))
    reading.train = np.array(train, dtype=np.float64).reshape(-1, 2)
    reading.validation = np.array(validation, dtype=np.float64).reshape(-1, 2)
    if not len(reading.train):
        reading.missing.append("no curves: metrics.jsonl holds no bits per dimension")


def _read_arrays(reading: Reading) -> None:
    newest: dict[str, tuple[int, Path]] = {}
    for path in sorted((reading.run.path / "arrays").glob("*.npz")):
        name, _, step = path.stem.rpartition("-")
        if not name or not step.isdigit():
            continue
        if name in ("frame", "image_frame"):
            arrays = _load(reading, path)
            if arrays is not None and {"log_density", "latents"} <= arrays.keys():
                reading.frames.append((int(step), arrays))
            elif arrays is not None and {"samples", "levels"} <= arrays.keys():
                reading.looks.append((int(step), arrays))
        elif int(step) >= newest.get(name, (-1, path))[0]:
            newest[name] = (int(step), path)
    for name, (_, path) in newest.items():
        arrays = _load(reading, path)
        if arrays is not None:
            reading.pictures[name] = arrays
    if not reading.pictures:
        reading.missing.append(
            "no pictures of the finished model: its recipe has no evaluators for them, or it is still training"
        )


def _load(reading: Reading, path: Path) -> Arrays | None:
    try:
        # Opened here: np.load leaves a file open that it cannot read.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > ARRAY_BYTES:
                raise ValueError(f"unpacks to more than {ARRAY_BYTES} bytes")
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reading.missing.append(f"{path.name} cannot be read ({type(error).__name__}) and is left out")
        return None


def comparable(readings: list[Reading]) -> bool:
    """Whether the runs' curves may share a figure: same columns, same entropy."""
    return len({(r.columns, None if r.entropy is None else round(r.entropy, 9)) for r in readings}) == 1


def same_pictures(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Runs on the same pictures, two or more together: same shape and levels and, where they show any, the same test pictures."""
    found: dict[object, list[Reading]] = {}
    for reading in readings:
        if reading.shows_pictures:
            data = reading.pictures.get("image_samples", {}).get("data")
            digest = None if data is None else hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()
            key = (tuple(reading.settings["event_shape"]), reading.levels, digest)
            found.setdefault(key, []).append(reading)
    return [members for members in found.values() if len(members) > 1]


def flat_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as (name, value in words), in the order a reader asks for them."""
    rows = [("recipe", str(settings.get("recipe")))]
    given = settings.get("knobs", {})
    rows += [(f"knob {name}", _words(value)) for name, value in given.items()]
    rows += [(name, _words(settings[name])) for name in ("seed", "device", "threads", "data") if name in settings]
    rows += [(f"{split} rows", f"{count:,}") for split, count in settings.get("rows", {}).items()]
    for name, names, kinds in (("columns", "columns", "kinds"), ("given", "context_columns", "context_kinds")):
        if settings.get(names):
            # Runs of before typed tables say nothing of kinds.
            words = list(map(_column, settings.get(kinds) or ())) or list(map(str, settings[names]))
            rows += [(name, ", ".join(words))]
    if settings.get("levels") is not None:
        rows += [("rows of shape", " × ".join(map(str, settings.get("event_shape", ()))))]
        rows += [("levels", f"{settings['levels']}, integers from 0")]
    rows += [("note", str(note)) for note in settings.get("notes", ())]
    return rows


def _column(kind: Mapping[str, Any]) -> str:
    """A typed column as one says it: its name, its kind, the width of its cells, whether values may be missing."""
    step = "" if kind["step"] is None or kind["kind"] == "integer" else f" in steps of {kind['step']:g}"
    of = f" of {kind['of']}" if kind["of"] else ""
    return f"{kind['name']} ({kind['kind']}{of}{step}{', with gaps' if kind['gaps'] else ''})"


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool) or value in ("None", "True", "False"):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
