"""What the loop's guards cost a training step: ``fit`` against the shortest loop that trains the same flow, in turn within one process.

The guards are all that the short loop leaves out: the finite gate, the gradient's norm, terms summed for the log, lost steps noted, update
ratios and log-scales looked at every 50 and 1,000 steps, the question for signals and the clock, and a 1,000th of saving a state.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clock import BATCH, RATE, rows

#: Steps a turn, twenty rows of the log; turns a round; steps between two saved states.
TURN, TURNS, SAVED = 1000, 3, 1000


def measure(threads: int, rounds: int) -> dict[str, Any]:
    """Median and range over rounds of guarded seconds over bare seconds, minus 1, for eager and compiled steps."""
    import torch

    torch.set_num_threads(threads)
    return {mode: _compare(mode == "compiled", rounds) for mode in ("eager", "compiled")}


def _compare(compiled: bool, rounds: int) -> dict[str, Any]:
    bare, guarded = _bare(compiled), _guarded(compiled)
    for turn in (bare, guarded):
        turn(TURN)
    pairs = [(_time(bare), _time(guarded)) for _ in range(rounds * TURNS)]
    shares = [b / a - 1 for a, b in pairs]
    low, middle, high = statistics.quantiles(shares, n=4)
    step = statistics.median(a for a, _ in pairs) / TURN
    saving = guarded.saving / SAVED / step
    return {"cost": middle + saving, "quartiles": [low + saving, high + saving], "saving": saving, "bare_step": step}


def _time(turn: Callable[[int], None]) -> float:
    started = time.perf_counter()
    turn(TURN)
    return time.perf_counter() - started


def _parts() -> tuple[Any, Any]:
    import torch

    from bijectory import initialise, realnvp
    from bijectory.data.batches import Shuffled
    from bijectory.data.splits import Rows
    from bijectory.training.objectives.likelihood import maximum_likelihood

    torch.manual_seed(0)
    x = torch.from_numpy(rows("moons"))
    flow = realnvp(2, depth=8, hidden=(64, 64), base="normal", actnorm=False, squash=False)
    initialise(flow, x)
    return maximum_likelihood(flow, rate=RATE)[0], Shuffled(Rows(x), BATCH, 0)


def _guarded(compiled: bool) -> Any:
    import bijectory.training.fit as loop
    from bijectory.training.checkpoint import write_tensors
    from bijectory.training.compiled import CompiledStep
    from bijectory.training.interrupt import Interruption

    update, batches = _parts()
    if compiled:
        built = CompiledStep(update)
        loop._step = lambda update, ranks: built

    def turn(steps: int) -> None:
        with Interruption() as interruption:
            state = loop.fit(
                [update],
                batches,
                budget=loop.Budget(steps=steps, batch=BATCH),
                log=lambda step, terms, results: None,
                stop=lambda: None if interruption.signal is None else "signal",
            )
        if not hasattr(turn, "saving"):
            turn.saving = statistics.median(save(state) for _ in range(5))  # type: ignore[attr-defined]

    def save(state: Any) -> float:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            write_tensors(Path(folder) / "state.safetensors", state.tensors())
            return time.perf_counter() - started

    return turn


def _bare(compiled: bool) -> Callable[[int], None]:
    from bijectory.training.compiled import CompiledStep
    from bijectory.transforms.by_hand import by_hand

    update, batches = _parts()

    def eager(step: int) -> None:
        update.joined.tie()
        update.joined.forget()
        with by_hand(update.joined):
            update.loss(batches(step), step).total.backward()
        update.joined.gather()
        update.optimizer.step()
        update.ema.update()

    one = eager
    if compiled:
        whole = _Unguarded.of(CompiledStep)(update)

        def one(step: int) -> None:
            whole(batches(step), step)

    def turn(steps: int) -> None:
        for step in range(steps):
            one(step)

    return turn


class _Unguarded:
    """The compiled step without its gate and norm."""

    @staticmethod
    def of(compiled_step: type) -> type:
        """A subclass; ``fit``'s own class is final everywhere but here."""
        import torch
        from torch.func import functional_call

        class Unguarded(compiled_step):  # type: ignore[misc, valid-type]
            def _whole(self, weights, first, second, count, shadow, settings, batch):  # type: ignore[no-untyped-def]
                rate, keep = settings[0], settings[1]
                beta1, beta2 = self.betas

                def total(whole):  # type: ignore[no-untyped-def]
                    parts = zip(self.names, whole.split(self.joined.sizes), self.joined.shapes, strict=True)
                    named = {name: part.view(shape) for name, part, shape in parts}
                    return functional_call(self.update.loss, named, (batch, 0)).total

                gradient = torch.func.grad(total)(weights)
                count.add_(1)
                rise, per_root = 1 - beta1**count, torch.rsqrt(1 - beta2**count)
                first.copy_(torch.lerp(first, gradient, 1 - beta1))
                second.copy_(beta2 * second + (1 - beta2) * gradient * gradient)
                weights.sub_((rate / rise) * first / (torch.sqrt(second) * per_root + self.epsilon))
                shadow.copy_(torch.lerp(weights, shadow, keep))
                return {"lost": torch.zeros(())}

        return Unguarded
