"""The loop. It counts steps, calls updates, calls evaluators on time, hands rows to ``log``, saves and resumes; nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..errors import CheckpointError, InputError, NonFiniteError
from .compiled import CompiledStep
from .doctor import Fault, diagnose, log_scales
from .ranks import ALONE, Ranks
from .update import Update, apply

#: Lost steps that are walked through again, between two rows of the log.
DIAGNOSED = 3
#: Rows of the log between two looks at the maps' log-scales, each a forward pass of its own.
SCALES_EVERY = 20


@runtime_checkable
class Keeper(Protocol):
    """An evaluator whose memory belongs in a checkpoint."""

    def tensors(self) -> dict[str, Tensor]: ...

    def load(self, tensors: dict[str, Tensor]) -> None: ...


class Evaluator(Protocol):
    """Called with the number of finished steps, every ``every`` steps and at the end; yields scores and pictures."""

    every: int

    def __call__(self, step: int) -> Iterable[Any]: ...


@dataclass(frozen=True)
class Budget:
    """How long to train: ``steps`` of ``batch`` rows; ``seconds`` only caps. ``skips`` is how many steps may be lost to NaN."""

    steps: int
    batch: int
    seconds: float | None = None
    log_every: int = 50
    save_every: int = 1000
    skips: int = 20

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")


class State:
    """Where training stands: everything that a resumed run needs to go on as if nothing had happened."""

    def __init__(self, updates: Sequence[Update], evaluators: Sequence[Evaluator] = ()) -> None:
        self.updates, self.evaluators = list(updates), list(evaluators)
        self.step, self.seconds, self.reason = 0, 0.0, "budget"
        #: Sums of the terms since the last row of the log, and how many steps they hold.
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors: weights, moments, averages, the evaluators' memory, counters, the random stream."""
        found: dict[str, Tensor] = {
            "step": torch.tensor(self.step),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
            "rng": torch.get_rng_state(),
            **{f"sum.{name}": value for name, value in self.sums.items()},
            **{f"count.{name}": torch.tensor(value) for name, value in self.counts.items()},
        }
        for update in self.updates:
            at = f"update.{update.name}"
            found.update({f"{at}.loss.{k}": v for k, v in update.loss.state_dict().items()})
            found[f"{at}.skipped"] = torch.tensor(update.skipped)
            found[f"{at}.lost"] = torch.tensor(update.lost(), dtype=torch.long)
            for index, slots in update.optimizer.state_dict()["state"].items():
                found.update({f"{at}.optimizer.{index}.{k}": v for k, v in slots.items() if isinstance(v, Tensor)})
            if update.ema is not None:
                found.update({f"{at}.ema.{k}": v for k, v in update.ema.tensors().items()})
        for index, evaluator in enumerate(self.evaluators):
            if isinstance(evaluator, Keeper):
                found.update({f"evaluator.{index}.{k}": v for k, v in evaluator.tensors().items()})
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what ``tensors`` gave; shapes and names must agree."""
        self.step, self.seconds = int(tensors["step"]), float(tensors["seconds"])
        torch.set_rng_state(tensors["rng"])
        self.sums = {name: value.clone() for name, value in _below(tensors, "sum.").items()}
        self.counts = {name: int(value) for name, value in _below(tensors, "count.").items()}
        for update in self.updates:
            at = f"update.{update.name}"
            update.loss.load_state_dict(_below(tensors, f"{at}.loss."))
            update.restore_lost(int(tensors[f"{at}.skipped"]), tensors[f"{at}.lost"].tolist())
            slots: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(tensors, f"{at}.optimizer.").items():
                index, _, slot = name.partition(".")
                slots.setdefault(int(index), {})[slot] = tensor
            update.optimizer.load_state_dict({**update.optimizer.state_dict(), "state": slots})
            if update.ema is not None:
                update.ema.load(_below(tensors, f"{at}.ema."))
        for place, evaluator in enumerate(self.evaluators):
            if isinstance(evaluator, Keeper):
                evaluator.load(_below(tensors, f"evaluator.{place}."))

    def add(self, name: str, value: Tensor) -> None:
        """Count a term of one step in; it stays on its device."""
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def take_means(self) -> dict[str, float]:
        """The mean of each term since this was last called."""
        means = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class Averaged:
    """An evaluator that sees the averaged weights of the updates instead of the current ones."""

    def __init__(self, updates: Sequence[Update], evaluator: Evaluator) -> None:
        self.updates, self.evaluator, self.every = list(updates), evaluator, evaluator.every

    def __call__(self, step: int) -> list[Any]:
        with ExitStack() as stack:
            for update in self.updates:
                if update.ema is not None:
                    stack.enter_context(update.ema.applied())
            return list(self.evaluator(step))

    def tensors(self) -> dict[str, Tensor]:
        """The memory of the evaluator inside, if it has one."""
        return self.evaluator.tensors() if isinstance(self.evaluator, Keeper) else {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Hand the memory back to the evaluator inside."""
        if isinstance(self.evaluator, Keeper):
            self.evaluator.load(tensors)


Log = Callable[[int, dict[str, float], list[Any]], None]


