"""Determinants of several large matrices at once, with more threads than one: where MKL's own are wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bijectory.numerics.determinant import log_abs_det
from bijectory.numerics.seeds import generator_for


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("size", [2, 100, 127, 128, 192, 300])
@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_equal_to_numpys(size: int, batch: tuple[int, ...]) -> None:
    matrices = torch.randn((*batch, size, size), dtype=torch.float64, generator=generator_for("determinant", size))
    expected = torch.from_numpy(np.asarray(np.linalg.slogdet(matrices.numpy())[1]))
    assert log_abs_det(matrices).shape == expected.shape
    torch.testing.assert_close(log_abs_det(matrices), expected, rtol=1e-12, atol=1e-11)


@pytest.mark.usefixtures("two_threads")
def test_its_gradient_is_the_inverse_transposed() -> None:
    matrices = torch.randn((2, 150, 150), dtype=torch.float64, generator=generator_for("determinant")).requires_grad_()
    (slope,) = torch.autograd.grad(log_abs_det(matrices).sum(), matrices)
    expected = np.linalg.inv(matrices.detach().numpy()).transpose(0, 2, 1)
    torch.testing.assert_close(slope, torch.from_numpy(expected.copy()), rtol=1e-8, atol=1e-9)
