"""Tables and patches: what is read, what is split, what is told of noise; ties are broken without moving a value out of its cell."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bijectory.data.generated_tables import generated_regression, generated_table
from bijectory.data.patches import HEIGHT, WIDTH, bsds300_splits
from bijectory.data.splits import Rows, Splits
from bijectory.data.ties import tie_widths
from bijectory.data.uci import UCI, joint_splits, regression_splits
from bijectory.errors import DataError

DATA = Path(os.environ["BIJECTORY_DATA"]) if os.environ.get("BIJECTORY_DATA") else None


def needs(name: str) -> pytest.MarkDecorator:
    there = DATA is not None and (DATA / name).is_file()
    return pytest.mark.skipif(not there, reason=f"{name} is not in the data folder (BIJECTORY_DATA)")


def concrete(rows: int = 50) -> np.ndarray:
    draws = np.random.default_rng(0)
    return draws.normal(size=(rows, 9)).astype(np.float32)


# ── Ties ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_integers_fill_their_cells_and_come_back() -> None:
    values = np.random.default_rng(0).integers(0, 7, 500) - 2.83
    widths = tie_widths(values)
    assert widths is not None and not widths.smears
    np.testing.assert_allclose(widths.widths, 1)
    noisy = values + np.random.default_rng(1).random(500) * widths.widths
    assert len(np.unique(noisy)) == 500
    np.testing.assert_allclose(np.floor(noisy + 2.83) - 2.83, values)


def test_decimals_that_a_file_rounded_have_one_step() -> None:
    values = np.round(np.random.default_rng(0).integers(0, 40, 2000) * 0.02 + 331.32, 2).astype(np.float32) - 331
    widths = tie_widths(values.astype(np.float64))
    assert widths is not None
    np.testing.assert_allclose(widths.widths, 0.02, rtol=2e-3)


def test_logarithms_of_counts_fill_cells_of_their_own() -> None:
    counts = np.random.default_rng(0).integers(1, 200, 5000)
    widths = tie_widths(np.log(counts))
    assert widths is not None and not widths.smears
    inner = counts < counts.max()
    np.testing.assert_allclose(widths.widths[inner], np.log1p(1 / counts[inner]))
    noisy = np.log(counts) + np.random.default_rng(1).random(5000) * widths.widths
    assert (np.floor(np.exp(noisy) + 1e-9) == counts)[inner].all()


def test_an_atom_among_fine_values_is_smeared_and_says_so() -> None:
    values = np.round(np.random.default_rng(0).normal(size=3000), 3)
    values[:1500] = 0.123
    widths = tie_widths(np.concatenate([values, values]))
    assert widths is not None and widths.smears
    np.testing.assert_allclose(widths.widths, 0.01 * values.std())


@pytest.mark.parametrize("values", [np.arange(100.0), np.ones(100), np.repeat(np.arange(60.0), 1)])
def test_distinct_and_constant_values_are_left_alone(values: np.ndarray) -> None:
    assert tie_widths(values) is None


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_parted_by_the_seed_and_none_is_lost(tmp_path: Path) -> None:
    np.savez(tmp_path / "uci_regression.npz", concrete=concrete())
    splits = regression_splits(tmp_path, "concrete", 0)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [35, 5, 10]
    assert splits.schema.context_columns[-1] == "age" and splits.columns == ("strength",)
    together = [torch.cat([part.context, part.x], 1) for part in (splits.train, splits.validation, splits.test)]
    assert sorted(torch.cat(together).tolist()) == sorted(concrete().tolist())
    assert torch.equal(regression_splits(tmp_path, "concrete", 0).test.x, splits.test.x)
    assert not torch.equal(regression_splits(tmp_path, "concrete", 1).test.x, splits.test.x)
    assert joint_splits(tmp_path, "concrete", 0).train.x.shape == (35, 9)


def test_bad_tables_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="concrete"):
        regression_splits(tmp_path, "concret", 0)
    with pytest.raises(DataError, match=r"archive\.ics\.uci\.edu"):
        regression_splits(tmp_path, "concrete", 0)
    np.savez(tmp_path / "uci_regression.npz", concrete=concrete()[:, :5])
    with pytest.raises(DataError, match="9 real columns"):
        regression_splits(tmp_path, "concrete", 0)


def test_contexts_are_checked_with_their_rows() -> None:
    x, context = torch.zeros(4, 1), torch.randn(4, 2)
    part = Rows(x, context)
    assert Splits(part, part, part, ("y",)).schema.context_columns == ("c1", "c2")
    with pytest.raises(DataError, match="expected 2 names"):
        _ = Splits(part, part, part, ("y",), context_columns=("a",))
    context[2, 1] = torch.nan
    with pytest.raises(DataError, match="row 3, column b"):
        Splits(part, part, part, ("y",), context_columns=("a", "b"))
    with pytest.raises(DataError, match="context"):
        Splits(Rows(x, torch.zeros(3, 2)), Rows(x, torch.zeros(4, 2)), Rows(x, torch.zeros(4, 2)), ("y",))


@needs("uci_regression.npz")
@pytest.mark.parametrize("table", UCI)
def test_every_table_is_read_without_ties_in_its_target(table: str) -> None:
    splits = regression_splits(DATA, table, 0)
    y = torch.cat([part.x for part in (splits.train, splits.validation, splits.test)])[:, 0]
    assert len(torch.unique(y)) > 0.5 * len(y)
    assert splits.notes and splits.schema.context_dim == len(splits.schema.context_columns)


@needs("uci_regression.npz")
def test_what_gives_bikes_target_away_is_no_context() -> None:
    splits = regression_splits(DATA, "bike", 0)
    assert not {"casual", "registered", "year_again"} & set(splits.schema.context_columns)
    assert any("casual, registered" in note for note in splits.notes)
    joint = joint_splits(DATA, "bike", 0)
    count = joint.train.x[:, joint.columns.index("casual")] + joint.train.x[:, joint.columns.index("registered")]
    # casual + registered is the count: its logarithm is the target, so that a context with them would leave nothing to predict.
    order = torch.corrcoef(
        torch.stack([count.argsort().argsort().float(), joint.train.x[:, -1].argsort().argsort().float()])
    )
    assert order[0, 1] > 0.999


# ── Patches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_patches_are_what_they_say(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name, pictures in (("train", 20), ("test", 3)):
        pixels = draws.integers(0, 2, (pictures * HEIGHT, WIDTH), dtype=np.uint8) * 200
        Image.fromarray(pixels).save(tmp_path / f"bsds300_gray_{name}.png")
    splits = bsds300_splits(tmp_path, 0, train=200, validation=20, test=30)
    x = splits.train.x.double()
    assert x.shape == (200, 63) and (len(splits.validation), len(splits.test)) == (20, 30)
    # The last pixel is what the mean of all 64 leaves: zero, less the sum of the others.
    whole = torch.cat([x, -x.sum(1, keepdim=True)], 1)
    levels = (whole - whole.amin(1, keepdim=True)) * 2**8
    # Two values, 0 and 200, each with noise below one level.
    assert bool(((levels <= 1) | ((levels >= 199) & (levels <= 201))).all())
    assert torch.equal(bsds300_splits(tmp_path, 0, train=200, validation=20, test=30).train.x, splits.train.x)


def test_another_picture_is_no_file_of_patches(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "bsds300_gray_train.png")
    with pytest.raises(DataError, match="481×321"):
        bsds300_splits(tmp_path, 0)


@needs("bsds300_gray_train.png")
def test_a_gaussian_has_the_nats_of_the_papers_rows() -> None:
    # 96.67 in Papamakarios et al. 2017 (arXiv:1705.07057), table 1: what tells that these rows are like theirs.
    splits = bsds300_splits(DATA, 0, train=40_000, validation=100, test=10_000)
    train, test = splits.train.x.double(), splits.test.x.double()
    density = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.T))
    assert density.log_prob(test).mean().item() == pytest.approx(96.67, abs=2)


# ── Generated ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_generated_rows_are_the_same_everywhere_and_finite() -> None:
    one, again = generated_regression(4, 100, 0), generated_regression(4, 100, 0)
    assert torch.equal(one.train.x, again.train.x) and one.schema.context_dim == 4
    assert not torch.equal(one.train.x, generated_regression(4, 100, 1).train.x)
    assert generated_table(63, 40, 0, scale=0.1).train.x.shape == (28, 63)
    with pytest.raises(DataError, match="10 rows"):
        generated_table(3, 9, 0)
