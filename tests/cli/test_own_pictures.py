"""A person's own pictures at the command line: fit, score, encode, decode, sample, interpolate, and what each refuses."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bijectory.data.generated import generated_pictures
from bijectory.data.pictures import read_pictures
from bijectory.data.tables import read_table
from bijectory.evaluation.likelihood import bits_of_rows, evaluate_model
from bijectory.experiments.use import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr and done.stdout == ""
    message = done.stderr.strip().splitlines()[-1]
    assert all(word in message for word in words), (words, done.stderr)


def passed(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, done.stderr
    return done


def table(text: str) -> tuple[list[str], list[tuple[str, float]]]:
    header, *rows = list(csv.reader(io.StringIO(text)))
    return header, [(name, float(value)) for name, value in rows]


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 pictures of 12×10 pixels in colour, as a person has them."""
    folder = tmp_path_factory.mktemp("own") / "holidays"
    folder.mkdir()
    splits = generated_pictures((3, 10, 12), 256, 24, seed=0)
    x = torch.cat([splits.train.x, splits.validation.x, splits.test.x]).permute(0, 2, 3, 1).numpy()
    for i, picture in enumerate(x):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def fitted(command: Command, own: Path) -> Path:
    run = own.parent / "run"
    words = ["size=8", "depth=1", "hidden=4", "steps=4", "batch=8"]
    done = command("fit", own, *words, "--run", run)
    # What is certified after four steps is nobody's business here; that it was trained and judged is.
    assert done.returncode in (0, 1) and (run / "result.json").is_file(), done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "24 pictures of 12×10 pixels, in colour, brought to 8×8: cut to its proportions around the middle, resized"
    )
    assert lines[1].startswith("16 to train, 4 to choose weights by, 4 to test") and lines[2].startswith(
        "to be beaten: "
    )
    assert lines[3] == "Glow of 2 scales, 1 steps of flow at each, 4 filters: 4 updates of 8 pictures"
    return run


def test_fit_is_the_recipe_pictures(command: Command, own: Path, tmp_path: Path) -> None:
    words = ["smoke=true", "--seed", 3, "--run"]
    passed(command("fit", own, *words, tmp_path / "a"))
    passed(command("train", "pictures", f"data={own}", *words, tmp_path / "b"))
    a, b = (json.loads((tmp_path / name / "result.json").read_text())["scores"] for name in "ab")
    assert a == b
    refused(command("fit", own, *words, tmp_path / "a"), str(tmp_path / "a"), "--resume")


def test_a_fit_is_resumed_by_the_same_words(command: Command, own: Path, fitted: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(fitted, tmp_path / "run"))
    before = (run / "result.json").read_text()
    done = command("fit", own, "size=8", "--run", run, "--resume")
    assert done.returncode in (0, 1) and json.loads((run / "result.json").read_text())["steps"] == 4, done.stderr
    assert json.loads(before)["scores"] == json.loads((run / "result.json").read_text())["scores"]
    refused(command("fit", own, "bits=4", "--run", run, "--resume"), "knobs")
    refused(command("fit", own.parent, "--run", run, "--resume"), "knobs")


def test_a_run_is_evaluated_from_anywhere(command: Command, fitted: Path, tmp_path: Path) -> None:
    done = passed(command("evaluate", fitted, "--json", cwd=tmp_path))
    assert json.loads(done.stdout)["scores"] == json.loads((fitted / "result.json").read_text())["scores"]


