"""A run on a typed table asked in a person's own words and units: their file scored, draws given what they know, their gaps filled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.columns import listed
from ..data.encoding import decode, encode
from ..data.frames import Frame, Missing, Unread, Values, joined
from ..errors import InputError, NonFiniteError, UnknownNameError
from ..evaluation.likelihood import Kind, log_prob_rows
from ..models.base import ColumnModel
from ..numerics.seeds import generator_for
from .queries import DRAWS, ESTIMATED, PASS, Drawn, draw_given, fill, given_log_prob, sources, together
from .typed import Reading, load_typed, read_typed, read_words
from .use import Loaded, context_columns


@dataclass
class Filling(Reading):
    """What came of rows whose gaps are filled: how many values of which column, rows by exact draws, and of the others the number of
    candidates each had for a draw and their effective number."""

    filled: dict[str, int] = field(default_factory=dict)
    exact: int = 0
    candidates: int = 0
    effective: list[float] = field(default_factory=list)


class Sampled(NamedTuple):
    """Draws as a table. ``kind`` is 'estimate' where they were chosen from ``candidates`` worth ``effective`` by their weights."""

    frame: Frame
    kind: Kind
    candidates: int
    effective: float


def score_typed(
    run: Path,
    file: Path,
    reading: Reading,
    *,
    given: Sequence[str] = (),
    draws: int = DRAWS,
    seed: int = 0,
    skip_bad: bool = False,
    numbered: bool = False,
    recipe: Path | None = None,
) -> Iterator[Frame]:
    """The log density of each row in nats, as columns of a table, chunk by chunk: ``log_prob``; given others, perhaps ``log_prob_estimate``
    and its ``standard_error`` (see `queries.given_log_prob`). With ``skip_bad`` or ``numbered`` a column ``row`` comes first, the row's
    number in the file.
    """
    loaded, model = load_typed(run, recipe)
    known = given_columns(loaded, given)
    return _scored(loaded, model, file, reading, known, draws, seed, skip_bad, skip_bad or numbered)


def _scored(
    loaded: Loaded,
    model: ColumnModel,
    file: Path,
    reading: Reading,
    known: Tensor,
    draws: int,
    seed: int,
    skip_bad: bool,
    numbered: bool,
) -> Iterator[Frame]:
    for part in read_typed(loaded, file, reading, skip_bad=skip_bad):
        numbers = (part.kept + part.frame.first_row).astype(np.float64)
        held: dict[str, NDArray[np.float64]] = {"row": numbers} if numbered else {}
        if not bool(known.any()):
            held["log_prob"] = log_prob_rows(model, part.x, part.context, chunk=PASS).numpy()
        else:
            generator = generator_for(seed, "score", part.frame.first_row)
            found = given_log_prob(model, part.x, known, part.context, draws=draws, generator=generator)
            held[ESTIMATED[0] if found.errors is not None else "log_prob"] = found.values.numpy()
            if found.errors is not None:
                held[ESTIMATED[1]] = found.errors.numpy()
        for name, values in held.items():
            if (bad := np.isnan(values)).any():
                raise NonFiniteError(
                    f"{file}, row {int(numbers[bad.argmax()])}: {name} is no number, which is never written; the run's weights may be "
                    "damaged: bijectory verify says more"
                )
        yield Frame(tuple(held), tuple(held.values()), part.frame.first_row)


def unusual_first(frames: Iterator[Frame]) -> Frame:
    """Scores with their rows' numbers, the least likely row first."""
    whole = joined(list(frames))
    scores = whole.columns[1]
    assert isinstance(scores, np.ndarray)
    return whole.select(np.argsort(scores, kind="stable"))


def sample_typed(
    run: Path,
    n: int,
    *,
    given: Mapping[str, str] | None = None,
    context: Path | None = None,
    seed: int = 0,
    recipe: Path | None = None,
) -> Sampled:
    """``n`` rows of a run's model in the person's words and units, for each row of the file ``context`` where it is conditional.

    ``given`` are values of some columns as a person writes them: the rows are then draws given these (see `queries.draw_given`). Rows
    for a context begin with it, so that they can be scored as they are.
    """
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    loaded, model = load_typed(run, recipe)
    if context is None and loaded.schema.context_kinds:
        raise InputError(
            f"{run}: is conditional on {listed(context_columns(loaded.record))}; name a file that has these columns with --context FILE"
        )
    if context is not None and not loaded.schema.context_kinds:
        raise InputError(f"{run}: its model is not conditional, so --context {context} has no meaning; leave it out")
    generator = generator_for(seed, "sample")
    x, known = given_values(loaded, given or {})
    contexts = None
    if context is not None:
        parts = read_typed(loaded, context, Reading(), only_context=True)
        contexts = torch.cat([part.context for part in parts if part.context is not None])
    if bool(known.any()):
        each: Sequence[Tensor | None] = [None] if contexts is None else list(contexts)
        found = [draw_given(model, x, known, n, one, generator=generator) for one in each]
        drawn = together(found)
    else:
        rows = _samples(model, n, contexts, generator)
        drawn = Drawn(rows, "exact", len(rows), float(len(rows)))
    frame = decode(drawn.rows.double().numpy(), loaded.schema.kinds)
    if contexts is not None:
        before = decode(contexts.double().repeat_interleave(n, 0).numpy(), loaded.schema.context_kinds)
        frame = Frame((*before.names, *frame.names), (*before.columns, *frame.columns))
    return Sampled(frame, *drawn[1:])


