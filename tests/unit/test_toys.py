"""Every toy keeps its promises: the density integrates to one, the entropy is its own, the samples follow it, its tails hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bijectory.data import toys
from bijectory.data.toys import TOYS, Toy, homework_smiley, toy
from bijectory.errors import DomainError, InputError, ShapeError, UnknownNameError
from bijectory.numerics.quadrature import cell_masses, integrate

# Joint nats. Published or computed elsewhere by Monte Carlo, to some 0.005; the last three follow from their definitions.
ENTROPY = {
    "smiley": 1.3339,
    "moons": 1.010,
    "eight_gaussians": 2.831,
    "pinwheel": 2.317,
    "spirals": 2.641,
    "rings": 2.625,
    "checkerboard": math.log(32),
    "parabola": 4.224,
    "bimodal1d": 1.010,
}
SMOOTH = [name for name in TOYS if name != "checkerboard"]
PLANE = [name for name in TOYS if name != "bimodal1d"]


@pytest.fixture(scope="module")
def samples() -> dict[str, tuple[Tensor, np.ndarray, Tensor]]:
    """For each toy 200,000 rows, their labels and their log-density."""
    drawn = {}
    for name in TOYS:
        x, labels = toy(name).sample(200_000, seed=7)
        points = torch.from_numpy(x)
        drawn[name] = points, labels, toy(name).log_prob(points)
    return drawn


def density(name: str):
    return lambda x: toy(name).log_prob(x).exp()


@pytest.mark.parametrize("name", SMOOTH)
def test_the_density_integrates_to_one_and_its_box_holds_the_mass(name: str) -> None:
    it = toy(name)
    assert abs(integrate(density(name), it.low, it.high, tolerance=1e-5).value - 1) < 3e-6
    wider = [low - 0.7 for low in it.low], [high + 0.3 for high in it.high]
    assert abs(integrate(density(name), *wider, tolerance=1e-5).value - 1) < 3e-6


def test_the_checkerboard_integrates_to_one_over_a_box_that_cuts_its_squares() -> None:
    result = integrate(density("checkerboard"), (-4.7, -4.3), (4.4, 5.1), tolerance=3e-3)
    assert abs(result.value - 1) < 1e-3


@pytest.mark.parametrize("name", TOYS)
def test_the_entropy_is_the_published_one(name: str) -> None:
    assert toy(name).entropy == pytest.approx(ENTROPY[name], abs=1e-3 if name == "smiley" else 6e-3)


@pytest.mark.parametrize("name", TOYS)
def test_the_entropy_is_the_mean_surprise_of_its_samples(name: str, samples) -> None:
    surprise = -samples[name][2]
    stderr = surprise.std().item() / math.sqrt(len(surprise))
    assert abs(surprise.mean().item() - toy(name).entropy) <= 4 * stderr + 1e-12


def chi_square(it: Toy, x: Tensor) -> float:
    """The p-value of the samples against the masses of 16 cells an axis, those that expect fewer than 5 pooled."""
    edges = [torch.linspace(low, high, 17, dtype=torch.float64) for low, high in zip(it.low, it.high, strict=True)]
    masses = cell_masses(lambda points: it.log_prob(points).exp(), edges, order=6, sub=3).flatten()
    counts = torch.from_numpy(np.histogramdd(x.numpy(), [edge.numpy() for edge in edges])[0]).flatten()
    expected, pooled = masses * len(x), masses * len(x) < 5
    rest = len(x) - expected[~pooled].sum(), len(x) - counts[~pooled].sum()
    expected, counts = torch.cat([expected[~pooled], rest[0][None]]), torch.cat([counts[~pooled], rest[1][None]])
    if rest[0] < 5:  # too little to be a cell of its own: it joins the last one
        expected, counts = (torch.cat([v[:-2], v[-2:].sum()[None]]) for v in (expected, counts))
    statistic = ((counts - expected).square() / expected).sum()
    return torch.special.gammaincc(torch.tensor((len(expected) - 1) / 2).double(), statistic / 2).item()


@pytest.mark.parametrize("name", TOYS)
def test_the_samples_follow_the_density(name: str, samples) -> None:
    assert chi_square(toy(name), samples[name][0]) > 1e-4


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: 1.01 * x,
        lambda x: x.flip(-1),
        lambda x: x[: len(x) // 8].repeat(8, 1),
        lambda x: x * torch.tensor([1, -1]),
    ],
    ids=["scaled", "swapped", "repeated", "mirrored"],
)
def test_the_chi_square_sees_a_wrong_sampler(fault, samples) -> None:
    assert chi_square(toy("smiley"), fault(samples["smiley"][0])) < 1e-4


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("scale", [10, 100, 1e6])
def test_the_log_density_is_finite_far_away(name: str, scale: float, samples) -> None:
    far = toy(name).log_prob(samples[name][0][:300] * scale)
    assert torch.isfinite(far).all()
    assert far.mean() < -100


def brute_force(name: str, x: Tensor) -> Tensor:
    """The log-densities by 4,000 panels over the hidden parameter, written anew from the generator's formulas."""
    points, weights = (torch.from_numpy(rule) for rule in np.polynomial.legendre.leggauss(8))
    u = (torch.arange(4_000, dtype=torch.float64)[:, None] + (points + 1) / 2).flatten() / 4_000
    log_weights = (weights / 2 / 4_000).log().repeat(4_000)

    def gaussian(centre: Tensor, deviation: float) -> Tensor:
        squares = (x[:, None] - centre).square().sum(-1) / deviation**2
        weights = log_weights if len(centre) == len(u) else torch.zeros(1)
        return torch.logsumexp(weights - 0.5 * squares, 1) - math.log(2 * math.pi * deviation**2)

    t = math.pi * u
    match name:
        case "smiley":
            mouth = gaussian(torch.stack([2 * t.cos(), -t.sin()], -1), 0.2)
            eyes = [gaussian(torch.tensor([[side, 2.5]], dtype=torch.float64), 0.2) for side in (-1.5, 1.5)]
            return torch.logsumexp(torch.stack([mouth, *eyes]), 0) - math.log(3)
        case "moons":
            outer = torch.stack([t.cos(), t.sin()], -1)
            return torch.logaddexp(gaussian(outer, 0.1), gaussian(torch.tensor([1.0, 0.5]) - outer, 0.1)) - math.log(2)
        case "rings":
            circle = torch.stack([(2 * t).cos(), (2 * t).sin()], -1)
            rings = [gaussian(radius * circle, 0.08) for radius in (3, 2.25, 1.5, 0.75)]
            return torch.logsumexp(torch.stack(rings), 0) - math.log(4)
    assert name == "spirals"
    n = u.sqrt() * 540 * 2 * math.pi / 360
    curve = torch.stack([-n * n.cos(), n * n.sin()], -1) / 3
    arms = []
    for side in (1, -1):
        start = side * x[:, None] - curve  # the noise is symmetric: an arm turned around is its point turned around
        upper, lower = (start / 0.1), (start - 0.5 / 3) / 0.1
        flip = lower > 0  # Φ(b) - Φ(a) = Φ(-a) - Φ(-b): on the side of the smaller tails
        upper, lower = torch.where(flip, -lower, upper), torch.where(flip, -upper, lower)
        high, low = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
        box = high + torch.log1p(-torch.exp(low - high)) - math.log(0.5 / 3)
        arms.append(torch.logsumexp(log_weights + box.sum(-1), 1))
    return torch.logaddexp(*arms) - math.log(2)


