"""The recipe for a table of one's own: what it chooses by what is there, records, and refuses to choose anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bijectory.data.frame_files import write_frames
from bijectory.data.typed_tables import generated_frame
from bijectory.errors import DataError, InputError
from bijectory.experiments import use
from bijectory.experiments.check import certify
from bijectory.experiments.run import train
from bijectory.models.table import TableModel
from bijectory.recipes.table import table
from bijectory.recipes.typed_table import typed_table

TINY = ["hidden=16", "steps=30", "batch=64", "members=1", "minutes=0.1"]
KINDS = 'kinds="hour=circular(0,24)"'


def people(folder: Path, rows: int = 300) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder / "people.csv", [generated_frame(rows, 0)])
    return folder / "people.csv"


def test_what_was_chosen_is_recorded_and_needs_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = people(tmp_path / "own")
    monkeypatch.chdir(file.parent)
    told: list[str] = []
    run = train(
        "table", assignments=["data=people.csv", *TINY, KINDS.replace('"', "")], run=tmp_path / "run", say=told.append
    )
    assert run is not None
    settings = json.loads((run / "settings.json").read_text())
    chosen = settings["knobs"]
    assert (
        chosen["data"] == str(file) and chosen["steps"] == 30 and chosen["components"] and len(chosen["checksum"]) == 32
    )
    kinds = {kind["name"]: kind for kind in settings["kinds"]}
    assert kinds["hour"]["kind"] == "circular" and kinds["plan"]["categories"] == ["basic", "plus", "team"]
    assert any("spent" in words for words in told) and told == settings["notes"]
    file.unlink()
    loaded = use.load(run)
    assert isinstance(loaded.model, TableModel) and loaded.schema.kinds[2].name == "plan"


def test_it_is_better_than_its_columns_alone_and_keeps_the_laws(tmp_path: Path) -> None:
    words = [f"data={people(tmp_path, 600)}", "hidden=32", "steps=150", "batch=128", "members=1", "rate=0.01"]
    run = train("table", assignments=words, run=tmp_path / "run")
    assert run is not None
    loaded = use.load(run)
    splits = loaded.splits()
    alone = TableModel(splits.kinds, blocks=0, hidden=16).double()
    # Each column in an order of its own: what is left are the columns' own distributions.
    shuffled = [column[torch.randperm(len(column))] for column in splits.train.x.unbind(1)]
    alone.initialise(torch.stack(shuffled, 1))
    assert isinstance(loaded.model, TableModel)
    with torch.no_grad():
        gain = loaded.model.log_prob(splits.test.x) - alone.log_prob(splits.test.x)
    assert float(gain.mean()) > 3 * float(gain.std()) / len(gain) ** 0.5
    assert [check["law"] for check in certify(run)["checks"] if not check["passed"]] == []


def test_another_table_is_refused(tmp_path: Path) -> None:
    file = people(tmp_path / "own")
    run = train("table", assignments=[f"data={file}", *TINY], run=tmp_path / "run")
    assert run is not None
    file.write_text(file.read_text() + file.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match="another content"):
        use.load(run).splits()


def test_the_order_begins_as_asked(tmp_path: Path) -> None:
    words = [f"data={people(tmp_path)}", *TINY, "order=age,plan"]
    run = train("table", assignments=words, run=tmp_path / "run")
    assert run is not None
    model = use.load(run).model
    assert isinstance(model, TableModel)
    assert [model.columns[i].name for i in model.order[:2]] == ["age", "plan"]
    with pytest.raises(InputError, match="order: expected names of columns"):
        train("table", assignments=[f"data={tmp_path / 'people.csv'}", *TINY, "order=wrong"], run=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["california_housing", "adult"])
def test_the_public_tables_are_read(name: str) -> None:
    folder = Path(os.environ.get("BIJECTORY_DATA", "no-such-folder"))
    if not list(folder.glob(f"{name}*")):
        pytest.skip(f"{name} is not in the data folder (BIJECTORY_DATA)")
    splits = typed_table(table=name).data(folder, 0)  # type: ignore[arg-type]
    assert len(splits.train) > 10_000 and len(splits.kinds) in (10, 15)
    assert bool(np.isnan(splits.train.x.numpy()).any())


def test_refusals() -> None:
    with pytest.raises(InputError, match="minutes: expected more than 0"):
        table(minutes=0)
    with pytest.raises(DataError, match="name it: bijectory fit"):
        table().data(None, 0)
