"""flowjax's flows over longer vectors, the sizes of ``vector_peers``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax_peers import Peer, _flowjax

DEPTH, WIDTH, BINS, BOUND = 5, 128, 8, 5


def nsf(features: int) -> Peer:
    """coupling_flow with rational-quadratic splines; a random permutation between layers."""
    import flowjax.distributions as fd
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.flows import coupling_flow

    flow = coupling_flow(
        jax.random.key(0),
        base_dist=fd.Normal(jnp.zeros(features), jnp.ones(features)),
        transformer=RationalQuadraticSpline(knots=BINS, interval=BOUND),
        flow_layers=DEPTH,
        nn_width=WIDTH,
        nn_depth=2,
    )
    return _flowjax(flow, "coupling_flow(RationalQuadraticSpline(8, 5), flow_layers=5, 128 × 2)")


def maf(features: int) -> Peer:
    """masked_autoregressive_flow with its default affine transformer."""
    import flowjax.distributions as fd
    from flowjax.flows import masked_autoregressive_flow

    flow = masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=fd.Normal(jnp.zeros(features), jnp.ones(features)),
        flow_layers=DEPTH,
        nn_width=WIDTH,
        nn_depth=2,
    )
    return _flowjax(flow, "masked_autoregressive_flow(flow_layers=5, 128 × 2)")


VECTORS: dict[str, dict[str, Callable[[int], Peer]]] = {"nsf": {"flowjax": nsf}, "maf": {"flowjax": maf}}
