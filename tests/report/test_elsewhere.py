"""Pictures of other sets: each is scored as it is, read when it is asked for, and counted as the table says; likelihood is not trusted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bijectory import ConstantAffine, Flow, Normal, Quantised
from bijectory.data.archives import write_npz
from bijectory.data.generated import generated_pictures
from bijectory.data.mnist import fashion_mnist_splits, mnist_splits
from bijectory.data.splits import Splits
from bijectory.errors import DataError
from bijectory.evaluation.elsewhere import Elsewhere, auroc
from bijectory.evaluation.likelihood import bound_rows
from bijectory.report.elsewhere import elsewhere_comment, noticed

SHAPE = (1, 8, 8)


@pytest.fixture
def model() -> Quantised:
    return Quantised(Flow(Normal(SHAPE), ConstantAffine(torch.zeros(SHAPE), torch.full(SHAPE, 2.0))), levels=17)


def splits(**elsewhere: Tensor) -> Splits:
    sets = {name: lambda x=x: x for name, x in elsewhere.items()}
    return dataclasses.replace(generated_pictures(SHAPE, 17, 400, seed=0), elsewhere=sets)


def scored(pictures: Elsewhere) -> dict[str, np.ndarray]:
    (picture,) = pictures.portrait()
    assert picture.name == "image_elsewhere"
    return picture.arrays


def bounds(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    return arrays["nats"][arrays["set"] == list(arrays["sets"]).index(name)]


def test_every_set_has_the_bounds_of_its_pictures(model: Quantised) -> None:
    others = generated_pictures(SHAPE, 17, 50, seed=1).train.x
    arrays = scored(Elsewhere(model, splits(others=others), 5, rows=30))
    assert list(arrays["sets"]) == ["test pictures", "others", "pictures of one value", "noise"]
    counts = [len(bounds(arrays, name)) for name in arrays["sets"]]
    assert counts == [30, 30, 17, 30] and len(arrays["train"]) == 30 and len(arrays["missing"]) == 0
    values = torch.arange(17, dtype=torch.uint8)[:, None, None, None].expand(-1, *SHAPE)
    ordered = torch.randperm(17, generator=_generator())
    np.testing.assert_array_equal(bounds(arrays, "pictures of one value"), bound_rows(model, values[ordered]))
    picked = torch.randperm(len(others), generator=_generator())[:30]
    np.testing.assert_array_equal(bounds(arrays, "others"), bound_rows(model, others[picked]))


def _generator() -> torch.Generator:
    from bijectory.numerics.seeds import generator_for

    return generator_for(0, "elsewhere")


def test_what_cannot_be_scored_is_named_and_the_rest_is_scored(model: Quantised) -> None:
    def gone() -> Tensor:
        raise DataError("faces.npz: expected the file, found none")

    data = splits(
        wide=torch.zeros(5, 1, 8, 9, dtype=torch.uint8),
        deep=torch.full((5, *SHAPE), 17, dtype=torch.uint8),
        fine=torch.zeros(5, *SHAPE, dtype=torch.uint8),
    )
    data = dataclasses.replace(data, elsewhere={**data.elsewhere, "faces": gone})
    arrays = scored(Elsewhere(model, data, 5, small=True))
    assert list(arrays["sets"])[1:-2] == ["fine"]
    wide, deep, faces = arrays["missing"]
    assert wide.startswith("wide: x: expected shape") and deep.startswith(
        "deep: x: expected whole numbers from 0 to 16"
    )
    assert faces == "faces: faces.npz: expected the file, found none"
    words = elsewhere_comment(arrays, 64)
    assert f"Not scored: {faces}" in words and len([w for w in words if w.startswith("Not scored")]) == 3


def test_nothing_is_read_while_training_runs(model: Quantised) -> None:
    def read() -> Tensor:
        raise AssertionError("too early")

    data = dataclasses.replace(splits(), elsewhere={"early": read})
    assert list(Elsewhere(model, data, 5)(5)) == []


def test_a_likelihood_that_is_no_number_is_not_likely(model: Quantised, monkeypatch: pytest.MonkeyPatch) -> None:
    data = splits(dark=torch.zeros(8, *SHAPE, dtype=torch.uint8))
    bound = model.log_prob_bound

    def lost(x: Tensor, *given: object, **options: object) -> tuple[Tensor, dict[str, Tensor]]:
        value, terms = bound(x, *given, **options)  # type: ignore[arg-type]
        return torch.where(x.flatten(1).amax(1) == 0, torch.nan, value), terms

    monkeypatch.setattr(model, "log_prob_bound", lost)
    arrays = scored(Elsewhere(model, data, 5, small=True))
    dark = {row.name: row for row in noticed(arrays, 64)}["dark"]
    assert dark.bits.value == np.inf and dark.bits.stderr is None and dark.share == 1
    assert dark.bound is not None and dark.bound.value == 1.0
    assert "Dark: inf bits/dim" in " ".join(elsewhere_comment(arrays, 64))


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns_and_its_error_that_of_many_draws(ties: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: no other AUROC to compare")
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        inside, outside = rng.normal(size=60), rng.normal(0.8, 1.5, size=40)
        if ties:
            inside, outside = np.round(inside), np.round(outside)
        found.append(auroc(inside, outside))
        theirs = metrics.roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate([inside, outside]))
        assert found[-1][0] == pytest.approx(theirs, abs=1e-12)
    values, errors = np.array(found).T
    # The deviation of 300 draws is itself off by 4 %; 15 % are more than three times that.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.15)
    assert auroc(np.array([1.0, 2.0]), np.array([np.inf, np.inf]))[0] == 1.0


def table(test: np.ndarray, other: np.ndarray, train: np.ndarray) -> dict[str, np.ndarray]:
    """Sets of one dimension whose pictures need so many bits."""
    return {
        "sets": np.array(["test pictures", "others"]),
        "nats": -np.concatenate([test, other]) * np.log(2),
        "set": np.repeat([0, 1], [len(test), len(other)]),
        "train": -train * np.log(2),
        "missing": np.array([], dtype=np.str_),
    }


def test_a_likelier_set_fools_the_bound_and_not_typicality() -> None:
    test = np.linspace(3, 5, 101)
    arrays = table(test, np.linspace(0.5, 1.5, 51), np.linspace(3, 5, 11))
    own, others = noticed(arrays, 1)
    assert own.bits.value == pytest.approx(4) and own.bound is None and own.typical is None
    assert own.share == pytest.approx(5 / 101), "5 % of the test pictures are the least likely"
    assert others.bits.value == pytest.approx(1) and others.share == 0
    assert others.bound is not None and others.bound.value == 0
    assert others.typical is not None and others.typical.value == 1
    words = " ".join(elsewhere_comment(arrays, 1))
    assert "Others: 1.0000 bits/dim against 4.0000, so the model finds them likelier than its own" in words
    assert "no detector" in words and "here it does so with others" in words and "4.0000 bits/dim on average" in words


@pytest.mark.parametrize(
    ("shift", "said"), [(2.0, "less likely than its own"), (0.0, "as likely as its own, as far as these can tell")]
)
def test_other_sets_are_called_what_they_are(shift: float, said: str) -> None:
    test = np.linspace(3, 5, 101)
    words = " ".join(elsewhere_comment(table(test, test[::2] + shift, test), 1))
    assert said in words and "with the sets tried here it does not" in words


@pytest.mark.parametrize(
    ("read", "own", "other", "name"),
    [
        (mnist_splits, "mnist", "fashion_mnist", "Fashion-MNIST"),
        (fashion_mnist_splits, "fashion_mnist", "mnist", "MNIST"),
    ],
)
def test_each_mnist_names_the_other(tmp_path: Path, read, own: str, other: str, name: str) -> None:  # type: ignore[no-untyped-def]
    def write(file: str, value: int) -> np.ndarray:
        x = np.full((12, 28, 28), value, np.uint8)
        y = np.zeros(12, np.uint8)
        write_npz(tmp_path / f"{file}.npz", {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4]})
        return x[:4, None]

    write(own, 1)
    found = read(tmp_path, 0)
    assert list(found.elsewhere) == [name]
    with pytest.raises(DataError, match=rf"{other}\.npz in the data folder.*downloads {other} FOLDER"):
        found.elsewhere[name]()
    pictures = write(other, 2)
    np.testing.assert_array_equal(found.elsewhere[name]().numpy(), pictures)