def test_scores_are_bounds_and_the_most_unusual_come_first(
    command: Command, own: Path, fitted: Path, tmp_path: Path
) -> None:
    done = passed(command("score", fitted, own))
    header, rows = table(done.stdout)
    assert header == ["file", "bits_per_dim_bound"] and len(rows) == 24
    assert [value for _, value in rows] == sorted((value for _, value in rows), reverse=True)
    assert "24 pictures, the most unusual first" in done.stderr
    assert "24 pictures brought to 8×8 pixels, as the run's own were" in done.stderr
    ordered = passed(command("score", fitted, own, "--order", "file"))
    assert table(ordered.stdout)[1] == sorted(rows) and "as the files are" in ordered.stderr
    written = passed(command("score", fitted, own, "-o", tmp_path / "bits.csv"))
    assert written.stdout == "" and (tmp_path / "bits.csv").read_text() == done.stdout
    as_json = json.loads(passed(command("score", fitted, own, "--json")).stdout)
    assert [row["file"] for row in as_json] == [name for name, _ in rows]
    assert [row["bits_per_dim_bound"] for row in as_json] == pytest.approx([value for _, value in rows], abs=1e-6)
    model = load(fitted).model
    x = read_pictures(own, (3, 8, 8), 256, prepare=load(fitted).experiment.preparation).x  # type: ignore[arg-type]
    assert dict(rows)["07.png"] == pytest.approx(bits_of_rows(model, x[7:8]).item(), abs=1e-6)


def test_a_picture_costs_the_same_alone_and_in_company(command: Command, own: Path, fitted: Path) -> None:
    alone = table(command("score", fitted, own / "05.png").stdout)[1]
    assert alone == [row for row in table(command("score", fitted, own).stdout)[1] if row[0] == "05.png"]
    model = load(fitted).model
    x = load(fitted).splits().test.x
    bits = bits_of_rows(model, x)
    assert torch.equal(bits_of_rows(model, x.flip(0)).flip(0), bits)
    judged = evaluate_model(model, x[:1], split="test")
    assert bits[0].item() == pytest.approx(next(s.value for s in judged if s.name == "bits_per_dim"), rel=1e-5)
    assert torch.allclose(bits_of_rows(model, x, chunk=1), bits, rtol=1e-5)


