"""Chains that rebuild their activations: the gradients of plain ones, in memory that does not grow, or a clear word why not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

import bijectory as bj
from bijectory.data.batches import Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import InputError, InverseError
from bijectory.training.objectives.likelihood import maximum_likelihood
from bijectory.training.precision import set_precision
from bijectory.training.update import apply
from bijectory.transforms.reversible import _unless_lost

CONTEXT = 2
#: Float32 rounds kept and rebuilt activations apart: 4e-7 was seen here.
FLOAT32 = 5e-6


def moved(module: Any, noise: float = 0.1) -> Any:
    """The module with its weights moved away from the identity."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(noise * torch.randn(weight.shape, generator=generator))
    return module.double()


def halves(elementwise: Any, layer: int = 0, net: nn.Module | None = None, context_dim: int = 0) -> bj.Coupling:
    net = (
        bj.MLP(2, (2, elementwise.num_params), hidden=(8,), context_dim=context_dim, squash=True)
        if net is None
        else net
    )
    return bj.Coupling(bj.Partition.alternating(4, layer), elementwise, net)


def made(elementwise: Any) -> bj.Autoregressive:
    return bj.Autoregressive(elementwise, bj.MADE(4, elementwise.num_params, hidden=(8,), squash=True))


def vectors(depth: int = 3, context_dim: int = 0) -> bj.Chain:
    spline = halves(bj.RationalQuadraticSpline(4), 1, context_dim=context_dim)
    parts: list[bj.Transform] = [bj.ActNorm((4,)), spline, bj.LULinear(4), bj.Permute((3, 1, 0, 2))]
    couplings = [halves(bj.Affine(), layer, context_dim=context_dim) for layer in range(depth)]
    return moved(bj.Chain([*parts, *couplings, bj.Radial(4), bj.Householder(4, 2)]))


def nested() -> bj.Chain:
    inner = bj.Chain(
        [halves(bj.Affine()), bj.Inverse(bj.Chain([bj.Permute((3, 1, 0, 2)), halves(bj.SigmoidAffine())]))]
    )
    return moved(bj.Chain([bj.Inverse(bj.ActNorm((4,))), inner, bj.Chain([inner.transforms[0], bj.LULinear(4)])]))


def kept_parts() -> bj.Chain:
    """A rebuilt stretch before, between and behind parts whose inverse is no bargain, one of them in a chain of its own."""
    field = bj.TimeMLP(4, hidden=(8,))
    middle = bj.Chain([halves(bj.Affine()), made(bj.Affine()), halves(bj.MixtureCDF(3))])
    parts = [bj.ActNorm((4,)), made(bj.Affine()), bj.LULinear(4), bj.Planar(4), middle, halves(bj.Affine(), 1)]
    hard = [bj.Residual(bj.LipschitzMLP(4, hidden=(8,))), bj.Inverse(made(bj.Affine())), bj.Continuous(field, steps=4)]
    return moved(bj.Chain([*parts, *hard, bj.Sigmoid(), bj.logit(), bj.Permute((3, 1, 0, 2))]))


def one_way() -> bj.Chain:
    class Folded(bj.Transform):
        has_inverse = rebuilds_x = rebuilds_z = False

        def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return x.abs(), x.new_zeros(x.shape[:-1])

        def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            raise InverseError("z: nothing says which sign it had")

    return moved(bj.Chain([halves(bj.Affine()), Folded(), halves(bj.Affine(), 1)]))


def pictures(**settings: Any) -> bj.Chain:
    chain = bj.glow((2, 8, 8), scales=2, depth=2, hidden=6, learned_prior=True, **settings).transform
    assert isinstance(chain, bj.Chain)
    return moved(chain)


def checkerboards() -> bj.Chain:
    chain = bj.realnvp_image((1, 8, 8), filters=4, blocks=1, stages=(("checkerboard", 2), ("channel", 2))).transform
    assert isinstance(chain, bj.Chain)
    return moved(chain)


CHAINS: dict[str, tuple[Callable[[], bj.Chain], tuple[int, ...], int]] = {
    "vectors": (vectors, (16, 4), 0),
    "vectors, context": (lambda: vectors(context_dim=CONTEXT), (16, 4), CONTEXT),
    "vectors, two batch dimensions": (vectors, (3, 5, 4), 0),
    "no rows": (vectors, (0, 4), 0),
    "nested": (nested, (16, 4), 0),
    "parts that keep their input": (kept_parts, (16, 4), 0),
    "a part without an inverse": (one_way, (16, 4), 0),
    "glow": (pictures, (3, 2, 8, 8), 0),
    "glow, context": (lambda: pictures(context_dim=CONTEXT), (3, 2, 8, 8), CONTEXT),
    "glow, plain mixing": (lambda: pictures(mixing="plain", coupling="additive"), (3, 2, 8, 8), 0),
    "realnvp_image": (checkerboards, (3, 1, 8, 8), 0),
    "realnvp_multiscale": (
        lambda: moved(bj.realnvp_multiscale((1, 8, 8), scales=2, filters=4, blocks=1).transform),  # type: ignore[dict-item]
        (3, 1, 8, 8),
        0,
    ),
}


