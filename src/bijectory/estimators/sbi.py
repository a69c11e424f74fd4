"""Our flows as the density estimators of sbi, for neural posterior estimation. sbi itself is imported only when one is built."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, MissingExtraError, ShapeError
from ..models.flow import Flow
from ..models.flows.nsf import nsf
from ..nets.embed import StandardisedContext
from ..training.initialise import initialise


def flow_builder(
    flow: Callable[..., Flow] = nsf, *, embedding: nn.Module | None = None, **knobs: Any
) -> Callable[..., FlowEstimator]:
    """What sbi takes for ``density_estimator=``: from a batch of parameters θ and data x to p(θ | x), a conditional flow.

        p(θ | x) = p_flow(θ | e(x))

    ``flow(features, context_dim=…, **knobs)`` makes the flow: nsf, maf, mixture_cdf … with their knobs. θ is standardised inside it, x
    number by number before ``embedding`` reads it in its own shape, both by the batch that sbi hands over. ``embedding`` takes
    (batch, *x) to (batch, features); without it, x is flattened. The flow's log_prob is exact; sbi's posterior then cuts it to the
    prior's support. Written for sbi's estimators of 0.23 and later; tested with 0.27.

    Raises InputError for a ``context_dim`` among the knobs; what it gives raises InputError for parameters that are no vectors or an
    embedding that gives none, MissingExtraError without sbi.
    Sources: Papamakarios & Murray 2016 (arXiv:1605.06376); Tejero-Cantero et al. 2020 (sbi, arXiv:2007.09114).

    >>> build = flow_builder(nsf, depth=3, hidden=(64, 64))

    and then ``NPE(prior, density_estimator=build)``.
    """
    if "context_dim" in knobs:
        raise InputError("context_dim: follows from the data or the embedding; leave it out")

    def build(batch_theta: Tensor, batch_x: Tensor, **_: Any) -> FlowEstimator:
        try:
            from sbi.neural_nets.estimators.base import ConditionalDensityEstimator
        except ImportError as error:
            raise MissingExtraError("sbi: is not installed; pip install 'bijectory[sbi]'") from error
        # sbi asks isinstance. Registered and not derived, the class needs no sbi to be read, copied or unpickled.
        ConditionalDensityEstimator.register(FlowEstimator)
        return _fitted(lambda d, c: flow(d, context_dim=c, **knobs), batch_theta, batch_x, embedding)

    return build


class Reader(nn.Module):
    """e(x): every number of x standardised, then the embedding in x's own shape: (*batch, *x) -> (*batch, features)."""

    def __init__(self, x_shape: Sequence[int], embedding: nn.Module | None) -> None:
        super().__init__()
        self.x_shape = torch.Size(x_shape)
        self.standardise = StandardisedContext(self.x_shape.numel())
        self.embedding = embedding

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.dim() - len(self.x_shape)]
        rows = self.standardise(x.reshape(-1, self.x_shape.numel()))
        if self.embedding is not None:
            # Embeddings such as convolutions take one batch dimension.
            rows = self.embedding(rows.reshape(-1, *self.x_shape))
        return rows.reshape(*batch, rows.shape[-1])


class FlowEstimator(nn.Module):
    """A conditional flow over θ behind a reader of x, in sbi's shapes and under its names: θ (samples, batch, D), x (batch, *x).

    Raises ShapeError for θ or x of another event shape.
    """

    def __init__(self, net: Flow, embedding_net: Reader) -> None:
        super().__init__()
        self.net, self.embedding_net = net, embedding_net
        self.input_shape, self.condition_shape = torch.Size(net.event_shape), embedding_net.x_shape

    def log_prob(self, input: Tensor, condition: Tensor, **_: object) -> Tensor:  # noqa: A002 - sbi's name for it
        """log p(θ | x): θ (samples, batch, D) or (batch, D), x (batch, *x) or (samples, batch, *x) -> (samples, batch), exact nats."""
        theta = input if input.dim() > 2 else input.reshape(1, -1, input.shape[-1])
        # Read once for all samples, then spread over them.
        read = self._read(condition)
        batch = torch.broadcast_shapes(theta.shape[:-1], read.shape[:-1])
        return self.net.log_prob(theta.expand(*batch, theta.shape[-1]), read.expand(*batch, read.shape[-1]))

    def loss(self, input: Tensor, condition: Tensor, **_: object) -> Tensor:  # noqa: A002 - sbi's name for it
        """−log p(θ | x) of each pair: θ (batch, D), x (batch, *x) -> (batch,)."""
        return -self.log_prob(input.unsqueeze(0), condition)[0]

    def sample(self, sample_shape: Sequence[int], condition: Tensor, **_: object) -> Tensor:
        """Draws of θ for each x: x (batch, *x) -> (*sample_shape, batch, D)."""
        return self.net.sample(tuple(sample_shape), self._read(condition))

    def sample_and_log_prob(self, sample_shape: Sequence[int], condition: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        """Draws and their log density from one pass: (*sample_shape, batch, D) and (*sample_shape, batch)."""
        return self.net.sample_and_log_prob(tuple(sample_shape), self._read(condition))

    def _read(self, condition: Tensor) -> Tensor:
        """Features (…, batch, features) of x (…, batch, *x); one x without a batch is a batch of one."""
        dims = len(self.condition_shape)
        if condition.shape[condition.dim() - dims :] != self.condition_shape:
            raise ShapeError(
                f"condition: expected shape (batch, {', '.join(map(str, self.condition_shape))}), got {tuple(condition.shape)}"
            )
        return self.embedding_net(condition.unsqueeze(0) if condition.dim() == dims else condition)


def _fitted(make: Callable[[int, int], Flow], theta: Tensor, x: Tensor, embedding: nn.Module | None) -> FlowEstimator:
    """An estimator for θ (rows, D) and x (rows, *x), standardised by them."""
    if theta.dim() != 2:
        raise InputError(f"theta: expected vectors of parameters (rows, features), got {tuple(theta.shape)}")
    # A copy: estimators of an ensemble, or of another round, must not train one embedding together.
    reader = Reader(x.shape[1:], copy.deepcopy(embedding)).to(x.device)
    reader.standardise.initialise(x.flatten(1))
    with torch.no_grad():
        seen = x.flatten(1) if reader.embedding is None else reader.embedding(x)
        if seen.dim() != 2 or len(seen) != len(x):
            raise InputError(
                f"embedding: expected ({len(x)}, features) for {len(x)} rows of x, got {tuple(seen.shape)}"
            )
        flow = make(theta.shape[1], seen.shape[1]).to(theta.device)
        initialise(flow, theta, reader(x))
    return FlowEstimator(flow, reader)
