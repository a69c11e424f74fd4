"""A run mapped over batches of columns, alone and by Ray Data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bijectory.data.frame_files import read_frame, write_frames
from bijectory.data.frames import Frame, Text
from bijectory.data.typed_tables import generated_frame
from bijectory.errors import DataError, InputError
from bijectory.experiments.answers import score_typed
from bijectory.experiments.run import train
from bijectory.experiments.scorer import Scorer
from bijectory.experiments.typed import Reading
from bijectory.experiments.use import score


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    write_frames(folder / "people.parquet", [generated_frame(300, 1)])
    words = ["kinds=hour=circular(0,24)", "hidden=16", "blocks=1", "components=2", "knots=4", "members=1", "steps=20"]
    made = train("table", assignments=[f"data={folder / 'people.parquet'}", *words], run=folder / "run")
    assert made is not None
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = train("smiley_realnvp", assignments=["smoke=true"], run=tmp_path_factory.mktemp("plain") / "run")
    assert made is not None
    return made


def batch_of(frame: Frame) -> dict[str, np.ndarray]:
    return {
        name: np.array(c.listed(), dtype=object) if isinstance(c, Text) else np.asarray(c)
        for name, c in zip(frame.names, frame.columns, strict=True)
    }


def scores(run: Path, file: Path) -> np.ndarray:
    return np.concatenate([np.asarray(f.columns[0]) for f in score_typed(run, file, Reading())])


def test_a_batch_of_a_typed_run(typed: Path, tmp_path: Path) -> None:
    frame = generated_frame(50, 2)
    write_frames(tmp_path / "new.parquet", [frame])
    batch = {"id": np.arange(50), **dict(reversed(batch_of(frame).items()))}
    found = Scorer(typed)(batch)
    assert list(found) == [*batch, "log_prob"] and found["id"] is batch["id"]
    np.testing.assert_array_equal(found["log_prob"], scores(typed, tmp_path / "new.parquet"))


def test_bad_rows_are_refused_or_left_out(typed: Path) -> None:
    batch = batch_of(generated_frame(20, 3))
    sound = Scorer(typed)(batch)["log_prob"]
    batch["income"][4] = np.inf
    with pytest.raises(DataError, match="row 5, column 'income'"):
        Scorer(typed)(batch)
    left = Scorer(typed, skip_bad=True)(batch)
    assert all(len(column) == 19 for column in left.values())
    np.testing.assert_allclose(left["log_prob"], np.delete(sound, 4), rtol=1e-12)
    batch["income"][:] = np.inf
    assert all(len(column) == 0 for column in Scorer(typed, skip_bad=True)(batch).values())


def test_a_batch_of_a_plain_run(plain: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 2))
    found = Scorer(plain)({"x2": rows[:, 1], "x1": rows[:, 0]})
    np.testing.assert_allclose(found["log_prob"], score(plain, rows)[1], rtol=1e-12)
    rows[3, 1] = np.nan
    with pytest.raises(DataError, match="row 4, column 'x2'"):
        Scorer(plain)({"x1": rows[:, 0], "x2": rows[:, 1]})
    assert len(Scorer(plain, skip_bad=True)({"x1": rows[:, 0], "x2": rows[:, 1]})["log_prob"]) == 8


def test_empty_and_wrong_batches(plain: Path) -> None:
    scorer = Scorer(plain)
    empty = scorer({"x1": np.zeros(0), "x2": np.zeros(0)})
    assert list(empty) == ["x1", "x2", "log_prob"] and len(empty["log_prob"]) == 0
    with pytest.raises(DataError, match="x2 missing"):
        scorer({"x1": np.zeros(2)})
    with pytest.raises(InputError, match="already"):
        scorer({"x1": np.zeros(2), "x2": np.zeros(2), "log_prob": np.zeros(2)})
    with pytest.raises(InputError, match="mapping"):
        scorer(np.zeros((2, 2)))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_ray_data_maps_the_scorer_over_a_folder(typed: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    folder = tmp_path / "people"
    folder.mkdir()
    for i in range(3):
        write_frames(folder / f"{i}.parquet", [generated_frame(40, 10 + i)])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        data = ray.data.read_parquet(str(folder)).map_batches(
            Scorer, fn_constructor_args=(str(typed),), concurrency=1, batch_size=25
        )
        rows = data.to_pandas()
    finally:
        ray.shutdown()
    assert len(rows) == 120 and list(rows.columns) == [*generated_frame(10, 0).names, "log_prob"]
    # Blocks may come in any order.
    frame = read_frame(folder)
    expected = dict(zip(np.asarray(frame.column("size")).tolist(), scores(typed, folder).tolist(), strict=True))
    np.testing.assert_allclose(rows["log_prob"], [expected[size] for size in rows["size"]], rtol=1e-12)
