"""Integers as a flow sees them: noise, scale, logit and all their log-dets, in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions.base import Normal
from ..errors import InputError, NonFiniteError, ShapeError
from ..numerics.reduce import sum_event
from ..numerics.seeds import generator_for
from ..transforms.base import DataInitialised
from .base import IntegerModel, LatentModel, as_shape

#: float32 keeps the middle of one of 65,536 steps (1.5e-5 wide) apart from its neighbours; a few bits more, and no longer.
MOST_LEVELS = 65_536


class Quantised(IntegerModel, DataInitialised):
    """A bound on the probability of integers 0 … levels − 1, from a flow over dequantised numbers.

        p = α + (1 − 2α)(x + u) / levels,   u uniform on [0, 1),   y = log p − log(1 − p)
        log P(x) ≥ E_u[log p_model(y) + Σ_d log(1 − 2α) − log p_d − log(1 − p_d) − log levels]

    With ``alpha=None`` there is no logit: y = (x + u) / levels. The bound counts the integers stored, whatever range they are shown in:
    a density that is flat over p gives exactly log₂(levels) bits per dimension. With k draws it is log (1/k) Σ_j of the same with u_j,
    which is never looser in expectation (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519).

    The density lives on the whole line, the integers on a cube. Mass outside the cube belongs to no integer: it is missing from the
    bound, which it makes looser, never tighter. ``sample`` puts it on the edge values.

    Sources: uniform dequantisation as a bound, Theis, van den Oord & Bethge 2016 (arXiv:1511.01844); the logit, Dinh et al. 2016
    (RealNVP, arXiv:1605.08803). Differs: RealNVP's α + (1 − α)·x/256 is 1 at the last value, whose logit is infinite; here both ends
    are kept away by α.

    ``model`` is the flow over y. Raises InputError for fewer than 2 or more than 65,536 levels, or an α outside (0, ½).

    >>> import torch, bijectory
    >>> faces = bijectory.Quantised(bijectory.realnvp(4, depth=2), levels=4)
    >>> x = torch.randint(4, (3, 4), dtype=torch.uint8)
    >>> faces.log_prob_bound(x)[0].shape
    torch.Size([3])
    >>> torch.equal(faces.decode(faces.encode(x)), x)
    True
    """

    def __init__(self, model: LatentModel, levels: int, *, alpha: float | None = 0.05) -> None:
        super().__init__()
        if not 2 <= levels <= MOST_LEVELS:
            raise InputError(f"levels: expected 2 to {MOST_LEVELS} integers, got {levels}")
        if alpha is not None and not 0 < alpha < 0.5:
            raise InputError(
                f"alpha: expected a margin between 0 and 0.5 (the logit of 0 is infinite), got {alpha}; alpha=None leaves the logit out"
            )
        self.model, self.levels, self.alpha = model, levels, alpha
        self.event_shape, self.context_dim = model.event_shape, model.context_dim
        # Carries dtype and device, which integers do not tell.
        self.register_buffer("_like", torch.zeros(()), persistent=False)
        self._like: Tensor

    def check_integers(self, x: Tensor, name: str = "x") -> None:
        """Refuse, by row, what is not an integer among 0 … levels − 1. It waits for the device: for where data enter, not for training."""
        self.check_event(x)
        outside = (x < 0) | (x > self.levels - 1)
        if x.is_floating_point():
            outside = outside | (x != x.floor())  # NaN differs from itself
        if bool(outside.any()):
            rows = outside.reshape(-1, math.prod(self.event_shape))
            row = int(rows.any(1).nonzero()[0, 0])
            value = x.reshape(rows.shape)[row][rows[row]][0].item()
            raise InputError(
                f"{name}: expected whole numbers from 0 to {self.levels - 1}, got {value:g} in row {row}; "
                f"the model counts {self.levels} levels: bring the data to those, or make the model with more"
            )

    def draw_noise(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, like: Tensor | None = None
    ) -> Tensor:
        """Uniform noise on [0, 1) of shape (*shape, *event), drawn where the generator lives and brought to the device asked for."""
        target = self._like if like is None else like
        dtype = target.dtype if target.is_floating_point() else self._like.dtype
        source = target.device if generator is None else generator.device
        noise = torch.rand((*shape, *self.event_shape), generator=generator, dtype=dtype, device=source)
        return noise.to(target.device)

    def to_real(self, x: Tensor, u: Tensor | float) -> tuple[Tensor, Tensor]:
        """y and log|∂y/∂u|: x (*batch, *event) integers of any dtype, u of the same shape or one number -> (*batch, *event), (*batch)."""
        dims = len(self.event_shape)
        count = math.prod(self.event_shape)
        x = x.to(self._like.dtype)
        u = u.to(x.dtype) if isinstance(u, Tensor) else u
        share = (x + u) / self.levels
        if self.alpha is None:
            constant = -count * math.log(self.levels)
            return share, share.new_full((), constant).expand(share.shape[: share.dim() - dims])
        # What is left to 1 is added up from its own parts: 1 − p would round away the digits of a p near 1, which a small α allows.
        rest = ((self.levels - 1 - x) + (1 - u)) / self.levels
        log_p = torch.log(self.alpha + (1 - 2 * self.alpha) * share)
        log_q = torch.log(self.alpha + (1 - 2 * self.alpha) * rest)
        constant = count * (math.log1p(-2 * self.alpha) - math.log(self.levels))
        return log_p - log_q, constant - sum_event(log_p + log_q, dims)

    def to_integer(self, y: Tensor) -> Tensor:
        """Integers (*batch, *event), uint8 where they fit, else int64: floor of the share of levels, held in 0 … levels − 1.

        Held, because the density reaches beyond the cube: what lies outside goes to the nearest edge value. Raises NonFiniteError for
        NaN, which has no nearest value.
        """
        if bool(torch.isnan(y).any()):
            raise NonFiniteError("y: expected numbers, got NaN; the model's weights or latents are not finite")
        share = y if self.alpha is None else (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)
        held = torch.floor(share * self.levels).clamp(0, self.levels - 1)
        return held.to(torch.uint8 if self.levels <= 256 else torch.int64)

    def log_prob_bound(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A bound on log P(x) in nats, (*batch, *event) -> (*batch), with its terms: log_density and log_det for one draw.

        x holds integers, uint8 or any other dtype; they are not looked at here (see ``check_integers``), so that nothing waits for the
        device. ``noise`` has shape (draws, *batch, *event), for one draw also x's own. The model is passed through once a draw.
        Raises ShapeError for an x or noise of another shape, InputError for fewer than one draw.
        """
        self.check_event(x)
        if draws < 1:
            raise InputError(f"draws: expected at least one, got {draws}")
        if noise is None:
            noise = self.draw_noise((draws, *x.shape[: x.dim() - len(self.event_shape)]), generator=generator, like=x)
        elif draws == 1 and noise.shape == x.shape:
            noise = noise[None]
        if noise.shape != (draws, *x.shape):
            raise ShapeError(f"noise: expected shape {(draws, *x.shape)}, got {tuple(noise.shape)}")
        values = []
        for u in noise.unbind(0):
            y, log_det = self.to_real(x, u)
            log_density = self.model.log_prob(y, context)
            values.append(log_density + log_det)
        if draws == 1:
            return values[0], {"log_density": log_density, "log_det": log_det}
        value = torch.logsumexp(torch.stack(values), 0) - math.log(draws)
        return value, {"log_mean": value}

    def encode(self, x: Tensor, context: Tensor | None = None, *, u: Tensor | float = 0.5) -> Tensor:
        """Latents of the middle of each integer's cell, or of another place u in it: (*batch, *event) -> (*batch, *latent event)."""
        self.check_event(x)
        return self.model.encode(self.to_real(x, u)[0], context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Integers whose cells the latents z come from; decode(encode(x)) is x."""
        return self.to_integer(self.model.decode(z, context))

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Integers of shape (*shape, *context's batch, *event).

        ``temperature`` scales the latents of a Normal base (Glow, arXiv:1807.03039, section 6); below 1 the samples are nearer to the
        likeliest ones and no longer the model's own. Raises InputError for another base, or a temperature that is not positive.
        """
        if temperature == 1:
            return self.to_integer(self.model.sample(shape, context, generator=generator))
        if not (isinstance(self.model.base, Normal) and 0 < temperature < math.inf):
            raise InputError(
                f"temperature: expected a positive factor for a Normal base, got {temperature} for {type(self.model.base).__name__}"
            )
        full = as_shape(shape)
        if context is not None:
            full = (*full, *context.shape[:-1])
            context = context.expand(*full, context.shape[-1])
        return self.decode(temperature * self.model.base.sample(full, context, generator=generator), context)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the model set its constants from x, integers (batch, *event), with noise that is the same each time."""
        self.check_integers(x)
        if isinstance(self.model, DataInitialised):
            noise = self.draw_noise(x.shape[:1], generator=generator_for("quantised", "initialise"), like=x)
            with torch.no_grad():
                self.model.initialise(self.to_real(x, noise)[0], context)
