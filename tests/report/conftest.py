"""Runs to make pages of: a smoke run in the plane, on the line, on pictures and on a table, each trained once for all of the folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bijectory.experiments.check import certify
from bijectory.experiments.run import train

LINE = '''
from bijectory.data.toy_splits import toy_splits
from bijectory.evaluation.pictures import DensityPictures
from bijectory.experiments.recipe import Expect, Recipe
from bijectory.models.flows.mixture_cdf import mixture_cdf
from bijectory.training.fit import Budget
from bijectory.training.objectives.likelihood import maximum_likelihood


def line(*, steps: int = 20) -> Recipe:
    """A mixture CDF on the line.

    steps: updates
    """
    return Recipe(
        data=lambda folder, seed: toy_splits("bimodal1d", seed, rows=2000),
        model=lambda schema: mixture_cdf(schema.event_shape, components=4),
        objective=lambda model: maximum_likelihood(model, rate=1e-2),
        budget=Budget(steps=steps, batch=64),
        evaluators=lambda model, splits: [DensityPictures(model, splits, 10, small=True)],
        expect=Expect("nats", 1.01, 0.01, "exact entropy", "one CPU core", 0.1),
    )
'''

PICTURES = '''
import dataclasses

from bijectory.data.archives import find_file
from bijectory.data.generated import generated_pictures
from bijectory.evaluation.elsewhere import Elsewhere
from bijectory.evaluation.images import ImagePictures
from bijectory.experiments.recipe import Expect, Recipe
from bijectory.models.flows.realnvp_image import realnvp_image
from bijectory.models.quantised import Quantised
from bijectory.training.fit import Budget
from bijectory.training.objectives.bound import maximum_bound


def blobs(folder, seed):
    elsewhere = {
        "other blobs": lambda: generated_pictures((3, 8, 8), 4, 100, seed=1).test.x,
        "photographs": lambda: find_file(folder, ["photographs.npz"], "take some"),
    }
    return dataclasses.replace(generated_pictures((3, 8, 8), 4, 100, seed=0), elsewhere=elsewhere)


def pictures(*, steps: int = 20) -> Recipe:
    """A RealNVP on blobs.

    steps: updates
    """
    return Recipe(
        data=blobs,
        model=lambda schema: Quantised(
            realnvp_image(schema.event_shape, filters=4, blocks=1, stages=(("checkerboard", 2),)), schema.levels
        ),
        objective=lambda model: maximum_bound(model, rate=1e-2),
        budget=Budget(steps=steps, batch=16, log_every=10),
        evaluators=lambda model, splits: [ImagePictures(model, splits, 10, small=True), Elsewhere(model, splits, 10, small=True)],
        expect=Expect("bits_per_dim", 0.5865, 0.01, "CS294-158 2020, on other pictures", "one CPU core", 0.1),
        draws=4,
        looks=4,
    )
'''


@pytest.fixture(scope="session", autouse=True)
def _small_figures() -> Iterator[None]:
    """Figures of a third of their size: what is tested of them is there at any size, and pages are made in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bijectory.figures.style.DPI", 72)
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke run in the plane, with TensorBoard's events where tensorboard is installed; not to be changed."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("runs") / "plane"
    try:
        import tensorboard
    except ImportError:
        tensorboard = None
    train("smiley_mixture_cdf", assignments=["smoke=true"], run=path, tensorboard=tensorboard is not None)
    certify(path)
    return path


@pytest.fixture(scope="session")
def trained_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on data of one column, without a certificate; not to be changed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("line")
    (folder / "line.py").write_text(LINE, encoding="utf-8")
    return train(str(folder / "line.py"), run=folder / "run")


@pytest.fixture(scope="session")
def trained_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on pictures, with TensorBoard's events where tensorboard is installed; not to be changed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "pictures.py").write_text(PICTURES, encoding="utf-8")
    try:
        import tensorboard
    except ImportError:
        tensorboard = None
    path = train(str(folder / "pictures.py"), run=folder / "run", tensorboard=tensorboard is not None)
    assert path is not None
    return path


@pytest.fixture(scope="session")
def trained_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke run on a typed table, without a certificate; not to be changed."""
    torch.set_num_threads(1)
    path = train("table", assignments=["smoke=true"], run=tmp_path_factory.mktemp("table") / "table")
    assert path is not None
    return path


@pytest.fixture
def plane(trained: Path, tmp_path: Path) -> Path:
    """A copy of the smoke run that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "plane"))
