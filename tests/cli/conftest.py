"""A finished run, made once, and a way to call the command: in this process, where importing torch is paid once."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from bijectory.cli.main import main

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``bijectory words…`` through the same door as the console script; a traceback would come out as an exception."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["bijectory", *map(str, words)]),
        pytest.raises(SystemExit) as left,
    ):
        main()
    return subprocess.CompletedProcess(list(words), int(left.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command() -> Command:
    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "smoke"
    done = call("train", "smiley_mixture_cdf", "smoke=true", "--run", run)
    assert done.returncode == 0, done.stderr
    return run
