"""What a figure is to those who show it: a name, words, and a way to draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import Theme

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Plate:
    """One figure: its name as a file, what stands under it, what stands for it where it cannot be seen, and how it is drawn.

    ``colourful`` where it holds more colours than a byte counts, which must not be merged.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[Theme], Figure]
    colourful: bool = False
