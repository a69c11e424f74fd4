"""Signals that ask a run to stop: the step in progress is finished, and the run saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from ..errors import RankLostError

#: What a process manager, a terminal and a closing session send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within this block the first SIGINT or SIGTERM is remembered instead of obeyed; a second one acts at once.

    ``signal`` is the one that came, or None. Signals reach the main thread alone: elsewhere the block does nothing.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # torchrun sends the survivors of a dead process SIGTERM within a tenth of a second. Obeyed between here and the command line, it
        # would end this one before it had said what happened and how to go on; there is nothing else left for it to do.
        if not isinstance(error, RankLostError):
            self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
