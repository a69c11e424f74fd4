"""Networks in bfloat16, maps and log-dets in float32; and judged without either."""

from __future__ import annotations

import copy

import torch

import bijectory
from bijectory.data.batches import Shuffled
from bijectory.data.splits import Rows
from bijectory.experiments.judge import precision_bias
from bijectory.training.objectives.bound import maximum_bound
from bijectory.training.precision import set_precision
from bijectory.training.update import apply


def faces() -> tuple[bijectory.Quantised, torch.Tensor]:
    torch.manual_seed(0)
    model = bijectory.Quantised(bijectory.realnvp_image((1, 8, 8), filters=8, blocks=1, gain=0.3), levels=4)
    x = torch.randint(0, 4, (64, 1, 8, 8), dtype=torch.uint8)
    bijectory.initialise(model, x)
    return model, x


@torch.no_grad()
def test_maps_and_log_dets_stay_wide() -> None:
    model, x = faces()
    y = model.to_real(x, 0.5)[0]
    exact, exact_log_det = model.model.transform.forward_and_log_det(y)
    set_precision(model, torch.bfloat16)
    seen: list[torch.dtype] = []
    couplings = [part for part in model.modules() if isinstance(part, bijectory.Coupling)]
    couplings[0].net.last.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    z, log_det = model.model.transform.forward_and_log_det(y)
    assert seen == [torch.bfloat16] and z.dtype == log_det.dtype == torch.float32
    assert 0 < float((z - exact).abs().max()) < 0.2
    # On the way back a network reads numbers that differ by 1e-7, which bfloat16 may round 4e-3 apart: runs are used with None.
    assert torch.allclose(model.model.transform.inverse(z), y, atol=0.1)
    set_precision(model, None)
    again, log_det = model.model.transform.forward_and_log_det(y)
    assert torch.equal(again, exact) and torch.equal(log_det, exact_log_det)
    assert torch.equal(model.decode(model.encode(x)), x)


def test_a_step_trains_float32_weights() -> None:
    model, x = faces()
    set_precision(model, torch.bfloat16)
    before = copy.deepcopy(model.state_dict())
    (update,) = maximum_bound(model, clip=1.0)
    batches = Shuffled(Rows(x), 32, 0, noise=lambda rows, generator: model.draw_noise((rows,), generator=generator))
    for step in range(3):
        apply(update, batches(step), step)
    assert update.take_lost() == []
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_stated_bias_is_that_of_float32() -> None:
    model, x = faces()
    plain = precision_bias(model, Rows(x))
    set_precision(model, torch.bfloat16)
    assert precision_bias(model, Rows(x)) == plain
    assert abs(plain.value) < 1e-3 and plain.kind == "bound"
