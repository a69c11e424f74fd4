"""Glow and multi-scale RealNVP: what the contract's laws do not say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bijectory as bj
from bijectory.errors import InputError, InverseError, ShapeError
from bijectory.transforms.partitions import ChannelHalves


def trained(flow: bj.Flow, steps: int, rate: float) -> bj.Flow:
    """After so many large steps on faces of noise whose channels hang together."""
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(3, 3, generator=generator)
    optimizer = torch.optim.Adam(flow.parameters(), rate)
    for _ in range(steps):
        x = torch.einsum("ij,njhw->nihw", mixing, torch.randn(16, 3, 4, 4, generator=generator)) ** 3
        optimizer.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 100.0)
        optimizer.step()
    return flow


@pytest.mark.parametrize("mixing", ["lu", "plain"])
def test_one_by_one_convolutions_stay_invertible_while_they_train(mixing: str) -> None:
    flow = trained(bj.glow((3, 4, 4), scales=2, depth=2, hidden=4, mixing=mixing), 60, 0.03)  # type: ignore[arg-type]
    moved = 0.0
    for layer in flow.modules():
        if isinstance(layer, bj.Conv1x1):
            weight = layer.matrix()[0].detach()
            moved = max(moved, float((weight @ weight.T - torch.eye(layer.channels)).abs().max()))
            x = torch.randn(64, layer.channels, 2, 2)
            z, log_det = layer.forward_and_log_det(x)
            torch.testing.assert_close(layer.inverse(z), x, rtol=1e-4, atol=1e-4)
            exact = 4 * torch.linalg.slogdet(weight.double())[1]
            torch.testing.assert_close(log_det.double(), exact.expand(64), rtol=1e-5, atol=1e-5)
    # They are rotations at first: it is training that was survived, not rest.
    assert moved > 0.1


def test_a_convolutions_log_det_stays_in_float32_where_its_surroundings_do_not() -> None:
    for mixing in ("lu", "plain"):
        layer = bj.Conv1x1(6, mixing=mixing)  # type: ignore[arg-type]
        x = torch.randn(3, 6, 2, 2)
        expected = layer.forward_and_log_det(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = layer.forward_and_log_det(x)
        assert found[0].dtype == found[1].dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_singular_plain_convolution_says_so() -> None:
    layer = bj.Conv1x1(3, mixing="plain")
    with torch.no_grad():
        layer.weight.zero_()
    with pytest.raises(InverseError, match="mixing='lu'"):
        layer.inverse(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("mixing", ["lu", "plain"])
def test_what_a_convolution_keeps_of_its_weights_is_never_stale(mixing: str) -> None:
    torch.manual_seed(0)
    layer, other = (bj.Conv1x1(6, mixing=mixing, actnorm=True) for _ in range(2))  # type: ignore[arg-type]
    x = torch.randn(5, 6, 2, 2)

    def a_training_step() -> None:
        optimizer = torch.optim.SGD(layer.parameters(), 0.1)
        z, log_det = layer.forward_and_log_det(x)
        (z.square().sum() - log_det.sum()).backward()
        optimizer.step()

    def what_versions_miss() -> None:
        for weight in layer.parameters():
            weight.data.mul_(1.1)

    def loading() -> None:
        layer.load_state_dict(other.state_dict())

    def answers(x: torch.Tensor) -> list[torch.Tensor]:
        return [value.detach() for run in (layer.forward_and_log_det, layer.inverse_and_log_det) for value in run(x)]

    for change in (a_training_step, what_versions_miss, loading, layer.double):
        with torch.no_grad():
            before = answers(x)
        change()
        x = x.to(layer.matrix()[0].dtype)
        fresh = answers(x)
        with torch.no_grad():
            for _ in range(2):
                # Nothing is kept where a gradient is recorded, where products may also round otherwise.
                torch.testing.assert_close(answers(x), fresh, rtol=1e-5, atol=1e-5)
        if change != layer.double:
            assert float((before[0] - fresh[0]).abs().max()) > 1e-2


def test_a_convolution_inverts_its_weights_once_while_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, calls = bj.glow((3, 4, 4), scales=1, depth=1, hidden=4), []
    invert = bj.Conv1x1._back
    monkeypatch.setattr(bj.Conv1x1, "_back", lambda self, weight: calls.append(1) or invert(self, weight))  # type: ignore[func-returns-value]
    z = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        flow.decode(z)
        flow.decode(z)
    assert len(calls) == 1
    flow.decode(z)
    flow.decode(z)
    assert len(calls) == 3


@pytest.mark.parametrize("make", [bj.glow, bj.realnvp_multiscale])
def test_factored_latents_are_latents_and_all_of_them_are_kept(make: object) -> None:
    settings = {"depth": 2, "hidden": 4} if make is bj.glow else {"filters": 4, "blocks": 1}
    flow = make((3, 8, 8), scales=2, **settings).double()  # type: ignore[operator]
    x = torch.randn(50, 3, 8, 8, dtype=torch.float64)
    flow.initialise(x)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.05 * torch.randn(parameter.shape).double()
    z = flow.encode(x)
    assert z.shape == x.shape
    torch.testing.assert_close(flow.decode(z), x, rtol=0, atol=1e-10)
    # Every single latent is needed: with any of them drawn anew another picture comes back.
    jacobian = torch.func.jacrev(flow.transform.inverse)(z[0]).reshape(192, 192)
    assert bool((jacobian.abs().amax(0) > 1e-6).all())


def test_what_is_factored_out_does_not_reach_what_goes_on() -> None:
    inner = bj.ActNorm((2, 1, 1))
    whole = bj.FactorOut(ChannelHalves(4), inner)
    x = torch.randn(5, 4, 2, 2)
    z, log_det = whole.forward_and_log_det(x)
    torch.testing.assert_close(z[:, :2], x[:, :2], rtol=0, atol=0)
    torch.testing.assert_close(z[:, 2:], inner(x[:, 2:]))
    torch.testing.assert_close(log_det, inner.forward_and_log_det(x[:, 2:])[1])


def test_a_split_prior_tells_latents_by_what_goes_on() -> None:
    for split_prior in (True, False):
        flow = bj.glow((3, 4, 4), scales=2, depth=1, hidden=4, split_prior=split_prior)
        priors = [m for m in flow.modules() if isinstance(m, bj.Coupling) and not len(m.net.hidden)]  # type: ignore[union-attr, arg-type]
        assert len(priors) == int(split_prior)


def test_a_learned_prior_gives_each_class_its_own_latents() -> None:
    flow = bj.glow((1, 4, 4), scales=1, depth=1, hidden=4, context_dim=2, learned_prior=True)
    with torch.no_grad():
        for part in flow.modules():
            if isinstance(part, bj.Conditioned):
                part.net.net.last.weight += torch.tensor([1.0, -1.0])  # type: ignore[union-attr, operator]
    classes = torch.eye(2)
    drawn = flow.sample(4000, classes, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 2, 1, 4, 4)
    apart = (drawn[:, 0] - drawn[:, 1]).mean((0, 1)).abs()
    assert bool((apart > 0.5).any())


def test_crops_of_other_sizes_pass_the_same_maps() -> None:
    flow = bj.glow((3, 16, 16), scales=2, depth=1, hidden=4)
    z, log_det = flow.transform.forward_and_log_det(torch.randn(2, 3, 8, 12))
    assert z.shape == (2, 3, 8, 12)
    assert log_det.shape == (2,)


def test_vmap_gives_what_a_batch_gives() -> None:
    flow = bj.glow((3, 8, 8), scales=2, depth=1, hidden=4).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.1)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(flow.log_prob)(x), flow.log_prob(x))
    torch.testing.assert_close(torch.vmap(flow.decode)(x), flow.decode(x))


def test_mistakes_are_named() -> None:
    with pytest.raises(ShapeError, match="choose scales=2"):
        bj.glow((1, 28, 28), scales=3)
    with pytest.raises(ShapeError, match="divisible by 2, got 7×7; resize"):
        bj.glow((1, 7, 7), scales=1)
    with pytest.raises(ShapeError, match="undo its squeezes"):
        bj.FactorOut(ChannelHalves(4), bj.Squeeze())(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ShapeError, match="one of pictures"):
        bj.FactorOut(ChannelHalves(4), bj.Permute((1, 0)))
    with pytest.raises(ShapeError, match="param_shape"):
        bj.Conditioned(bj.Affine(), nn.Identity(), (3, 1, 1, 1))
    for wrong in ({"coupling": "spline"}, {"mixing": "qr"}, {"depth": 0}, {"scales": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            bj.glow((3, 8, 8), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one channel alone"):
        bj.Conv1x1(1)
    with pytest.raises(InputError, match="filters"):
        bj.realnvp_multiscale((3, 8, 8), filters=0)
