"""Where MADE's weights start, and what stands before each layer of a MAF."""

from __future__ import annotations

import math

import pytest
import torch

import bijectory as bj
from bijectory.models.flows.mixing import mixing


@pytest.mark.parametrize("weight_norm", [False, True])
def test_hidden_units_start_as_wide_as_what_they_see_allows(weight_norm: bool) -> None:
    torch.manual_seed(0)
    net = bj.MADE(9, 2, hidden=(800, 800), context_dim=3, weight_norm=weight_norm)
    for layer in list(net.layers)[:-1]:
        seen = layer.mask.sum(1)
        weight = (layer.effective_weight() * layer.mask).detach()
        for count in seen.unique().tolist():
            rows, bound = seen == count, 1 / math.sqrt(max(count, 1))
            assert weight[rows].abs().max() <= bound * (1 + 1e-5)
            assert layer.bias[rows].abs().max() <= bound * (1 + 1e-5)
            # Of uniform numbers, the largest of some eighty lies above 0.9 of the bound but for one time in 5,000; the seed is fixed.
            assert layer.bias[rows].abs().max() > 0.9 * bound
            if count:
                assert weight[rows].abs().max() > 0.9 * bound


def test_a_maf_mixes_by_lu_and_leaves_the_order_alone() -> None:
    parts = bj.maf(4, depth=2).transform.transforms  # type: ignore[union-attr]
    assert [type(part).__name__ for part in parts] == ["Standardise", *["LULinear", "Autoregressive"] * 2]
    orders = [part.net.order for part in parts if isinstance(part, bj.Autoregressive)]
    assert orders == [(0, 1, 2, 3), (3, 2, 1, 0)]
    assert [type(part).__name__ for part in mixing("permutation", 4, 0, permute=False)] == ["Permute"]
