"""Networks and maps of pictures: how they start, what a partition is, what they count, and what the faces say before training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.nets.conv import Conv2d
from bijectory.transforms.base import read
from bijectory.transforms.partitions import Block, PicturePartition
from bijectory.transforms.reshape import Flatten

PARTITIONS: dict[str, Callable[[bool], PicturePartition]] = {
    "checkerboard": bj.Checkerboard,
    "channels": lambda flip: bj.ChannelHalves(3, flip),
    "top and bottom": bj.TopBottom,
    "left and right": bj.LeftRight,
    "block": Block,
}


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moved(module: nn.Module, size: float = 0.1) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module


def outputs_of(module: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """What every convolution of the module gives while ``run`` runs."""
    found: dict[str, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, y.detach().double()))
        for name, part in module.named_modules()
        if isinstance(part, Conv2d)
    ]
    # A rectifier in place would change what a hook keeps; double() above has copied it.
    run()
    for hook in hooks:
        hook.remove()
    return found


def check_start(found: dict[str, Tensor], gain: float) -> None:
    for name, y in found.items():
        expected = gain if name.endswith("last") else 1.0
        assert float(y.mean((0, 2, 3)).abs().max()) <= 1e-3, name
        assert float((y.std((0, 2, 3), correction=0) - expected).abs().max()) <= 1e-3, name


# Convolutions and residual networks


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_every_convolution_starts_with_mean_0_and_deviation_1(weight_norm: bool, gain: float) -> None:
    net = bj.ResNet(3, (3, 2), filters=16, blocks=3, weight_norm=weight_norm, gain=gain)
    x = pictures(128, 3, 8, 4)
    given = net.initialise(x)
    found = outputs_of(net, lambda: net(x))
    assert len(found) == 2 + 3 * 3
    check_start(found, gain)
    assert torch.equal(given, net(x))
    if gain == 0:
        assert not bool(given.any())


def test_every_convolution_of_a_flow_starts_so_on_what_reaches_it() -> None:
    flow = bj.realnvp_image((3, 8, 8), filters=8, blocks=1, gain=0.3)
    x = pictures(128, 3, 8, 8)
    bj.initialise(flow, x)
    found = outputs_of(flow, lambda: flow.log_prob(x))
    assert len(found) == 16 * 5
    check_start(found, 0.3)


def test_weight_norm_is_torchs() -> None:
    conv = moved(Conv2d(3, 5))
    assert isinstance(conv, Conv2d)
    assert conv.gain is not None
    peer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 5, 3, padding=1))
    peer.load_state_dict(
        {
            "parametrizations.weight.original0": conv.gain.detach()[:, None, None, None],
            "parametrizations.weight.original1": conv.weight.detach(),
            "bias": conv.bias.detach(),
        }
    )
    x = pictures(4, 3, 6, 6)
    torch.testing.assert_close(conv(x), peer(x))


def test_a_constant_channel_has_no_deviation_to_divide_by() -> None:
    with pytest.raises(InputError, match="every channel of the convolution varies"):
        Conv2d(2, 4, kernel=1).initialise(torch.full((8, 2, 4, 4), 0.1))


def test_a_kernel_has_a_middle() -> None:
    with pytest.raises(ShapeError, match="odd size"):
        Conv2d(2, 4, kernel=2)


def test_parameters_are_a_view_of_one_convolution() -> None:
    net = bj.ResNet(2, (3, 2), filters=4, blocks=1)
    given: list[Tensor] = []
    net.last.register_forward_hook(lambda _, __, y: given.append(y))
    y = net(pictures(5, 2, 4, 6))
    assert y.shape == (5, 3, 4, 6, 2)
    assert y.data_ptr() == given[0].data_ptr()


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_any_batch_and_any_size(batch: tuple[int, ...]) -> None:
    net = moved(bj.ResNet(2, (3, 2), filters=4, blocks=1, bounded=True)).double()
    for height, width in ((1, 1), (3, 5)):
        x = torch.randn(*batch, 2, height, width, dtype=torch.float64)
        y = net(x)
        assert y.shape == (*batch, 3, height, width, 2)
        if batch == (2, 3):
            torch.testing.assert_close(y[1, 2], net(x[1, 2]))


def test_the_log_scale_is_held_in_a_learned_bound() -> None:
    net = moved(bj.ResNet(2, (3, 2), filters=4, blocks=1, bounded=True))
    free = bj.ResNet(2, (3, 2), filters=4, blocks=1)
    free.load_state_dict({name: value for name, value in net.state_dict().items() if "bound" not in name})
    assert isinstance(net, bj.ResNet)
    with torch.no_grad():
        net.bound_scale.copy_(torch.tensor([0.5, 1.0, 2.0])[:, None, None])  # type: ignore[union-attr]
        net.bound_shift.copy_(torch.tensor([0.0, -1.0, 3.0])[:, None, None])  # type: ignore[union-attr]
        x = pictures(8, 2, 4, 4)
        bounded, raw = net(x), free(x)
    assert torch.equal(bounded[..., 0], raw[..., 0])
    expected = net.bound_scale * torch.tanh(raw[..., 1]) + net.bound_shift  # type: ignore[operator]
    torch.testing.assert_close(bounded[..., 1], expected.detach())


def test_a_context_is_refused() -> None:
    net = bj.ResNet(2, (3, 2), filters=4, blocks=1)
    for call in (net, net.initialise):
        with pytest.raises(InputError, match="leave the context out"):
            call(pictures(5, 2, 4, 4), torch.zeros(5, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_lie_channel_beside_channel_inside_whatever_lies_outside(channels: int) -> None:
    net = moved(bj.ResNet(channels, (channels, 2), filters=8, blocks=2)).double()
    inside: list[bool] = []
    for name, part in net.named_modules():
        if isinstance(part, Conv2d) and "blocks" in name:
            part.register_forward_hook(
                lambda _, __, y: inside.append(y.is_contiguous(memory_format=torch.channels_last))
            )
    x = pictures(4, channels, 6, 4).double()
    y = net(x)
    torch.testing.assert_close(net(x.contiguous(memory_format=torch.channels_last)), y)
    torch.testing.assert_close(net.to(memory_format=torch.channels_last)(x), y)  # type: ignore[call-overload]
    assert inside == 3 * 2 * 3 * [True]


def test_a_flow_is_one_graph_and_goes_through_torch_func() -> None:
    flow = moved(
        bj.realnvp_image((1, 4, 4), stages=(("checkerboard", 1), ("channel", 1)), filters=4, blocks=1)
    ).double()
    x = pictures(6, 1, 4, 4).double()
    value = flow.log_prob(x)  # type: ignore[operator]
    graph = torch.compile(flow.log_prob, backend="eager", fullgraph=True)  # type: ignore[arg-type]
    torch.testing.assert_close(graph(x), value)

    weights = dict(flow.named_parameters())

    def one(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(flow.transform, parameters, (row,)).square().sum()  # type: ignore[arg-type]

    inner = {name.removeprefix("transform."): value for name, value in weights.items()}
    rows = torch.func.vmap(torch.func.grad(one), (None, 0))(inner, x)
    whole = torch.func.grad(lambda p: one(p, x))(inner)
    for name, slope in whole.items():
        torch.testing.assert_close(rows[name].sum(0), slope)


# Partitions


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", PARTITIONS)
def test_a_partition_is_a_bijection(name: str, flip: bool) -> None:
    part = PARTITIONS[name](flip)
    assert part.event_dim == 3
    for shape in ((3, 2, 2), (4, 3, 8, 4), (2, 5, 3, 4, 6), (0, 3, 4, 4)):
        x = torch.arange(math.prod(shape)).reshape(shape)
        staying, moving = part.split(x)
        assert torch.equal(part.merge(staying, moving), x)
        assert (staying.shape[-3], moving.shape[-3]) == part.channels(3)
        both = torch.cat([staying.flatten(), moving.flatten()])
        assert torch.equal(both.sort().values, x.flatten())
        again = part.flipped().split(x)
        assert torch.equal(again[0], moving)
        assert torch.equal(again[1], staying)


def mask(name: str, channels: int, height: int, width: int) -> Tensor:
    """Where a picture's numbers stay, by the definition."""
    c, i, j = torch.meshgrid(*(torch.arange(n) for n in (channels, height, width)), indexing="ij")
    return {
        "checkerboard": (i + j) % 2 == 0,
        "channels": c < channels // 2,
        "top and bottom": i < height // 2,
        "left and right": j < width // 2,
        "block": (i < height // 2) | (j < width // 2),
    }[name]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", PARTITIONS)
def test_a_partition_is_its_mask(name: str, flip: bool) -> None:
    shape = (3, 8, 6)
    stays = mask(name, *shape) != flip
    staying, moving = PARTITIONS[name](flip).split(stays)
    assert bool(staying.all())
    assert not bool(moving.any())
    # and as many of the one as of the other where the halves are equal
    if name not in ("block", "channels"):
        assert staying.shape == moving.shape


@pytest.mark.parametrize("flip", [False, True])
def test_a_checkerboard_keeps_rows_and_the_order_in_them(flip: bool) -> None:
    x = torch.arange(48).reshape(1, 6, 8)
    staying, moving = bj.Checkerboard(flip).split(x)
    for row in range(6):
        parity = (row + flip) % 2
        assert torch.equal(staying[0, row], x[0, row, parity::2])
        assert torch.equal(moving[0, row], x[0, row, 1 - parity :: 2])


def test_a_masked_picture_and_a_half_one_give_the_same_coupling() -> None:
    """A 1×1 network cannot tell them apart, so the half-width form is the masked form without the wasted half."""
    conv = moved(Conv2d(2, 4, kernel=1)).double()

    def net(x: Tensor, context: Tensor | None = None) -> Tensor:
        return conv(x).unflatten(-3, (2, 2)).movedim(-4, -1)

    x = pictures(3, 2, 4, 6).double()
    z, log_det = bj.Coupling(bj.Checkerboard(), bj.Affine(), net).forward_and_log_det(x)
    stays = mask("checkerboard", 2, 4, 6)
    # the neighbour in the same pair of columns is the one that a half-width picture puts in the same place
    pairs = torch.where(stays, x, 0).unflatten(-1, (3, 2)).sum(-1).repeat_interleave(2, -1)
    full, log_slope = bj.Affine().forward(x, net(pairs))
    torch.testing.assert_close(z, torch.where(stays, x, full))
    torch.testing.assert_close(log_det, torch.where(stays, 0, log_slope).sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("split", "shape"),
    [
        (bj.Checkerboard().split, (3, 5, 4)),
        (bj.Checkerboard().split, (3, 4, 5)),
        (bj.Checkerboard().split, (4, 4)),
        (bj.TopBottom().split, (3, 5, 4)),
        (bj.LeftRight().split, (3, 4, 5)),
        (Block().split, (3, 4, 5)),
        (bj.Squeeze(), (3, 5, 4)),
    ],
)
def test_odd_sizes_are_refused(split: Callable[[Tensor], object], shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="resize or crop"):
        split(torch.zeros(shape))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\*batch, 4, height, width"):
        bj.ChannelHalves(4).split(torch.zeros(3, 4, 4))
    with pytest.raises(ShapeError, match="squeeze first"):
        bj.ChannelHalves(1)
    with pytest.raises(ShapeError, match="4C, height, width"):
        bj.Squeeze().inverse(torch.zeros(3, 4, 4))


# Maps


def test_squeeze_is_torchs_pixel_unshuffle() -> None:
    x = pictures(2, 5, 3, 4, 6)
    assert torch.equal(bj.Squeeze()(x), F.pixel_unshuffle(x, 2))


def test_flatten_keeps_the_order() -> None:
    x = pictures(2, 5, 3, 4, 6)
    assert torch.equal(Flatten((3, 4, 6))(x), x.flatten(-3))


@pytest.mark.parametrize("kind", [bj.ActNorm, bj.Standardise])
def test_constants_of_a_channel_are_measured_over_batch_and_space(kind: type) -> None:
    x = pictures(64, 3, 4, 6) * torch.tensor([0.1, 1.0, 10.0])[:, None, None]
    norm = kind((3, 1, 1))
    norm.initialise(x)
    z, log_det = norm.forward_and_log_det(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(3))
    expected = -x.std((0, 2, 3), correction=0).log().sum() * 24
    torch.testing.assert_close(log_det, expected.expand(64))


# Precision


@pytest.mark.parametrize("way", ["coupling", "autoregressive"])
def test_a_network_in_bfloat16_leaves_map_and_log_det_in_float32(way: str) -> None:
    x = torch.randn(16, 2, 4, 4)
    if way == "coupling":
        net = moved(bj.ResNet(2, (2, 2), filters=8, blocks=1, gain=0.5, bounded=True))
        transform: bj.Transform = bj.Coupling(bj.Checkerboard(), bj.ShiftFirst(), net)
    else:
        transform = bj.Autoregressive(bj.Affine(), moved(bj.MADE(4, 2, hidden=(16,))))  # type: ignore[arg-type]
        x = x.flatten(1)[:, :4]
    z, log_det = transform.forward_and_log_det(x)
    state = list(transform.state_dict())
    transform.precision = torch.bfloat16  # type: ignore[assignment]
    assert list(transform.state_dict()) == state
    narrow, narrow_log_det = transform.forward_and_log_det(x)
    assert (narrow.dtype, narrow_log_det.dtype) == (torch.float32, torch.float32)
    assert not torch.equal(narrow, z)
    torch.testing.assert_close(narrow, z, atol=0.1, rtol=0.05)
    torch.testing.assert_close(narrow_log_det, log_det, atol=0.3, rtol=0.05)
    back, _ = transform.inverse_and_log_det(narrow)
    assert back.dtype is torch.float32
    torch.testing.assert_close(back, x, atol=0.05, rtol=0.05)


def test_without_a_precision_a_network_is_called_as_it_is() -> None:
    x = torch.randn(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert read(lambda x, context: F.linear(x, x), x, None, None).dtype is torch.bfloat16
    assert read(lambda x, context: F.linear(x, x), x, None, torch.bfloat16).dtype is torch.float32


# Models


def weights_and_work(flow: bj.Flow) -> tuple[int, int, float]:
    """Numbers in convolutions' weights, in all parameters, and multiplications a picture in 10⁹; on a device that computes nothing."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        flow.log_prob(torch.empty(1, *flow.event_shape, device="meta"))
    kernels = sum(p.numel() for p in flow.parameters() if p.dim() == 4)
    return kernels, sum(p.numel() for p in flow.parameters()), counter.get_total_flops() / 2e9


def test_the_reference_has_the_homeworks_size() -> None:
    with torch.device("meta"):
        flow = bj.realnvp_image((3, 32, 32), actnorm=False)
    kernels, total, work = weights_and_work(flow)
    print(f"2019: {kernels / 1e6:.2f} M weights, {total / 1e6:.2f} M parameters, {work:.2f} GMAC a picture")
    couplings = [part for part in flow.modules() if isinstance(part, bj.Coupling)]
    assert [part.partition.flip for part in couplings] == [False, True, False, True] + 4 * [False, True, False]  # type: ignore[attr-defined]
    assert round(total / 1e6) == 94
    assert round(work, 1) == 20.3


def test_the_form_of_2020_has_the_courses_size() -> None:
    with torch.device("meta"):
        flow = bj.realnvp_image((3, 32, 32), form="2020")
    kernels, total, work = weights_and_work(flow)
    print(f"2020: {kernels / 1e6:.2f} M weights, {total / 1e6:.2f} M parameters, {work:.2f} GMAC a picture")
    assert sum(isinstance(part, bj.Coupling) for part in flow.modules()) == 10
    assert sum(isinstance(part, bj.ActNorm) for part in flow.modules()) == 10
    assert round(kernels / 1e6, 2) == 14.55
    # Masked pictures of the full width, as in the course, would take twice the work of the seven checkerboard couplings: 11.53.
    assert round(work, 1) == 6.3


@pytest.mark.parametrize("partition", ["top_bottom", "left_right", "block"])
def test_a_bad_partition_takes_the_place_of_every_other(partition: str) -> None:
    flow = bj.realnvp_image((3, 8, 8), filters=2, blocks=1, partition=partition)  # type: ignore[arg-type]
    kinds = {type(part.partition).__name__ for part in flow.modules() if isinstance(part, bj.Coupling)}
    assert kinds == {{"top_bottom": "TopBottom", "left_right": "LeftRight", "block": "Block"}[partition]}


def test_a_crop_passes_through_the_same_maps() -> None:
    flow = moved(bj.realnvp_image((3, 16, 16), filters=4, blocks=1)).double()
    crop = bj.Flow(bj.Normal((3, 8, 8)), flow.transform).double()  # type: ignore[arg-type]
    x = pictures(3, 3, 8, 8).double()
    assert crop.log_prob(x).shape == (3,)
    torch.testing.assert_close(crop.decode(crop.encode(x)), x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"event_shape": (3, 28, 28)}, "resize or crop pictures to a multiple of 8"),
        ({"event_shape": (3, 28, 32)}, "got 7×8, which is what squeezes leave of 28×32"),
        ({"event_shape": (3, 14, 14), "form": "2020", "partition": "block"}, "divisible by 4"),
        ({"event_shape": (32, 32)}, r"expected \(channels, height, width\)"),
        ({"event_shape": 32}, r"expected \(channels, height, width\)"),
        ({"form": "2021"}, "one of 2019, 2020"),
        ({"partition": "diagonal"}, "one of good, top_bottom"),
        ({"stages": (("checker", 2),)}, "pairs of 'checkerboard' or 'channel'"),
        ({"stages": (("channel", 0),)}, "at least one coupling"),
        ({"stages": ()}, "expected at least one"),
        ({"filters": 0}, "at least 1, 1 and 0"),
        ({"scale": -1.0}, "positive, finite bound"),
    ],
)
def test_a_realnvp_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bj.realnvp_image(**{"event_shape": (3, 8, 8), "filters": 2, "blocks": 1, **settings})


def test_nice_is_the_papers() -> None:
    with torch.device("meta"):
        flow = bj.nice_image((1, 28, 28), standardise=False)
    couplings = [part for part in flow.modules() if isinstance(part, bj.Coupling)]
    assert [part.partition.moving[0] for part in couplings] == [1, 0, 1, 0]  # type: ignore[attr-defined]
    assert [[layer.weight.shape[0] for layer in part.net.hidden_layers] for part in couplings] == 4 * [5 * [1000]]  # type: ignore[attr-defined]
    assert isinstance(flow.base, bj.Logistic)
    assert flow.event_shape == (1, 28, 28)


def test_nices_volume_is_its_scales_alone() -> None:
    flow = moved(bj.nice_image((2, 4, 4), hidden=(16,)))
    assert isinstance(flow, bj.Flow)
    (scale,) = (part for part in flow.modules() if isinstance(part, bj.DiagonalScale))
    _, log_det = flow.transform.forward_and_log_det(pictures(5, 2, 4, 4))
    torch.testing.assert_close(log_det, scale.log_scale.sum().expand(5))
    with pytest.raises(InputError, match="'logistic' or 'normal'"):
        bj.nice_image((1, 4, 4), base="laplace")  # type: ignore[arg-type]


# The homework's faces


@pytest.fixture(scope="module")
def faces() -> Tensor:
    path = Path(os.environ.get("BIJECTORY_DATA", "")) / "celeba32_2bit.npz"
    if "BIJECTORY_DATA" not in os.environ or not path.is_file():
        pytest.skip("needs celeba32_2bit.npz in the folder that BIJECTORY_DATA names")
    with np.load(path, allow_pickle=False) as file:
        return torch.from_numpy(file["train"][:640]).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(("actnorm", "bits"), [(False, 2.16), (True, 1.97)])
def test_faces_before_training_cost_what_the_homework_says(faces: Tensor, actnorm: bool, bits: float) -> None:
    """Couplings start at the identity, so this is the normal density of the logits, as they are or scaled by channel."""
    model = bj.Quantised(
        bj.realnvp_image((3, 32, 32), filters=4, blocks=1, actnorm=actnorm),
        levels=4,
        alpha=0.05,
    )
    bj.initialise(model, faces[:128])
    with torch.no_grad():
        bound, _ = model.log_prob_bound(faces[128:], generator=torch.Generator().manual_seed(0))
    found = float(-bound.mean()) / (3 * 32 * 32 * math.log(2))
    print(f"actnorm {actnorm}: {found:.3f} bits/dim")
    assert abs(found - bits) <= 0.05
