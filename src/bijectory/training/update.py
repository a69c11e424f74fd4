"""One optimiser's step: the only path from a loss to changed weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..transforms.by_hand import by_hand
from .ema import EMA
from .joined import Joined
from .ranks import ALONE, Ranks
from .schedule import Schedule, constant


class Loss(NamedTuple):
    """A scalar to minimise, and named scalars to report."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass
class Update:
    """What is minimised and how: a loss, its optimiser, and all that happens between gradient and step.

    ``loss`` is a module: ``forward(batch, step) -> Loss``, registering only what it trains. ``schedule`` multiplies the optimiser's own
    learning rates. ``every`` k runs the update at steps 0, k, 2k…; ``accumulate`` cuts a batch into parts, whose gradients add up.
    ``joined`` is given where the optimiser's one parameter holds all that the loss trains. ``compiled`` has ``fit`` run the whole
    update as one graph (training/compiled.py): faster steps, after a build of up to a minute.
    """

    name: str
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule = field(default_factory=constant)
    clip: float | None = None
    ema: EMA | None = None
    accumulate: int = 1
    every: int = 1
    joined: Joined | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        #: Steps that changed nothing because their gradient was not finite.
        self.skipped = 0
        self._flags: list[tuple[int, Tensor]] = []
        self._lost: list[int] = []

    def note(self, step: int, bad: Tensor) -> None:
        """Remember whether a step was lost, without waiting for the device to say so."""
        if bad.device.type == "cpu":
            # Known already, and a tensor kept from every step lies where the next step's memory would: in one process of three all of it
            # moved on with each step, through pages that were in no cache yet, and MAF's compiled steps took a third longer.
            if bad:
                self.lose(step)
            return
        self._flags.append((step, bad))
        if len(self._flags) >= 1024:
            self.lost()

    def lose(self, step: int) -> None:
        """Remember a lost step that the host knows of already."""
        self._lost.append(step)

    def lost(self) -> list[int]:
        """The steps lost since they were last taken. The one place that waits for the device."""
        if self._flags:
            bad = torch.stack([flag for _, flag in self._flags]).tolist()
            self._lost += [step for (step, _), is_bad in zip(self._flags, bad, strict=True) if is_bad]
            self._flags = []
        return self._lost

    def take_lost(self) -> list[int]:
        """The same, counted in ``skipped`` and then forgotten."""
        taken, self._lost = self.lost(), []
        self.skipped += len(taken)
        return taken

    def restore_lost(self, skipped: int, lost: list[int]) -> None:
        """Take back what a checkpoint kept."""
        self.skipped, self._flags, self._lost = skipped, [], lost


def apply(update: Update, batch: Batch, step: int, ranks: Ranks = ALONE) -> dict[str, Tensor]:
    """Loss → gradient → sum over processes → finite gate → clip → step → EMA. Returns the named terms, still on their device.

    A loss or gradient that is not finite changes nothing: on an accelerator the fused optimiser reads the flag where it is, so that no step
    waits for the host. ``update.take_lost`` names such steps.
    """
    factor = update.schedule(step)
    for group in update.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    if update.joined is None:
        update.optimizer.zero_grad(set_to_none=True)
    else:
        update.joined.tie()
        update.joined.forget()
    if update.accumulate == 1:
        with by_hand(update.joined):
            loss: Loss = update.loss(batch, step)
        loss.total.backward()
        total, terms = loss.total.detach(), loss.terms
    else:
        total, terms = _accumulate(update, batch, step)
    if update.joined is not None:
        update.joined.gather()
    if ranks.size > 1:
        total, terms = _exchange(update, ranks, batch.share, total, terms)
    gradients = [p.grad for p in update.parameters if p.grad is not None]
    # Of one joined gradient directly: get_total_norm's own bookkeeping took 18 µs, this 5.
    norm = (
        torch.linalg.vector_norm(gradients[0])
        if len(gradients) == 1
        else torch.nn.utils.get_total_norm(gradients, foreach=True)
    )
    if update.clip is not None:
        torch.nn.utils.clip_grads_with_norm_(update.parameters, update.clip, norm, foreach=True)
    _gated_step(update, step, norm, total)
    if update.ema is not None:
        update.ema.update()
    return {**terms, "gradient_norm": norm}


def _gated_step(update: Update, step: int, norm: Tensor, total: Tensor) -> None:
    """The optimiser's step, unless the gradient or the loss is not finite.

    The loss too: a log-det of −inf that no weight moves has a loss of inf and a gradient of 0.
    """
    if norm.device.type == "cpu":
        # Nothing has to be waited for here: the host's own arithmetic takes 1 µs, the tensors' below 30.
        if math.isfinite(norm.item() + total.item()):
            update.optimizer.step()
        else:
            update.lose(step)
        return
    bad = (~torch.isfinite(norm + total)).to(torch.float32)
    update.note(step, bad)
    if update.optimizer.defaults.get("fused"):
        # The flag that GradScaler hands to fused optimisers: where it is 1 the kernel leaves weights and moments alone.
        update.optimizer.found_inf = bad  # type: ignore[attr-defined]
        update.optimizer.grad_scale = None  # type: ignore[attr-defined]
        update.optimizer.step()
    elif not bool(bad):
        update.optimizer.step()


def _exchange(
    update: Update, ranks: Ranks, share: float, total: Tensor, terms: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Gradient, loss and terms of the whole batch from those of each process's ``share`` of it, in one sum.

    From here on all processes compute with the same bits, so that gate, clip and step need no further word between them.
    """
    gradients = []
    for parameter in update.parameters:
        if parameter.grad is None:
            # Another process may have one: all must hand over vectors of the same length.
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    figures = torch.stack([total, *(value.detach() for value in terms.values())])
    whole = ranks.sum_(torch.cat([*(g.reshape(-1) for g in gradients), figures.to(gradients[0].dtype)]) * share)
    *pieces, figures = whole.split([*(g.numel() for g in gradients), len(figures)])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))
    return figures[0], dict(zip(terms, figures[1:], strict=True))


def _accumulate(update: Update, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its terms; the gradients of the parts add up to that of the whole batch's mean."""
    whole = torch.zeros((), device=batch.x.device)
    terms: dict[str, Tensor] = {}
    for index in range(update.accumulate):
        part = batch.part(index, update.accumulate)
        share = len(part.x) / len(batch.x)
        with by_hand(update.joined):
            loss: Loss = update.loss(part, step)
        (loss.total * share).backward()
        whole = whole + loss.total.detach() * share
        for name, value in loss.terms.items():
            terms[name] = terms.get(name, 0.0) + value.detach() * share
    return whole, terms
