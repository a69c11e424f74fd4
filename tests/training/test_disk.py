"""A disk that fills up, a folder that becomes read-only or goes away, a clock that jumps, each while a run is training.

The effects are real ones, brought about by the training process itself at a chosen step, so that no test depends on timing.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import bijectory
from bijectory.experiments.record import Run

NAME = "smiley_mixture_cdf"

#: ``effect`` happens before row 30 of the log is written; 27 is the last step saved until then.
AT_STEP = """
import os, resource, shutil, subprocess
from pathlib import Path
from bijectory.experiments.record import Run
run = Path({run!r})
append = Run.append_metrics
def appended(self, row):
    if row["step"] == 30:
        {effect}
    append(self, row)
Run.append_metrics = appended
"""
FILL = """
def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
"""


def stopped(wholes: Any, run: Path, effect: str) -> str:
    """Train with that effect; the message with which the command ended."""
    first = FILL + AT_STEP.format(run=str(run), effect=effect)
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", run, first=first).wait()
    assert code == 2, error
    assert len(error.strip().splitlines()) == 1, error
    return error


def check_goes_on(wholes: Any, run: Path, step: int = 27) -> None:
    """The last state is whole, and the run ends as it would have without the trouble."""
    state, fault = Run.open(run).load_state()
    assert fault is None
    assert state is not None
    assert int(state["step"]) == step
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", run, "--resume").wait()
    assert code == 0, error
    wholes[NAME].check_same(run)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may not mount a disk")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk(wholes: Any, disk: Path) -> None:
    run = disk / "run"
    assert "no room" in stopped(wholes, run, f"fill({str(disk / 'filler')!r})")
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", run, "--resume").wait()
    assert code == 2, error
    assert "no room" in error and "Traceback" not in error
    (disk / "filler").unlink()
    check_goes_on(wholes, run)


@pytest.mark.parametrize(("limit", "file"), [(64, "metrics.jsonl"), (16384, "state.next.safetensors")])
def test_no_room_for_one_file(wholes: Any, tmp_path: Path, limit: int, file: str) -> None:
    run = tmp_path / "run"
    error = stopped(wholes, run, f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))")
    assert file in error and "no room" in error and "--resume" in error
    check_goes_on(wholes, run)


def test_no_room_at_the_end(wholes: Any, tmp_path: Path) -> None:
    """Training is over, and its scores cannot be written: resuming only judges."""
    run = tmp_path / "run"
    first = """
import resource
from bijectory.experiments.record import Run
save = Run.save_json
def saved(self, name, value):
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
    save(self, name, value)
Run.save_json = saved
"""
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", run, first=first).wait()
    assert code == 2, error
    assert "result.json" in error and "no room" in error and "--resume" in error
    check_goes_on(wholes, run, step=60)


def test_no_room_for_a_new_run_leaves_nothing_behind(wholes: Any, tmp_path: Path) -> None:
    first = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))"
    folder = tmp_path / "runs"
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", folder / "run", first=first).wait()
    assert code == 2, error
    assert "cannot be made" in error and len(error.strip().splitlines()) == 1
    assert list(folder.rglob("*")) == []


def test_a_disk_that_becomes_read_only(wholes: Any, disk: Path) -> None:
    run, mount = disk / "run", f"subprocess.run(['mount', '-o', 'remount,ro', {str(disk)!r}], check=True)"
    error = stopped(wholes, run, mount)
    assert "may not be written" in error and "--resume" in error
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    check_goes_on(wholes, run)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's own are not: there root can become somebody who may not write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


#: Root may write wherever it likes; its process goes on as the user nobody.
REFUSED = "os.seteuid(65534)" if os.geteuid() == 0 else "run.chmod(0o555)"


def test_a_folder_that_becomes_read_only(wholes: Any, open_folder: Path) -> None:
    run = open_folder / "run"
    error = stopped(wholes, run, REFUSED)
    assert "Permission denied" in error and "--resume" in error
    run.chmod(0o755)
    check_goes_on(wholes, run)


def test_a_folder_that_may_no_longer_be_entered(wholes: Any, open_folder: Path) -> None:
    run = open_folder / "runs" / "run"
    error = stopped(wholes, run, f"run.parent.chmod(0); {REFUSED}")
    assert "Permission denied" in error and "--resume" in error
    run.parent.chmod(0o755)
    check_goes_on(wholes, run)


def test_a_folder_that_is_deleted_is_not_made_again(wholes: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert "is gone" in stopped(wholes, run, "shutil.rmtree(run)")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_moved_goes_on_where_it_is_put_back(wholes: Any, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    error = stopped(wholes, run, f"run.rename({str(elsewhere)!r})")
    assert "moved" in error and "--resume" in error
    assert not run.exists()
    elsewhere.rename(run)
    check_goes_on(wholes, run)


def test_another_run_that_took_the_name_is_left_alone(wholes: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    effect = "shutil.rmtree(run); Run.create(run, {**self.settings, 'seed': 1}, Path(__import__('bijectory').__file__))"
    assert "another run's directory" in stopped(wholes, run, effect)
    assert {path.name for path in run.iterdir()} == {"settings.json", "recipe.py", "arrays"}


def test_a_file_in_the_place_of_a_folder(wholes: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    error = stopped(wholes, run, "shutil.rmtree(run / 'arrays'); (run / 'arrays').touch()")
    assert "arrays" in error and "--resume" in error
    (run / "arrays").unlink()
    (run / "arrays").mkdir()
    state, _ = Run.open(run).load_state()
    assert state is not None
    assert int(state["step"]) == 27


# The bar is on, as on a terminal: it is the one part that reads the clock.
JUMPING = """
import itertools, sys, time
import tqdm.std, tqdm._monitor
real, jumps = time.time, itertools.cycle([0.0, 4e8, -4e8, -1e9, 0.0])
time.time = tqdm.std.time = tqdm._monitor.time = lambda: real() + next(jumps)
sys.stderr.isatty = lambda: True
"""


def test_a_clock_that_jumps_changes_nothing(wholes: Any, tmp_path: Path) -> None:
    """The recipe has a limit of an hour, which a jump of years would pass."""
    run = tmp_path / "run"
    code, error = wholes.forks.train(*wholes[NAME].words, "--run", run, first=JUMPING).wait()
    assert code == 0, error
    assert "steps" in error  # the bar was there
    wholes[NAME].check_same(run)
    assert 0 <= float(load_file(run / "state.safetensors")["seconds"]) < 600


def test_nothing_asks_what_time_of_day_it_is() -> None:
    source = Path(bijectory.__file__).parent
    asks = re.compile(r"\btime\.time\(|\bdatetime\.(now|today|utcnow)|\bfrom time import\b")
    assert [path.name for path in source.rglob("*.py") if asks.search(path.read_text(encoding="utf-8"))] == []
