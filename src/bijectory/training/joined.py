"""Many parameters laid out in one tensor, so that gate, clip, optimiser and average are one operation each."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..errors import InputError


class Joined:
    """``whole``, one parameter for the optimiser, of which the ``parts`` (the model's own parameters) are views.

    With 48 small tensors on the CPU a fused AdamW step takes 0.8 ms, most of it bookkeeping; with one it takes 0.1 ms, out of 3 to 4
    for all of a small flow's step. Adam and its kin work number by number, so joining changes nothing that they compute; an optimiser
    that looks at shapes (Muon, Shampoo) needs the parts. A part that a step does not touch has gradient 0, not none.

    Raises InputError for no parameters, or for several dtypes or devices: FSDP and mixed models keep their parts.

    >>> model = nn.Linear(2, 3)
    >>> Joined(model.parameters()).whole.shape
    torch.Size([9])
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parts = list(parameters)
        kinds = sorted({f"{part.dtype} on {part.device}" for part in self.parts})
        if len(kinds) != 1:
            raise InputError(f"parameters: expected some, of one dtype and on one device, got {kinds}")
        self.shapes = [part.shape for part in self.parts]
        self.sizes = [part.numel() for part in self.parts]
        self.whole = nn.Parameter(torch.cat([part.detach().reshape(-1) for part in self.parts]))
        self._tie()

    def _tie(self) -> None:
        views = zip(self.parts, self.whole.detach().split(self.sizes), self.shapes, strict=True)
        for part, piece, shape in views:
            part.data = piece.view(shape)
        self._addresses = [part.data_ptr() for part in self.parts]

    def tie(self) -> None:
        """Make the parts views again where they have moved: model.double() followed by .float() gives every one a storage of its own."""
        if [part.data_ptr() for part in self.parts] == self._addresses:
            return
        moved = sorted(
            {f"{p.dtype} on {p.device}" for p in self.parts} - {f"{self.whole.dtype} on {self.whole.device}"}
        )
        if moved:
            raise InputError(
                f"parameters: expected {self.whole.dtype} on {self.whole.device} as when training was set up, got {moved}; "
                "move the model before making its updates"
            )
        with torch.no_grad():
            self.whole.copy_(torch.cat([part.detach().reshape(-1) for part in self.parts]))
        self._tie()

    def forget(self) -> None:
        """Drop all gradients, so that the next backward pass need not add to them."""
        self.whole.grad = None
        for part in self.parts:
            part.grad = None

    def gather(self) -> None:
        """Lay the gradients of the parts out as that of the whole, beside what a gradient written by hand has put there itself."""
        if all(part.grad is None for part in self.parts) and self.whole.grad is not None:
            return
        gradient = torch.cat(
            [torch.zeros_like(part).reshape(-1) if part.grad is None else part.grad.reshape(-1) for part in self.parts]
        )
        self.whole.grad = gradient if self.whole.grad is None else gradient + self.whole.grad
