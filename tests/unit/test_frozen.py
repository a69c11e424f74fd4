"""A frozen copy gives what its model gives, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import bijectory
from bijectory import Flow, compiled, frozen

MADE: dict[str, tuple[Callable[[], Flow], tuple[int, ...]]] = {
    "glow": (lambda: bijectory.glow((3, 8, 8), scales=2, depth=2, hidden=8), (3, 8, 8)),
    "glow, plain matrices": (lambda: bijectory.glow((1, 8, 8), scales=1, depth=2, hidden=8, mixing="plain"), (1, 8, 8)),
    "channels": (lambda: bijectory.channel_autoregressive((1, 8, 8), scales=2, filters=8, blocks=1), (1, 8, 8)),
    "realnvp, pictures": (lambda: bijectory.realnvp_image((3, 8, 8), filters=8, blocks=1), (3, 8, 8)),
    "maf": (lambda: bijectory.maf(6, hidden=(64, 64)), (6,)),
    "nsf": (lambda: bijectory.nsf(6, hidden=(16,)), (6,)),
    "residual": (lambda: bijectory.residual_flow(2, depth=2, hidden=(8,)), (2,)),
}


def moved(name: str) -> tuple[Flow, torch.Tensor]:
    torch.manual_seed(0)
    make, shape = MADE[name]
    flow = make().double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return flow, torch.randn(5, *shape, dtype=torch.float64)


@pytest.mark.parametrize("name", MADE)
def test_density_samples_and_latents_are_the_models(name: str) -> None:
    flow, x = moved(name)
    state = {key: value.clone() for key, value in flow.state_dict().items()}
    copy = frozen(flow)
    torch.testing.assert_close(copy.log_prob(x), flow.log_prob(x), rtol=1e-10, atol=1e-9)
    with torch.no_grad():
        z = flow.encode(x)
        torch.testing.assert_close(copy.decode(z), flow.decode(z), rtol=1e-8, atol=1e-8)
    one, other = (m.sample_and_log_prob(3, generator=torch.Generator().manual_seed(0)) for m in (copy, flow))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    for key, value in flow.state_dict().items():
        assert torch.equal(value, state[key])
    assert flow.training and all(parameter.requires_grad for parameter in flow.parameters())


@pytest.mark.parametrize("name", ["glow", "maf"])
def test_a_copy_keeps_what_the_weights_were_and_hands_gradients_to_x(name: str) -> None:
    flow, x = moved(name)
    copy, before = frozen(flow), flow.log_prob(x).detach()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(flow.log_prob(x), before)
    rows = x.clone().requires_grad_()
    again = copy.log_prob(rows)
    torch.testing.assert_close(again.detach(), before, rtol=1e-10, atol=1e-9)
    (slope,) = torch.autograd.grad(again.sum(), rows)
    assert bool(torch.isfinite(slope).all() and (slope != 0).any())
    assert not any(parameter.requires_grad for parameter in copy.parameters())


def test_weights_are_made_once() -> None:
    copy = frozen(moved("glow")[0])
    for part in copy.modules():
        assert getattr(part, "gain", None) is None and getattr(part, "mask", None) is None
        if isinstance(part, bijectory.Conv1x1):
            assert part.matrix()[0] is part.matrix()[0]


def test_a_frozen_copy_moves_to_another_dtype_whole() -> None:
    flow, x = moved("glow")
    copy = frozen(flow).float()
    torch.testing.assert_close(copy.log_prob(x.float()).double(), flow.log_prob(x), rtol=1e-3, atol=1e-3)
    assert copy.decode(torch.zeros(2, 3, 8, 8)).dtype is torch.float32


@pytest.mark.parametrize("name", ["glow", "maf"])
def test_a_frozen_copy_takes_no_other_weights(name: str) -> None:
    flow, x = moved(name)
    copy = frozen(flow)
    before = copy.log_prob(x)
    with pytest.raises(bijectory.BijectoryError, match="freeze that"):
        copy.load_state_dict(flow.state_dict())
    with pytest.raises(bijectory.BijectoryError, match="freeze that"):
        copy.transform.load_state_dict(flow.transform.state_dict())
    assert torch.equal(copy.log_prob(x), before)
    flow.load_state_dict(flow.state_dict())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_methods_are_each_their_own_models() -> None:
    """Two copies whose weights and rows have the same shapes; with and without gradients; another count of rows; another dtype."""
    torch.compiler.reset()
    copies = [frozen(bijectory.maf(3, depth=1, hidden=(8,)).double()) for _ in range(2)]
    with torch.no_grad():
        for parameter in copies[1].parameters():
            parameter.add_(0.5)
    calls = [compiled(copy.log_prob) for copy in copies]
    for copy, call, rows in zip([*copies, copies[0]], [*calls, calls[0]], (4, 4, 5), strict=True):
        x = torch.randn(rows, 3, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(call(x), copy.log_prob(x), rtol=1e-10, atol=1e-9)
    assert not torch.allclose(copies[0].log_prob(x), copies[1].log_prob(x))
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(calls[0](x).sum(), x)
    (expected,) = torch.autograd.grad(copies[0].log_prob(x).sum(), x)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-9)
    copies[0].float()
    x = x.detach().float()
    with torch.no_grad():
        torch.testing.assert_close(calls[0](x), copies[0].log_prob(x), rtol=1e-4, atol=1e-4)


def test_only_a_frozen_copys_methods_are_compiled() -> None:
    flow = moved("maf")[0]
    for method in (flow.log_prob, torch.exp, frozen(flow)):
        with pytest.raises(bijectory.BijectoryError, match="expected a method of a frozen copy"):
            compiled(method)