def test_an_unusual_picture_is_found(command: Command, own: Path, fitted: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for name in ("00.png", "01.png", "02.png"):
        shutil.copyfile(own / name, some / name)
    noise = np.random.default_rng(0).integers(0, 2, (10, 12, 3)) * 255
    Image.fromarray(noise.astype(np.uint8)).save(some / "noise.png")
    assert table(command("score", fitted, some).stdout)[1][0][0] == "noise.png"


def test_bad_pictures_stop_a_score_or_are_counted(command: Command, own: Path, fitted: Path, tmp_path: Path) -> None:
    some = Path(shutil.copytree(own, tmp_path / "some"))
    (some / "bad.png").write_bytes(b"junk")
    Image.new("RGBA", (12, 10)).save(some / "clear.png")
    out = tmp_path / "bits.csv"
    refused(command("score", fitted, some, "-o", out), "bad.png")
    refused(command("encode", fitted, some, "-o", tmp_path / "z.npz"), "bad.png")
    done = passed(command("score", fitted, some, "--skip-bad", "-o", out))
    assert "bad.png" in done.stderr and "clear.png" in done.stderr and "2 files left out, 24 used" in done.stderr
    assert len(table(out.read_text())[1]) == 24
    for path in (tmp_path / "nothing.png", tmp_path):
        refused(command("score", fitted, path), str(path))


def test_pictures_come_back_from_their_latents(command: Command, own: Path, fitted: Path, tmp_path: Path) -> None:
    z, again = tmp_path / "z.npz", tmp_path / "again"
    done = passed(command("encode", fitted, own, "-o", z))
    assert done.stdout == f"{z}: latents of 24 pictures, 3 × 8 × 8; all come back exactly\n"
    passed(command("decode", fitted, z, "-o", again))
    names = sorted(path.name for path in own.iterdir())
    assert sorted(path.name for path in again.iterdir()) == names
    prepare = load(fitted).experiment.preparation
    assert prepare is not None
    expected = read_pictures(own, (3, 8, 8), 256, prepare=prepare).x
    assert torch.equal(read_pictures(again, (3, 8, 8), 256).x, expected)
    passed(command("decode", fitted, z, "-o", tmp_path / "x.npz"))
    with np.load(tmp_path / "x.npz") as file:
        assert np.array_equal(file["x"].transpose(0, 3, 1, 2), expected.numpy()) and file["levels"] == 256
    passed(command("encode", fitted, tmp_path / "x.npz", "-o", tmp_path / "z2.npz"))
    with np.load(z) as one, np.load(tmp_path / "z2.npz") as two:
        assert one["z"].dtype == np.float64 and np.array_equal(one["z"], two["z"])
        assert one["files"].tolist() == names and two["files"][3] == "x[3]"
    passed(command("decode", fitted, z, "-o", tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] % (9 * 5 - 1) == 0


def test_latents_may_be_changed_or_made_by_hand(command: Command, fitted: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", z=np.zeros((2, 3, 8, 8)))
    passed(command("decode", fitted, tmp_path / "z.npz", "-o", tmp_path / "two"))
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == ["00001.png", "00002.png"]


def test_names_from_a_file_stay_inside_the_folder(command: Command, fitted: Path, tmp_path: Path) -> None:
    names = np.array(["../../a.png", "a.jpg", "", ".hidden"])
    np.savez(tmp_path / "z.npz", z=np.zeros((4, 3, 8, 8)), files=names)
    passed(command("decode", fitted, tmp_path / "z.npz", "-o", tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-2.png", "a.png", "hidden.png", "picture.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "z.npz"]


def test_decode_refuses_what_are_no_latents_of_the_run(
    command: Command, own: Path, fitted: Path, tmp_path: Path
) -> None:
    good = np.zeros((2, 3, 8, 8))
    bad = good.copy()
    bad[1, 0, 0, 0] = np.nan
    for name, arrays, words in (
        ("shape", {"z": good[:, :1]}, ["(n, 3, 8, 8)"]),
        ("nan", {"z": bad}, ["row 2"]),
        ("none", {"x": good}, ["z"]),
        ("other", {"z": good, "model": np.array("0" * 16)}, ["another model"]),
        ("text", {"z": np.array(["a"])}, ["expected numbers"]),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        refused(command("decode", fitted, tmp_path / f"{name}.npz", "-o", tmp_path / "out"), f"{name}.npz", *words)
    (tmp_path / "junk.npz").write_bytes(b"junk")
    refused(command("decode", fitted, tmp_path / "junk.npz", "-o", tmp_path / "out.npz"), "junk.npz")
    np.savez(tmp_path / "good.npz", z=good)
    before = sorted(path.name for path in own.iterdir())
    refused(command("decode", fitted, tmp_path / "good.npz", "-o", own), "a folder with something in it")
    refused(command("decode", fitted, tmp_path / "good.npz", "-o", tmp_path / "a.jpg"), "a.jpg", ".png")
    refused(command("decode", fitted, tmp_path / "good.npz", "-o", tmp_path / "no" / "out"), "existing folder")
    refused(command("encode", fitted, own, "-o", tmp_path / "z.csv"), "z.csv", ".npz")
    refused(command("encode", fitted, own, "-o", tmp_path / "no" / "z.npz"), "existing folder")
    assert sorted(path.name for path in own.iterdir()) == before
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_sample_and_interpolate_work_on_a_fit(command: Command, own: Path, fitted: Path, tmp_path: Path) -> None:
    passed(command("sample", fitted, "-n", 5, "-o", tmp_path / "new.npz"))
    with np.load(tmp_path / "new.npz") as file:
        assert file["x"].shape == (5, 8, 8, 3)
    _, rows = table(passed(command("score", fitted, tmp_path / "new.npz", "--order", "file")).stdout)
    assert [name for name, _ in rows] == [f"x[{i}]" for i in range(5)] and all(math.isfinite(v) for _, v in rows)
    done = passed(command("interpolate", fitted, own / "00.png", own / "01.png", "-o", tmp_path / "between.png"))
    assert "the ends come back exactly" in done.stdout


BAD_FOLDERS = {
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], ["found none"]),
    "mixed": (lambda folder: Image.new("RGB", (6, 6)).save(folder / "zz.png"), ["one size", "12×10 (24", "6×6 (1, the first zz.png)"]),
    "deep": (lambda folder: Image.new("I;16", (12, 10)).save(folder / "zz.png"), ["zz.png", "8 bits", "skip=true"]),
    "corrupt": (lambda folder: (folder / "zz.png").write_bytes(b"\x89PNG\r\n\x1a\n junk"), ["zz.png", "skip=true"]),
    "cut": (lambda folder: (folder / "zz.png").write_bytes((folder / "00.png").read_bytes()[:200]), ["zz.png", "truncated"]),
    "clear": (lambda folder: Image.new("RGBA", (12, 10)).save(folder / "zz.png"), ["zz.png", "background=white"]),
    "inks": (lambda folder: Image.new("CMYK", (12, 10)).save(folder / "zz.jpg"), ["zz.jpg", "CMYK"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_folders_that_cannot_be_fitted(command: Command, own: Path, tmp_path: Path, kind: str) -> None:
    spoil, words = BAD_FOLDERS[kind]
    folder = Path(shutil.copytree(own, tmp_path / "own"))
    spoil(folder)
    refused(command("fit", folder, "steps=2", "--run", tmp_path / "run"), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_what_fit_cannot_be_given(command: Command, own: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    for words, expected in (
        ([tmp_path / "rows.csv"], ["rows.csv", "at least 10 rows"]),
        ([tmp_path / "nothing"], ["nothing", "found nothing of that name"]),
        ([own / "00.png"], ["00.png", "put the pictures into a folder"]),
        ([own, "sise=32"], ["sise", "did you mean 'size'"]),
        ([own, "size=33"], ["33×33", "even", "size=32x32"]),
        ([own, "size=8", "scales=4"], ["4 scales", "8×8"]),
        ([own, f"data={own}"], ["twice"]),
    ):
        refused(command("fit", *words, "--run", tmp_path / "run"), *expected)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_run_on_rows_has_latents_too(command: Command, finished: Path, tmp_path: Path) -> None:
    rows, z, again = (tmp_path / name for name in ("rows.csv", "z.csv", "again.npz"))
    passed(command("sample", finished, "-n", 30, "-o", rows))
    assert passed(command("encode", finished, rows, "-o", z)).stdout == f"{z}: latents of 30 rows\n"
    passed(command("decode", finished, z, "-o", again))
    table = read_table(z)
    assert table.columns == ("z1", "z2")
    model, x = load(finished).model, read_table(rows).values
    np.testing.assert_allclose(table.values, model.encode(torch.from_numpy(x)).detach().numpy())  # type: ignore[operator]
    np.testing.assert_allclose(read_table(again, columns=["x1", "x2"]).values, x, atol=1e-6)


def test_verbs_keep_pictures_and_rows_apart(
    command: Command, own: Path, finished: Path, fitted: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("x1,x2\n1,2\n")
    rows = tmp_path / "rows.csv"
    assert json.loads(passed(command("score", finished, rows, "--json")).stdout)[0]["log_prob"] < 0
    refused(command("score", finished, rows, "--order", "unusual"), "--order unusual", "rows")
    refused(command("score", finished, rows, "--skip-bad"), "--skip-bad", "rows")
    refused(command("encode", finished, rows, "--skip-bad", "-o", tmp_path / "z.csv"), "--skip-bad")
    refused(command("score", fitted, own, "--json", "-o", tmp_path / "a.csv"), "--json", "-o")
    refused(command("score", fitted, own, "-o", tmp_path / "a.npz"), "a.npz", ".csv")
    refused(command("score", fitted, rows), "rows.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
