"""Invertible convolutions of pictures."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, InverseError
from ..numerics.determinant import log_abs_det
from ..numerics.tracing import traced
from .base import DataInitialised, Transform
from .normalise import ActNorm
from .reversible import backward

Mixing = Literal["lu", "plain"]


class Conv1x1(Transform, DataInitialised):
    """z_{:,h,w} = W x_{:,h,w} at every place of a picture (C, H, W): a trained permutation of channels, a random rotation at first.

        log|det ∂z/∂x| = H · W · log|det W|

    ``mixing="lu"`` trains W = P L (U + diag(s)), with P and the signs of s fixed and log|s| within ``bound`` of where it started, so that
    no weights make it singular; its log-det is a sum. "plain" trains the entries of W, whose log-det is a factorisation: C³ once a
    batch, and only the likelihood, which falls without limit beside a singular W, keeps it invertible. Log-det and inverse are
    computed in at least float32, whatever a network around them runs in; the inverse in float64 where the device has it.

    With ``actnorm`` an ActNorm of each channel stands in front and shares the product, z = W ((x + b) · exp(a)): shift and scale start from
    mean 0 and deviation 1 on one batch when ``initialise`` is called.

    Raises InputError for fewer than two channels or another ``mixing``, InverseError where a plain W became singular.
    Source: Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039), section 3.2. Differs: s is bounded.

    >>> import torch
    >>> layer = Conv1x1(4)
    >>> z, log_det = layer.forward_and_log_det(torch.randn(3, 4, 8, 8))
    >>> z.shape, log_det.abs().max() < 1e-3
    (torch.Size([3, 4, 8, 8]), tensor(True))
    """

    event_dim_in = event_dim_out = 3

    def __init__(self, channels: int, *, mixing: Mixing = "lu", bound: float = 3.0, actnorm: bool = False) -> None:
        super().__init__()
        if channels < 2 or not 0 < bound < math.inf:
            raise InputError(
                f"channels, bound: expected at least 2, and finite above 0, got {channels} and {bound}; one channel alone is scaled "
                "by ActNorm"
            )
        if mixing not in get_args(Mixing):
            raise InputError(f"mixing: expected 'lu' or 'plain', got {mixing!r}")
        self.channels, self.mixing, self.bound = channels, mixing, bound
        # Its constants are one number a channel, (C, 1, 1): an ActNorm's own, which is not passed through but folded into the product.
        self.actnorm = ActNorm((channels, 1, 1)) if actnorm else None
        # W, W⁻¹ and log|det W| where they are frozen. No part of the state.
        for name in ("_frozen_matrix", "_frozen_back", "_frozen_log_det"):
            self.register_buffer(name, None, persistent=False)
        self._frozen_matrix: Tensor | None
        self._frozen_back: Tensor | None
        self._frozen_log_det: Tensor | None
        # The weights of the last inverse, and what came of them. No part of the state.
        self._kept: tuple[list[Tensor], tuple[Tensor, Tensor]] | None = None
        start = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        if mixing == "plain":
            # Contiguous, here and below: what the factorisations return is not, and cannot be saved.
            self.weight = nn.Parameter(start.float().contiguous())
            return
        permutation, lower, upper = torch.linalg.lu(start)
        diagonal = upper.diagonal()
        self.lower = nn.Parameter(lower.tril(-1).float().contiguous())
        self.upper = nn.Parameter(upper.triu(1).float().contiguous())
        self.log_diagonal = nn.Parameter(torch.zeros(channels))
        # Part of the state: they were drawn, and belong to the weights.
        self.register_buffer("permutation", permutation.float().contiguous())
        self.register_buffer("signs", torch.sign(diagonal).float())
        self.register_buffer("start", torch.log(diagonal.abs()).float())
        self.register_buffer("_below", torch.ones(channels, channels).tril(-1), persistent=False)
        self.register_buffer("_above", torch.ones(channels, channels).triu(1), persistent=False)
        self.register_buffer("_one", torch.eye(channels), persistent=False)
        self.permutation: Tensor
        self.signs: Tensor
        self.start: Tensor
        self._below: Tensor
        self._above: Tensor
        self._one: Tensor

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep W, its inverse and its log-det as they are now, see ``frozen``."""
        matrix, log_det = self.matrix()
        self._frozen_back, self._frozen_matrix, self._frozen_log_det = (
            self._back(matrix),
            matrix.clone(),
            log_det.clone(),
        )

    def matrix(self) -> tuple[Tensor, Tensor]:
        """W (C, C), the ActNorm's scales in its columns, and log|det W|."""
        weight: Tensor
        if self._frozen_matrix is not None and self._frozen_log_det is not None:
            return self._frozen_matrix, self._frozen_log_det
        if self.mixing == "plain":
            weight, log_det = self.weight, log_abs_det(self.weight)
        else:
            log_scale = torch.add(self.start, torch.tanh(self.log_diagonal / self.bound), alpha=self.bound)
            lower = torch.addcmul(self._one, self.lower, self._below)
            upper = torch.addcmul(torch.diag_embed(self.signs * torch.exp(log_scale)), self.upper, self._above)
            weight, log_det = self.permutation @ (lower @ upper), log_scale.sum()
        if self.actnorm is not None:
            scale = self.actnorm.log_scale.flatten()
            weight, log_det = weight * torch.exp(scale), log_det + scale.sum()
        return weight, log_det

    def _inverse(self) -> tuple[Tensor, Tensor]:
        """W⁻¹ and log|det W|: computed anew only where a weight changed, if no gradient is wanted of them.

        In a Glow of 12 couplings that saves a twelfth of the time of a sample. Weights are compared by their numbers, since their versions
        miss what is written through ``.data``; not on an accelerator, where the host would wait for the answer.
        """
        if self._frozen_back is not None and self._frozen_log_det is not None:
            return self._frozen_back, self._frozen_log_det
        held = self._parameters | self._buffers | ({} if self.actnorm is None else self.actnorm._parameters)
        weights = [w for name, w in held.items() if w is not None and name not in self._non_persistent_buffers_set]
        keeps = not (torch.is_grad_enabled() or traced()) and weights[0].device.type == "cpu"
        if keeps and self._kept is not None and all(map(_same, self._kept[0], weights)):
            return self._kept[1]
        weight, log_det = self.matrix()
        found = self._back(weight), log_det
        if keeps:
            self._kept = [w.clone() for w in weights], found
        return found

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            weight, log_det = self.matrix()
            shift = None if self.actnorm is None else weight @ self.actnorm.shift.flatten()
            return _mixed(x, weight, shift), (log_det * _places(x)).expand(x.shape[:-3])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with torch.autocast(z.device.type, enabled=False):
            back, log_det = self._inverse()
            shift = None if self.actnorm is None else -self.actnorm.shift.flatten()
            return _mixed(z, back, shift), (-log_det * _places(z)).expand(z.shape[:-3])

    def _back(self, weight: Tensor) -> Tensor:
        """W⁻¹."""
        # Apple's devices have no float64. W⁻¹ once and not a triangular solve a pixel: sampling is then a product too.
        wide = weight if weight.device.type == "mps" else weight.double()
        back, fault = torch.linalg.inv_ex(wide)
        # On an accelerator the host would wait in every layer of a step that rebuilds: there a singular W gives NaN, which decoding
        # refuses.
        if not traced() and weight.device.type == "cpu" and bool(fault):
            raise InverseError(
                f"Conv1x1: its {self.channels}×{self.channels} matrix became singular; train with mixing='lu', or a lower rate"
            )
        return back.to(weight.dtype)

    def pull_back(
        self, z: Tensor, at_z: Tensor, at_log_det: Tensor, context: Tensor | None = None, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        if inverse:
            return super().pull_back(z, at_z, at_log_det, context, inverse=True)
        # Three products and W once, where inverting and passing again take four and W twice.
        with torch.autocast(z.device.type, enabled=False):
            with torch.enable_grad():
                weight, log_det = self.matrix()
                shift = None if self.actnorm is None else weight @ self.actnorm.shift.flatten()
            held = weight.detach()
            x = _mixed(z, self._back(held), None if self.actnorm is None else -self.actnorm.shift.flatten())
            rows, at_rows = (y.movedim(-3, -1).reshape(-1, self.channels) for y in (x, at_z))
            outputs, gradients = [weight, log_det], [at_rows.T @ rows, at_log_det.sum() * _places(z)]
            if shift is not None:
                outputs, gradients = [*outputs, shift], [*gradients, at_rows.sum(0)]
            backward(outputs, gradients)
            return x, _mixed(at_z, held.T, None)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the ActNorm set its constants from x of shape (batch, *event)."""
        if self.actnorm is not None:
            self.actnorm.initialise(x, context)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, mixing={self.mixing!r}"


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def _places(x: Tensor) -> int:
    return x.shape[-2] * x.shape[-1]


def _mixed(x: Tensor, weight: Tensor, shift: Tensor | None) -> Tensor:
    """Channels (*batch, C, H, W) times ``weight`` (C, C): a product of rows, which lie so in channels-last memory already."""
    return F.linear(x.movedim(-3, -1), weight, shift).movedim(-1, -3)
