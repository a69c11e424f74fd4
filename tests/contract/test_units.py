"""Round trips say the same in whatever units a vector's columns come, and see a column however small its unit is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.testing.checks import units
from bijectory.testing.maps import far_inputs, round_trip

#: Powers of two: multiplying with them rounds nothing, so that what the map does is the same to the last bit.
METRES = torch.tensor([1.0, 2.0**-10, 2.0**10])


def in_units(of: Tensor) -> tuple[bj.Transform, Tensor]:
    """A map of rows whose columns are ``of`` times those of the same rows elsewhere, and such rows."""
    torch.manual_seed(0)
    core = bj.nsf(3, depth=2, hidden=(16,)).transform
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    x = torch.randn(256, 3)
    return bj.Chain([bj.ConstantAffine(torch.zeros(3), of), core]), x * of


def test_the_figures_are_the_same_in_other_units() -> None:
    for law in (lambda t, x: round_trip(t, x, dtype=torch.float32), lambda t, x: far_inputs(t, x, factor=10.0)):
        figures = [law(*in_units(of)).figure for of in (torch.ones(3), METRES, METRES.flip(0))]
        assert figures[0] > 0 and figures == figures[:1] * 3, figures


class Nudged(bj.Transform):
    """The identity, whose inverse moves one column by a ten-thousandth of its standard deviation."""

    event_dim_in = event_dim_out = 1

    def __init__(self, by: Tensor) -> None:
        super().__init__()
        self.register_buffer("by", 1e-4 * by)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z + self.by, z.new_zeros(z.shape[:-1])


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_column_that_does_not_come_back_is_seen_in_any_unit(column: int) -> None:
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(0)) * METRES
    check = round_trip(Nudged(METRES * torch.eye(3)[column]), x, dtype=torch.float32)
    assert not check.passed and check.figure == pytest.approx(1e-4, rel=0.2), str(check)


def test_what_counts_as_a_unit() -> None:
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(0)) * METRES
    torch.testing.assert_close(units(x, 1), x.std(0))
    # Constant columns have none, 0.1's mean being rounded or not; pictures' numbers share one.
    assert units(torch.full((256, 2), 0.1) * torch.tensor([1.0, 0.0]), 1).tolist() == [1, 1]
    assert units(x.reshape(256, 1, 3, 1), 3).tolist() == 1