@pytest.mark.parametrize("name", ["smiley", "moons", "spirals"])
def test_the_log_density_is_right_where_it_begins_to_underflow(name: str) -> None:
    out = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    deviation = 0.2 if name == "smiley" else 0.1
    x = torch.tensor(toy(name).high) + deviation * 30 * out * torch.tensor([0.28, 0.96])
    truth = brute_force(name, x)
    assert truth[0] > math.log(1e-150)
    assert truth[-1] < math.log(5e-324)
    torch.testing.assert_close(toy(name).log_prob(x), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["smiley", "moons", "rings", "spirals"])
@pytest.mark.parametrize("scale", [1.0, 2.0, 8.0])
def test_the_log_density_is_right_to_a_millionth_near_and_far(name: str, scale: float, samples) -> None:
    x = samples[name][0][:3] * scale
    torch.testing.assert_close(toy(name).log_prob(x), brute_force(name, x), rtol=0, atol=1e-6)


def pinwheel_by_search(x: np.ndarray) -> float:
    """The log-density at one point: every sign change of a - ρ cos(…) on a fine grid of a, arm by arm, then bisection."""
    rho, phi, terms = np.hypot(*x) / 2, np.arctan2(x[1], x[0]), []
    for arm in range(5):

        def turned(a: np.ndarray, arm: int = arm) -> np.ndarray:
            return phi + 2 * np.pi * arm / 5 + 0.25 * np.exp(a)

        grid = rho * (1 - 2 * np.linspace(0, 1, 200_001) ** 2)  # dense near ρ, where roots come in close pairs
        gap = grid - rho * np.cos(turned(grid))
        change = np.nonzero(gap[:-1] * gap[1:] < 0)[0]
        low, high = grid[change], grid[change + 1]
        for _ in range(60):
            middle = (low + high) / 2
            left = (middle - rho * np.cos(turned(middle))) * gap[change] > 0
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        a, b = low, rho * np.sin(turned(low))
        logs = -0.5 * (((a - 1) / 0.3) ** 2 + (b / 0.1) ** 2) - np.log(2 * np.pi * 0.3 * 0.1)
        terms.append(logs - np.log(5 * 4 * np.abs(1 + 0.25 * np.exp(a) * b)))
    return float(np.logaddexp.reduce(np.concatenate(terms)))


