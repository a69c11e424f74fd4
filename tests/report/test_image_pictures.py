"""What is looked at of a model of pictures is what it says: the same latents at every look, true neighbours, counted round trips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bijectory import ActNorm, Chain, ConstantAffine, Flow, Logistic, Normal, Quantised
from bijectory.data.generated import generated_pictures
from bijectory.data.splits import Rows, Splits
from bijectory.errors import InputError, ShapeError
from bijectory.evaluation.images import TEMPERATURES, ImagePictures, interpolate
from bijectory.evaluation.likelihood import bound_rows
from bijectory.evaluation.neighbours import nearest
from bijectory.numerics.seeds import generator_for
from bijectory.report.comments import (
    binomial_tail,
    memorisation_comment,
    round_trip_comment,
    way_comment,
)

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return generated_pictures(SHAPE, 4, 300, seed=0)


@pytest.fixture
def model() -> Quantised:
    return Quantised(Flow(Normal(SHAPE), ConstantAffine(torch.zeros(SHAPE), torch.full(SHAPE, 2.0))), levels=4)


def portrait(pictures: ImagePictures) -> dict[str, dict[str, np.ndarray]]:
    return {picture.name: picture.arrays for picture in pictures.portrait()}


def test_every_look_starts_from_the_same_latents(model: Quantised, splits: Splits) -> None:
    pictures = ImagePictures(model, splits, 5, shown=16)
    (first,), (again,) = pictures(5), pictures(10)
    assert first.name == "image_frame" and set(first.arrays) == {"levels", "samples"}
    assert first.arrays["samples"].dtype == np.uint8 and first.arrays["samples"].shape == (16, *SHAPE)
    np.testing.assert_array_equal(first.arrays["samples"], again.arrays["samples"])
    model.model.transform = ConstantAffine(torch.zeros(SHAPE), torch.full(SHAPE, 1.9))
    (moved,) = pictures(15)
    # Latents that stay give nearly the pictures of before; others would differ in more than half of their values.
    assert 0 < (moved.arrays["samples"] != first.arrays["samples"]).mean() < 0.1


def test_a_look_and_a_portrait_leave_every_part_as_it_was(splits: Splits) -> None:
    frozen = ConstantAffine(torch.zeros(SHAPE), torch.ones(SHAPE))
    model = Quantised(Flow(Normal(SHAPE), Chain([frozen, ConstantAffine(torch.zeros(SHAPE), torch.ones(SHAPE))])), 4)
    model.train()
    frozen.eval()
    modes = [part.training for part in model.modules()]
    pictures = ImagePictures(model, splits, 5, small=True)
    list(pictures(5))
    list(pictures.portrait())
    assert [part.training for part in model.modules()] == modes and {True, False} == set(modes)


def test_a_portrait_has_everything_in_the_integers_of_the_data(model: Quantised, splits: Splits) -> None:
    found = portrait(ImagePictures(model, splits, 5, draws=20, pairs=2, steps=5, neighbours=6, held_out=10, chunk=7))
    ways = ["image_interpolations", "image_walks"]
    names = ["image_samples", "image_temperatures", *ways, "image_neighbours", "image_round_trip", "image_cost"]
    assert list(found) == names
    shapes = {(name, key): x.shape for name, arrays in found.items() for key, x in arrays.items()}
    assert shapes["image_samples", "samples"] == shapes["image_neighbours", "distance"] + SHAPE == (20, *SHAPE)
    assert shapes["image_samples", "data"] == (20, *SHAPE), "a test split of 30 rows has as many to show"
    assert shapes["image_interpolations", "rows"] == (2, 5, *SHAPE)
    assert shapes["image_interpolations", "ends"] == (2, 2, *SHAPE)
    assert shapes["image_neighbours", "nearest"] == (6, *SHAPE) and shapes["image_neighbours", "held_out"] == (10,)
    pictures = [x for arrays in found.values() for x in arrays.values() if x.ndim > 3]
    assert {x.dtype for x in pictures} == {np.dtype(np.uint8)} and max(x.max() for x in pictures) <= 3
    assert all(arrays["levels"] == 4 for arrays in found.values())
    again = portrait(ImagePictures(model, splits, 5, draws=20, pairs=2, steps=5, neighbours=6, held_out=10, chunk=7))
    for name in names[:-1]:  # all but what a clock says
        for key, x in found[name].items():
            np.testing.assert_array_equal(x, again[name][key])


def test_ends_are_held_out_pictures_and_the_middle_lies_between(model: Quantised, splits: Splits) -> None:
    arrays = portrait(ImagePictures(model, splits, 5, small=True, steps=3))["image_interpolations"]
    test = {x.numpy().tobytes() for x in splits.test.x}
    ends = arrays["ends"].reshape(-1, *SHAPE)
    assert all(x.tobytes() in test for x in ends) and len({x.tobytes() for x in ends}) == len(ends)
    np.testing.assert_array_equal(arrays["rows"][:, [0, -1]], arrays["ends"])
    pair = torch.from_numpy(ends[:2])[None]
    row = interpolate(model, pair, 3)[0]
    z = model.encode(pair[0]).mean(0)
    torch.testing.assert_close(row[1], model.decode(z))


def test_interpolation_refuses_one_step_and_other_shapes(model: Quantised) -> None:
    with pytest.raises(InputError, match="steps"):
        interpolate(model, torch.zeros(1, 2, *SHAPE, dtype=torch.uint8), 1)
    with pytest.raises(ShapeError):
        interpolate(model, torch.zeros(1, 2, 3, 9, 8, dtype=torch.uint8), 4)


def test_temperatures_scale_the_same_latents(model: Quantised, splits: Splits) -> None:
    arrays = portrait(ImagePictures(model, splits, 5, small=True, heated=6))["image_temperatures"]
    assert tuple(arrays["temperatures"]) == TEMPERATURES == (0.7, 0.8, 0.9, 1.0)
    assert arrays["samples"].shape == (4, 4, *SHAPE), "small has four, whatever was asked for"
    for t, row in zip(TEMPERATURES, arrays["samples"], strict=True):
        again = model.sample(4, generator=generator_for(0, "images", "heat"), temperature=t)
        np.testing.assert_array_equal(row, again.numpy())
    assert len({row.tobytes() for row in arrays["samples"]}) == 4


def test_another_base_has_no_temperature(splits: Splits) -> None:
    flow = Flow(Logistic(SHAPE), ConstantAffine(torch.zeros(SHAPE), torch.ones(SHAPE)))
    assert "image_temperatures" not in portrait(ImagePictures(Quantised(flow, 4), splits, 5, small=True))


def test_ways_are_measured_as_they_are_walked(model: Quantised, splits: Splits) -> None:
    arrays = portrait(ImagePictures(model, splits, 5, draws=2, pairs=2, walks=4, timed=2, rows=2))["image_walks"]
    order = torch.randperm(len(splits.test), generator=generator_for(0, "images", "walks"))[:8]
    ends = splits.test.x[order].unflatten(0, (-1, 2))
    rows = interpolate(model, ends, 5)
    np.testing.assert_array_equal(arrays["nats"], bound_rows(model, rows.flatten(0, 1)).reshape(4, 5))
    share = rows.double().numpy() / 3
    np.testing.assert_allclose(arrays["change"], np.abs(np.diff(share, axis=1)).mean((2, 3, 4)))
    np.testing.assert_allclose(arrays["direct"], np.abs(share[:, -1] - share[:, 0]).mean((1, 2, 3)))
    blend = torch.round((ends[:, 0].double() + ends[:, 1].double()) / 2).to(torch.uint8)
    np.testing.assert_array_equal(arrays["blend"], bound_rows(model, blend))


def test_one_test_picture_is_enough_for_a_portrait(model: Quantised) -> None:
    x = generated_pictures(SHAPE, 4, 30, seed=0).train.x
    data = Splits(Rows(x), Rows(x), Rows(x[:1]), (), "one", levels=4)
    found = portrait(ImagePictures(model, data, 5, small=True))
    assert "image_interpolations" not in found and "image_walks" not in found and "image_cost" in found


def test_cost_says_what_was_timed(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Quantised(Flow(Normal(SHAPE), ActNorm((SHAPE[0], 1, 1))), 4)
    arrays = portrait(ImagePictures(model, splits, 5, draws=2, walks=1, rows=2, timed=7))["image_cost"]
    assert arrays["parameters"] == sum(p.numel() for p in model.parameters()) > 0 and arrays["pictures"] == 7
    assert arrays["threads"] == torch.get_num_threads() and str(arrays["device"]) == "cpu"
    assert 1 <= len(arrays["score"]) <= 5 and (arrays["score"] > 0).all() and (arrays["sample"] > 0).all()
    monkeypatch.setattr("bijectory.evaluation.images.PATIENCE", 0.0)
    hasty = portrait(ImagePictures(model, splits, 5, draws=2, walks=1, rows=2, timed=7))["image_cost"]
    assert len(hasty["score"]) == len(hasty["sample"]) == 1


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("rows", [3, 200])
def test_neighbours_against_every_distance(flips: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bijectory.evaluation.neighbours.BLOCK", 64)
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(4, (rows, *SHAPE), generator=generator, dtype=torch.uint8)
    x = torch.randint(4, (20, *SHAPE), generator=generator, dtype=torch.uint8)
    x[3], x[5] = train[1], train[2].flip(-1)
    distance, row, mirrored = nearest(x, train, flips=flips)
    every = torch.cdist(x.flatten(1).double(), train.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist")
    if flips:
        turned = torch.cdist(
            x.flip(-1).flatten(1).double(), train.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist"
        )
        every = torch.minimum(every, turned)
    torch.testing.assert_close(distance, every.amin(1))
    torch.testing.assert_close(every.gather(1, row[:, None])[:, 0], every.amin(1))
    assert distance[3] == 0 and (distance[5] == 0) == flips == bool(mirrored[5]) and not mirrored[3]


def test_rounding_decides_nothing_between_bright_pictures() -> None:
    # ‖t‖² is 12 million here: in float32 the two rows, one level apart in one pixel, are the same.
    x = torch.full((1, 3, 32, 32), 250, dtype=torch.uint8)
    train = x.repeat(3, 1, 1, 1) - torch.tensor([2, 1, 2], dtype=torch.uint8)[:, None, None, None]
    train[0] = x[0]
    train[0, 0, 0, 0] -= 1
    distance, row, _ = nearest(x, torch.cat([train, 250 - x]))
    assert (distance.item(), row.item()) == (1.0, 0)


def test_the_closest_samples_are_shown_with_their_neighbours(model: Quantised, splits: Splits) -> None:
    arrays = portrait(ImagePictures(model, splits, 5, draws=12, neighbours=4, held_out=9, rows=4, flips=True))
    samples, found = arrays["image_samples"]["samples"], arrays["image_neighbours"]
    own = found["distance"][found["shown"]]
    assert (np.diff(own) >= 0).all() and own[-1] <= np.delete(found["distance"], found["shown"]).min()
    np.testing.assert_array_equal(found["samples"], samples[found["shown"]])
    apart = found["samples"].astype(int) - found["nearest"].astype(int)
    np.testing.assert_allclose(np.sqrt((apart**2).reshape(4, -1).sum(1)), own)


def test_a_round_trip_that_fails_is_counted(model: Quantised, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = portrait(ImagePictures(model, splits, 5, small=True))["image_round_trip"]
    assert whole["pictures"] == whole["exact"] == 30 and whole["wrong"] == 0 == whole["largest"]
    decode = model.decode

    def off(z: Tensor, context: Tensor | None = None) -> Tensor:
        x = decode(z, context)
        x[0, 0, 0, :2] = (x[0, 0, 0, :2] + 2) % 4
        return x

    monkeypatch.setattr(model, "decode", off)
    spoilt = portrait(ImagePictures(model, splits, 5, draws=2, rows=10, chunk=5))["image_round_trip"]
    counts = {key: int(spoilt[key]) for key in ("pictures", "exact", "values", "wrong", "largest")}
    assert counts == {"pictures": 10, "exact": 8, "values": 10 * 192, "wrong": 4, "largest": 2}
    assert "8 of 10 test pictures (80.00 %)" in round_trip_comment(spoilt)[0]
    assert "4 of 1,920 values are off, by at most 2 levels" in round_trip_comment(spoilt)[0]
    assert "all 30 test pictures come back" in round_trip_comment(whole)[0]


def test_weights_that_are_no_numbers_end_no_run(splits: Splits) -> None:
    transform = ActNorm(SHAPE)
    model = Quantised(Flow(Normal(SHAPE), transform), 4)
    pictures = ImagePictures(model, splits, 5, small=True)
    assert len(list(pictures(5))) == 1
    with torch.no_grad():
        next(transform.parameters()).fill_(torch.nan)
    assert list(pictures(10)) == []


def test_what_is_no_picture_is_refused(splits: Splits) -> None:
    flat = Quantised(Flow(Normal((6,)), ConstantAffine(torch.zeros(6), torch.ones(6))), 4)
    with pytest.raises(InputError, match=r"integer pictures.*Quantised of events \(6,\)"):
        ImagePictures(flat, splits, 5)
    real = Flow(Normal(SHAPE), ConstantAffine(torch.zeros(SHAPE), torch.ones(SHAPE)))
    with pytest.raises(InputError, match="got Flow"):
        ImagePictures(real, splits, 5)  # type: ignore[arg-type]


def test_pictures_of_many_levels_are_kept_whole() -> None:
    x = torch.randint(1000, (30, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    data = Splits(Rows(x), Rows(x), Rows(x), (), "deep", levels=1000)
    flow = Flow(Normal((1, 4, 4)), ConstantAffine(torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2.0)))
    arrays = portrait(ImagePictures(Quantised(flow, 1000), data, 5, small=True))["image_interpolations"]
    assert arrays["ends"].dtype == np.uint16 and arrays["ends"].max() > 255
    np.testing.assert_array_equal(arrays["rows"][:, [0, -1]], arrays["ends"])


def neighbours(samples: list[float], held_out: list[float], mirrored: bool = False) -> dict[str, np.ndarray]:
    n = len(samples)
    return {"distance": np.array(samples), "held_out": np.array(held_out), "mirrored": np.array([mirrored] * n)}


def test_comments_tell_what_was_learned_by_heart() -> None:
    held_out = list(np.linspace(10, 20, 201))
    free = " ".join(memorisation_comment(neighbours(held_out[::2], held_out)))
    assert "median sample lies 15.0" in free and "median test picture 15.0" in free
    assert "5 of 101 samples lie closer" in free and "no sign of pictures learned by heart" in free
    assert "mirrored" not in free and "value for value" not in free
    heart = " ".join(memorisation_comment(neighbours([0.0] * 3 + [1.0] * 20 + [15.0] * 77, held_out, mirrored=True)))
    assert "3 of 100 samples are training pictures, value for value" in heart
    assert "23 of 100 samples lie closer" in heart and "repeats training pictures" in heart
    assert "mirrored training pictures included" in heart and "no sign" not in heart


def ways(halfway: float, noise: float = 0.1, pairs: int = 50) -> dict[str, np.ndarray]:
    """Ways of 2 dimensions whose ends need 2 bits each, and which need ``halfway`` bits more in their middle."""
    bits = np.full((pairs, 5), 4.0) + np.array([-0.5, 0, 0, 0, 0.5])
    bits[:, 2] += halfway + noise * np.random.default_rng(0).permutation(np.linspace(-1, 1, pairs))
    change = np.tile([0.1, 0.2, 0.2, 0.1], (pairs, 1))
    blend = np.full(pairs, -3 * np.log(2))
    return {"nats": -bits * np.log(2), "blend": blend, "change": change, "direct": np.full(pairs, 0.4)}


def test_comments_tell_whether_what_lies_between_is_likely() -> None:
    error = 0.5 * np.linspace(-0.1, 0.1, 50).std(ddof=1) / np.sqrt(50)
    worse = way_comment(ways(1.0), 2)
    assert (
        f"Halfway between 50 pairs of held-out pictures its own need 2.5000 bits/dim, 0.5000 ± {error:.4f} bits/dim more"
        in worse
    )
    assert "less likely than data" in worse and "averaged would need 0.5000 ± 0.0000 bits/dim less" in worse
    assert "change by 10.0, 20.0, 20.0, 10.0 % of the range, the most being 1.33 times the mean; in all 1.50" in worse
    better, same = way_comment(ways(-1.0), 2), way_comment(ways(0.01, noise=1.0), 2)
    assert "0.5000 ± " in better and "bits/dim less than the two ends: likelier than data" in better
    assert "as likely as data, as far as 50 pairs can tell" in same
    assert better.count(". ") == same.count(". ") == 0, "one sentence a run"
    lone = way_comment(ways(1.0, pairs=1), 2)
    assert "± nan" in lone and "as far as 1 pair can tell" in lone


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"), [(0, 9, 0.3, 1.0), (9, 9, 0.5, 2.0**-9), (1, 100, 0.05, 1 - 0.95**100)]
)
def test_binomial_tail(k: int, n: int, p: float, expected: float) -> None:
    assert binomial_tail(k, n, p) == pytest.approx(expected, rel=1e-9)
