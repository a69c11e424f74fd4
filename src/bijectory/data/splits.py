"""Training, validation and test rows, with what is known about where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..numerics.seeds import seed_for
from .kinds import Column, check_kinds


@dataclass(frozen=True)
class Rows:
    """Rows of one split: x (rows, *event), perhaps a context (rows, features), integer labels (rows,) and weights (rows,) with mean 1."""

    x: Tensor
    context: Tensor | None = None
    labels: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: Tensor | slice) -> Rows:
        """Some of the rows."""
        return Rows(
            self.x[index],
            None if self.context is None else self.context[index],
            None if self.labels is None else self.labels[index],
            None if self.weights is None else self.weights[index],
        )


@dataclass(frozen=True)
class Schema:
    """What a model must know of its data before it is built, small enough to stand in a run's settings.

    ``levels`` is None for real numbers; where it is given, the values are the integers 0..levels-1. ``context_columns`` names the
    features of the context, by which a file of new contexts is read. ``kinds`` and ``context_kinds`` say of every column of a typed table
    what it holds; without them columns hold real numbers.
    """

    columns: tuple[str, ...]
    event_shape: tuple[int, ...]
    context_dim: int = 0
    levels: int | None = None
    context_columns: tuple[str, ...] = ()
    kinds: tuple[Column, ...] = ()
    context_kinds: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set. ``truth`` maps x to its exact log density in joint nats, where that is known,
    and ``entropy()`` its mean. With ``levels``, x holds the integers 0..levels-1 (pictures: uint8, (rows, channels, height, width)).
    ``context_columns`` names the features of the context; without names they are c1, c2, …
    ``elsewhere`` names other sets of the same shape, each read when it is called: what a model is asked whether it notices.
    With ``kinds`` the columns of x are encoded as these say (`kinds.Column`), with ``context_kinds`` those of the context: NaN is then a
    missing value."""

    train: Rows
    validation: Rows
    test: Rows
    columns: tuple[str, ...]
    name: str = "data"
    truth: Callable[[Tensor], Tensor] | None = None
    entropy: Callable[[], float] | None = None
    notes: tuple[str, ...] = field(default=())
    levels: int | None = None
    context_columns: tuple[str, ...] = ()
    elsewhere: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict)
    kinds: tuple[Column, ...] = ()
    context_kinds: tuple[Column, ...] = ()

    @property
    def schema(self) -> Schema:
        """Columns and shapes."""
        context = self.train.context
        features = 0 if context is None else context.shape[-1]
        event = tuple(self.train.x.shape[1:])
        names = context_names(self.context_columns, features)
        return Schema(self.columns, event, features, self.levels, names, self.kinds, self.context_kinds)

    def __post_init__(self) -> None:
        if self.kinds:
            check_kinds(self.kinds, self.columns)
        if self.context_kinds:
            check_kinds(self.context_kinds, self.context_columns, "context_kinds")
        for split in ("train", "validation", "test"):
            rows, name = getattr(self, split), f"{self.name} ({split})"
            check_rows(rows.x, name, self.columns, self.levels, self.kinds)
            check_context(rows, name, self.context_columns, self.context_kinds)


def context_names(columns: Sequence[str], features: int) -> tuple[str, ...]:
    """The names of ``features`` features of context: those given, or c1, c2, … where there are none."""
    if columns and len(columns) != features:
        raise DataError(f"context_columns: expected {features} names, one a feature, got {len(columns)}")
    return tuple(columns) or tuple(f"c{i + 1}" for i in range(features))


def check_context(rows: Rows, name: str, columns: Sequence[str], kinds: Sequence[Column] = ()) -> None:
    """Refuse contexts that are not one row of finite numbers for each row of x; of typed columns those with gaps may have NaN."""
    context = rows.context
    if context is None:
        return
    if context.dim() != 2 or len(context) != len(rows.x):
        raise DataError(f"{name}: context: expected shape ({len(rows.x)}, features), got {tuple(context.shape)}")
    _check_finite(context, name, context_names(columns, context.shape[1]), kinds)


def check_rows(
    x: Tensor, name: str, columns: tuple[str, ...], levels: int | None = None, kinds: Sequence[Column] = ()
) -> None:
    """Refuse what no density can be fitted to: no rows, numbers that are not finite, integers outside 0..levels-1.

    With ``kinds``, NaN is a missing value and stands where they allow gaps.
    """
    if not len(x):
        raise DataError(f"{name}: expected at least one row, got none")
    if levels is not None:
        return _check_levels(x, name, levels)
    _check_finite(x.flatten(1), name, columns, kinds)


def _check_finite(values: Tensor, name: str, columns: Sequence[str], kinds: Sequence[Column]) -> None:
    bad = ~torch.isfinite(values)
    if kinds:
        bad &= ~(torch.isnan(values) & torch.tensor([kind.gaps for kind in kinds], device=values.device))
    if bool(bad.any()):
        row, column = (int(i) for i in bad.nonzero()[0])
        label = columns[column] if column < len(columns) else str(column)
        raise DataError(
            f"{name}: row {row + 1}, column {label}: expected a finite number, got {values[row, column].item()}; "
            "remove the row or fill the value"
        )


def _check_levels(x: Tensor, name: str, levels: int) -> None:
    if levels < 2:
        raise DataError(f"{name}: levels: expected at least 2, got {levels}; one value carries no bits")
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise DataError(f"{name}: expected integers 0..{levels - 1}, got {x.dtype}; store the pictures as uint8")
    low, high = int(x.amin()), int(x.amax())
    if low < 0 or high >= levels:
        place = ((x < 0) | (x >= levels)).nonzero()[0].tolist()
        raise DataError(
            f"{name}: row {place[0] + 1}, place {tuple(place[1:])}: expected an integer in 0..{levels - 1}, got "
            f"{int(x[tuple(place)])} (the rows span {low}..{high}); give the right number of levels, or quantise the values"
        )


def check_varies(
    x: Tensor, name: str, columns: tuple[str, ...], levels: int | None = None, kinds: Sequence[Column] = ()
) -> None:
    """Refuse columns of one value: their density is not a function, and their nats would rise without limit.

    With ``levels`` nothing is refused: an integer that never changes still has the density of its dequantisation noise, so that a
    black corner of every picture costs no bits and gains none. Nor is with ``kinds``: a value that repeats has a probability there.
    """
    if levels is not None or kinds:
        return
    flat = x.flatten(1)
    constant = flat.amax(0) == flat.amin(0)
    if bool(constant.any()):
        column = int(constant.nonzero()[0])
        label = columns[column] if column < len(columns) else str(column)
        raise DataError(
            f"{name}: column {label} has the same value {flat[0, column].item():.6g} in all {len(x)} rows; "
            "a constant has no density: leave the column out"
        )


def rows_from(x: np.ndarray, labels: np.ndarray | None = None) -> Rows:
    """NumPy rows as float32 tensors."""
    return Rows(
        torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)),
        None,
        None if labels is None else torch.from_numpy(labels),
    )


def hold_out(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Split off a random ``share`` of the rows: (the rest, the part held out)."""
    if not 0 < share < 1:
        raise DataError(f"share: expected a part between 0 and 1, got {share}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed_for(seed, "hold_out")))
    held = max(1, round(share * len(rows)))
    return rows.select(order[held:]), rows.select(order[:held])
