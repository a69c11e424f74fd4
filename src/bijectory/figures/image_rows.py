"""Pictures in rows that are read from left to right: ways between pictures, of one model or of several, and latents at temperatures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .images import Integers, gap_of, new_pixels, shown, write
from .style import POINTS, WIDTH, Theme, rgb

#: Inches of one letter of a label, and of the paper between it and the pictures.
LETTER, MARGIN = 0.085, 0.08


def picture_rows(
    theme: Theme, rows: Integers, levels: int, labels: Sequence[str] = (), *, ends: bool = False, block: int = 1
) -> Figure:
    """Rows (rows, columns, …), a label at the left of each where there are any, and more paper after every ``block`` of them.

    With ``ends`` the first and the last column stand apart, framed, under the words 'held out'.
    """
    count, steps = rows.shape[:2]
    colours = shown(rows.reshape(count * steps, *rows.shape[2:]), levels)
    h, w = colours.shape[1:3]
    gap = gap_of(colours)
    apart = 4 * gap * ends
    side = gap if ends else 0
    across = [side + (w + gap) * i + apart * ((i > 0) + (0 < i == steps - 1)) for i in range(steps)]
    down = [side + (h + gap) * i + 3 * gap * (i // block if block > 1 else 0) for i in range(count)]
    width, height = across[-1] + w + side, down[-1] + h + side
    inches = LETTER * max(map(len, labels)) + MARGIN if labels else 0.0
    margin = math.ceil(inches / (WIDTH - inches) * width)
    sheet = np.empty((height, margin + width, 3), dtype=np.uint8)
    sheet[:] = rgb(theme.paper)
    for index, picture in enumerate(colours):
        top, left = down[index // steps], margin + across[index % steps]
        sheet[top : top + h, left : left + w] = picture
    figure, axes = new_pixels(theme, sheet, above=0.24 if ends else 0.0)
    for top, label in zip(down, labels, strict=False):
        write(axes, theme, -0.5, top + h / 2 - 0.5, label, ha="left", va="center")
    if not ends:
        return figure
    away = 0.6 * gap
    for left in (across[0], across[-1]):
        corner, size = (margin + left - 0.5 - away, gap - 0.5 - away), (w + 2 * away, height - 2 * gap + 2 * away)
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=theme.series[1], linewidth=1.2))
    small = POINTS - 1
    for at, x in {"left": margin - 0.5, "right": margin + width - 0.5}.items():
        write(axes, theme, x, -0.5, "held out", ha=at, va="bottom", colour=theme.series[1], points=small)
    if steps > 2:
        middle = margin + width / 2 - 0.5
        write(axes, theme, middle, -0.5, "on the way, in latent space", ha="center", va="bottom", points=small)
    return figure
