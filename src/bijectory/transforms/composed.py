"""Elementwise maps one behind the other, as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .elementwise import Elementwise


class Composed(Elementwise):
    """z = f_n(… f_2(f_1(x))), each part reading its own piece of the parameters.

        log dz/dx = Σ_i log df_i/dx_i,   params (*, Σ_i num_params_i), in the order of the parts

    Flow++'s coupling is Composed([MixtureCDF(K, "logistic"), Affine()]), a deep sigmoidal flow several mixture CDFs.
    Raises InputError where there are no parts.

    >>> from bijectory import Affine, Shift
    >>> Composed([Shift(), Affine()]).num_params
    3
    """

    def __init__(self, parts: Sequence[Elementwise]) -> None:
        if not parts:
            raise InputError("parts: expected at least one Elementwise, got an empty sequence")
        self.parts = tuple(parts)
        self.num_params = sum(part.num_params for part in self.parts)
        self.rebuilds_x = all(part.rebuilds_x for part in self.parts)
        self.rebuilds_z = all(part.rebuilds_z for part in self.parts)

    def _pieces(self, params: Tensor) -> list[tuple[Elementwise, Tensor]]:
        return list(zip(self.parts, params.split([part.num_params for part in self.parts], -1), strict=True))

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for part, piece in self._pieces(params):
            x, log_slope = part.forward(x, piece)
            total = log_slope if total is None else total + log_slope
        assert total is not None
        return x, total

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for part, piece in reversed(self._pieces(params)):
            z, log_slope = part.inverse(z, piece)
            total = log_slope if total is None else total + log_slope
        assert total is not None
        return z, total

    def identity_params(self) -> Tensor | None:
        found = [part.identity_params() for part in self.parts]
        known = [params for params in found if params is not None]
        return torch.cat(known) if len(known) == len(found) else None