def made_up(name: str) -> tuple[bj.Chain, Tensor, Tensor | None]:
    torch.manual_seed(0)
    make, shape, context_dim = CHAINS[name]
    chain = make()
    context = torch.randn(*shape[: len(shape) - chain.event_dim_in], context_dim).double() if context_dim else None
    return chain, torch.randn(shape, dtype=torch.float64), context


def loss_of(found: tuple[Tensor, Tensor]) -> Tensor:
    z, log_det = found
    return (z * torch.linspace(-1, 2, z.numel(), dtype=z.dtype).view_as(z)).sum() + (log_det**2).sum()


def gradients(
    chain: nn.Module, x: Tensor, context: Tensor | None = None, *, memory: Any, run: Any = None
) -> list[Tensor | None]:
    """At the weights, at x and at the context."""
    bj.set_memory(chain, memory)
    chain.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    context = None if context is None else context.detach().requires_grad_()
    loss_of((chain.forward_and_log_det if run is None else run)(x, context)).backward()
    return [*(weight.grad for weight in chain.parameters()), x.grad, None if context is None else context.grad]


def furthest(found: list[Tensor | None], expected: list[Tensor | None]) -> float:
    """The largest difference of two lists of gradients, each as a share of its tensor's largest number."""
    assert [one is None for one in found] == [one is None for one in expected]
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None and b is not None and a.numel()]
    return max((float((a - b).abs().max() / b.abs().max().clamp_min(1e-6)) for a, b in pairs), default=0.0)


# The same gradients


@pytest.mark.parametrize("name", CHAINS)
def test_gradients_are_those_of_a_plain_chain(name: str) -> None:
    chain, x, context = made_up(name)
    plain = gradients(chain, x, context, memory="plain")
    assert furthest(gradients(chain, x, context, memory="rebuild"), plain) < 1e-10
    assert any(one is not None and one.numel() and bool(one.any()) for one in plain) or name == "no rows"


@pytest.mark.parametrize("name", CHAINS)
def test_values_are_those_of_a_plain_chain(name: str) -> None:
    chain, x, context = made_up(name)
    # torch's linear maps sum in another order where a gradient is recorded.
    with torch.no_grad():
        plain = chain.forward_and_log_det(x, context)
    bj.set_memory(chain, "rebuild")
    assert all(map(torch.equal, chain.forward_and_log_det(x, context), plain))
    with torch.inference_mode():
        z, log_det = chain.forward_and_log_det(x, context)
    assert torch.equal(z, plain[0]) and torch.equal(log_det, plain[1]) and z.is_inference()


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "a part without an inverse"])
def test_the_inverse_is_rebuilt_too(name: str) -> None:
    chain, x, context = made_up(name)
    run = chain.inverse_and_log_det
    plain = gradients(chain, x, context, memory="plain", run=run)
    assert furthest(gradients(chain, x, context, memory="rebuild", run=run), plain) < 1e-10


@pytest.mark.parametrize("name", ["vectors", "nested", "glow", "realnvp_image"])
def test_float32_differs_by_rounding(name: str) -> None:
    chain, x, context = made_up(name)
    chain.float()
    plain = gradients(chain, x.float(), context, memory="plain")
    assert furthest(gradients(chain, x.float(), context, memory="rebuild"), plain) < FLOAT32


def test_parts_without_a_cheap_inverse_are_never_inverted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("inverted")

    chain, x, _ = made_up("parts that keep their input")
    plain = gradients(chain, x, memory="plain")
    for kind in (bj.Planar, bj.Residual):
        monkeypatch.setattr(kind, "inverse_and_log_det", refuse)
    monkeypatch.setattr(bj.MixtureCDF, "inverse", refuse)
    assert furthest(gradients(chain, x, memory="rebuild"), plain) < 1e-10


def test_a_coupling_calls_its_network_once_for_the_way_back() -> None:
    net = bj.MLP(2, (2, 2), hidden=(8,), zero=False)
    calls: list[bool] = []
    net.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    gradients(bj.Chain([halves(bj.Affine(), net=net)]), torch.randn(5, 4), memory="rebuild")
    assert calls == [False, True]


