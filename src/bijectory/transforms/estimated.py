"""Maps whose log-det may be an unbiased estimate, from noise that whoever calls hands in."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor

from .base import Transform


class EstimatedLogDet(Transform, abc.ABC):
    """A map that is exact itself, while its log-det is a random number with the right mean.

        E_noise[estimate(x, noise)] = log|det ∂z/∂x|

    ``noise`` is uniform on [0, 1), of shape (*batch, noise_size), each row's its own. ``forward_and_log_det`` and its inverse give the
    estimate with one noise that is the same for every row and every call: a function of x, as all maps are, and one draw. A map may have
    an exact form as well: ``exact_log_det`` is then True, its noise_size 0 and ``noise`` None.
    """

    # Solved step by step, and their log-dets cost what the maps do or more.
    rebuilds_x = rebuilds_z = False

    @abc.abstractmethod
    def noise_size(self, numbers: int) -> int:
        """How many uniform numbers a row of ``numbers`` consumes; 0 where the log-det is exact."""

    @abc.abstractmethod
    def forward_and_estimate(self, x: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """z = f(x) and an estimate of log|det ∂z/∂x|."""

    @abc.abstractmethod
    def inverse_and_estimate(self, z: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """x = f⁻¹(z) and an estimate of log|det ∂x/∂z|."""

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.forward_and_estimate(x, context, self._same(x, self.event_dim_in))

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.inverse_and_estimate(z, context, self._same(z, self.event_dim_out))

    def _same(self, x: Tensor, event_dim: int) -> Tensor | None:
        batch = x.dim() - event_dim
        size = self.noise_size(math.prod(x.shape[batch:]))
        if size == 0:
            return None
        # Multiples of the golden ratio, evenly spread over [0, 1) and no generator's: the same on every device and inside torch.func.
        one = torch.frac(torch.arange(1, size + 1, dtype=torch.float64, device=x.device) * ((math.sqrt(5) - 1) / 2))
        return one.to(x.dtype).expand(*x.shape[:batch], size)
