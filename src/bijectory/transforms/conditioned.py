"""A map of every number by constants, or by what a context makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ..errors import ShapeError
from .base import Transform
from .elementwise import Elementwise


class Conditioned(Transform):
    """z_i = elementwise(x_i; net(c)): each number is moved by parameters that only the context decides.

        log|det ∂z/∂x| = Σ_i log dz_i/dx_i

    ``net`` is called with the context, (*batch, features) or None, and gives (*batch, count), or (count,) for constants, where count is
    the product of ``param_shape``; ``Amortised`` is one. ``param_shape`` is (*shape that broadcasts to the event, num_params): (C, 1, 1, 2)
    gives each channel of a picture a shift and a scale. In front of a standard normal base this is a learned prior, Glow's for its top
    latents; with a class as the context, a mixture with one component a class.

    Raises ShapeError for a ``param_shape`` that does not end in the map's number of parameters.
    Source: Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039). Differs: there its parameters pass a convolution.
    """

    def __init__(
        self, elementwise: Elementwise, net: Callable[[Tensor | None], Tensor], param_shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.elementwise, self.net, self.param_shape = elementwise, net, tuple(param_shape)
        if self.param_shape[-1] != elementwise.num_params:
            raise ShapeError(
                f"param_shape: expected {elementwise.num_params} parameters last, as {type(elementwise).__name__} has, got "
                f"{self.param_shape}"
            )
        self.event_dim_in = self.event_dim_out = len(self.param_shape) - 1
        self._event = tuple(range(-self.event_dim_in, 0))

    def _params(self, x: Tensor, context: Tensor | None) -> Tensor:
        params = self.net(context)
        params = params.reshape(*params.shape[:-1], *self.param_shape)
        return params.expand(*x.shape, self.param_shape[-1])

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.elementwise.forward(x, self._params(x, context))
        return z, log_slope.sum(self._event)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_slope = self.elementwise.inverse(z, self._params(z, context))
        return x, log_slope.sum(self._event)