@pytest.mark.parametrize("radius", [0.02, 1.0, 2.0, 3.3, 3.5, 5.0, 9.0, 16.9])
def test_the_pinwheel_is_right_where_one_arm_a_fold_or_a_hundred_turns_meet(radius: float) -> None:
    angles = torch.tensor([0.1, 2.0, 4.5], dtype=torch.float64)
    x = radius * torch.stack([angles.cos(), angles.sin()], -1)
    truth = torch.tensor([pinwheel_by_search(point) for point in x.numpy()], dtype=torch.float64)
    torch.testing.assert_close(toy("pinwheel").log_prob(x), truth, rtol=0, atol=1e-6)


def test_the_pinwheel_is_bounded_on_its_fold() -> None:
    a = torch.linspace(1.8, 4.0, 1000, dtype=torch.float64)
    b = 4 * torch.exp(-a)  # where 1 - 0.25 b exp(a) is zero, so that the density is infinite
    angle = 0.25 * torch.exp(a)
    fold = 2 * torch.stack([a * angle.cos() - b * angle.sin(), -b * angle.cos() - a * angle.sin()], -1)
    own = -0.5 * (((a - 1) / 0.3).square() + (b / 0.1).square()) - math.log(2 * math.pi * 0.3 * 0.1 * 5 * 4)
    excess = (toy("pinwheel").log_prob(fold) - own)[a < 2.3]  # beyond, other solutions outweigh the fold's own
    assert excess.max() > math.log(1e6)  # these points do lie on the fold
    assert excess.max() < math.log(1e8) + math.log(4)  # two solutions meet there, and F' stops at 1e-8


