"""Autoregression over the planes of a picture: what its network reads, how it starts, what stepping costs, and how it is inverted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.nets.channel_made import ChannelMADE
from bijectory.nets.conv import Conv2d
from bijectory.numerics.residuals import residuals
from bijectory.testing.causal import cached_steps, causal_reach, causality
from bijectory.transforms.autoregressive import NaiveCausal

ORDER = (2, 0, 4, 1, 3)
MAPS: dict[str, Callable[[], Any]] = {
    "affine": bj.Affine,
    "shift first": bj.ShiftFirst,
    "mixture": lambda: bj.MixtureCDF(3, "logistic"),
    "mixture, then affine": lambda: bj.Composed([bj.MixtureCDF(2, "logistic"), bj.Affine()]),
}


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def net(num_params: int = 2, **settings: Any) -> ChannelMADE:
    """A network of five planes, its parameters moved away from where they start."""
    torch.manual_seed(0)
    made = ChannelMADE(5, num_params, **{"filters": 12, "blocks": 2, "order": ORDER, "squash": True, **settings})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.double()


def autoregression(name: str) -> bj.Autoregressive:
    elementwise = MAPS[name]()
    return bj.Autoregressive(elementwise, net(elementwise.num_params, bounded=name == "shift first"))


@pytest.mark.parametrize("weight_norm", [True, False])
def test_a_plane_is_read_by_those_behind_it_at_all_places_and_by_no_other(weight_norm: bool) -> None:
    made, x = net(weight_norm=weight_norm), pictures(4, 5, 6, 8).double()
    before = made(x)
    for rank, plane in enumerate(ORDER):
        changed = x.clone()
        changed[:, plane, 2, 3] += 1
        moved = (made(changed) != before).any(-1)
        assert not moved[:, list(ORDER[: rank + 1])].any()
        for later in ORDER[rank + 1 :]:
            # Six convolutions 3×3 wide, four of them in a row, reach four places each way; beside the changed one is enough to ask for.
            assert moved[:, later, 1:4, 2:5].any(0).all(), (plane, later)
    assert torch.equal(before[:, ORDER[0]], before[:1, ORDER[0], :1, :1].expand(4, 6, 8, 2))


def test_the_contracts_laws_hold_and_see_a_mask_that_is_open() -> None:
    transform = autoregression("affine")
    assert all(check.passed for check in (causality(transform), causal_reach(transform), cached_steps(transform)))
    made = transform.net
    assert isinstance(made, ChannelMADE)
    assert made.last.mask is not None
    made.last.mask.fill_(1)
    assert not causality(transform).passed
    made = net()
    assert made.first.mask is not None
    made.first.mask[:, 0] = 0
    assert not causal_reach(bj.Autoregressive(bj.Affine(), made)).passed


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("bounded", [True, False])
def test_stepping_with_a_cache_is_a_call_for_every_plane(bounded: bool, batch: tuple[int, ...]) -> None:
    made, x = net(bounded=bounded), pictures(*batch, 5, 6, 4).double()
    whole, plain = made(x), NaiveCausal(made)
    values = x.unbind(-3)
    cache, slow = made.start(values[0].shape), plain.start(values[0].shape)
    previous = None
    for plane in ORDER:
        params, cache = made.step(cache, previous)
        expected, slow = plain.step(slow, previous)
        assert params.shape == (*batch, 6, 4, 2)
        torch.testing.assert_close(params, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(params, whole[..., plane, :, :, :], rtol=1e-12, atol=1e-12)
        previous = values[plane]


def test_all_steps_together_cost_no_more_than_a_call() -> None:
    made, x = net(filters=32), pictures(2, 5, 8, 8).double()
    with torch.no_grad(), FlopCounterMode(display=False) as call:
        made(x)
    with torch.no_grad(), FlopCounterMode(display=False) as steps:
        cache, previous = made.start(x[:, 0].shape), None
        for plane in ORDER:
            _, cache = made.step(cache, previous)
            previous = x[:, plane]
    assert 0 < steps.get_total_flops() <= call.get_total_flops()


@pytest.mark.parametrize("name", MAPS)
def test_the_inverse_comes_back_by_each_way(name: str) -> None:
    transform, x = autoregression(name), pictures(2, 3, 5, 4, 6).double()
    transform.initialise(x.flatten(0, 1))
    z, log_det = transform.forward_and_log_det(x)
    assert z.shape == x.shape
    assert log_det.shape == (2, 3)
    plain = bj.Autoregressive(transform.elementwise, NaiveCausal(transform.net))
    for way, found in (("incremental", transform), ("jacobi", transform), ("incremental", plain)):
        bj.set_sampling(found, way)  # type: ignore[arg-type]
        with torch.no_grad(), residuals() as solved:
            back, back_log_det = found.inverse_and_log_det(z)
        torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(back_log_det, -log_det, rtol=1e-10, atol=1e-10)
        # At most a sweep for each plane, not for each number.
        assert all(one.iterations <= 5 for one in solved if one.what == "jacobi")


def test_gradients_through_the_inverse_are_the_same_by_each_way() -> None:
    transform, z = autoregression("affine"), torch.randn(3, 5, 4, 4).double().requires_grad_()
    weight, found = torch.randn(3, 5, 4, 4).double(), []
    inputs = [z, *transform.parameters()]
    for way in ("incremental", "jacobi"):
        bj.set_sampling(transform, way)  # type: ignore[arg-type]
        x, log_det = transform.inverse_and_log_det(z)
        total = (x * weight).sum() + log_det.square().sum()
        found.append(torch.autograd.grad(total, inputs))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("gain", [0.0, 0.5])
def test_every_masked_convolution_starts_with_mean_0_and_deviation_1(weight_norm: bool, gain: float) -> None:
    made = ChannelMADE(5, 2, filters=12, blocks=2, order=ORDER, weight_norm=weight_norm, gain=gain)
    x, found = pictures(128, 5, 6, 6), {}
    transform = bj.Autoregressive(bj.Affine(), made)
    transform.initialise(x)
    for name, part in made.named_modules():
        if isinstance(part, Conv2d):
            part.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, y.detach().double()))
    made(x)
    assert len(found) == 2 + 3 * 2
    for name, y in found.items():
        expected = torch.ones(y.shape[1]).double()
        if name == "last":
            expected = gain * expected
            # The first plane's parameters are constants, which start at 0.
            expected[ORDER[0] :: 5] = 0
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros_like(expected), rtol=0, atol=1e-3)
        torch.testing.assert_close(y.std((0, 2, 3), correction=0), expected, rtol=0, atol=1e-3)


def test_a_mask_is_no_part_of_the_state_and_a_plain_convolution_has_none() -> None:
    assert not [name for name in net().state_dict() if "mask" in name]
    x = pictures(2, 3, 5, 5)
    conv, masked = Conv2d(3, 4), Conv2d(3, 4, mask=torch.ones(4, 3))
    masked.load_state_dict(conv.state_dict())
    torch.testing.assert_close(masked(x), conv(x))


def test_weights_behind_a_mask_change_nothing_and_learn_nothing() -> None:
    made, x = net(), pictures(2, 5, 4, 4).double()
    value = made(x)
    value.square().sum().backward()
    for conv in (part for part in made.modules() if isinstance(part, Conv2d)):
        assert conv.mask is not None
        assert conv.weight.grad is not None
        closed = (conv.mask == 0).expand_as(conv.weight)
        assert not conv.weight.grad[closed].any()
        with torch.no_grad():
            conv.weight[closed] = 100.0
    assert torch.equal(made(x), value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"channels": 1}, ShapeError, "squeeze first"),
        ({"order": (0, 1, 1)}, InputError, "each of 0..2 once"),
        ({"filters": 1}, InputError, "at least 2 filters, one for each degree"),
        ({"blocks": -1}, InputError, "0 blocks"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ChannelMADE(**{"channels": 3, "num_params": 2, "filters": 4, "blocks": 1, **settings})


def test_a_context_is_refused() -> None:
    made, x = net(), pictures(3, 5, 4, 4).double()
    for call in (made, made.initialise, lambda x, context: made.start(x[:, 0].shape, context)):
        with pytest.raises(InputError, match="leave the context out"):
            call(x, torch.zeros(3, 2).double())  # type: ignore[operator]


def test_it_is_one_graph_and_goes_through_torch_func() -> None:
    transform, x = autoregression("shift first"), pictures(4, 5, 4, 4).double()
    compiled: Any = torch.compile(transform.forward_and_log_det, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], transform(x))

    def one(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(transform, weights, (row,)).square().sum()

    weights = dict(transform.named_parameters())
    rows = torch.func.vmap(torch.func.grad(one), (None, 0))(weights, x)
    for name, slope in torch.func.grad(lambda weights: one(weights, x))(weights).items():
        torch.testing.assert_close(rows[name].sum(0), slope)


# The partition and the model


@pytest.mark.parametrize("flip", [False, True])
def test_a_subgrid_and_the_rest_are_the_picture(flip: bool) -> None:
    part = bj.Subgrid(flip)
    for shape in ((3, 2, 2), (4, 3, 8, 4), (0, 3, 4, 4)):
        x = torch.arange(math.prod(shape)).reshape(shape)
        staying, moving = part.split(x)
        assert torch.equal(part.merge(staying, moving), x)
        assert (staying.shape[-3], moving.shape[-3]) == part.channels(3)
        assert torch.equal(staying if flip else moving, x[..., ::2, ::2])
        assert torch.equal(part.flipped().split(x)[0], moving)
    with pytest.raises(ShapeError, match="even height and width"):
        part.split(torch.zeros(3, 4, 5))


def model(**settings: Any) -> bj.Flow:
    """Moved away from where it starts."""
    torch.manual_seed(0)
    flow = bj.channel_autoregressive(
        (3, 8, 8), **{"filters": 12, "blocks": 1, "components": 3, "scales": 2, **settings}
    )
    bj.initialise(flow, pictures(32, 3, 8, 8))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow.double()


KINDS: dict[str, dict[str, Any]] = {
    "mixture": {},
    "affine": {"elementwise": "affine", "depth": 2},
    "checkerboards": {"checkerboards": 2},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_comes_back_and_a_crop_passes_through_the_same_maps(kind: str) -> None:
    flow = model(**KINDS[kind])
    for side in (8, 4, 12):
        x = pictures(3, 3, side, side).double()
        z, log_det = flow.transform.forward_and_log_det(x)
        back, back_log_det = flow.transform.inverse_and_log_det(z)
        torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(back_log_det, -log_det, rtol=1e-9, atol=1e-9)


def test_the_pixel_that_goes_on_reads_no_other_of_its_scale_and_the_last_reads_all() -> None:
    flow = model(scales=1, blocks=0)
    x = pictures(1, 3, 8, 8).double().requires_grad_()
    z = flow.encode(x)
    for (row, column), pixels in {(4, 4): 1, (5, 5): 2, (4, 5): 3, (5, 4): 4}.items():
        (slope,) = torch.autograd.grad(z[0, :, row, column].sum(), x, retain_graph=True)
        read = [(i, j) for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)) if slope[0, :, i::2, j::2].any()]
        assert len(read) == pixels, (row, column, read)


def test_a_mixture_stands_at_the_pixels_with_nothing_but_constants_in_front() -> None:
    flow = model()
    first, second, third = (flow.transform.transforms[i] for i in range(3))  # type: ignore[union-attr, index]
    assert [type(part).__name__ for part in (first, second, third)] == ["Squeeze", "ActNorm", "Autoregressive"]
    assert isinstance(flow.base, bj.Logistic)
    assert isinstance(model(elementwise="affine").base, bj.Normal)


def test_layers_of_a_scale_read_in_turn_from_either_end() -> None:
    parts = [part for part in model(depth=3, scales=1).modules() if isinstance(part, bj.Autoregressive)]
    orders = [part.net.order for part in parts]
    assert orders[0] == (0, 4, 8, 3, 7, 11, 1, 5, 9, 2, 6, 10)
    assert orders == [orders[0], orders[0][::-1], orders[0]]


def test_rebuilding_activations_gives_the_same_gradient() -> None:
    flow, x, found = model(), pictures(4, 3, 8, 8).double(), []
    for memory in ("plain", "rebuild"):
        bj.set_memory(flow, memory)  # type: ignore[arg-type]
        found.append(torch.autograd.grad(flow.log_prob(x).mean(), list(flow.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"event_shape": (3, 12, 12)}, ShapeError, "choose scales=2"),
        ({"event_shape": (32, 32)}, ShapeError, r"expected \(channels, height, width\)"),
        ({"elementwise": "spline"}, InputError, "'mixture' or 'affine'"),
        ({"depth": 0}, InputError, "depth, checkerboards: expected at least 1 and 0, got 0 and 0"),
        ({"checkerboards": -1}, InputError, "got 1 and -1"),
        ({"scales": 0}, InputError, "at least 1"),
        ({"components": 0}, InputError, "components"),
        ({"filters": 10}, InputError, "at least 11 filters"),
    ],
)
def test_a_model_that_cannot_be_is_refused(settings: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bj.channel_autoregressive(**{"event_shape": (3, 8, 8), "filters": 11, "blocks": 0, **settings})
