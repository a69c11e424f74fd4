"""How figures look: two themes of the same contrast, one typeface, no state shared between figures."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Inches and points of one panel. On a phone, 343 CSS pixels wide, 10.5 points are 12 pixels.
WIDTH, POINTS, DPI = 4.2, 10.5, 200
#: Inches around a square panel of ``SIDE``, and how much more is kept above for a legend, below for a bar of colours.
SIDE, LEFT, BOTTOM, TOP, LEGEND, BAR = 3.42, 0.62, 0.52, 0.12, 0.3, 0.62


@dataclass(frozen=True)
class Theme:
    """Colours of one theme: ``ramp`` runs from nothing to most, ``labels`` tell classes apart, ``series`` curves."""

    name: str
    paper: str
    ink: str
    faint: str
    series: tuple[str, str]
    labels: tuple[str, ...]
    ramp: Colormap


def _ramp(name: str, *colours: str) -> Colormap:
    return LinearSegmentedColormap.from_list(name, colours)


# The ramps begin at the paper's own colour, so that no density is no ink; their lightness falls, or rises, evenly.
LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1c2024",
    faint="#80868e",
    series=("#1f5fbf", "#c2560c"),
    labels=("#1f6fc4", "#d1570b", "#15845a", "#9446b0", "#a17a00", "#0b8593", "#c23b6b", "#666b73"),
    ramp=_ramp("bijectory_light", "#ffffff", "#d5e4f2", "#93bbdf", "#4a89c8", "#1d519c", "#0b2252"),
)
DARK = Theme(
    name="dark",
    paper="#15181c",
    ink="#e4e7ea",
    faint="#8b939c",
    series=("#78aefc", "#ffa566"),
    labels=("#6cb2ff", "#ff9d5c", "#4fd19a", "#d59bee", "#e3c04a", "#57d0df", "#ff88ae", "#aab0b8"),
    ramp=_ramp("bijectory_dark", "#15181c", "#15365f", "#2466ad", "#5ba1dc", "#b0d8f2", "#fffce6"),
)


def new_curves(theme: Theme) -> tuple[Figure, Axes]:
    """A panel for curves, which finds its own margins. No pyplot: nothing is remembered between figures."""
    figure = Figure(figsize=(WIDTH, SIDE + BOTTOM), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure, _dressed(figure.add_subplot(), theme)


def new_square(theme: Theme, *, legend: bool = False, bar: bool = False) -> tuple[Figure, Axes]:
    """A square panel, of the same size in every figure whatever stands around it."""
    below = BOTTOM + bar * BAR
    height = below + SIDE + TOP + legend * LEGEND
    figure = Figure(figsize=(WIDTH, height), facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure, _dressed(figure.add_axes((LEFT / WIDTH, below / height, SIDE / WIDTH, SIDE / height)), theme)


def new_panels(theme: Theme, width: float, height: float, *boxes: tuple[float, float, float, float]) -> list[Axes]:
    """Panels of one small figure, each (left, bottom, width, height) in inches; the figure is ``axes.figure``."""
    figure = Figure(figsize=(width, height), facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return [
        _dressed(figure.add_axes((left / width, bottom / height, across / width, up / height)), theme)
        for left, bottom, across, up in boxes
    ]


def new_sheet(theme: Theme, width: float, height: float, above: float = 0.0) -> tuple[Figure, Axes]:
    """A figure that is all panel, for pictures, but for ``above`` inches; it has no ticks and no frame."""
    figure = Figure(figsize=(width, height + above), facecolor=theme.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, height / (height + above)))
    axes.set_axis_off()
    return figure, axes


def bar_axes(figure: Figure, theme: Theme) -> Axes:
    """The axes for a bar of colours under a square panel that was made with one."""
    width, height = figure.get_size_inches()
    return _dressed(figure.add_axes((LEFT / width, 0.42 / height, SIDE / width, 0.11 / height)), theme)


def _dressed(axes: Axes, theme: Theme) -> Axes:
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.ink, labelsize=POINTS, length=3.5, width=0.7)
    for spine in axes.spines.values():
        spine.set(color=theme.faint, linewidth=0.7)
    return axes


def name_axes(axes: Axes, theme: Theme, x: str, y: str) -> None:
    """Label the axes. Names come from data: a dollar sign in a column's name is a dollar sign, not mathematics."""
    axes.set_xlabel(x, color=theme.ink, fontsize=POINTS, parse_math=False)
    axes.set_ylabel(y, color=theme.ink, fontsize=POINTS, parse_math=False)


def open_axes(axes: Axes) -> None:
    """Leave only the left and the lower line of the frame, as curves want it."""
    axes.spines[["top", "right"]].set_visible(False)


def add_legend(axes: Axes, theme: Theme, **options: Any) -> None:
    """The legend, in the theme's ink, on a paper that lets what lies under it shine through a little."""
    if not options.get("handles") and not axes.get_legend_handles_labels()[0]:
        return
    legend = axes.legend(
        facecolor=theme.paper,
        edgecolor="none",
        framealpha=0.85,
        fontsize=POINTS,
        labelcolor=theme.ink,
        handlelength=1.4,
        **options,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def density_norm(peak: float) -> PowerNorm:
    """The scale of all densities: the square root, without which a sharp peak leaves nothing to be seen of the rest."""
    return PowerNorm(0.5, vmin=0, vmax=peak)


def above(entries: int) -> dict[str, Any]:
    """Options of a legend of so many entries in the room above a square panel."""
    return {
        "loc": "lower center",
        "bbox_to_anchor": (0.5, 1.0),
        "ncols": min(4, entries),
        "columnspacing": 1.1,
        "handletextpad": 0.2,
        "borderpad": 0.2,
    }


def label_colour(theme: Theme, label: int) -> str:
    """The colour of a class; past the last they begin anew."""
    return theme.labels[label % len(theme.labels)]


def rgb(colour: str) -> NDArray[np.uint8]:
    """'#rrggbb' as three bytes."""
    return np.frombuffer(bytes.fromhex(colour.lstrip("#")), dtype=np.uint8)


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as (height, width, 4) bytes."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.set_dpi(DPI)
    with warnings.catch_warnings():
        # A column's name in a script that matplotlib's typeface lacks is drawn as boxes; the page has the name in text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def encode(image: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """An image as the bytes of a PNG or WEBP file."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert("RGB") if image.ndim == 3 else picture).save(buffer, kind, **options)
    return buffer.getvalue()
