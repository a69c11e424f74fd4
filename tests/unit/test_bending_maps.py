"""Maps whose inverse solves equations: gradients through it, latents of any size, and slopes that weights cannot take away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.transforms.amortised import FLOOR

MAPS: dict[str, Callable[[], bj.Transform]] = {
    "planar": lambda: bj.Planar(3),
    "radial": lambda: bj.Radial(3),
    "sylvester": lambda: bj.Sylvester(3, 2),
    "block autoregressive": lambda: bj.BlockAutoregressive(3, width=3, layers=2),
}
each_map = pytest.mark.parametrize("name", MAPS)


def moved(name: str, by: float = 0.5) -> bj.Transform:
    transform = MAPS[name]().double()
    with torch.no_grad():
        for parameter in transform.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return transform


@each_map
def test_gradients_pass_through_the_inverse(name: str) -> None:
    transform = moved(name)
    names = [key for key, _ in transform.named_parameters()]
    z = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = transform

        def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
            return self.held.inverse_and_log_det(z)

    def run(z: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = functional_call(
            Both(), {f"held.{key}": v for key, v in zip(names, values, strict=True)}, (z,)
        )
        return found

    values = [parameter.detach().clone().requires_grad_() for parameter in transform.parameters()]
    assert torch.autograd.gradcheck(run, (z, *values), eps=1e-6, atol=1e-6)


@each_map
@pytest.mark.parametrize("size", [1e2, 1e6])
def test_latents_of_any_size_have_data(name: str, size: float) -> None:
    # BNAF with tanh alone maps onto an interval (numpyro #1655): these latents had no data, or a wrong one.
    transform, z = moved(name), size * torch.randn(64, 3, dtype=torch.float64)
    with torch.no_grad():
        x = transform.inverse(z)
        again = transform(x)
    assert float(((again - z).abs().amax(1) / z.abs().amax(1)).max()) < 1e-12


@pytest.mark.parametrize("name", ["planar", "radial", "sylvester"])
def test_no_weights_flatten_a_map(name: str) -> None:
    transform, x = moved(name, by=30.0), torch.randn(256, 3, dtype=torch.float64)
    with torch.no_grad():
        z, log_det = transform.forward_and_log_det(x)
        back = transform.inverse(z)
    least = {"planar": 1, "radial": 3, "sylvester": 2}[name] * float(torch.log(torch.tensor(FLOOR)))
    assert float(log_det.min()) >= least
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)


def test_a_net_of_the_context_needs_one() -> None:
    with pytest.raises(ShapeError, match="context: expected the features that the net reads"):
        bj.Planar(2, torch.nn.Linear(3, 5))(torch.zeros(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bj.Householder(1, 2), "features, reflections"),
        (lambda: bj.Orthogonal(1), "nothing to turn with"),
        (lambda: bj.Sylvester(3, 4), "terms: expected between 1 and the 3"),
        (lambda: bj.sylvester(3, terms=0), "terms: expected between 1 and the 3"),
        (lambda: bj.BlockAutoregressive(3, width=0), "features, width, layers"),
        (lambda: bj.maf(3, linear="qr"), "linear: expected 'none'"),
        (lambda: bj.nsf(3, linear="lu", boundary="circular"), "linear: expected 'none' for angles"),
    ],
)
def test_what_cannot_be_made_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("make", [bj.maf, bj.nsf])
def test_features_are_mixed_by_lu_unless_there_is_nothing_to_mix(make: Callable[..., bj.Flow]) -> None:
    def mixed(flow: bj.Flow) -> bool:
        return any(isinstance(part, bj.LULinear) for part in flow.modules())

    assert mixed(make(3)) and not mixed(make(3, linear="none")) and not mixed(make(1))
    assert not mixed(bj.nsf(2, boundary="circular"))
