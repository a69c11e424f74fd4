"""Golden log-densities of whole MAF and NSF flows from flowjax and TensorFlow Probability, and of nflows' autoregressive mixtures.

Weights and points as in make_maf.py; they are written down with their masks applied. flowjax and nflows make networks of their own. TFP's
needs Keras, which only its TensorFlow build has: here its `MaskedAutoregressiveFlow` is handed the same network written in NumPy, between
the masks that TFP makes for it.

    python tests/golden/make_flows_others.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import tensorflow_probability.substrates.numpy as tfp
import torch
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import StandardNormal
from flowjax.flows import masked_autoregressive_flow
from make_maf import filled, points, sines, state_of, write
from nflows.distributions.mixture import MADEMoG
from tensorflow_probability.substrates.numpy.bijectors import masked_autoregressive

FEATURES, HIDDEN, BINS, BOUND, FLOOR = 3, 8, 4, 3.0, 1e-3
PEERS = ("flowjax", "jax", "tensorflow-probability", "numpy", "nflows", "torch")
tfb, tfd = tfp.bijectors, tfp.distributions


def row(name: str, peer: str, settings: dict[str, Any], state: dict[str, Any], **values: Any) -> dict[str, Any]:
    x, _ = points(FEATURES, 0)
    found = {key: np.asarray(value).tolist() for key, value in values.items()}
    return {
        "case": name,
        "peer": peer,
        "settings": settings,
        "context_dim": 0,
        "state": state,
        "x": x.tolist(),
        **found,
    }


# flowjax


def flowjax_case(name: str, transformer: RationalQuadraticSpline | None, **settings: Any) -> dict[str, Any]:
    """Two layers with flowjax's permutations behind them; its affine scale is softplus(softplus⁻¹(0.99) + a) + 0.01.

    The spline's slopes at its two ends are parameters too, where the map outside is the identity all the same; their rows of the last
    layer are zero here, so that they stay at 1, where they start.
    """
    flow = masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=StandardNormal((FEATURES,)),
        transformer=transformer,
        flow_layers=2,
        nn_width=HIDDEN,
        nn_depth=1,
    )
    leaves, structure = jax.tree_util.tree_flatten(eqx.filter(flow, eqx.is_inexact_array))
    arrays = [sines(leaf.shape, index) for index, leaf in enumerate(leaves)]
    if transformer is not None:
        for array in arrays[-2:]:
            numbers = array.reshape(2, FEATURES, 3 * BINS + 1, -1)
            numbers[:, :, [2 * BINS, 3 * BINS]] = 0.0
    ones = [jnp.ones(leaf.shape) for leaf in leaves]
    open_flow = eqx.combine(jax.tree_util.tree_unflatten(structure, ones), flow)
    arrays = [jnp.asarray(array, jnp.float64) for array in arrays]
    flow = eqx.combine(jax.tree_util.tree_unflatten(structure, arrays), flow)
    x = jnp.asarray(points(FEATURES, 0)[0].numpy())

    def parts(flow: Any) -> Any:
        """The network's layers and the permutation, of Invert and Scan; those of both layers lie along the first axis."""
        autoregression, permutation = paramax.unwrap(flow).bijection.bijection.bijection.bijections
        return autoregression.masked_autoregressive_mlp.layers, permutation

    net, permutation = parts(flow)
    masks, _ = parts(open_flow)
    z, _ = jax.vmap(paramax.unwrap(flow).bijection.inverse_and_log_det)(x)
    log_prob = flow.log_prob(x)
    assert z.dtype == log_prob.dtype == jnp.float64
    state: dict[str, Any] = {}
    for depth in range(2):
        for index, linear in enumerate(net):
            state[f"{depth}.{index}.weight"] = linear.weight[depth].tolist()
            state[f"{depth}.{index}.bias"] = linear.bias[depth].tolist()
            state[f"{depth}.{index}.mask"] = masks[index].weight[depth].astype(int).tolist()
        state[f"{depth}.order"] = permutation.permutation[0][depth].tolist()
    return row(name, "flowjax", settings, state, z=z, log_prob=log_prob)


# TFP


