"""Pictures of integers as figures: grids, rows of an interpolation, pairs, and the frames of a film over training.

Every pixel of a picture becomes a square of whole pixels of the figure, no smoothing between; levels are spread over the full range of
grey or colour, so that 2-bit faces and 8-bit digits are equally bright.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .plate import Arrays
from .style import DPI, POINTS, WIDTH, Theme, encode, new_sheet, rgb

Bytes = NDArray[np.uint8]
Integers = NDArray[Any]

_MOST8 = np.iinfo(np.uint8).max
#: So many pixels of a picture's width are one of the gap to the next; what is marked off stands four gaps away.
GAPS = 16


def shown(pictures: Integers, levels: int) -> Bytes:
    """Integers 0 … levels − 1 as colours (n, height, width, 3): (n, h, w), (n, c, h, w) or (n, h, w, c), of one channel or of three.

    Where both ends could be the channels, the first is. Other numbers of channels are laid side by side, in grey.

    >>> shown(np.array([[[0, 1], [2, 3]]]), levels=4)[0, :, :, 0]
    array([[  0,  85],
           [170, 255]], dtype=uint8)
    """
    x = pictures[:, None] if pictures.ndim == 3 else pictures
    if x.shape[1] not in (1, 3) and x.shape[-1] in (1, 3):
        x = np.moveaxis(x, -1, 1)
    if x.shape[1] not in (1, 3):
        x = x.swapaxes(1, 2).reshape(len(x), 1, x.shape[2], -1)
    spread = np.rint(x.astype(np.float64) * (_MOST8 / (levels - 1))).clip(0, _MOST8).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(spread, 1, -1), (*spread.shape[:1], *spread.shape[2:], 3)))


def mosaic(colours: Integers, columns: int, paper: Integers, gap: int) -> Integers:
    """Pictures (n, h, w, channels) in rows of ``columns``, ``gap`` pixels of ``paper`` between: (height, width, channels)."""
    n, h, w, channels = colours.shape
    rows = max(1, math.ceil(n / columns))
    sheet = np.empty((rows * (h + gap) - gap, columns * (w + gap) - gap, channels), dtype=colours.dtype)
    sheet[:] = paper
    for index, picture in enumerate(colours):
        top, left = (index // columns) * (h + gap), (index % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = picture
    return sheet


def square_columns(n: int, shape: tuple[int, ...]) -> int:
    """In how many columns n pictures of (height, width) come nearest to a square."""
    return max(1, min(n, round(math.sqrt(n * shape[0] / shape[1]))))


def picture_grid(theme: Theme, pictures: Integers, levels: int) -> Figure:
    """Pictures in a grid that is nearly square."""
    colours = shown(pictures, levels)
    columns, gap = square_columns(len(colours), colours.shape[1:3]), gap_of(colours)
    return new_pixels(theme, mosaic(colours, columns, rgb(theme.paper), gap))[0]


def neighbour_pairs(
    theme: Theme, samples: Integers, nearest: Integers, distance: NDArray[np.floating], levels: int
) -> Figure:
    """Each sample and, at its right, the training picture nearest to it, over their distance; four pairs in a row."""
    left, right = shown(samples, levels), shown(nearest, levels)
    n, h, w, _ = left.shape
    across, apart = max(1, min(n, 4)), 4 * gap_of(left)
    # Room for a line of words under each pair, in pixels of the pictures.
    wide = across * (2 * w + 1 + apart) - apart
    words = math.ceil(POINTS * 1.35 / 72 / WIDTH * wide)
    sheet = np.empty((math.ceil(n / across) * (h + words), wide, 3), dtype=np.uint8)
    sheet[:] = rgb(theme.paper)
    places = [((i // across) * (h + words), (i % across) * (2 * w + 1 + apart)) for i in range(n)]
    for index, (y, x) in enumerate(places):
        sheet[y : y + h, x : x + w], sheet[y : y + h, x + w + 1 : x + 2 * w + 1] = left[index], right[index]
    figure, axes = new_pixels(theme, sheet)
    for (y, x), d in zip(places, distance, strict=True):
        write(axes, theme, x + w - 0.5, y + h - 0.5, f"{d:.1f}", ha="center", va="top")
    return figure


def gap_of(colours: Bytes) -> int:
    """Pixels between pictures of this width."""
    return max(1, round(colours.shape[2] / GAPS))


def new_pixels(theme: Theme, sheet: Bytes, above: float = 0.0) -> tuple[Figure, Axes]:
    """Pixels as a figure about as wide as the others, with ``above`` inches of paper over them; the axes count pixels from the top left."""
    height, width = sheet.shape[:2]
    # Squares of whole pixels, where there is room for one each.
    times = round(WIDTH * DPI / width)
    inches = times * width / DPI if times else WIDTH
    figure, axes = new_sheet(theme, inches, inches * height / width, above)
    axes.imshow(sheet, interpolation="nearest" if times else "antialiased", aspect="auto")
    return figure, axes


def write(
    axes: Axes,
    theme: Theme,
    x: float,
    y: float,
    text: str,
    *,
    ha: str,
    va: str,
    colour: str | None = None,
    points: float = POINTS,
) -> None:
    """A word at a place counted in pixels of the pictures, in the theme's ink."""
    axes.text(x, y, text, ha=ha, va=va, color=colour or theme.ink, fontsize=points, clip_on=False)


