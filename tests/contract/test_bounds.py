"""Every law of bounds over every BoundModel of the zoo, and the exact probabilities of a model whose integers are few."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor
from zoo import BOUNDS, Row, specimen

import bijectory as bj
from bijectory.errors import InputError
from bijectory.numerics.quadrature import cell_masses
from bijectory.testing import bound_laws, check_bound
from bijectory.testing.bounds import stays_below
from bijectory.testing.checks import Law, hold

QUANTISED_PLANE = BOUNDS[0]


@cache
def laws(row: Row) -> dict[str, Law]:
    thing = specimen(row)
    assert isinstance(thing.module, bj.BoundModel)
    return bound_laws(thing.module, thing.x, None, thing.context, seeds=16, **row.bounds())


HELD = [(row, law) for row in BOUNDS for law in laws(row) if law not in row.exceptions]


@pytest.mark.parametrize(("row", "law"), HELD, ids=[f"{row.id}: {law}" for row, law in HELD])
def test_law(row: Row, law: str) -> None:
    check = hold(law, laws(row)[law])
    assert check.passed, str(check)
    assert check.law == law
    assert "not decided" not in check.note


def test_no_bound_needs_a_tolerance_or_an_exception() -> None:
    assert [row.id for row in BOUNDS if row.tolerances or row.exceptions] == []


def exact_integers(model: bj.Quantised, x: Tensor) -> Tensor:
    """log P of pairs of integers, by quadrature of the flow's density over their cells: nothing of Quantised is asked."""
    assert model.alpha is not None
    shares = torch.arange(model.levels + 1, dtype=torch.float64) / model.levels
    edges = torch.logit(model.alpha + (1 - 2 * model.alpha) * shares)
    # The copy is made here: the zoo's models are float32 and shared.
    flow = bj.Flow(model.model.base, model.model.transform).double()
    try:
        with torch.no_grad():
            masses = cell_masses(lambda y: flow.log_prob(y).exp(), [edges, edges], sub=8)
    finally:
        flow.float()
    return masses.log()[tuple(x.long().unbind(-1))]


def test_the_bound_of_integers_lies_below_their_probability_and_not_far() -> None:
    thing = specimen(QUANTISED_PLANE)
    assert isinstance(thing.module, bj.Quantised)
    exact = exact_integers(thing.module, thing.x)
    check = stays_below(thing.module, thing.x, exact)
    assert check.passed, str(check)
    # Below by something: a bound that is exact would say that the density is flat in every cell.
    assert -1 < check.figure < -0.01
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        many = thing.module.log_prob_bound(thing.x, draws=512, generator=generator)[0].double()
    # Its error is about −(variance of the density in the cell) / (2 · 512 · P²).
    assert float((many - exact).mean().abs()) < 0.01


def test_rows_that_are_no_integers_are_refused_before_any_law() -> None:
    thing = specimen(QUANTISED_PLANE)
    with pytest.raises(InputError, match=r"x: expected whole numbers from 0 to 3, got 4 in row 1"):
        check_bound(thing.module, torch.tensor([[0, 1], [4, 1]]))  # type: ignore[arg-type]


def flow_checks(row: Row) -> dict[str, str]:
    thing = specimen(row)
    assert isinstance(thing.module, bj.BoundModel)
    chosen = ("flow: log-det", "flow: round trip float64", "flow: latent density")
    return {name: str(hold(name, law)) for name, law in laws(row).items() if name in chosen}


def test_pictures_are_cropped_where_the_flow_takes_any_size() -> None:
    found = flow_checks(next(row for row in BOUNDS if row.id == "quantised, realnvp_image"))
    assert "whole" in found["flow: log-det"]
    assert "on 8 × 8 crops" in found["flow: log-det"]
    assert "crops" not in found["flow: latent density"]


def test_pictures_are_left_whole_where_it_does_not() -> None:
    found = flow_checks(next(row for row in BOUNDS if row.id == "quantised, nice_image"))
    assert "whole pictures, since the map takes no 8 × 8 crops" in found["flow: log-det"]


def test_a_crop_beyond_the_picture_is_no_crop() -> None:
    row = next(row for row in BOUNDS if row.id == "quantised, realnvp_image")
    thing = specimen(row)
    for crop in (None, 64):
        check = hold("flow: precision", bound_laws(thing.module, thing.x, crop=crop)["flow: precision"])  # type: ignore[arg-type]
        assert check.passed
        assert "crops" not in check.note
