"""A finished run, made once, and a way to call the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*words: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """``bijectory words…`` in a process of its own, as a person would."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, "-m", "bijectory", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="session")
def command() -> Command:
    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "smoke"
    done = call("train", "smiley_mixture_cdf", "smoke=true", "--run", run)
    assert done.returncode == 0, done.stderr
    return run
