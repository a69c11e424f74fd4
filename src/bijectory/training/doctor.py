"""Where a step that was lost to NaN or infinity went wrong: which part of the model, and which rows of the data.

The loop does not look at every step: the finite flag stays on the device until the next row of the log. Because a batch is a function of
its step, the lost one can be made again then and walked through slowly, whether the step itself was eager or compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from ..data.batches import Batch
from ..transforms.base import Chain, Transform
from .update import Loss, Update

#: Row numbers named at most, and rows of a batch on which log-scales are looked at.
NAMED, WATCHED_ROWS = 10, 64


@dataclass(frozen=True)
class Fault:
    """A lost step: ``part`` is the path of the module, parameter or data in which the first number that is not finite arose."""

    step: int
    update: str
    part: str
    what: str
    rows: tuple[int, ...]

    def __str__(self) -> str:
        rows = f", training rows {', '.join(map(str, self.rows))}" if self.rows else ""
        return f"step {self.step} of update {self.update!r} was not applied: {self.what} in {self.part}{rows}"

    def as_dict(self) -> dict[str, Any]:
        """For metrics.jsonl."""
        return asdict(self)


@dataclass
class _Seen:
    """One call of one module: its path, what went in, and what came out."""

    path: str
    inputs: list[Tensor]
    outputs: list[Tensor]


def diagnose(update: Update, batch: Batch, step: int) -> Fault:
    """Repeat a lost step without applying it, and say where its first number that is not finite arose.

    Looks at the data, the parameters, the modules' values (log-dets among them) in the order in which they are computed, and the
    gradients from the loss backwards. Weights and gradients are left as they are.
    """
    if bool((bad := _bad_rows([batch.x, *([] if batch.context is None else [batch.context])])).any()):
        return _fault(update, step, "the data", "a value that is not finite", batch, bad)
    for name, parameter in update.loss.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return _fault(update, step, name, "a weight that is not finite", batch, None)
    seen: list[_Seen] = []
    with _watched(update.loss, seen), torch.enable_grad():
        loss: Loss = update.loss(batch, step)
        for one in seen:
            if _all_finite(one.inputs) and not _all_finite(one.outputs):
                bad = _bad_rows([t for t in one.outputs if t.dim() and len(t) == len(batch.x)])
                return _fault(update, step, one.path, "a value that is not finite", batch, bad)
        if not bool(torch.isfinite(loss.total)):
            return _fault(update, step, "the loss", "a value that is not finite", batch, None)
        return _in_gradients(update, step, batch, loss.total, seen)


def log_scales(update: Update, batch: Batch, step: int) -> dict[str, Tensor]:
    """The least and the largest log-scale that any map gives any of the first rows of a batch; nothing for a model without maps.

    A map's log-scale is its log-det per number of the event, the mean of log dz/dx: it wanders off long before a density overflows.
    """
    maps = [
        module for module in update.loss.modules() if isinstance(module, Transform) and not isinstance(module, Chain)
    ]
    if not maps:
        return {}
    seen: list[_Seen] = []
    few = batch.part(0, max(1, len(batch.x) // WATCHED_ROWS))
    device = few.x.device
    # Random numbers that the look itself draws must not change the run.
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with ExitStack() as stack, forked, torch.no_grad():
        for module in maps:
            stack.enter_context(_watched_map("", module, seen))
        update.loss(few, step)
    if not seen:
        # The only maps estimate their log-dets, by a method of their own: one draw of it would be no scale.
        return {}
    scales = [log_det.float() * (log_det.numel() / z.numel()) for z, log_det in (one.outputs for one in seen)]
    return {
        "log_scale_low": torch.stack([s.amin() for s in scales]).amin(),
        "log_scale_high": torch.stack([s.amax() for s in scales]).amax(),
    }


def _in_gradients(update: Update, step: int, batch: Batch, total: Tensor, seen: list[_Seen]) -> Fault:
    watched = [(one, t) for one in seen for t in one.inputs + one.outputs if t.requires_grad]
    tensors = [t for _, t in watched]
    names, parameters = zip(*update.loss.named_parameters(), strict=True)
    gradients = torch.autograd.grad(total, [*tensors, *parameters], allow_unused=True)
    of = {id(t): g for t, g in zip(tensors, gradients, strict=False) if g is not None}
    # Backwards through the calls: the innermost one whose outputs have finite gradients and whose inputs have not.
    for _, one in sorted(enumerate(seen), key=lambda call: (-call[1].path.count("."), -call[0])):
        outgoing = [of[id(t)] for t in one.outputs if id(t) in of]
        incoming = [of[id(t)] for t in one.inputs if id(t) in of]
        if outgoing and _all_finite(outgoing) and incoming and not _all_finite(incoming):
            bad = _bad_rows([g for g in incoming if g.dim() and len(g) == len(batch.x)])
            return _fault(update, step, one.path, "a gradient that is not finite", batch, bad)
    for name, gradient in zip(names, gradients[len(tensors) :], strict=True):
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            return _fault(update, step, name, "a gradient that is not finite", batch, None)
    note = "something that the present weights no longer show (they have moved on since)"
    return _fault(update, step, "the batch", note, batch, None)


def _fault(update: Update, step: int, part: str, what: str, batch: Batch, bad: Tensor | None) -> Fault:
    rows = () if bad is None else tuple(batch.rows[bad][:NAMED].tolist())
    return Fault(step, update.name, part.removeprefix("model."), what, rows)


def _all_finite(tensors: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in tensors)


def _bad_rows(tensors: list[Tensor]) -> Tensor:
    if not tensors:
        return torch.zeros(0, dtype=torch.bool)
    return torch.stack([(~torch.isfinite(t)).reshape(len(t), -1).any(1) for t in tensors]).any(0)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        # Inside torch.func, as where a Jacobian is formed, values are wrapped and mean nothing once the call is over.
        return [value] if value.is_floating_point() and not is_functorch_wrapped_tensor(value) else []
    return [t for part in value for t in _tensors(part)] if isinstance(value, tuple | list) else []


@contextmanager
def _watched(loss: nn.Module, seen: list[_Seen]) -> Iterator[None]:
    """Note every call of every module below ``loss``; a map is called by its own method, which no hook of torch's sees."""
    with ExitStack() as stack:
        for path, module in loss.named_modules():
            if isinstance(module, Transform):
                stack.enter_context(_watched_map(path, module, seen))
            elif path:
                handle = module.register_forward_hook(_hook(path, seen))
                stack.callback(handle.remove)
        yield


def _hook(path: str, seen: list[_Seen]) -> Any:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append(_Seen(path, _tensors(inputs), _tensors(output)))

    return note


@contextmanager
def _watched_map(path: str, transform: Transform, seen: list[_Seen]) -> Iterator[None]:
    method = transform.forward_and_log_det

    def noted(x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = method(x, context)
        seen.append(_Seen(path, _tensors((x, context)) if context is not None else [x], [z, log_det]))
        return z, log_det

    object.__setattr__(transform, "forward_and_log_det", noted)
    try:
        yield
    finally:
        object.__delattr__(transform, "forward_and_log_det")