def fit(
    updates: Sequence[Update],
    batches: Callable[[int], Batch],
    *,
    budget: Budget,
    evaluators: Sequence[Evaluator] = (),
    log: Log | None = None,
    save: Callable[[State], None] | None = None,
    stop: Callable[[], str | None] | None = None,
    resume: dict[str, Tensor] | None = None,
    ranks: Ranks = ALONE,
) -> State:
    """Train until the budget is spent; return the state.

    At step s (counted from 0) every update whose ``every`` divides s sees ``batches(s)``. ``log(step, terms, results)`` gets
    the mean of each term since the last row and what evaluators yielded. ``save(state)`` is called every
    ``budget.save_every`` steps and at the end. ``stop()`` is asked after every step: where it gives a reason, the state is saved as
    it is and training ends, with that reason in ``state.reason``. ``resume`` takes ``State.tensors()`` of an earlier run with the
    same updates and evaluators. ``ranks`` are the processes that share the work: ``batches`` then gives this one its piece, and
    evaluators, ``log`` and ``save`` belong to rank 0.

    Rows of the log also hold what announces trouble: the gradient's norm, the relative size of the last step (``update_ratio``) and, in
    the first and every twentieth after it, the least and largest log-scale of any map (``log_scale_low``, ``log_scale_high``).

    Raises NonFiniteError when more than ``budget.skips`` steps were lost to gradients that are not finite.
    """
    state = State(updates, evaluators)
    if resume is not None:
        try:
            state.load(resume)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                "the saved state does not fit what the recipe builds now, which has changed since the run began: resume with the "
                f"recipe as it was ({str(error).splitlines()[0][:120]})"
            ) from error
    steps = [_step(update, ranks) for update in state.updates]
    _keep_freed_memory()
    started = time.monotonic() - state.seconds
    while state.step < budget.steps:
        batch = batches(state.step)
        watched = log is not None and (state.step + 1) % budget.log_every == 0
        for update, step in zip(state.updates, steps, strict=True):
            if state.step % update.every == 0:
                before = [p.detach().clone() for p in update.parameters] if watched else None
                for name, value in step(batch, state.step).items():
                    state.add(_label(state, update, name), value.detach())
                if before is not None:
                    signs = {"update_ratio": _ratio(before, update.parameters)}
                    if (state.step + 1) // budget.log_every % SCALES_EVERY == 1:
                        signs |= log_scales(update, batch, state.step)
                    for name, value in signs.items():
                        state.add(_label(state, update, name), value)
        state.step += 1
        state.seconds = time.monotonic() - started
        if budget.seconds is not None and ranks.largest(int(state.seconds >= budget.seconds)):
            state.reason = "seconds"
        last = state.step == budget.steps or state.reason != "budget"
        due = [e for e in state.evaluators if last or state.step % e.every == 0]
        if log is not None and (due or last or state.step % budget.log_every == 0):
            found = _lost(state, batches)
            log(state.step, state.take_means(), [*found, *(result for e in due for result in e(state.step))])
            try:
                _refuse_too_many_skips(state, budget, found)
            except NonFiniteError:
                # The steps that failed changed nothing: what stands here is sound, and the last of it.
                if save is not None:
                    save(state)
                raise
        elif due:
            for evaluator in due:
                list(evaluator(state.step))
        if save is not None and (last or state.step % budget.save_every == 0):
            save(state)
        if last:
            break
        if stop is not None and (reason := stop()) is not None:
            # After everything that belongs to this step: the resumed run repeats none of it and misses none of it.
            state.reason = reason
            if save is not None:
                save(state)
            break
    return state


def _keep_freed_memory() -> None:
    """Have the C library keep what one step frees for the next one, up to 62 MiB, in place of giving it back to the system.

    glibc gives back what is beyond twice the largest mapped piece that was freed so far; in some processes that is less than a step's
    activations. A Glow's step (3×32×32, batch of 32) then met 2,016 fresh pages each time, and 605 pictures a second in place of 665. A
    piece just under the 32 MiB from which on glibc counts none, taken and freed untouched, costs nothing, and elsewhere does nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8, device="cpu")


def _step(update: Update, ranks: Ranks) -> Callable[[Batch, int], dict[str, Tensor]]:
    # A compiled step has its optimiser inside the graph, where no sum over processes can stand between gradient and step.
    return CompiledStep(update) if update.compiled and ranks.size == 1 else partial(apply, update, ranks=ranks)


def _label(state: State, update: Update, name: str) -> str:
    return name if len(state.updates) == 1 else f"{update.name}.{name}"


def _ratio(before: list[Tensor], parameters: list[nn.Parameter]) -> Tensor:
    """How far a step moved the weights, as a part of their own length."""
    now = [p.detach() for p in parameters]
    moved = torch.nn.utils.get_total_norm(torch._foreach_sub(now, before), foreach=True)
    return moved / torch.nn.utils.get_total_norm(now, foreach=True)


def _lost(state: State, batches: Callable[[int], Batch]) -> list[Fault]:
    """A diagnosis of each step lost since the last row of the log; of the first few, where there are many."""
    steps = [(update, step) for update in state.updates for step in update.take_lost()]
    # The rows may be another process's: every one looks at the whole batch.
    whole = getattr(batches, "whole", batches)
    return [diagnose(update, whole(step), step) for update, step in steps[:DIAGNOSED]]


def _refuse_too_many_skips(state: State, budget: Budget, found: list[Fault]) -> None:
    for update in state.updates:
        if update.skipped > budget.skips:
            last = f"; {found[-1]}" if found else ""
            raise NonFiniteError(
                f"update {update.name!r}: the gradient was not finite in {update.skipped} of {state.step} steps, more than the "
                f"{budget.skips} allowed; lower the learning rate, or clip gradients{last}"
            )
