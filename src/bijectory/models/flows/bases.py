"""Which base a model function was asked for: by its name, as a density, or as another flow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ...distributions.base import Base, Logistic, Normal
from ...distributions.student import StudentT
from ...distributions.uniform import Uniform
from ...errors import DomainError, InputError, ShapeError
from ...transforms.circular import EDGE
from ..base import LatentModel, as_shape
from ..flow_base import FlowBase

BaseChoice = Literal["normal", "logistic", "student_t"] | Base | LatentModel

_NAMED: Mapping[str, Callable[[Sequence[int]], Base]] = {"normal": Normal, "logistic": Logistic, "student_t": StudentT}


def as_base(base: BaseChoice, shape: int | Sequence[int]) -> Base:
    """The base density over events of ``shape`` that was asked for; a flow is wrapped as a ``FlowBase``.

    Raises InputError for an unknown name, ShapeError for a density over events of another shape.

    >>> as_base("student_t", 2)
    StudentT(df=5)
    """
    expected = as_shape(shape)
    if isinstance(base, LatentModel):
        base = FlowBase(base)
    if not isinstance(base, Base):
        if not isinstance(base, str) or base not in _NAMED:
            raise InputError(f"base: expected {', '.join(map(repr, _NAMED))}, a Base or a flow, got {base!r}")
        return _NAMED[base](expected)
    if base.event_shape != expected:
        raise ShapeError(f"base: expected a density over events of shape {expected}, got one over {base.event_shape}")
    return base


def circular_base(base: BaseChoice | None, shape: int | Sequence[int]) -> Base:
    """A base over events whose every number is an angle in [−π, π]: the uniform one where none was asked for.

    Raises InputError for a density that lies beyond a turn too: a flow on circles never comes there, and would leave that mass out.
    """
    if base is None:
        return Uniform(as_shape(shape), -math.pi, math.pi)
    chosen = as_base(base, shape)
    if isinstance(chosen, Uniform):
        inside = chosen.low >= -EDGE and chosen.high <= EDGE
    else:
        inside = _ends_before(chosen, 4.0) and _ends_before(chosen, -4.0)
    if not inside:
        raise InputError(
            f"base: expected None, a density that is 0 beyond [−π, π] or a flow on circles for boundary='circular', got {base!r}"
        )
    return chosen


def _ends_before(base: Base, place: float) -> bool:
    """Whether the density is 0 at an event of that number alone, or refuses it."""
    like = next(itertools.chain(base.parameters(), base.buffers()))
    try:
        return bool(base.log_prob(like.new_full(base.event_shape, place)) == -math.inf)
    except DomainError:
        return True
