"""Row E: what a training step of row D's Glow holds, and what rebuilding activations costs in time.

Bytes are counted by the profiler at every allocation and deallocation of torch's own, from the start of the process: the most that was held
within the third step, less weights, their gradients, the optimiser's state and the batch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clock import RATE
from pictures import BATCH, SIZE, ours, peer_step

MIB = 2**20
#: Depths of which the time is measured, and steps of one turn.
PACED, TURN = (4, 32), 2


def measure(library: str, depth: int, threads: int) -> dict[str, Any]:
    """MiB of the third step; beside it how far the process grows in another one, gradients left out of both."""
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        step, module, optimizer, x = _built(library, depth)
        step()
        step()
        with record_function("third step"):
            step()
    weights = [p for p in module.parameters() if p.requires_grad]
    fixed = [p for p in module.parameters() if not p.requires_grad] + list(module.buffers())
    slots = [slot for state in optimizer.state.values() for slot in state.values() if isinstance(slot, torch.Tensor)]
    trained = _bytes(weights)
    held = {"weights": trained + _bytes(fixed), "gradients": trained, "optimiser": _bytes(slots), "batch": _bytes([x])}
    peak = _peak(watched)
    del watched
    resident = _resident(step, optimizer, weights) - trained
    return {
        "mib": (peak - sum(held.values())) / MIB,
        "peak": peak / MIB,
        "resident": resident / MIB,
        "parameters": sum(p.numel() for p in weights),
        **{name: size / MIB for name, size in held.items()},
    }


def pace(threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of a step that rebuilds over one that keeps, turn by turn, of the same flow."""
    import torch

    import bijectory

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    found: dict[str, Any] = {"ratios": {}, "plain": {}}
    for depth in PACED:
        step, flow, _, _ = _built("plain", depth)

        def turn(memory: str, step: Callable[[], None] = step, flow: Any = flow) -> float:
            bijectory.set_memory(flow, memory)
            started = time.perf_counter()
            for _ in range(TURN):
                step()
            return (time.perf_counter() - started) / TURN

        pairs = [(turn("plain"), turn("rebuild")) for _ in range(rounds + 1)][1:]
        found["ratios"][str(depth)] = [rebuilt / plain for plain, rebuilt in pairs]
        found["plain"][str(depth)] = statistics.median(plain for plain, _ in pairs)
    return found


def _built(library: str, depth: int) -> tuple[Callable[[], None], Any, Any, Any]:
    """A step, the module, its optimiser and the batch."""
    import torch

    x = torch.rand(BATCH, 3, SIZE, SIZE)
    if library in ("plain", "rebuild"):
        import bijectory
        from bijectory.data.batches import Batch
        from bijectory.training.objectives.likelihood import maximum_likelihood
        from bijectory.training.update import apply

        flow = ours(SIZE, depth, x)
        bijectory.set_memory(flow, library)
        (update,) = maximum_likelihood(flow, rate=RATE, average=None)
        batch = Batch(x, None, torch.arange(BATCH))

        def step() -> None:
            apply(update, batch, 0)

        return step, flow, update.optimizer, x
    from picture_peers import GLOW

    peer = GLOW[library](SIZE, depth)
    peer.module.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(peer.module.parameters(), RATE, fused=True)
    return peer_step(peer.log_prob, optimizer, x), peer.module, optimizer, x


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak(watched: Any) -> int:
    """The most bytes held at once within the third step."""
    events = list(watched.profiler.kineto_results.events())
    (third,) = (event for event in events if event.name() == "third step")
    first, last = third.start_ns(), third.start_ns() + third.duration_ns()
    return max(held for when, held in _running(events) if first <= when <= last)


def _running(events: Any) -> Iterator[tuple[int, int]]:
    """Nanoseconds and bytes held, allocation by allocation."""
    held = 0
    # By time alone: events of the same nanosecond keep the order in which they were recorded.
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        yield event.start_ns(), held


def _resident(step: Callable[[], None], optimizer: Any, weights: Any) -> int:
    """How far the process grows in one more step, seen by the kernel: a check on the count, which misses what is not torch's own."""
    import ctypes
    import gc

    optimizer.zero_grad()
    for weight in weights:
        weight.grad = None
    gc.collect()
    # What earlier steps left with the allocator would hide this one's growth.
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
