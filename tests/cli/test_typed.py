"""A person's table from the command line: fitted, scored, sampled, asked and completed, in its own words; and every mistake in it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bijectory.data.encoding import encode
from bijectory.data.frame_files import read_frame, write_frames
from bijectory.data.frames import Frame, Text
from bijectory.data.typed_tables import generated_frame
from bijectory.experiments.use import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = ("size", "age", "plan", "income", "share", "spent", "hour", "member", "rating", "visits")
SMALL = ["hidden=16", "blocks=1", "components=2", "knots=4", "members=1", "steps=40", "batch=128"]


@pytest.fixture(scope="module")
def run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 600 people: the order begins with plan and age."""
    folder = tmp_path_factory.mktemp("typed")
    write_frames(folder / "people.csv", [generated_frame(600, 1)])
    done = command(
        "fit", folder / "people.csv", "kinds=hour=circular(0,24)", "order=plan,age", *SMALL, "--run", folder / "run"
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    write_frames(tmp_path / "new.csv", [generated_frame(30, 2)])
    return tmp_path / "new.csv"


def expected_scores(run: Path, file: Path) -> np.ndarray:
    loaded = load(run)
    matrix = encode(read_frame(file), loaded.schema.kinds).matrix
    return loaded.model.log_prob(torch.from_numpy(matrix)).detach().numpy()  # type: ignore[operator, no-any-return]


def passed(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, done.stderr
    return done


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr, done
    message = done.stderr.strip().splitlines()[-1]
    assert all(word in message for word in words), (words, message)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


# ── score ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_score_is_the_models_density_row_by_row(command: Command, run: Path, people: Path, tmp_path: Path) -> None:
    done = passed(command("score", run, people))
    assert done.stderr == ""
    values = np.array([float(row["log_prob"]) for row in table(done.stdout)])
    np.testing.assert_array_equal(values, expected_scores(run, people))
    for name in ("out.csv", "out.npz", "out.parquet"):
        assert passed(command("score", run, people, "-o", tmp_path / name)).stdout == ""
        frame = read_frame(tmp_path / name)
        assert frame.names == ("log_prob",)
        np.testing.assert_array_equal(frame.columns[0], values)
    printed = json.loads(passed(command("score", run, people, "--json")).stdout)
    np.testing.assert_array_equal([row["log_prob"] for row in printed], values)


def test_columns_are_found_by_name_and_others_named(command: Command, run: Path, people: Path, tmp_path: Path) -> None:
    frame = read_frame(people)
    more = Frame(
        ("id", *reversed(frame.names), "note"),
        (np.arange(30.0), *reversed(frame.columns), Text(np.zeros(30, np.int32), ("x",))),
    )
    write_frames(tmp_path / "more.csv", [more])
    done = passed(command("score", run, tmp_path / "more.csv"))
    assert done.stdout == command("score", run, people).stdout
    assert "left out: id, note" in done.stderr


def test_folders_of_parquet_are_scored_part_by_part(command: Command, run: Path, tmp_path: Path) -> None:
    frame = generated_frame(60, 3)
    plan = frame.column("plan")
    assert isinstance(plan, Text)
    names = [i for i, name in enumerate(frame.names) if name != "plan"]
    whole = []
    for code, word in enumerate(plan.words):
        folder = tmp_path / "people" / f"plan={word}"
        folder.mkdir(parents=True)
        part = frame.select(np.flatnonzero(plan.codes == code))
        whole.append(part)
        write_frames(
            folder / "part.parquet", [Frame(tuple(part.names[i] for i in names), tuple(part.columns[i] for i in names))]
        )
    write_frames(tmp_path / "flat.csv", whole)
    done = passed(command("score", run, tmp_path / "people"))
    assert done.stderr == ""
    # Rows come in the order of the folders; other rows beside them change sums in their last digit.
    found = [float(row["log_prob"]) for row in table(done.stdout)]
    np.testing.assert_allclose(found, expected_scores(run, tmp_path / "flat.csv"), rtol=1e-12)


def test_the_most_unusual_first(command: Command, run: Path, people: Path) -> None:
    rows = table(passed(command("score", run, people, "--order", "unusual")).stdout)
    scores = expected_scores(run, people)
    assert [int(row["row"]) for row in rows] == (np.argsort(scores, kind="stable") + 1).tolist()
    assert float(rows[0]["log_prob"]) == scores.min()


def test_what_was_sampled_can_be_scored(command: Command, run: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet", "a.npz"):
        passed(command("sample", run, "-n", 200, "--seed", 4, "-o", tmp_path / name))
        frame = read_frame(tmp_path / name)
        assert frame.names == NAMES and len(frame) == 200
        assert len(table(passed(command("score", run, tmp_path / name)).stdout)) == 200
    assert command("sample", run, "-n", 3, "--seed", 1).stdout == command("sample", run, "-n", 3, "--seed", 1).stdout
    assert command("sample", run, "-n", 3, "--seed", 1).stdout != command("sample", run, "-n", 3, "--seed", 2).stdout


FAULTS = {
    "unseen word": ("plan", "gold", ["row 2", "'plan'", "basic, plus, team", "'gold'"]),
    "text": ("age", "forty", ["row 2", "'age'", "a number", "'forty'"]),
    "infinite": ("size", "inf", ["row 2", "'size'", "finite", "inf"]),
    "negative": ("income", "-1", ["row 2", "'income'", "above 0", "-1"]),
    "outside": ("share", "1.5", ["row 2", "'share'", "between 0 and 1", "1.5"]),
    "beyond the circle": ("hour", "25", ["row 2", "'hour'", "[0, 24]", "25"]),
    "fraction": ("age", "40.5", ["row 2", "'age'", "whole number", "40.5"]),
    "a gap where there were none": ("income", "", ["row 2", "'income'", "missing"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_rows_stop_everything_or_are_left_out_and_counted(
    command: Command, run: Path, people: Path, tmp_path: Path, fault: str
) -> None:
    column, value, words = FAULTS[fault]
    rows = table(people.read_text())
    # The same 29 rows at once, as they will be scored: 30 are multiplied in other blocks, which may change a last bit.
    spoil(people, [rows[0], *rows[2:]])
    sound = expected_scores(run, people)
    rows[1][column] = value
    spoil(people, rows)
    out = tmp_path / "out.csv"
    refused(command("score", run, people, "-o", out), "new.csv", *words)
    refused(command("score", run, people), *words)
    refused(command("score", run, people, "--json"), *words)
    if value:
        refused(command("impute", run, people, "-o", out), *words)
    else:  # a gap is what impute is for
        assert "income 1," in passed(command("impute", run, people)).stderr
    assert not out.exists() and [p.name for p in tmp_path.iterdir()] == ["new.csv"]
    done = passed(command("score", run, people, "-o", out, "--skip-bad"))
    assert "1 rows left out, 29 scored" in done.stderr and all(word in done.stderr for word in words)
    kept = table(out.read_text())
    assert [int(row["row"]) for row in kept] == [1, *range(3, 31)]
    np.testing.assert_array_equal([float(row["log_prob"]) for row in kept], sound)


def spoil(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("income", "incme").encode(), ["'income'", "incme"]),
        (lambda text: text.splitlines()[0].encode() + b"\n", ["row", "none"]),
        (lambda text: b"", ["empty"]),
        (lambda text: (text + "1,2\n").encode(), ["row 31", "10 fields", "got 2"]),
        (lambda text: text.replace("team", "t\xe9am").encode("latin-1"), ["UTF-8"]),
    ],
    ids=["column", "no rows", "empty", "ragged", "latin-1"],
)
def test_bad_files_are_refused(
    command: Command, run: Path, people: Path, tmp_path: Path, change: Callable[[str], bytes], words: list[str]
) -> None:
    people.write_bytes(change(people.read_text()))
    out = tmp_path / "out.csv"
    for verb in ("score", "impute"):
        done = command(verb, run, people, "-o", out)
        refused(done, "new.csv")
        assert any(word in done.stderr for word in words), done.stderr
    assert not out.exists()


def test_a_file_of_bad_rows_only_is_refused(command: Command, run: Path, people: Path, tmp_path: Path) -> None:
    rows = table(people.read_text())
    spoil(people, [{**row, "age": "old"} for row in rows])
    refused(
        command("score", run, people, "--skip-bad", "-o", tmp_path / "out.csv"), "none of 30 rows", "'age'", "'old'"
    )
    assert not (tmp_path / "out.csv").exists()


def test_a_bad_row_far_down_leaves_no_file(command: Command, run: Path, tmp_path: Path) -> None:
    frame = generated_frame(66_000, 5)
    age = np.array(frame.columns[1])
    age[65_999] = 1.5
    file, out = tmp_path / "many.parquet", tmp_path / "out.parquet"
    write_frames(file, [Frame(frame.names, (frame.columns[0], age, *frame.columns[2:]))])
    refused(command("score", run, file, "-o", out), "row 66000", "'age'")
    assert [path.name for path in tmp_path.iterdir()] == ["many.parquet"]
    done = passed(command("score", run, file, "-o", out, "--skip-bad"))
    assert "1 rows left out, 65,999 scored" in done.stderr
    assert read_frame(out).column("row")[-1] == 65_999  # type: ignore[index]


def test_a_pipe_may_be_closed(run: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "many.parquet", [generated_frame(20_000, 5)])
    words = [sys.executable, "-m", "bijectory", "score", str(run), str(tmp_path / "many.parquet")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "log_prob\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_draws_given_what_comes_first_are_exact(command: Command, run: Path) -> None:
    done = passed(command("sample", run, "-n", 50, "--given", "plan=team", "--given", "age=41"))
    rows = table(done.stdout)
    assert len(rows) == 50 and {row["plan"] for row in rows} == {"team"} and {row["age"] for row in rows} == {"41"}
    assert done.stderr.startswith("bijectory: exact")


def test_draws_given_others_are_estimates_and_say_so(command: Command, run: Path, tmp_path: Path) -> None:
    done = passed(
        command("sample", run, "-n", 50, "--given", "member=1", "--given", "visits=", "-o", tmp_path / "x.csv")
    )
    rows = table((tmp_path / "x.csv").read_text())
    assert {row["member"] for row in rows} == {"1"} and {row["visits"] for row in rows} == {""}
    assert "estimate: 50 rows" in done.stderr and "effective sample size" in done.stderr


def test_scores_given_columns(command: Command, run: Path, people: Path) -> None:
    exact = passed(command("score", run, people, "--given", "age, plan"))
    loaded = load(run)
    x = torch.from_numpy(encode(read_frame(people), loaded.schema.kinds).matrix)
    terms = loaded.model.columns_log_prob(x).detach()  # type: ignore[operator]
    others = [i for i, name in enumerate(NAMES) if name not in ("age", "plan")]
    found = [float(row["log_prob"]) for row in table(exact.stdout)]
    np.testing.assert_allclose(found, terms[:, others].sum(-1).numpy(), rtol=1e-12)
    rows = table(passed(command("score", run, people, "--given", "visits", "--draws", 50)).stdout)
    assert set(rows[0]) == {"log_prob_estimate", "standard_error"} and len(rows) == 30
    # No density given one column is further from the joint one than that column's own term may be.
    joint = expected_scores(run, people)
    alone = joint - np.array([float(row["log_prob_estimate"]) for row in rows])
    assert (alone < 0).all() and (alone > -20).all()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sample", "--given", "agee=3"], ["'agee'", "size, age"]),
        (["sample", "--given", "age"], ["NAME=VALUE", "'age'"]),
        (["sample", "--given", "age=1", "--given", "age=2"], ["each name once"]),
        (["sample", "--given", "plan=gold"], ["'plan'", "basic, plus, team"]),
        (["sample", "--given", "age=old"], ["'age'", "a number", "'old'"]),
        (["sample", "--given", "income="], ["'income'", "missing"]),
        (["sample", *(word for name in NAMES for word in ("--given", f"{name}=1"))], ["got all"]),
        (["sample", "--context", "new.csv"], ["--context", "not conditional"]),
        (["score", "new.csv", "--given", "agee"], ["'agee'"]),
        (["score", "new.csv", "--given", ",".join(NAMES)], ["got all"]),
        (["score", "new.csv", "--json", "-o", "a.csv"], ["--json"]),
        (["score", "new.csv", "-o", "a.xls"], ["a.xls", ".csv"]),
        (["impute", "new.csv", "--json", "-o", "a.csv"], ["--json"]),
        (["impute", "new.csv", "-o", "a.xls"], ["a.xls", ".csv"]),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else None,
)
def test_mistakes(command: Command, run: Path, people: Path, words: list[str], expected: list[str]) -> None:
    refused(command(words[0], run, *words[1:], cwd=people.parent), *expected)
    assert [path.name for path in people.parent.iterdir()] == ["new.csv"]


def test_runs_on_plain_rows_answer_with_estimates(command: Command, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "given.npz"
    done = passed(command("sample", finished, "-n", 200, "--given", "x1=0.5", "-o", out))
    assert "estimate: 200 rows" in done.stderr and "effective sample size" in done.stderr
    frame = read_frame(out)
    assert frame.names == ("x1", "x2") and set(np.asarray(frame.column("x1")).tolist()) == {0.5}
    scored = table(passed(command("score", finished, out, "--given", "x1", "--draws", 500)).stdout)
    assert set(scored[0]) == {"log_prob_estimate", "standard_error"} and len(scored) == 200
    # p(x2 | x1): at a fixed x1 its logarithm and the joint one differ by one number, up to the estimate's own error.
    joint = np.array([float(row["log_prob"]) for row in table(passed(command("score", finished, out)).stdout)])
    values, errors = (
        np.array([float(row[name]) for row in scored]) for name in ("log_prob_estimate", "standard_error")
    )
    gap = joint - values
    assert (np.abs(gap - np.median(gap)) < 6 * errors + 1e-9).all()
    for words, expected in (
        (["sample", finished, "--given", "x3=1"], "'x3'"),
        (["sample", finished, "--given", "x1=far"], "'far'"),
        (["sample", finished, "--given", "x1=1", "--given", "x2=1"], "got all"),
        (["score", finished, out, "--given", "x3"], "'x3'"),
        (["impute", finished, out], "expected a run on a typed table"),
    ):
        refused(command(*words), expected)


# ── impute ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gaps_are_filled_and_all_else_stays(command: Command, run: Path, tmp_path: Path) -> None:
    frame = generated_frame(80, 6)
    more = Frame(
        (*frame.names, "note"), (*frame.columns, Text(np.arange(80, dtype=np.int32), tuple(map(str, range(80)))))
    )
    write_frames(tmp_path / "gaps.csv", [more])
    done = passed(command("impute", run, tmp_path / "gaps.csv", "-o", tmp_path / "whole.csv"))
    before, after = (table((tmp_path / name).read_text()) for name in ("gaps.csv", "whole.csv"))
    gaps = {name: sum(row[name] == "" for row in before) for name in before[0]}
    assert gaps["age"] and gaps["plan"] and gaps["visits"]
    for old, new in zip(before, after, strict=True):
        assert list(old) == list(new)
        assert all(value == new[name] if value else new[name] for name, value in old.items())
    counted = ", ".join(f"{name} {gaps[name]}" for name in ("age", "plan", "visits"))
    assert f"filled: {counted}" in done.stderr and "estimate" in done.stderr and "effective sample size" in done.stderr
    again = passed(command("impute", run, tmp_path / "gaps.csv")).stdout
    assert again == (tmp_path / "whole.csv").read_text()
    assert passed(command("impute", run, tmp_path / "gaps.csv", "--seed", 1)).stdout != again
    # What is whole has nothing to fill, and stays.
    done = passed(command("impute", run, tmp_path / "whole.csv"))
    assert done.stdout == again and "no gaps" in done.stderr


def test_several_draws_stand_one_below_the_other(command: Command, run: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "gaps.csv", [generated_frame(40, 7)])
    rows = json.loads(passed(command("impute", run, tmp_path / "gaps.csv", "--draws", 3, "--json")).stdout)
    before = table((tmp_path / "gaps.csv").read_text())
    assert len(rows) == 120 and list(rows[0]) == list(NAMES)
    assert all(value is not None for row in rows for value in row.values())
    for i, old in enumerate(before):
        three = rows[3 * i : 3 * i + 3]
        assert all(row["size"] == float(old["size"]) for row in three)
        if "" not in old.values():
            assert three[0] == three[1] == three[2]
    assert any(rows[3 * i] != rows[3 * i + 1] for i in range(40))


def test_the_words_that_a_table_was_read_with_are_kept(command: Command, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{'-9' if i % 5 == 0 else i % 3}\n" for i in range(60))
    (tmp_path / "bare.csv").write_text(rows)
    run = tmp_path / "run"
    passed(command("fit", tmp_path / "bare.csv", "columns=a,b", "missing=-9", *SMALL, "--run", run))
    assert len(table(passed(command("score", run, tmp_path / "bare.csv")).stdout)) == 60
    filled = passed(command("impute", run, tmp_path / "bare.csv"))
    assert "filled: b 12" in filled.stderr and "-9" not in filled.stdout
    given = passed(command("sample", run, "-n", 4, "--given", "b=-9")).stdout
    assert {row["b"] for row in table(given)} == {""}