# What surrounds a chain


def test_weights_and_whole_chains_may_be_used_twice() -> None:
    chain, x, _ = made_up("nested")

    def twice(x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, first = chain.forward_and_log_det(x, context)
        z, second = chain.forward_and_log_det(z + chain.forward_and_log_det(0.5 * x)[0], context)
        return z, first + second

    plain = gradients(chain, x, memory="plain", run=twice)
    assert furthest(gradients(chain, x, memory="rebuild", run=twice), plain) < 1e-10


def test_gradients_accumulate_and_a_graph_may_be_kept() -> None:
    chain, x, _ = made_up("vectors")
    once = [None if one is None else one.clone() for one in gradients(chain, x, memory="rebuild")[:-2]]
    loss = loss_of(chain.forward_and_log_det(x))
    loss.backward(retain_graph=True)
    loss.backward()
    thrice = [weight.grad for weight in chain.parameters()]
    assert furthest([None if one is None else one / 3 for one in thrice], once) < 1e-12


def test_weights_that_are_not_trained_have_no_gradient() -> None:
    chain, x, _ = made_up("glow")
    for index, weight in enumerate(chain.parameters()):
        weight.requires_grad_(index % 2 == 0)
    plain = gradients(chain, x, memory="plain")
    assert furthest(gradients(chain, x, memory="rebuild"), plain) < 1e-10
    for weight in chain.parameters():
        weight.requires_grad_(False)
    found = gradients(chain, x, memory="rebuild")
    assert all(one is None for one in found[:-2]) and found[-2] is not None


def test_gradients_by_name_leave_the_others_alone() -> None:
    chain, x, _ = made_up("vectors")
    expected = gradients(chain, x, memory="plain")
    bj.set_memory(chain, "rebuild")
    chain.zero_grad(set_to_none=True)
    weights = list(chain.parameters())
    found = torch.autograd.grad(loss_of(chain.forward_and_log_det(x)), weights[:3])
    assert furthest(list(found), expected[:3]) < 1e-10
    assert all(weight.grad is None for weight in weights)


def test_hooks_of_weights_run_once() -> None:
    chain, x, _ = made_up("nested")
    weight = next(chain.parameters())
    before = gradients(chain, x, memory="rebuild")[0]
    weight.register_hook(lambda gradient: 2 * gradient)
    after = gradients(chain, x, memory="rebuild")[0]
    assert before is not None and after is not None and torch.equal(after, 2 * before)


def test_weights_that_are_lent_have_their_gradient() -> None:
    chain, x, _ = made_up("vectors")
    bj.set_memory(chain, "rebuild")
    own = {name: weight.detach().clone() for name, weight in chain.named_parameters()}
    lent = {name: (1.1 * weight).requires_grad_() for name, weight in own.items()}

    def z(memory: Any) -> list[Tensor]:
        bj.set_memory(chain, memory)
        out = torch.func.functional_call(chain, {name: 2 * weight for name, weight in lent.items()}, (x,))
        return list(torch.autograd.grad((out**2).sum(), [lent["transforms.0.shift"], lent["transforms.2.lower"]]))

    assert furthest(list(z("rebuild")), list(z("plain"))) < 1e-10
    assert all(torch.equal(weight, own[name]) for name, weight in chain.named_parameters())
    assert all(isinstance(weight, nn.Parameter) for weight in chain.parameters())


def test_a_training_step_is_that_of_a_plain_chain() -> None:
    def steps(memory: Any, accumulate: int) -> list[Tensor]:
        torch.manual_seed(0)
        flow = bj.realnvp(3, depth=3, hidden=(8,)).double()
        x = torch.randn(32, 3, dtype=torch.float64)
        bj.initialise(flow, x)
        bj.set_memory(flow, memory)
        (update,) = maximum_likelihood(flow, rate=1e-2)
        batches = Shuffled(Rows(x), 16, 0)
        assert update.joined is not None
        update.accumulate = accumulate
        for step in range(4):
            apply(update, batches(step), step)
        return [weight.detach() for weight in flow.parameters()]

    for accumulate in (1, 4):
        assert furthest(list(steps("rebuild", accumulate)), list(steps("plain", accumulate))) < 1e-9


def test_networks_in_bfloat16() -> None:
    torch.manual_seed(0)
    chain = pictures().float()
    set_precision(chain, torch.bfloat16)
    x = torch.randn(8, 2, 8, 8)
    plain, found = (
        torch.cat([g.flatten() for g in gradients(chain, x, memory=m) if g is not None]) for m in ("plain", "rebuild")
    )
    set_precision(chain, None)
    exact = torch.cat([g.flatten() for g in gradients(chain, x, memory="plain") if g is not None])
    # What rebuilding adds, 2e-3, to what bfloat16 itself does to a gradient, 8e-3: activations that differ by 1e-7 may round 4e-3 apart.
    assert float((found - plain).norm()) < float((plain - exact).norm())


@pytest.mark.parametrize("inside", [True, False])
def test_autocast_is_that_of_the_forward_pass(inside: bool) -> None:
    chain = moved(bj.Chain([halves(bj.Affine(), layer) for layer in range(3)])).float()
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    seen: list[torch.dtype] = []
    net = next(module for module in chain.modules() if isinstance(module, bj.MLP))
    net.last.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    bj.set_memory(chain, "rebuild")
    with torch.autocast("cpu", torch.bfloat16) if inside else nullcontext():
        loss = loss_of(chain.forward_and_log_det(x))
    with nullcontext() if inside else torch.autocast("cpu", torch.bfloat16):
        loss.backward()
    assert seen == [torch.bfloat16 if inside else torch.float32] * 2
    # A weight that was cast where no gradient is recorded has one all the same.
    assert all(weight.grad is not None for weight in net.parameters())


def test_within_a_checkpoint() -> None:
    chain, x, _ = made_up("vectors")

    def run(x: Tensor, context: Tensor | None) -> Any:
        return checkpoint(chain.forward_and_log_det, x, context, use_reentrant=False)

    plain = gradients(chain, x, memory="plain")
    assert furthest(gradients(chain, x, memory="rebuild", run=run), plain) < 1e-10


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, at its first dual number
def test_under_torch_func_and_forward_mode_a_chain_is_plain() -> None:
    chain, x, _ = made_up("vectors")
    expected = gradients(chain, x, memory="plain")[-2]
    bj.set_memory(chain, "rebuild")
    found = torch.func.grad(lambda x: loss_of(chain.forward_and_log_det(x)))(x)
    assert furthest([found.detach()], [expected]) < 1e-12
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(chain(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    assert tangent is not None and bool(tangent.isfinite().all())


# The setting


def test_a_setting_is_no_part_of_the_state() -> None:
    flow = bj.realnvp(2, depth=1)
    names = list(flow.state_dict())
    bj.set_memory(flow, "rebuild")
    assert list(flow.state_dict()) == names
    assert copy.deepcopy(flow).transform.memory == "rebuild"
    bj.set_memory(flow, "plain")
    assert flow.transform.memory == "plain"


def test_other_settings_are_refused() -> None:
    with pytest.raises(InputError, match="memory: expected 'plain' or 'rebuild', got 'half'"):
        bj.set_memory(bj.realnvp(2, depth=1), "half")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a Chain somewhere in it to rebuild, got Flow"):
        bj.set_memory(bj.Flow(bj.Normal((2,)), bj.Permute((1, 0))), "rebuild")


# What is refused


def test_second_derivatives_are_refused() -> None:
    chain, x, _ = made_up("vectors")
    bj.set_memory(chain, "rebuild")
    loss = loss_of(chain.forward_and_log_det(x.requires_grad_()))
    with pytest.raises(InputError, match=r"create_graph=True.*set_memory\(model, 'plain'\)"):
        torch.autograd.grad(loss, x, create_graph=True)


class Wrapped(nn.Module):
    """A coupling's network behind another layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.net = layer, bj.MLP(2, (2, 2), hidden=(8,), zero=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(self.layer(x))


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(2)], ids=["dropout", "batch norm"])
def test_networks_that_say_something_else_the_next_time_are_refused(layer: nn.Module) -> None:
    chain = bj.Chain([halves(bj.Affine(), net=Wrapped(layer))])
    x = torch.randn(8, 4)
    with pytest.raises(InputError, match="dropout, batch normalisation"):
        gradients(chain.train(), x, memory="rebuild")
    assert furthest(gradients(chain.eval(), x, memory="rebuild"), gradients(chain, x, memory="plain")) < FLOAT32


def test_weights_changed_in_between_are_noticed() -> None:
    chain, x, _ = made_up("vectors")
    bj.set_memory(chain, "rebuild")
    loss = loss_of(chain.forward_and_log_det(x))
    with torch.no_grad():
        next(chain.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def steep() -> tuple[bj.Chain, Tensor]:
    """Scales of exp(−30) one behind the other: float32 forgets x."""
    scale = bj.DiagonalScale((4,))
    nn.init.constant_(scale.log_scale, -30.0)
    bias = bj.ConstantAffine(torch.ones(4), torch.ones(4))
    return bj.Chain([scale, bias, halves(bj.Affine())]), torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def test_what_cannot_be_rebuilt_is_no_gradient() -> None:
    chain, x = steep()
    with pytest.raises(InverseError, match=r"within 1% of what it was, got .*set_memory\(model, 'plain'\)"):
        gradients(chain, x, memory="rebuild")
    assert gradients(chain.double(), x.double(), memory="rebuild")[-2] is not None


def test_where_nothing_may_wait_it_is_not_a_number() -> None:
    whole = [torch.ones(3), None, torch.ones(2, 2, dtype=torch.float64)]
    fine = _unless_lost(whole, torch.tensor(1e-3), may_wait=False)
    assert fine[1] is None and all(map(torch.equal, [fine[0], fine[2]], [whole[0], whole[2]]))  # type: ignore[list-item]
    lost = _unless_lost(whole, torch.tensor(0.5), may_wait=False)
    assert lost[1] is None and all(bool(one.isnan().all()) for one in lost if one is not None)


def test_what_is_lost_before_a_part_that_keeps_its_input_is_no_gradient() -> None:
    chain, x = steep()
    whole = bj.Chain([bj.Planar(4), *chain.transforms])  # type: ignore[list-item]
    with pytest.raises(InverseError, match="memory"):
        gradients(whole, x, memory="rebuild")


def test_numbers_that_are_not_finite_stay_so() -> None:
    chain, x, _ = made_up("vectors")
    x[3, 1] = torch.nan
    found = gradients(chain, x, memory="rebuild")
    assert bool(found[0].isnan().any())  # type: ignore[union-attr]


# Drift and memory


@pytest.mark.parametrize(("depth", "bound"), [(4, 1e-6), (16, 2e-6), (48, 4e-6)])
def test_drift_grows_slowly_with_depth(depth: int, bound: float) -> None:
    torch.manual_seed(0)
    flow = bj.glow((3, 8, 8), scales=2, depth=depth, hidden=16)
    x = torch.randn(16, 3, 8, 8)
    bj.initialise(flow, x)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in flow.named_parameters():
            if ".last." in name:
                weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
        drift = float((flow.decode(flow.encode(x)) - x).norm() / x.norm())
    assert 1e-8 < drift < bound
    kept, found = (
        torch.cat([g.flatten() for g in gradients(flow.transform, x, memory=m) if g is not None])
        for m in ("plain", "rebuild")
    )
    # 4e-8, 5e-8 and 5e-4: in the deepest a few ReLUs lie within the drift of their kink.
    assert float((found - kept).norm() / kept.norm()) < 1e-3


def peak(flow: bj.Flow, x: Tensor) -> int:
    """The bytes of a third step at its fullest, beside weights, gradients and the optimiser's moments."""
    optimizer = torch.optim.Adam(flow.parameters(), 1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (-flow.log_prob(x).mean()).backward()
        optimizer.step()

    step()
    step()
    optimizer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        step()
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    held = highest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest - sum(weight.grad.nbytes for weight in flow.parameters() if weight.grad is not None)


def test_memory_does_not_grow_with_depth() -> None:
    found: dict[tuple[str, int], int] = {}
    for depth in (4, 32):
        torch.manual_seed(0)
        flow = bj.glow((3, 8, 8), scales=1, depth=depth, hidden=8)
        x = torch.randn(32, 3, 8, 8)
        for memory in ("plain", "rebuild"):
            bj.set_memory(flow, memory)  # type: ignore[arg-type]
            found[memory, depth] = peak(flow, x)
    assert found["rebuild", 32] < 1.1 * found["rebuild", 4]
    assert found["plain", 32] > 5 * found["plain", 4]


def test_what_is_saved_is_input_output_and_weights() -> None:
    chain, x, _ = made_up("vectors")
    assert saved(chain, x, "rebuild") == {x.shape: 2, **weights_of(chain)}
    assert sum(saved(chain, x, "plain").values()) > 3 * sum(saved(chain, x, "rebuild").values())


def weights_of(chain: bj.Chain) -> dict[torch.Size, int]:
    return counted(weight.shape for weight in chain.parameters())


def counted(shapes: Iterator[torch.Size] | Any) -> dict[torch.Size, int]:
    found: dict[torch.Size, int] = {}
    for shape in shapes:
        found[shape] = found.get(shape, 0) + 1
    return found


def saved(chain: bj.Chain, x: Tensor, memory: Any) -> dict[torch.Size, int]:
    """How many tensors of each shape a forward pass keeps."""
    bj.set_memory(chain, memory)
    shapes: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        shapes.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        chain.forward_and_log_det(x)
    return counted(shapes)
