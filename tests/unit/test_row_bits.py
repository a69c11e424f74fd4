"""Bits per dimension of rows one by one: the same number alone and in company, whatever the model's number means."""

from __future__ import annotations

import math

import pytest
import torch

import bijectory as bj
from bijectory.evaluation.likelihood import bits_of_rows, bound_rows, estimate_rows, log_prob_rows
from bijectory.models.base import EstimateModel
from bijectory.models.estimated import EstimatedFlow
from bijectory.recipes._tables import Size, estimated, vector_flow


def test_exact_densities_are_divided_by_dimensions_and_log_2() -> None:
    torch.manual_seed(0)
    model, x = bj.realnvp(6, depth=2).double(), torch.randn(9, 6, dtype=torch.float64)
    assert torch.equal(bits_of_rows(model, x), -log_prob_rows(model, x) / (6 * math.log(2)))


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_rows_of_a_bound_share_the_noise_of_the_first(chunk: int | None) -> None:
    torch.manual_seed(0)
    model = bj.Quantised(bj.realnvp_image((1, 4, 4), filters=4, blocks=1, stages=(("checkerboard", 2),)), 4).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    x = torch.randint(4, (9, 1, 4, 4), dtype=torch.uint8)
    alone = torch.cat([bound_rows(model, row[None], seed=3) for row in x])
    assert torch.allclose(bits_of_rows(model, x, seed=3, chunk=chunk), -alone / (16 * math.log(2)), rtol=1e-12)
    assert not torch.allclose(bits_of_rows(model, x, seed=4), bits_of_rows(model, x, seed=3))
    with pytest.raises(bj.BijectoryError, match="row 2"):
        bits_of_rows(model, x.index_fill(0, torch.tensor([2]), 9))
    assert bits_of_rows(model, x[:0]).shape == (0,)


def test_rows_of_an_estimate_share_it_too() -> None:
    torch.manual_seed(0)
    model: EstimatedFlow = estimated(vector_flow("ffjord", 3, Size(hidden=(8,), ode_steps=4))).double()
    assert isinstance(model, EstimateModel)
    x = torch.randn(4, 3, dtype=torch.float64)
    alone = torch.cat([estimate_rows(model, row[None]) for row in x])
    assert torch.allclose(bits_of_rows(model, x), -alone / (3 * math.log(2)), rtol=1e-9)
