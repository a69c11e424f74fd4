"""A training run as a film: the density and the latents of every look, packed small for the page, or as an animated picture.

The page draws its own frames, in the reader's colours and at the screen's resolution: it is given the densities as one grey sprite
and the latents as 16-bit coordinates. For slides there is ``animation``, a GIF.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plate import Arrays
from .style import LIGHT, Theme, encode, label_colour, rgb

_MOST8, _MOST16 = np.iinfo(np.uint8).max, np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Reel:
    """The frames of one run: ``levels`` (frames, cells…) is √(p / peak) in bytes, ``latents`` (frames, n, d) 16-bit parts of 1.

    For one column ``levels`` is p / peak in 16 bits. Frames whose numbers are not finite show them as zero.
    """

    steps: list[int]
    levels: NDArray[np.unsignedinteger]
    latents: NDArray[np.uint16]
    labels: NDArray[np.integer] | None
    peak: float

    @property
    def dims(self) -> int:
        """Columns of the data."""
        return int(self.latents.shape[-1])

    @property
    def columns(self) -> int:
        """Frames in a row of the sprite."""
        return math.ceil(math.sqrt(len(self.steps)))

    def sprite(self) -> bytes:
        """All densities of the plane in one grey PNG, row by row, each with its highest x2 at the top."""
        across = self.columns
        down = math.ceil(len(self.steps) / across)
        cells = self.levels.shape[1]
        sheet = np.zeros((down * cells, across * cells), dtype=np.uint8)
        for index, frame in enumerate(self.levels):
            row, column = divmod(index, across)
            sheet[row * cells : (row + 1) * cells, column * cells : (column + 1) * cells] = frame[::-1]
        return encode(sheet, "PNG", optimize=True)


def reel(frames: Sequence[tuple[int, Arrays]], peak: float) -> Reel:
    """Pack the frames (step, arrays) of one run; ``peak`` is the density at the top of the scale."""
    dims = frames[0][1]["latents"].shape[-1]
    shares = [np.nan_to_num(np.exp(arrays["log_density"].astype(np.float64)) / peak).clip(0, 1) for _, arrays in frames]
    levels: NDArray[Any] = (
        np.stack([np.rint(np.sqrt(s) * _MOST8).astype(np.uint8) for s in shares])
        if dims == 2
        else np.stack([np.rint(s * _MOST16).astype(np.uint16) for s in shares])
    )
    latents = np.stack([np.nan_to_num(arrays["latents"]).clip(0, 1) for _, arrays in frames])
    return Reel(
        [step for step, _ in frames],
        levels,
        np.rint(latents * _MOST16).astype(np.uint16),
        frames[0][1].get("labels"),
        peak,
    )


def animation(film: Reel, theme: Theme = LIGHT, *, side: int = 300, milliseconds: int = 120) -> bytes:
    """A GIF of density and latents side by side (for one column, curve and histogram), the last frame held for two seconds."""
    from PIL import Image

    pictures = [Image.fromarray(_frame(film, index, theme, side)).quantize(64) for index in range(len(film.steps))]
    buffer = io.BytesIO()
    times = [milliseconds] * (len(pictures) - 1) + [2000]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return buffer.getvalue()


def _frame(film: Reel, index: int, theme: Theme, side: int) -> NDArray[np.uint8]:
    from PIL import Image

    paper, ink = rgb(theme.paper), rgb(theme.faint)
    canvas = np.empty((side + 2, 2 * side + 14, 3), dtype=np.uint8)
    canvas[:] = paper
    if film.dims == 2:
        grey = np.asarray(Image.fromarray(film.levels[index][::-1]).resize((side, side), Image.Resampling.BICUBIC))
        left = (theme.ramp(grey / _MOST8)[..., :3] * _MOST8).astype(np.uint8)
        right = np.empty((side, side, 3), dtype=np.uint8)
        right[:] = paper
        u = film.latents[index].astype(np.int64) * (side - 2) // _MOST16
        colours = _label_colours(film, theme)
        for dx in (0, 1):
            for dy in (0, 1):
                right[side - 1 - u[:, 1] - dy, u[:, 0] + dx] = colours
    else:
        left = _bars(film.levels[index] / _MOST16, side, paper, rgb(theme.series[0]))
        share = np.histogram(film.latents[index, :, 0] / _MOST16, 20, (0, 1))[0] * 20 / film.latents.shape[1]
        right = _bars(share / 2, side, paper, rgb(theme.series[0]))
    for start, panel in ((1, left), (side + 13, right)):
        canvas[:, start - 1 : start + side + 1] = ink
        canvas[1:-1, start : start + side] = panel
    return canvas


def _bars(
    heights: NDArray[np.floating], side: int, paper: NDArray[np.uint8], ink: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Bars of these heights, in parts of the side, standing on the lower edge."""
    tall = heights[np.arange(side) * len(heights) // side] * side
    filled = np.arange(side)[::-1, None] < tall[None, :]
    return np.where(filled[..., None], ink, paper)


def _label_colours(film: Reel, theme: Theme) -> NDArray[np.uint8]:
    if film.labels is None:
        return np.broadcast_to(rgb(theme.series[0]), (film.latents.shape[1], 3))
    return np.stack([rgb(label_colour(theme, int(label))) for label in film.labels])
