"""Row D: Glow over 3×32×32 at L = 3, K = 4, 64 filters, batches of 32: pictures a second, trained and sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clock import OURS, RATE
from vectors import fitted, rate_of

SIZE, BATCH, DEPTH, HIDDEN = 32, 32, 4, 64
#: Our own steps are counted between these.
FIRST, LAST = 5, 35
#: How peers are run: torch's own memory layout, channels last, and that by torch.compile.
PEER_MODES = ("channels first", "channels last", "compiled")
#: Sides of the pictures whose Jacobian is formed whole, and how many.
SMALL, CHECKED = 8, 2


def measure(library: str, threads: int, check: bool, mode: str | None) -> dict[str, Any]:
    """Pictures a second, a peer's in one of ``PEER_MODES``; with ``check`` the errors of the same flow on small pictures first."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.rand(BATCH, 3, SIZE, SIZE)
    errors = {"errors": _errors(library)} if check else {}
    return errors | (_ours(library, x) if mode is None else _peer(library, x, mode))


def _ours(library: str, x: Any) -> dict[str, Any]:
    """Through ``fit``, pictures from a frozen copy; compiled, the whole step is one graph, and so is what turns latents into pictures."""
    import torch

    import bijectory

    flow = ours(SIZE, DEPTH, x)
    train = fitted(flow, x, BATCH, library == "compiled", FIRST, LAST)
    held = bijectory.frozen(flow)
    decode = bijectory.compiled(held.decode) if library == "compiled" else held.decode
    return {
        "made_of": f"glow((3, 32, 32), scales=3, depth={DEPTH}, hidden={HIDDEN}, squash=False, split_prior=False) through fit; "
        "sampled frozen",
        "parameters": sum(p.numel() for p in flow.parameters()),
        "train": {library: BATCH * train},
        "sample": {library: BATCH * _rate(lambda: decode(torch.randn(x.shape)), without_gradient=True)},
    }


def _peer(library: str, x: Any, mode: str) -> dict[str, Any]:
    """As the library comes, in torch's memory layout or channels last; or compiled, where that works."""
    import torch
    from picture_peers import GLOW

    peer = GLOW[library](SIZE, DEPTH)
    module = peer.module
    found: dict[str, Any] = {"made_of": peer.made_of, "train": {}, "sample": {}, "refused": {}}
    found["parameters"] = sum(p.numel() for p in module.parameters() if p.requires_grad)
    optimizer = torch.optim.Adam(module.parameters(), RATE, fused=True)
    laid = torch.contiguous_format if mode == "channels first" else torch.channels_last
    module.to(memory_format=laid)
    batch = x.contiguous(memory_format=laid)
    log_prob, sample = peer.log_prob, peer.sample
    if mode == "compiled":
        log_prob, sample = torch.compile(log_prob), torch.compile(sample)
    try:
        module.train()
        found["train"][mode] = BATCH * _rate(peer_step(log_prob, optimizer, batch))
        module.eval()
        found["sample"][mode] = BATCH * _rate(lambda: sample(BATCH), without_gradient=True)
    except Exception as error:
        if mode != "compiled":
            raise
        found["refused"][mode] = f"{type(error).__name__}: {error}"[:300]
    return found


def ours(size: int, depth: int, x: Any) -> Any:
    """Our flow, its constants set from a batch as the peers' ActNorm sets its own."""
    import bijectory

    # No peer has a split prior, nor reads what is far from the data otherwise: the same work for all.
    flow = bijectory.glow((3, size, size), scales=3, depth=depth, hidden=HIDDEN, squash=False, split_prior=False)
    bijectory.initialise(flow, x)
    return flow


def peer_step(log_prob: Callable[[Any], Any], optimizer: Any, x: Any) -> Callable[[], None]:
    """A training step as the libraries' documentation shows it."""

    def step() -> None:
        optimizer.zero_grad()
        (-log_prob(x).mean()).backward()
        optimizer.step()

    return step


def _rate(call: Callable[[], Any], *, without_gradient: bool = False) -> float:
    import torch

    with torch.set_grad_enabled(not without_gradient):
        # The first calls compile, and choose kernels: however long they take, none of them counts.
        for _ in range(3):
            call()
        return rate_of(call, warm=0)


def _errors(library: str) -> dict[str, float]:
    """Of the same flow on pictures small enough for their Jacobian; every weight is moved first, since networks at zero hide faults."""
    import torch
    from correct import torch_errors

    x = torch.rand(64, 3, SMALL, SMALL)
    if library in OURS:
        module = ours(SMALL, DEPTH, x)

        def encode(x: Any) -> tuple[Any, Any]:
            return module.transform.forward_and_log_det(x)

        decode = module.decode
    else:
        from picture_peers import GLOW

        peer = GLOW[library](SMALL, DEPTH)
        module, encode, decode = peer.module, peer.encode, peer.decode
        peer.log_prob(x)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn_like(parameter)
    return torch_errors(module, encode, decode, x[:CHECKED])