def test_the_pinwheel_far_out_goes_on_as_its_mean_over_the_angle() -> None:
    turn = torch.linspace(0, 2 * math.pi, 500, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    inside, beyond = (
        toy("pinwheel").log_prob(radius * circle).exp().mean().log().item() for radius in (16.999, 17.001)
    )
    slope = (17 / 2 - 1) / 0.3**2 / 2
    assert inside - beyond == pytest.approx(0.002 * slope, abs=0.05)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_log_density_has_the_right_gradient(name: str, scale: float, samples) -> None:
    x = (samples[name][0][:4] * scale).requires_grad_()
    (gradient,) = torch.autograd.grad(toy(name).log_prob(x).sum(), x)
    step = 1e-5 * torch.eye(x.shape[1], dtype=torch.float64)
    moved = x.detach()[:, None, None] + torch.stack([step, -step])
    ahead, behind = toy(name).log_prob(moved).unbind(1)
    torch.testing.assert_close(gradient, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PLANE)
def test_chunks_batch_shapes_and_single_precision_change_nothing(name: str, samples) -> None:
    x, _, log_prob = samples[name]
    rows = torch.arange(0, len(x), 4001)
    torch.testing.assert_close(toy(name).log_prob(x[rows]), log_prob[rows], rtol=1e-9, atol=1e-9)
    single = toy(name).log_prob(x[:6].float().reshape(2, 3, 2))
    assert single.shape == (2, 3)
    assert single.dtype == torch.float64
    assert torch.equal(single.flatten(), toy(name).log_prob(x[:6].float().double()))
    assert toy(name).log_prob(x[:0]).shape == (0,)


@pytest.mark.parametrize("name", TOYS)
def test_samples_have_their_shape_and_are_drawn_anew_from_each_seed(name: str) -> None:
    it = toy(name)
    x, labels = it.sample(101, seed=1)
    assert (x.shape, x.dtype) == ((101, len(it.columns)), np.float64)
    assert (labels.shape, labels.dtype) == ((101,), np.int64)
    assert it.columns == ("x1", "x2")[: len(it.columns)]
    np.testing.assert_array_equal(it.sample(101, seed=1)[0], x)
    assert not (it.sample(101, seed=2)[0] == x).any()
    assert it.sample(0)[0].shape == (0, len(it.columns))


@pytest.mark.parametrize("name", TOYS)
def test_labels_are_equally_frequent_in_any_part_of_the_sample(name: str, samples) -> None:
    labels = samples[name][1]
    for part in (labels[:20_000], labels[20_000:]):
        counts = np.bincount(part, minlength=toy(name).num_labels)
        assert len(counts) == toy(name).num_labels
        expected = len(part) / len(counts)
        assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


def test_labels_name_the_part_a_row_was_drawn_from(samples) -> None:
    x, labels, _ = samples["smiley"]
    centres = torch.stack([x[torch.from_numpy(labels == label)].mean(0) for label in range(3)])
    torch.testing.assert_close(
        centres, torch.tensor([[-1.5, 2.5], [1.5, 2.5], [0, -2 / math.pi]]).double(), rtol=0, atol=0.03
    )
    x, labels, _ = samples["checkerboard"]
    column, row = (x / 2).floor().long().add(2).unbind(-1)
    np.testing.assert_array_equal(labels, (2 * column + row // 2).numpy())
    x, labels, _ = samples["parabola"]
    np.testing.assert_array_equal(labels, (x[:, 1] > 0).long().numpy())
    x, labels, _ = samples["rings"]
    nearest = (x.norm(dim=-1, keepdim=True) - torch.tensor([3, 2.25, 1.5, 0.75])).abs().argmin(-1)
    assert (nearest.numpy() == labels).mean() > 0.9999
    x, labels, _ = samples["moons"]
    assert x[torch.from_numpy(labels == 0), 1].mean() == pytest.approx(2 / math.pi, abs=0.01)


def test_the_checkerboard_is_flat_on_its_squares_and_zero_beside_them() -> None:
    x = torch.tensor([[0.5, 0.5], [-3.9, -3.9], [2.5, 0.5], [4.1, 0.5], [1e9, 1e9], [-0.1, -3.0]])
    log_prob = toy("checkerboard").log_prob(x)
    dark = torch.tensor([True, True, False, False, False, False])
    assert torch.equal(log_prob == -math.inf, ~dark)
    torch.testing.assert_close(log_prob[dark], torch.full((2,), -math.log(32), dtype=torch.float64))


def test_the_homework_file_is_split_as_published_and_scores_its_entropy() -> None:
    x_train, y_train, x_test, y_test = homework_smiley()
    assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == (
        (79_999, 2),
        (79_999,),
        (20_000, 2),
        (20_000,),
    )
    assert np.bincount(np.concatenate([y_train, y_test])).tolist() == [33_333] * 3
    surprise = -toy("smiley").log_prob(torch.from_numpy(x_test))
    assert abs(surprise.mean().item() - 1.3339) <= 4 * surprise.std().item() / math.sqrt(20_000)
    means = [x_train[y_train == label].mean(0) for label in range(3)]
    np.testing.assert_allclose(means, [[-1.5, 2.5], [1.5, 2.5], [0, -2 / math.pi]], rtol=0, atol=0.03)
    # The first number of numpy's RandomState(0) is the noise of the first point; the permutation puts it somewhere.
    first = -1.5 + 0.2 * 1.764052345967664, 2.5 + 0.2 * 0.4001572083672233
    distance = np.abs(np.concatenate([x_train, x_test]) - first).max(1)
    assert distance.min() < 1e-12


def test_refusals_say_what_would_have_been_right() -> None:
    with pytest.raises(UnknownNameError, match=r"expected one of smiley, moons, .*bimodal1d; got 'smily'"):
        toy("smily")
    with pytest.raises(ShapeError, match=r"expected \(\*batch, 2\) for the columns x1, x2, got \(5,\)"):
        toy("moons").log_prob(torch.zeros(5))
    with pytest.raises(DomainError, match="in row 3"):
        toy("moons").log_prob(torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [math.inf, 0.0]]))
    with pytest.raises(InputError, match="n: expected a number of rows, at least 0, got -1"):
        toy("moons").sample(-1)


def test_a_toy_is_made_and_its_entropy_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = toy("rings").entropy
    monkeypatch.setattr(toys, "integrate", None)
    assert toy("rings").entropy == first
