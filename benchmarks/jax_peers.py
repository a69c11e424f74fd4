"""The JAX peers' flows: a log-density over a tree of parameters, both directions, and one jitted step of optax's Adam."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

HIDDEN = (64, 64)
COUPLINGS = 8


@dataclass
class Peer:
    """Functions of (parameters, x); ``encode`` returns the latent and log|det ∂z/∂x|."""

    params: Any
    log_prob: Callable[[Any, Any], Any]
    encode: Callable[[Any, Any], tuple[Any, Any]]
    decode: Callable[[Any, Any], Any]
    made_of: str

    def count(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in jax.tree_util.tree_leaves(self.params))


def step_of(peer: Peer, optimizer: Any) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
    """(parameters, optimiser's state, x) -> the same after a step, and the loss; buffers are handed on, not copied."""

    def step(params: Any, state: Any, x: Any) -> tuple[Any, Any, Any]:
        value, gradient = jax.value_and_grad(lambda p: -peer.log_prob(p, x).mean())(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    return jax.jit(step, donate_argnums=(0, 1))


def flowjax_affine() -> Peer:
    """flowjax's coupling_flow with its default affine transformer; in two dimensions it flips the columns between layers."""
    import flowjax.distributions as fd
    from flowjax.flows import coupling_flow

    base = fd.Normal(jnp.zeros(2), jnp.ones(2))
    flow = coupling_flow(jax.random.key(0), base_dist=base, flow_layers=COUPLINGS, nn_width=64, nn_depth=2)
    return _flowjax(flow, "coupling_flow(flow_layers=8, nn_width=64, nn_depth=2)")


def flowjax_spline() -> Peer:
    """flowjax's masked autoregressive flow with rational-quadratic splines."""
    import flowjax.distributions as fd
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.flows import masked_autoregressive_flow

    flow = masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=fd.Normal(jnp.zeros(2), jnp.ones(2)),
        transformer=RationalQuadraticSpline(knots=16, interval=5),
        flow_layers=3,
        nn_width=64,
        nn_depth=2,
    )
    return _flowjax(flow, "masked_autoregressive_flow(RationalQuadraticSpline(16, 5), flow_layers=3, 64 × 2)")


def _flowjax(flow: Any, made_of: str) -> Peer:
    import equinox as eqx
    import paramax

    # As flowjax's own fit_to_data does it: the base is wrapped as not trained, and split off with every other constant.
    flow = eqx.tree_at(lambda f: f.base_dist, flow, replace_fn=paramax.non_trainable)
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )

    def whole(params: Any) -> Any:
        return paramax.unwrap(eqx.combine(params, static))

    def encode(params: Any, x: Any) -> tuple[Any, Any]:
        return jax.vmap(whole(params).bijection.inverse_and_log_det)(x)

    def decode(params: Any, z: Any) -> Any:
        return jax.vmap(whole(params).bijection.transform)(z)

    return Peer(params, lambda params, x: whole(params).log_prob(x), encode, decode, made_of)


def _mlp(key: Any, inputs: int, outputs: int) -> list[tuple[Any, Any]]:
    """Weights of a ReLU network, uniform as torch's; the last layer starts at zero, so that a flow starts as the identity."""
    widths = [inputs, *HIDDEN, outputs]
    layers = []
    for index, (a, b) in enumerate(itertools.pairwise(widths)):
        key, one, two = jax.random.split(key, 3)
        bound = 0.0 if index == len(widths) - 2 else a**-0.5
        layers.append((jax.random.uniform(one, (a, b), minval=-bound, maxval=bound),
                       jax.random.uniform(two, (b,), minval=-bound, maxval=bound)))  # fmt: skip
    return layers


def _apply(layers: list[tuple[Any, Any]], h: Any) -> Any:
    for weight, bias in layers[:-1]:
        h = jax.nn.relu(h @ weight + bias)
    weight, bias = layers[-1]
    return h @ weight + bias


def distrax_affine() -> Peer:
    """distrax's SplitCoupling over ScalarAffine; distrax has no networks, so the MLP is twelve lines of plain JAX."""
    import distrax

    keys = jax.random.split(jax.random.key(0), COUPLINGS)
    params = [_mlp(key, 1, 2) for key in keys]

    def scalar(raw: Any) -> Any:
        return distrax.ScalarAffine(shift=raw[..., :1], log_scale=2 * jnp.tanh(raw[..., 1:] / 2))

    return _distrax(params, scalar, "8 SplitCoupling(ScalarAffine), MLP 64, 64")


def distrax_spline() -> Peer:
    """distrax's SplitCoupling over RationalQuadraticSpline."""
    import distrax

    keys = jax.random.split(jax.random.key(0), 4)
    params = [_mlp(key, 1, 3 * 16 + 1) for key in keys]

    def scalar(raw: Any) -> Any:
        return distrax.RationalQuadraticSpline(
            raw[..., None, :], -5.0, 5.0, boundary_slopes="unconstrained", min_bin_size=1e-3
        )

    return _distrax(params, scalar, "4 SplitCoupling(RationalQuadraticSpline), 16 bins, MLP 64, 64")


def _distrax(params: Any, scalar: Callable[[Any], Any], made_of: str) -> Peer:
    import distrax

    def flow(params: Any) -> Any:
        def layer(index: int) -> Any:
            net = params[index]
            return distrax.SplitCoupling(
                1, 1, conditioner=lambda h: _apply(net, h), bijector=scalar, swap=index % 2 == 1
            )

        # Chain applies the last first; data to latent is its forward direction here, so Inverse makes it a flow.
        chain = distrax.Chain([layer(index) for index in reversed(range(len(params)))])
        base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
        return distrax.Transformed(base, distrax.Inverse(chain))

    return Peer(
        params,
        lambda params, x: flow(params).log_prob(x),
        lambda params, x: flow(params).bijector.inverse_and_log_det(x),
        lambda params, z: flow(params).bijector.forward(z),
        made_of,
    )


AFFINE: dict[str, Callable[[], Peer]] = {"flowjax": flowjax_affine, "distrax": distrax_affine}
BEST: dict[str, Callable[[], Peer]] = {"flowjax": flowjax_spline, "distrax": distrax_spline}
