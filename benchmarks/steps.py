"""Row A (training steps a second) and the first half of row F (process start to 2,000 steps), for one library in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clock import BATCH, COUNTED, JAX_PEERS, LONG, OURS, RATE, WARM, Marks, rows, since_start


def measure(library: str, threads: int, whole: bool, check: bool) -> dict[str, Any]:
    """Steps a second; with ``whole`` also the seconds from process start to 2,000 steps; with ``check`` the errors of the trained flow."""
    run = _ours if library in OURS else _jax if library in JAX_PEERS else _torch
    return run(library, threads, LONG if whole else WARM + COUNTED, check)


#: What a training script imports. The names of bijectory and zuko load when first asked for, and nflows' and flowjax's front doors are
#: empty, so that `import …` alone would time nothing.
IMPORTS = {
    "bijectory": "from bijectory import *; import bijectory.training.fit, bijectory.training.objectives.likelihood",
    "zuko": "import zuko, zuko.flows",
    "nflows": "import nflows.flows, nflows.transforms, nflows.distributions",
    "normflows": "import normflows",
    "FrEIA": "import FrEIA.framework, FrEIA.modules",
    "pyro": "import pyro, pyro.distributions.transforms, pyro.nn",
    "flowjax": "import flowjax.flows, flowjax.distributions, flowjax.train",
    "distrax": "import distrax",
}


def _imports(backend: str, library: str) -> float:
    """Seconds that importing the library adds to importing what it stands on."""
    __import__(backend)
    started = time.perf_counter()
    exec(IMPORTS[library], {})
    return time.perf_counter() - started


def _ours(mode: str, threads: int, steps: int, check: bool) -> dict[str, Any]:
    imported = _imports("torch", "bijectory")
    import torch

    from bijectory import initialise, realnvp
    from bijectory.data.batches import Shuffled
    from bijectory.data.splits import Rows
    from bijectory.training.fit import Budget, fit
    from bijectory.training.objectives.likelihood import maximum_likelihood

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.from_numpy(rows("moons"))
    flow = realnvp(2, depth=8, hidden=(64, 64), base="normal", actnorm=False, squash=False)
    initialise(flow, x)
    updates = maximum_likelihood(flow, rate=RATE, average=None, compiled=mode == "compiled")
    batches, marks = Shuffled(Rows(x), BATCH, 0), Marks()

    def marked(step: int) -> Any:
        if step in (1, WARM, WARM + COUNTED):
            marks(step)
        return batches(step)

    built = time.perf_counter()
    fit(updates, marked, budget=Budget(steps=steps, batch=BATCH))
    marks(steps)
    seconds = since_start()
    found = {
        "import": imported,
        "build": marks.at[1] - built,
        "rate": {mode: marks.rate(WARM, WARM + COUNTED)},
        "parameters": sum(p.numel() for p in flow.parameters()),
        "made_of": "realnvp(depth=8, hidden=(64, 64), base='normal', actnorm=False, squash=False) through fit",
    }
    if steps == LONG:
        found["seconds"] = seconds
    if check:
        from correct import torch_errors

        def encode(z: Any) -> Any:
            return flow.transform.forward_and_log_det(z)

        found["errors"] = torch_errors(flow, encode, flow.decode, x[:256])
    return found


def _torch(library: str, threads: int, steps: int, check: bool) -> dict[str, Any]:
    imported = _imports("torch", library)
    import torch
    from torch_peers import AFFINE

    torch.set_num_threads(threads)
    x = torch.from_numpy(rows("moons"))

    def train(fused: bool, steps: int) -> tuple[Any, Marks]:
        torch.manual_seed(0)
        peer, marks = AFFINE[library](), Marks()
        optimizer = torch.optim.Adam(peer.module.parameters(), RATE, **({"fused": True} if fused else {}))
        order = torch.randperm(len(x))
        for step in range(steps):
            if step in (WARM, WARM + COUNTED):
                marks(step)
            start = step * BATCH % (len(x) - BATCH)
            optimizer.zero_grad()
            loss = -peer.log_prob(x[order[start : start + BATCH]]).mean()
            loss.backward()
            optimizer.step()
        marks(steps)
        return peer, marks

    peer, marks = train(True, steps)
    seconds = since_start()
    rate = {"fused": marks.rate(WARM, WARM + COUNTED)}
    rate["default"] = train(False, WARM + COUNTED)[1].rate(WARM, WARM + COUNTED)
    found = {
        "import": imported,
        "rate": rate,
        "parameters": sum(p.numel() for p in peer.module.parameters() if p.requires_grad),
        "made_of": peer.made_of,
    }
    if steps == LONG:
        found["seconds"] = seconds
    if check:
        from correct import torch_errors

        found["errors"] = torch_errors(peer.module, peer.encode, peer.decode, x[:256])
    return found


def _jax(library: str, threads: int, steps: int, check: bool) -> dict[str, Any]:
    imported = _imports("jax", library)
    import jax
    import numpy as np
    import optax
    from jax_peers import AFFINE, step_of

    x, marks = rows("moons"), Marks()
    peer, optimizer = AFFINE[library](), optax.adam(RATE)
    step_once: Callable[[Any, Any, Any], Any] = step_of(peer, optimizer)
    count, params, state = peer.count(), peer.params, optimizer.init(peer.params)
    order = np.random.default_rng(0).permutation(len(x))
    value: Any = None
    built = time.perf_counter()
    for step in range(steps):
        if step in (1, WARM, WARM + COUNTED):
            jax.block_until_ready(value)
            marks(step)
        start = step * BATCH % (len(x) - BATCH)
        params, state, value = step_once(params, state, x[order[start : start + BATCH]])
    jax.block_until_ready((params, value))
    marks(steps)
    seconds = since_start()
    found = {
        "import": imported,
        "build": marks.at[1] - built,
        "rate": {"jit": marks.rate(WARM, WARM + COUNTED)},
        "parameters": count,
        "made_of": peer.made_of,
    }
    if steps == LONG:
        found["seconds"] = seconds
    if check:
        from correct import jax_errors

        found["errors"] = jax_errors(peer, params, x[:256])
    return found
