"""What an evaluator looks at is what it says: grids in their places, latents through the base's CDF, uniformity as measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bijectory import ConstantAffine, Flow, Normal
from bijectory.data.splits import Rows, Splits
from bijectory.errors import InputError
from bijectory.evaluation.pictures import DensityPictures, Picture, box
from bijectory.evaluation.uniformity import kolmogorov_tail, uniformity
from bijectory.report.comments import Measured, uniformity_comment


def splits(dims: int = 2, labels: bool = True, scale: float = 1.0) -> Splits:
    """Rows of a standard normal, whose truth is known; the label is whether x1 is positive."""

    def rows(n: int, seed: int) -> Rows:
        x = scale * torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))
        return Rows(x, labels=(x[:, 0] > 0).long() if labels else None)

    def truth(x: Tensor) -> Tensor:
        return -0.5 * (x * x).sum(-1) - 0.5 * dims * math.log(2 * math.pi)

    columns = ("x1", "x2", "x3")[:dims]
    return Splits(rows(3000, 0), rows(100, 1), rows(2000, 2), columns, "normal", truth)


def flow(dims: int = 2) -> Flow:
    return Flow(Normal((dims,)), ConstantAffine(torch.zeros(dims), torch.ones(dims)))


def look(pictures: DensityPictures) -> dict[str, dict[str, np.ndarray]]:
    return {picture.name: picture.arrays for picture in pictures.portrait()}


def test_density_of_a_known_flow_lies_in_its_place() -> None:
    found = look(DensityPictures(flow(), splits(), 1, fine=40))["density"]
    middles = -4 + 8 * (np.arange(40) + 0.5) / 40
    expected = -0.5 * (middles[None, :] ** 2 + middles[:, None] ** 2) - math.log(2 * math.pi)
    np.testing.assert_allclose(found["log_density"], expected, atol=1e-5)
    np.testing.assert_allclose(found["log_truth"], expected, atol=1e-5)


def test_x1_runs_along_the_last_axis() -> None:
    data = splits()
    shift = torch.tensor([2.0, 0.0])
    moved = Splits(*(Rows(r.x + shift) for r in (data.train, data.validation, data.test)), data.columns)
    model = Flow(Normal((2,)), ConstantAffine(shift, torch.ones(2)))
    found = look(DensityPictures(model, moved, 1, fine=40))["density"]
    row, column = np.unravel_index(found["log_density"].argmax(), (40, 40))
    middles = found["low"] + (found["high"] - found["low"]) * (np.array([column, row]) + 0.5) / 40
    np.testing.assert_allclose(middles, [2, 0], atol=0.15)
    assert "log_truth" not in found and "labels" not in look(DensityPictures(model, moved, 1))["latents"]


def test_a_look_leaves_the_model_as_it_was() -> None:
    model = flow().train()
    (picture,) = DensityPictures(model, splits(), 7, cells=10, points=50)(7)
    assert isinstance(picture, Picture) and picture.name == "frame" and model.training
    assert picture.arrays["log_density"].shape == (10, 10) and picture.arrays["log_density"].dtype == np.float32
    assert picture.arrays["latents"].shape == (50, 2) and picture.arrays["labels"].shape == (50,)


def test_latents_of_a_normal_are_its_cdf() -> None:
    data = splits()
    latents = look(DensityPictures(flow(), data, 1, points=100))["latents"]
    expected = 0.5 * (1 + torch.erf(data.train.x[:100] / math.sqrt(2)))
    np.testing.assert_allclose(latents["latents"], expected.numpy(), atol=1e-6)
    np.testing.assert_array_equal(latents["x"], data.train.x[:100].numpy())


def test_the_mapped_grid_stays_where_data_are() -> None:
    grid = look(DensityPictures(flow(), splits(), 1))["grid"]
    inside = np.isfinite(grid["x"]).all(-1)
    assert grid["x"].shape == (98, 300, 2) and (np.bincount(grid["family"]) == 49).all()
    # The least likely hundredth of a plane normal lies beyond radius √(2 log 100).
    assert np.linalg.norm(grid["x"][inside], axis=-1).max() < math.sqrt(2 * math.log(100)) + 0.2
    assert np.isfinite(grid["latents"]).all(-1).tolist() == inside.tolist()
    first = grid["x"][grid["family"] == 0]
    assert all(np.ptp(line[np.isfinite(line[:, 0]), 0]) == 0 for line in first if np.isfinite(line).any())


def test_uniformity_overall_and_within_classes() -> None:
    found = look(DensityPictures(flow(), splits(), 1))["uniformity"]
    rows = {(s, z, g): (d, p, n) for s, z, g, d, p, n in zip(*found.values(), strict=True)}
    assert set(rows) == {(s, z, g) for s in (0, 1) for z in (0, 1) for g in (-1, 0, 1)}
    assert rows[1, 0, -1][1] > 1e-3 and rows[1, 0, -1][2] == 2000
    # The label is the sign of x1: z1 of each class fills one half of the interval, z2 all of it.
    assert rows[1, 0, 0][0] == pytest.approx(0.5, abs=0.01) and rows[1, 0, 0][1] < 1e-9
    assert rows[1, 1, 0][1] > 1e-3


def test_one_column() -> None:
    data = splits(1)
    pictures = DensityPictures(flow(1), data, 1, cells=12)
    (frame,) = pictures(1)
    assert frame.arrays["log_density"].shape == frame.arrays["cdf"].shape == (12,)
    found = look(pictures)
    assert set(found) == {"density", "samples", "latents", "map", "uniformity"}
    np.testing.assert_allclose(found["map"]["cdf"], found["map"]["true_cdf"], atol=2e-4)


def test_what_cannot_be_seen_is_refused() -> None:
    with pytest.raises(InputError, match="one or two columns"):
        DensityPictures(flow(3), splits(3), 1)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(1.0, [(-4, 4), (-4, 4)]), (3.0, None), (0.01, None)],
    ids=["fits", "larger", "far smaller"],
)
def test_box(scale: float, expected: list[tuple[float, float]] | None) -> None:
    x = splits(scale=scale).train.x
    low, high = box(x)
    if expected is not None:
        assert list(zip(low.tolist(), high.tolist(), strict=True)) == expected
    else:
        assert ((x > low) & (x < high)).all(-1).float().mean() > 0.99
        assert bool((high - low < 1.5 * (x.amax(0) - x.amin(0))).all())


@pytest.mark.parametrize(
    ("x", "p"), [(0.5196, 0.95), (0.8276, 0.50), (1.0, 0.27), (1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01)]
)
def test_kolmogorov_against_his_table(x: float, p: float) -> None:
    assert kolmogorov_tail(x) == pytest.approx(p, abs=5e-5)


def test_kolmogorov_at_the_seam_and_the_ends() -> None:
    assert kolmogorov_tail(1 - 1e-9) == pytest.approx(kolmogorov_tail(1 + 1e-9), abs=1e-8)
    assert kolmogorov_tail(0.0) == kolmogorov_tail(0.05) == 1.0
    assert 0 <= kolmogorov_tail(30.0) < 1e-300


def test_uniformity_by_hand_and_by_chance() -> None:
    assert uniformity(np.array([0.0, 0.0, 1.0, 1.0])).distance == pytest.approx(0.5)
    assert uniformity(np.full(9, 0.25)).distance == pytest.approx(0.75)
    p = np.array([uniformity(np.random.default_rng(seed).random(50)).p for seed in range(400)])
    assert 0.02 < (p < 0.05).mean() < 0.09 and 0.4 < np.median(p) < 0.6
    for bad in ([], [0.5, 1.5], [0.1, np.nan]):
        with pytest.raises(InputError, match="all in"):
            uniformity(np.array(bad))


def rows(overall: float, p: float, classes: tuple[float, ...]) -> list[Measured]:
    within = [Measured(0, c, distance, 1e-9 if distance > 0.1 else 0.4, 300) for c, distance in enumerate(classes)]
    return [Measured(0, -1, overall, p, 1000), *within]


def test_comments_follow_the_measurement() -> None:
    assert "z1 is uniform overall" in uniformity_comment(rows(0.01, 0.8, ()))[0]
    assert "z1 is nearly uniform overall" in uniformity_comment(rows(0.03, 1e-4, ()))[0]
    assert "z1 is not uniform overall" in uniformity_comment(rows(0.2, 1e-9, ()))[0]
    apart = " ".join(uniformity_comment(rows(0.01, 0.8, (0.5, 0.4))))
    assert "not uniform within any class; farthest from it in class 0 (KS 0.500" in apart and "is expected" in apart
    mixed = " ".join(uniformity_comment(rows(0.01, 0.8, (0.5, 0.02))))
    assert "1 of 2 classes" in mixed
    alike = " ".join(uniformity_comment(rows(0.01, 0.8, (0.02, 0.02))))
    assert "tells nothing of the label" in alike and "is expected" not in alike
