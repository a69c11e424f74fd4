"""Our flows inside sbi: its shapes, and neural posterior estimation of a posterior that is known."""

from __future__ import annotations

import copy
import io
import sys
from importlib.util import find_spec
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from bijectory import maf, nsf
from bijectory.errors import InputError, MissingExtraError
from bijectory.estimators.sbi import flow_builder

needs_sbi = pytest.mark.skipif(find_spec("sbi") is None, reason="sbi is not installed (pip install sbi)")
# sbi and what it stands on warn of their own futures.
pytestmark = pytest.mark.filterwarnings("ignore")

PRIOR_DEVIATION, NOISE = 2.0, 0.5
MIX = torch.tensor([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]])


def simulate(theta: Tensor) -> Tensor:
    return theta @ MIX.T + NOISE * torch.randn(len(theta), 3)


def posterior(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of θ given x = Mθ + noise, θ ~ N(0, s²)."""
    precision = torch.eye(2) / PRIOR_DEVIATION**2 + MIX.T @ MIX / NOISE**2
    covariance = torch.linalg.inv(precision)
    return covariance @ MIX.T @ x / NOISE**2, covariance


def test_without_sbi_the_error_says_what_to_install() -> None:
    build = flow_builder(maf, depth=1)
    with (
        mock.patch.dict(sys.modules, {"sbi": None}),
        pytest.raises(MissingExtraError, match=r"pip install 'bijectory\[sbi\]'"),
    ):
        build(torch.randn(10, 2), torch.randn(10, 3))


def test_the_context_is_not_the_callers_to_choose() -> None:
    with pytest.raises(InputError, match="context_dim"):
        flow_builder(maf, context_dim=3)


@needs_sbi
@pytest.mark.parametrize("embedded", [False, True])
def test_shapes_are_sbis(embedded: bool) -> None:
    embedding = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(8, 5)) if embedded else None
    x = 100 + 7 * torch.randn(50, 1, 4)
    estimator = flow_builder(nsf, depth=1, hidden=(8,), embedding=embedding)(torch.randn(50, 2), x)
    theta = torch.randn(6, 3, 2)
    assert estimator.log_prob(theta, x[:3]).shape == (6, 3)
    assert estimator.log_prob(theta[0], x[:3]).shape == (1, 3)
    assert estimator.log_prob(theta, x[:1]).shape == (6, 3)
    assert estimator.loss(theta[0], x[:3]).shape == (3,)
    assert estimator.sample(torch.Size((4, 5)), x[:3]).shape == (4, 5, 3, 2)
    drawn, density = estimator.sample_and_log_prob(torch.Size((4,)), x[:3])
    torch.testing.assert_close(estimator.log_prob(drawn, x[:3]), density, rtol=1e-4, atol=1e-4)
    # Each x has its own density, whichever stand beside it.
    torch.testing.assert_close(estimator.log_prob(theta[:, 1:2], x[1:2]), estimator.log_prob(theta, x[:3])[:, 1:2])


@needs_sbi
def test_an_estimator_is_copied_and_saved() -> None:
    estimator = flow_builder(maf, depth=1, hidden=(8,))(torch.randn(50, 2), torch.randn(50, 3))
    theta, x = torch.randn(1, 4, 2), torch.randn(4, 3)
    saved = io.BytesIO()
    torch.save(estimator.state_dict(), saved)
    other = flow_builder(maf, depth=1, hidden=(8,))(torch.randn(50, 2), torch.randn(50, 3))
    saved.seek(0)
    other.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(estimator.log_prob(theta, x), other.log_prob(theta, x))
    assert torch.equal(estimator.log_prob(theta, x), copy.deepcopy(estimator).log_prob(theta, x))


@needs_sbi
def test_an_embedding_that_gives_no_vectors_is_refused() -> None:
    with pytest.raises(InputError, match="embedding"):
        flow_builder(maf, embedding=nn.Unflatten(1, (3, 1)))(torch.randn(50, 2), torch.randn(50, 3))


@needs_sbi
@pytest.mark.slow
@pytest.mark.parametrize("flow", [maf, nsf])
def test_npe_finds_a_posterior_that_is_known(flow: object) -> None:
    from sbi.inference import NPE

    torch.manual_seed(0)
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), PRIOR_DEVIATION**2 * torch.eye(2))
    theta = prior.sample((4000,))
    inference = NPE(
        prior,
        density_estimator=flow_builder(flow, depth=2, hidden=(48, 48)),  # type: ignore[arg-type]
        show_progress_bars=False,
    )
    inference.append_simulations(theta, simulate(theta)).train(max_num_epochs=60, training_batch_size=200)
    estimated = inference.build_posterior()
    for truth in (torch.tensor([1.0, -1.0]), torch.tensor([-2.0, 1.5])):
        x = truth @ MIX.T
        mean, covariance = posterior(x)
        drawn = estimated.sample((20_000,), x=x, show_progress_bars=False)
        deviation = covariance.diagonal().sqrt()
        # 4,000 simulations leave a mean that is off by some twentieth of a deviation, and deviations by some per cent.
        assert ((drawn.mean(0) - mean).abs() / deviation).max() < 0.25
        assert (
            torch.cov(drawn.T) / deviation / deviation[:, None] - covariance / deviation / deviation[:, None]
        ).abs().max() < 0.25
