"""What a person sees while training runs: a bar with nats, bits/dim, steps per second and time left; nothing where nobody looks."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm


class Progress:
    """A bar on a terminal; silent when ``stream`` is none, so that logs and pipes stay clean."""

    def __init__(self, name: str, steps: int, done: int = 0, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.bar: tqdm[Any] = tqdm(
            total=steps,
            initial=done,
            desc=name,
            unit=" steps",
            file=self.stream,
            disable=not self.stream.isatty(),
            dynamic_ncols=True,
        )

    def update(self, step: int, figures: dict[str, str]) -> None:
        """Move the bar to ``step`` and show the figures."""
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix(figures, refresh=True)

    def say(self, message: str) -> None:
        """A line above the bar; on standard error also where there is no bar, since a person must hear of it."""
        self.bar.write(f"bijectory: {message}", file=self.stream)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self.bar.close()
