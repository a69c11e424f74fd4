"""Rows B and C: NSF at D = 8 and MAF at D = 21 and 64, five layers of 2 × 128: training steps, log-densities and samples a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clock import JAX_PEERS, RATE, WINDOW, Marks, next_turn

#: Features, rows of a training batch, rows of one call for a log-density, rows of each call for samples.
SIZES = {"nsf": (8, 512, 10_000, (10_000,)), "maf": (21, 512, 10_000, (10_000,)), "maf64": (64, 0, 0, (1_000, 10_000))}
SECONDS, WARM = 2.0, 5
#: A log-density of many rows is taken at once and in pieces of so many, of which a processor's cache holds a layer; the better counts.
PIECE = 2_000
#: Our own steps are counted between these: some two seconds, as of the peers. In the first second after compiling they came out up to a
#: half slower, and differed by as much from one process to the next.
FIRST, LAST = 100, 500


def measure(library: str, row: str, threads: int) -> dict[str, Any]:
    """Calls a second of each kind, by the median call."""
    run = _jax if library in JAX_PEERS else _torch
    return run(library, row, threads)


def rate_of(call: Callable[[], Any], *, warm: int = WARM, seconds: float = SECONDS) -> float:
    """Calls a second over at least two calls and ``seconds``, in turns of a part of that with the other processes of the round."""
    started = time.perf_counter()
    for _ in range(warm):
        call()
        if time.perf_counter() - started > seconds:
            break
    count, spent = 0, 0.0
    while count < 2 or spent < seconds:
        next_turn()
        started = time.perf_counter()
        while (turn := time.perf_counter() - started) < WINDOW:
            call()
            count += 1
        spent += turn
        if spent > 5 * seconds:
            break
    return count / spent


def _torch(library: str, row: str, threads: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    features, batch, rows, draws = SIZES[row]
    x = torch.randn(max(batch, rows, 1), features)
    found: dict[str, Any] = {}
    kind = row.removesuffix("64")
    if library in ("eager", "compiled"):
        import bijectory

        flow = {"nsf": bijectory.nsf, "maf": bijectory.maf}[kind](features, linear="none")
        module = flow
        found["made_of"] = f"{kind}({features}, linear='none'), through fit; used frozen"
        if batch:
            found["steps"] = fitted(flow, x, batch, library == "compiled")
        held = bijectory.frozen(flow)
        log_prob, decode = held.log_prob, held.decode
        if library == "compiled" and rows:
            # For each count of rows anew, as jax.jit does it: for any count it is 0.97 times as fast.
            log_prob = bijectory.compiled(held.log_prob)
    else:
        from vector_peers import VECTORS

        peer = VECTORS[kind][library](features)
        module, log_prob, decode, found["made_of"] = peer.module, peer.log_prob, peer.decode, peer.made_of
        if batch:
            optimizer = torch.optim.Adam(module.parameters(), RATE, fused=True)

            def step() -> None:
                optimizer.zero_grad()
                (-log_prob(x[:batch]).mean()).backward()
                optimizer.step()

            found["steps"] = rate_of(step, warm=20)
    found["parameters"] = sum(p.numel() for p in module.parameters() if p.requires_grad)
    with torch.no_grad():
        if rows:
            # Clones here and below: pyro remembers the last x and what it came to.
            ways = (lambda: log_prob(x.clone()), lambda: torch.cat([log_prob(part.clone()) for part in x.split(PIECE)]))
            found["log_prob"] = max(rate_of(way) for way in ways)
        for count_of in draws:
            z = torch.randn(count_of, features)
            found[f"sample {count_of}"] = rate_of(lambda z=z: decode(z.clone()))
    return found


def fitted(flow: Any, x: Any, batch: int, compiled: bool, first: int = FIRST, last: int = LAST) -> float:
    """Steps a second of ``fit`` between two of them, after those that compile."""
    from bijectory.data.batches import Shuffled
    from bijectory.data.splits import Rows
    from bijectory.training.fit import Budget, fit
    from bijectory.training.objectives.likelihood import maximum_likelihood

    updates = maximum_likelihood(flow, rate=RATE, average=None, compiled=compiled)
    batches, marks = Shuffled(Rows(x), batch, 0), Marks()

    def marked(step: int) -> Any:
        if step >= first:
            marks.hand_on(now=step == first)
        marks(step)
        return batches(step)

    fit(updates, marked, budget=Budget(steps=last, batch=batch))
    return marks.rate(first, last - 1)


def _jax(library: str, row: str, threads: int) -> dict[str, Any]:
    import jax
    import numpy as np
    import optax
    from jax_peers import step_of
    from jax_vectors import VECTORS

    features, batch, rows, draws = SIZES[row]
    peer = VECTORS[row.removesuffix("64")][library](features)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((max(batch, rows, 1), features), dtype=np.float32)
    found: dict[str, Any] = {"made_of": peer.made_of, "parameters": peer.count()}
    if batch:
        optimizer = optax.adam(RATE)
        params = jax.tree_util.tree_map(lambda leaf: leaf.copy(), peer.params)
        held = [params, optimizer.init(peer.params)]
        once, cut = step_of(peer, optimizer), x[:batch]

        def step() -> None:
            held[0], held[1], value = once(held[0], held[1], cut)
            jax.block_until_ready(value)

        found["steps"] = rate_of(step, warm=20)
    if rows:
        density = jax.jit(peer.log_prob)
        pieces = np.split(x, len(x) // PIECE)
        ways = (
            lambda: jax.block_until_ready(density(peer.params, x)),
            lambda: jax.block_until_ready([density(peer.params, part) for part in pieces]),
        )
        found["log_prob"] = max(rate_of(way) for way in ways)
    decode = jax.jit(peer.decode)
    for count_of in draws:
        z = rng.standard_normal((count_of, features), dtype=np.float32)
        found[f"sample {count_of}"] = rate_of(lambda z=z: jax.block_until_ready(decode(peer.params, z)))
    return found