@dataclass(frozen=True)
class Slides:
    """The same latents at every look: ``sheets`` (looks, height, width, 3), one grid of samples each."""

    steps: list[int]
    sheets: Bytes
    pictures: int

    @property
    def columns(self) -> int:
        """Frames in a row of the sprite: as many as make it nearly square, which no format refuses."""
        return square_columns(len(self.steps), self.sheets.shape[1:3])

    def thinned(self) -> Slides:
        """Every second look, the last among them."""
        kept = slice((len(self.steps) - 1) % 2, None, 2)
        return Slides(self.steps[kept], self.sheets[kept], self.pictures)

    def sprite(self) -> Bytes:
        """All frames in one sheet, row by row."""
        return mosaic(self.sheets, self.columns, np.zeros(3, dtype=np.uint8), gap=0)


def slides(frames: Sequence[tuple[int, Arrays]]) -> Slides:
    """The frames (step, arrays) of one run as grids of pictures, black between them."""
    sheets = []
    for _, arrays in frames:
        colours = shown(arrays["samples"], int(arrays["levels"]))
        black = np.zeros(3, dtype=np.uint8)
        sheets.append(mosaic(colours, square_columns(len(colours), colours.shape[1:3]), black, gap=1))
    return Slides([step for step, _ in frames], np.stack(sheets), len(frames[0][1]["samples"]))


def packed(film: Slides, limit: int) -> tuple[Slides, bytes]:
    """The film and its sprite as a WebP of at most ``limit`` bytes where that can be: exact, else smoothed, else of fewer looks."""
    while True:
        sprite = film.sprite()
        data = encode(sprite, "WEBP", lossless=True, method=2)
        if len(data) > limit:
            data = encode(sprite, "WEBP", quality=80, method=2)
        if len(data) <= limit or len(film.steps) < 2:
            return film, data
        film = film.thinned()


def slides_animation(film: Slides, *, side: int = 400, milliseconds: int = 120) -> bytes:
    """A GIF of the film, the last frame held for two seconds."""
    from PIL import Image

    times = max(1, side // film.sheets.shape[2])
    large = film.sheets.repeat(times, 1).repeat(times, 2)
    pictures = [Image.fromarray(sheet).quantize() for sheet in large]
    buffer = io.BytesIO()
    durations = [milliseconds] * (len(pictures) - 1) + [2000]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return buffer.getvalue()
