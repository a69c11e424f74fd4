"""Maps whose inverse solves equations: gradients through it, latents of any size, and slopes that weights cannot take away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.numerics.mixture import Kind
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


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_a_line_in_a_mixture_keeps_what_lies_between_modes_and_far_out(kind: Kind) -> None:
    # Two narrow modes at ±6, and what lies between, on and far beyond them.
    params = torch.tensor([0.0, 0.0, -4.0, 4.0, -9.0, -9.0])
    x = torch.cat([torch.linspace(-7, 7, 500), torch.tensor([-1000.0, -100.0, 100.0, 1000.0])])
    lost = {}
    for line in (0.0, 0.2):
        mixture = bj.MixtureCDF(2, kind, line=line)
        z, log_slope = mixture.forward(x, params.expand(len(x), 6))
        back = mixture.inverse(z, params.expand(len(x), 6))[0]
        lost[line] = float(((back - x).abs() / x.abs().clamp_min(1)).max())
        if line:
            least = float(log_slope.min().exp())
    assert lost[0.2] < 1e-5 < 1e-4 < lost[0.0]
    # Standard components at ±2 are as wide as one of scale √(1 + 4/v), v their variance.
    scale = {"gaussian": 20**0.5, "logistic": (16 + 12 / torch.pi**2) ** 0.5}[kind]
    assert least >= 0.2 / scale


def test_a_mixture_that_is_the_identity_stays_so_with_a_line() -> None:
    mixture = bj.MixtureCDF(1, "logistic", floor=0, line=0.3)
    params, x = mixture.identity_params(), torch.linspace(-30, 30, 61, dtype=torch.float64)
    assert params is not None
    z, log_slope = mixture.forward(x, params.double().expand(61, 3))
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x))


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
        (lambda: bj.MixtureCDF(3, line=1.0), "line: expected a share"),
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