def networks(params: int) -> tuple[list[np.ndarray], list[list[tuple[np.ndarray, np.ndarray]]]]:
    """TFP's masks (in, out), and of each of two layers the weights between them and the biases."""
    masks = masked_autoregressive._make_dense_autoregressive_masks(params, FEATURES, [HIDDEN])
    weights = [
        [
            (np.where(mask, sines(mask.shape, place), 0.0), sines(mask.shape[1:], place + 1))
            for mask, place in zip(masks, (4 * depth, 4 * depth + 2), strict=True)
        ]
        for depth in (0, 1)
    ]
    return masks, weights


def called(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """The network: numbers (rows, features, params) of x (rows, features), ReLU between."""
    (first, at_first), (last, at_last) = layers
    hidden = np.maximum(np.asarray(x) @ first + at_first, 0.0)
    return (hidden @ last + at_last).reshape(*np.shape(x), -1)


def splines(numbers: np.ndarray) -> tfb.Bijector:
    """The spline from data to latent, its knots as in the class's own example: softmax and softplus above a floor."""

    def lengths(raw: np.ndarray) -> np.ndarray:
        share = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
        return 2 * BOUND * (FLOOR + (1 - BINS * FLOOR) * share)

    widths, heights, slopes = np.split(numbers, [BINS, 2 * BINS], axis=-1)
    spline = tfb.RationalQuadraticSpline(
        lengths(widths), lengths(heights), np.log1p(np.exp(slopes)) + FLOOR, range_min=-BOUND
    )
    return tfb.Invert(spline)


def tfp_case(name: str, params: int, **settings: Any) -> dict[str, Any]:
    """Two layers with a permutation between them; `forward` goes from latent to data, so that a density calls `inverse`."""
    (masks, nets), order = networks(params), [2, 0, 1]

    def flow(layers: list[tuple[np.ndarray, np.ndarray]]) -> tfb.Bijector:
        if params == 2:
            return tfb.MaskedAutoregressiveFlow(partial(called, layers))
        return tfb.MaskedAutoregressiveFlow(bijector_fn=lambda x: splines(called(layers, x)))

    bijector = tfb.Chain([flow(nets[0]), tfb.Permute(order), flow(nets[1])])
    base = tfd.Sample(tfd.Normal(np.float64(0.0), np.float64(1.0)), FEATURES)
    x = points(FEATURES, 0)[0].numpy()
    z = np.asarray(bijector.inverse(x))
    log_prob = np.asarray(tfd.TransformedDistribution(base, bijector).log_prob(x))
    assert z.dtype == log_prob.dtype == np.float64
    state: dict[str, Any] = {"0.order": np.argsort(order).tolist()}
    for depth, layers in enumerate(nets):
        for index, (weight, bias) in enumerate(layers):
            state[f"{depth}.{index}.weight"], state[f"{depth}.{index}.bias"] = weight.T.tolist(), bias.tolist()
            state[f"{depth}.{index}.mask"] = masks[index].T.astype(int).tolist()
    return row(name, "tensorflow-probability", settings, state, z=z, log_prob=log_prob, back=bijector.forward(z))


# nflows


def mixtures_case() -> dict[str, Any]:
    """An autoregressive mixture of Gaussians, of which nflows has density and samples and no CDF; scales are softplus(a) + epsilon."""
    model = filled(MADEMoG(FEATURES, HIDDEN, None, num_blocks=1, num_mixture_components=3))
    x, _ = points(FEATURES, 0)
    with torch.no_grad():
        log_prob = model.log_prob(x)
    settings = {"components": 3, "epsilon": model._made.epsilon}
    return row("nflows, mixtures", "nflows", settings, state_of(model._made), log_prob=log_prob)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    spline = RationalQuadraticSpline(knots=BINS - 1, interval=BOUND, min_derivative=FLOOR, min_width=2 * BOUND * FLOOR)
    knots = {"bins": BINS, "bound": BOUND, "floor": FLOOR}
    rows = [
        flowjax_case("flowjax, maf", None, floor=1e-2),
        flowjax_case("flowjax, nsf", spline, **knots),
        tfp_case("tfp, maf", 2),
        tfp_case("tfp, nsf", 3 * BINS - 1, **knots),
        mixtures_case(),
    ]
    write("flows_others", "flows of two layers, and autoregressive mixtures: state, x, z, log_prob, back", PEERS, rows)
