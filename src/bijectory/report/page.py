"""Run directories to one page that needs nothing else: no address outside itself, dark and light, on a phone as on a wall."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from .. import __version__
from ..errors import InputError
from ..evaluation.likelihood import bits_per_dim
from ..figures.curves import Curve, compared_curves, learning_curves
from ..figures.frames import Reel, animation, reel
from ..figures.plate import Plate
from ..figures.plates import gap, peak_of, plates
from ..figures.style import DARK, LIGHT, Theme
from ..training.checkpoint import write_bytes
from .columns import Standouts, standouts, table_comments, table_plates
from .comments import Measured, calibration_comment, cost_comment, measurements, p_words, uniformity_comment
from .elsewhere import Noticed, noticed, scored_by_each, scored_comment
from .embed import Shown, address, embed, save, show
from .groups import groups
from .pictures import FILMS, picture_comments, picture_film, picture_plates
from .tables import Reading, comparable, flat_settings, metrics_of, read


@dataclass
class Section:
    """What the page shows of one run."""

    reading: Reading
    anchor: str
    figures: dict[str, list[Shown]] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)
    uniformity: list[tuple[Measured, Measured]] = field(default_factory=list)
    gap: float | None = None
    film: dict[str, Any] | None = None
    slides: dict[str, Any] | None = None
    picture_comments: dict[str, list[str]] = field(default_factory=dict)
    noticed: list[Noticed] = field(default_factory=list)
    standouts: Standouts | None = None


def write_report(runs: Sequence[Path], output: Path) -> Path:
    """Write the page of ``runs`` to ``output``, and every figure of a run into its folder ``figures``; returns ``output``.

    Raises InputError without runs, RunIncompleteError for a folder that is no run, RunError where the page cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, render([read(run) for run in runs]).encode())
    return output


