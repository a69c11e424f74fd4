"""Several processes that train one model: each takes its piece of every batch, and all hold the same weights.

torchrun starts them and says through the environment who each one is. What they exchange is one sum a step, of the joined gradient and
the terms beside it: what DistributedDataParallel would do with one bucket, without its hooks on the model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import InputError, RankLostError

#: How long a process waits for another: rank 0 looks at the model and saves it while the others wait at the next step.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process's number among ``size``. Alone, every exchange gives back what it was handed."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one process that looks, logs and saves."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add ``tensor`` up over the processes, in place: every one gets the same bits."""
        if self.size > 1:
            with _others():
                dist.all_reduce(tensor)
        return tensor

    def receive_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite these tensors by those of rank 0."""
        if self.size > 1:
            with _others(), torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers, known to all of them."""
        if self.size == 1:
            return number
        found = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        with _others():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def wait(self) -> None:
        """Until every process is here. One that ends early would have torchrun end the others, whatever they are still writing."""
        self.largest(0)


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """This process's place among those that torchrun started; ``ALONE`` where it started none.

    Raises InputError for an environment that torchrun would not have made.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        yield ALONE
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not size.isdigit():
        raise InputError(
            f"WORLD_SIZE: is {size!r}, but {', '.join(missing) or 'it is no number'}; start several processes with "
            "`torchrun --nproc-per-node N -m bijectory train …`, or unset WORLD_SIZE"
        )
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # gloo notices at once that a connection is gone; what became of the other process, that process has said itself.
        raise RankLostError(
            f"another process of this job has ended ({str(error).splitlines()[0][:120]}); its own message says why, and the last saved "
            "state is whole: start the job again with --resume, with as many processes as you like"
        ) from error
