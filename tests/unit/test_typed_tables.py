"""Real tables as they are in life, where the data folder has them, and the one that is made on the spot."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from bijectory.data.encoding import encode
from bijectory.data.frames import Text
from bijectory.data.inference import infer_columns
from bijectory.data.typed_tables import ADULT, CALIFORNIA, GENERATED_KINDS, adult, california_housing, generated_frame
from bijectory.data.uci import FILE, table_frame
from bijectory.errors import DataError

FOLDER = Path(os.environ.get("BIJECTORY_DATA", "no-such-folder"))


def needs(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not all((FOLDER / name).is_file() for name in names),
        reason=f"{names[0]} is not in the data folder (BIJECTORY_DATA)",
    )


@needs(CALIFORNIA)
def test_california_housing() -> None:
    frame = california_housing(FOLDER)
    kinds, notes = infer_columns(frame)
    by_name = {kind.name: kind for kind in kinds}
    assert len(frame) == 20_640 and notes == ()
    assert by_name["longitude"].step == by_name["latitude"].step == 0.01
    assert (by_name["median_income"].kind, by_name["median_income"].step) == ("positive", 1e-4)
    assert by_name["median_house_value"].kind == "integer"
    assert len(by_name["ocean_proximity"].categories) == 5
    assert [kind.name for kind in kinds if kind.gaps] == ["total_bedrooms"]
    assert int(np.isnan(encode(frame, kinds).matrix).sum()) == 207


@needs(*ADULT)
def test_adult() -> None:
    frame = adult(FOLDER)
    kinds, _ = infer_columns(frame)
    assert len(frame) == 32_561 + 16_281 and len(kinds) == 15
    assert kinds[-1].categories == ("<=50K", ">50K")
    assert {kind.name for kind in kinds if kind.gaps} == {"workclass", "occupation", "native_country"}


@needs(FILE)
def test_tables_of_the_uci_repository_keep_their_copies() -> None:
    kinds, notes = infer_columns(table_frame(FOLDER, "bike"))
    assert {kind.name: kind.of for kind in kinds if kind.of} == {"year_again": "year", "month_again": "month"}
    assert len(notes) == 3 and len(table_frame(FOLDER, "parkinsons")) == 5875


@pytest.mark.parametrize(("read", "name"), [(california_housing, CALIFORNIA), (adult, ADULT[0])])
def test_files_that_are_not_there_or_another_table(tmp_path: Path, read: object, name: str) -> None:
    assert callable(read)
    for folder in (None, tmp_path):
        with pytest.raises(DataError, match=rf"{name}.*BIJECTORY_DATA.*To get the file"):
            read(folder)
    (tmp_path / name).write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(DataError, match=r"expected the columns .*; this is another table|expected 15 fields"):
        read(tmp_path)


def test_a_generated_table_is_the_same_for_a_seed_and_has_all_kinds() -> None:
    frame, same, other = (generated_frame(400, seed) for seed in (0, 0, 1))
    assert np.array_equal(frame.column("income"), same.column("income"))  # type: ignore[arg-type]
    assert not np.array_equal(frame.column("income"), other.column("income"))  # type: ignore[arg-type]
    for rows in (60, 300, 3000):
        kinds, _ = infer_columns(generated_frame(rows, 0), GENERATED_KINDS)
        by_name = {kind.name: kind for kind in kinds}
        assert {name: kind.kind for name, kind in by_name.items()} == {
            "size": "real",
            "age": "integer",
            "plan": "categorical",
            "income": "positive",
            "share": "bounded",
            "spent": "positive",
            "hour": "circular",
            "member": "categorical",
            "rating": "real",
            "visits": "integer",
        }, rows
        assert by_name["spent"].atoms == (0.0,) and by_name["rating"].step == 0.5
        assert {kind.name for kind in kinds if kind.gaps} == {"age", "plan", "visits"}
    plan = frame.column("plan")
    assert isinstance(plan, Text)
    size = frame.column("size")
    assert isinstance(size, np.ndarray)
    assert size[plan.codes == 2].mean() > size[plan.codes == 0].mean() + 5
    with pytest.raises(DataError, match=r"rows: expected at least 10, got 9"):
        generated_frame(9, 0)