def _samples(model: ColumnModel, n: int, contexts: Tensor | None, generator: torch.Generator) -> Tensor:
    """``n`` draws, or ``n`` for each of the contexts (contexts, features), one below the other."""
    with torch.inference_mode():
        if contexts is None:
            sizes = (min(PASS, n - start) for start in range(0, n, PASS))
            return torch.cat([model.sample(size, generator=generator) for size in sizes])
        wide = contexts.repeat_interleave(n, 0)
        return torch.cat([model.sample((), part, generator=generator) for part in wide.split(PASS)])


def impute_typed(
    run: Path,
    file: Path,
    filling: Filling,
    *,
    draws: int = 1,
    seed: int = 0,
    skip_bad: bool = False,
    recipe: Path | None = None,
) -> Iterator[Frame]:
    """The file's rows with every gap of the model's columns filled by a draw given the row's other values, chunk by chunk.

    All else stays as it is, columns that the model does not know too (dates and the like are left out). With several ``draws`` each row
    stands so often, one below the other.
    """
    if draws < 1:
        raise InputError(f"draws: expected at least 1, got {draws}")
    loaded, model = load_typed(run, recipe)
    return _imputed(loaded, model, file, filling, draws, seed, skip_bad)


def _imputed(
    loaded: Loaded, model: ColumnModel, file: Path, filling: Filling, draws: int, seed: int, skip_bad: bool
) -> Iterator[Frame]:
    kinds = loaded.schema.kinds
    for part in read_typed(loaded, file, filling, skip_bad=skip_bad, open_to_gaps=True):
        generator = generator_for(seed, "impute", part.frame.first_row)
        found = fill(model, part.x, part.context, draws=draws, generator=generator)
        gaps = torch.isnan(part.x)
        for kind, count in zip(kinds, gaps.sum(0).tolist(), strict=True):
            if count:
                filling.filled[kind.name] = filling.filled.get(kind.name, 0) + count
        chosen = found.candidates > draws
        filling.exact += int((found.candidates == draws).sum())
        filling.candidates = max(filling.candidates, int(found.candidates.max()) // draws if bool(chosen.any()) else 0)
        filling.effective += (found.effective[chosen] / draws).tolist()
        whole = decode(found.rows.transpose(0, 1).reshape(-1, len(kinds)).double().numpy(), kinds)
        repeated = part.frame.select(np.repeat(part.kept, draws))
        gone = dict(zip(whole.names, gaps.repeat_interleave(draws, 0).numpy().T, strict=True))
        known = {kind.name for kind in kinds}
        held: dict[str, Values] = {}
        for name, values in zip(repeated.names, repeated.columns, strict=True):
            if name in known:
                held[name] = _completed(values, whole.column(name), gone[name])
            elif not isinstance(values, Unread):
                held[name] = values
        filling.ignored = tuple(name for name in repeated.names if name not in held)
        yield Frame(tuple(held), tuple(held.values()), part.frame.first_row)


def _completed(values: Values, drawn: Values, gaps: NDArray[np.bool_]) -> Values:
    """Numbers as they stood with draws in the gaps; words as the model knows them."""
    if isinstance(values, np.ndarray) and isinstance(drawn, np.ndarray):
        return np.where(gaps, drawn, values)
    return drawn


def given_columns(loaded: Loaded, names: Sequence[str]) -> Tensor:
    """Which columns these names are, (columns,) of bool; UnknownNameError for one that is none, InputError for all of them."""
    columns = loaded.schema.columns
    for name in names:
        if name not in columns:
            also = "; what it is conditional on is given anyway" if name in loaded.schema.context_columns else ""
            raise UnknownNameError(f"given: there is no column {name!r}; the run has {listed(columns)}{also}")
    if set(names) == set(columns):
        raise InputError(f"given: expected some of {listed(columns)}, got all; leave out what is to be judged or drawn")
    return torch.tensor([column in names for column in columns])


def given_values(loaded: Loaded, given: Mapping[str, str]) -> tuple[Tensor, Tensor]:
    """Values as a person writes them, as an encoded row (columns,) and which of its columns are known (columns,) of bool.

    Raises UnknownNameError for another column, DataError for a value that the column cannot hold.
    """
    kinds = loaded.schema.kinds
    x, known = torch.zeros(len(kinds), dtype=next(loaded.model.parameters()).dtype), given_columns(loaded, list(given))
    if not given:
        return x, known
    own = dict(zip(loaded.schema.columns, sources(kinds), strict=True))
    places = [own[name] for name in given]
    if len(set(places)) < len(places):
        twice = [name for name in given if places.count(own[name]) > 1]
        raise InputError(f"given: {listed(twice)} hold the same value in every training row; give one of them")
    asked = [dataclasses.replace(kinds[place], name=name) for name, place in zip(given, places, strict=True)]
    says = Missing.of(read_words(loaded.record, "missing"))
    frame = Frame(tuple(given), tuple(says.text([value]) for value in given.values()))
    x[places] = torch.from_numpy(encode(frame, asked, source="given").matrix[0]).to(x)
    known[:] = False
    known[places] = True
    return x, known