def render(readings: Sequence[Reading]) -> str:
    """The page as text; figures are also saved in the runs."""
    if not readings:
        raise InputError("runs: expected at least one run directory, got none")
    room = FILMS // max(1, sum(bool(reading.looks) for reading in readings))
    sections = [_section(reading, f"run-{index}", room) for index, reading in enumerate(readings, start=1)]
    scored = scored_by_each(readings)
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template.globals.update(log2=math.log2, metrics_of=metrics_of)
    template.filters.update(p_words=p_words, figures=_significant, minus=lambda text: text.replace("-", "−"))
    return template.get_template("page.html").render(
        title=", ".join(dict.fromkeys(reading.name for reading in readings)),
        sections=sections,
        together=_together(list(readings)) if len(readings) > 1 else [],
        groups=groups(readings),
        scored=scored,
        scored_comment=scored_comment(scored) if scored else [],
        style=Markup(_file("page.css")),
        script=Markup(script),
        digest=digest,
        ramps={theme.name: _ramp(theme) for theme in (LIGHT, DARK)},
        labels={theme.name: list(theme.labels) for theme in (LIGHT, DARK)},
        flat_settings=flat_settings,
        version=__version__,
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _section(reading: Reading, anchor: str, room: int) -> Section:
    section = Section(reading, anchor)
    pictures = reading.pictures
    density = pictures.get("density")
    peak = None if density is None else peak_of(density)
    box = None if density is None else (density["low"], density["high"])
    drawn: dict[str, list[Plate]] = {"curves": _curves(reading), **picture_plates(reading), **table_plates(reading)}
    for name in ("density", "samples", "latents", "grid", "map", "calibration", "intervals", "cost"):
        if name in pictures:
            drawn[name] = plates(name, pictures[name], reading.columns, box=box, peak=peak)
    if reading.dims == 1:
        # One figure each would leave half of the page empty.
        for beside, name in (("density", "map"), ("samples", "latents"), ("calibration", "intervals")):
            drawn[beside] = [*drawn.get(beside, []), *drawn.pop(name, [])]
    section.figures = {name: [show(plate, reading) for plate in found] for name, found in drawn.items() if found}
    if density is not None:
        section.gap = gap(density)
    if "uniformity" in pictures:
        train, test = (measurements(pictures["uniformity"], split) for split in (0, 1))
        section.uniformity = _paired(train, test)
        section.comment = uniformity_comment(test)
    if reading.frames:
        film = reel(reading.frames, peak or peak_of(reading.frames[-1][1]))
        save(reading, "animation.gif", animation(film))
        section.film = _film(reading, film)
    section.slides = picture_film(reading, room)
    section.picture_comments = {**picture_comments(reading), **table_comments(reading)}
    if "table_rows" in pictures:
        section.standouts = standouts(pictures["table_rows"])
    if "image_elsewhere" in pictures:
        section.noticed = noticed(pictures["image_elsewhere"], reading.dims)
    if "calibration" in pictures:
        section.picture_comments["calibration"] = calibration_comment(pictures["calibration"])
    if "cost" in pictures:
        section.picture_comments["cost"] = cost_comment(pictures["cost"])
    return section


def _curves(reading: Reading) -> list[Plate]:
    train, validation, entropy = reading.train, reading.validation, reading.entropy_bits
    if not len(train) and not len(validation):
        return []
    ends = [
        f"{name} {points[-1, 1]:.4f} bits/dim at step {points[-1, 0]:,.0f}"
        for name, points in (("train", train), ("validation", validation))
        if len(points)
    ]
    nats, excess = reading.score("nats", "validation"), reading.score("excess_nats", "validation")
    attainable = None if nats is None or excess is None else bits_per_dim(nats.value - excess.value, reading.dims)
    limit = (
        f"; the true density itself scores {attainable:.4f} on the validation rows" if attainable is not None else ""
    )
    least = f"; lowest validation {np.nanmin(validation[:, 1]):.4f}" if len(validation) else ""
    line = f"; the entropy of the data is {entropy:.4f}" if entropy is not None else ""
    bound = {
        "bound": " They are bounds: the model's own bits per dimension are at most these.",
        "estimate": " They are estimates: right on average.",
    }.get(reading.kind, "")
    return [
        Plate(
            "curves",
            f"Bits per dimension while training, the train curve smoothed.{bound} "
            + ("Dotted: what the true density itself scores on the validation rows." if limit else ""),
            f"Training and validation curves: {', '.join(ends)}{least}{line}{limit}.{bound}",
            lambda theme: learning_curves(theme, train, validation, entropy, reading.kept, attainable, reading.kind),
        )
    ]


def _together(readings: list[Reading]) -> list[Shown]:
    """Figures in which all runs stand side by side: curves, and the learned densities beside the true one, on one scale."""
    if not comparable(readings) or any(reading.shows_pictures for reading in readings):
        return []
    found = []
    curves = [Curve(r.name, r.validation) for r in readings if len(r.validation)]
    if curves:
        words = "; ".join(f"{c.name} ends at {c.points[-1, 1]:.4f} bits/dim" for c in curves)
        entropy = readings[0].entropy_bits
        found.append(
            Plate(
                "compared_curves",
                "Validation curves",
                f"Validation curves: {words}.",
                lambda theme: compared_curves(theme, curves, entropy),
            )
        )
    densities = [(r, r.pictures["density"]) for r in readings if "density" in r.pictures]
    if densities and len(densities[0][0].columns) == 2:
        peak = max(peak_of(arrays) for _, arrays in densities)
        first = densities[0][1]
        box = (first["low"], first["high"])
        found += plates("density", first, readings[0].columns, box=box, peak=peak)[1:]  # the true one, once
        for index, (reading, arrays) in enumerate(densities):
            plate = plates("density", arrays, reading.columns, box=box, peak=peak)[0]
            found.append(Plate(f"compared_{index}", f"Learned by {reading.name}", plate.alt, plate.draw))
    return [embed(plate) for plate in found]


def _paired(train: list[Measured], test: list[Measured]) -> list[tuple[Measured, Measured]]:
    found = {(row.latent, row.group): row for row in train}
    return [(found[row.latent, row.group], row) for row in test if (row.latent, row.group) in found]


def _film(reading: Reading, film: Reel) -> dict[str, Any]:
    """What the page's player is given; 16-bit numbers are little-endian."""
    arrays = reading.frames[-1][1]
    data: dict[str, Any] = {
        "dims": film.dims,
        "steps": film.steps,
        "bits": [reading.bits_near(step) for step in film.steps],
        "points": int(film.latents.shape[1]),
        "latents": base64.b64encode(film.latents.astype("<u2").tobytes()).decode(),
        "labels": None if film.labels is None else [int(label) for label in film.labels],
        "cells": int(film.levels.shape[1]),
        "across": film.columns,
    }
    if film.dims == 1:
        data["levels"] = base64.b64encode(film.levels.astype("<u2").tobytes()).decode()
    return {
        "data": data,
        "sprite": address(film.sprite(), "image/png") if film.dims == 2 else None,
        "low": [float(end) for end in arrays["low"]],
        "high": [float(end) for end in arrays["high"]],
        "peak": film.peak,
        "frames": len(film.steps),
        "alt": f"Animation of {len(film.steps)} frames, from step {film.steps[0]:,} to step {film.steps[-1]:,}",
    }


def _ramp(theme: Theme) -> str:
    """The theme's colours from 0 to 1 in byte steps, three bytes each, in base64."""
    most = np.iinfo(np.uint8).max
    colours = theme.ramp(np.arange(most + 1) / most)[:, :3]
    return base64.b64encode(np.rint(colours * most).astype(np.uint8).tobytes()).decode()


def _significant(value: float | None) -> str:
    return "nan" if value is None else f"{value:.3g}"
