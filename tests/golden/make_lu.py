"""Golden values of LU-factored linear maps, from nflows, normflows, zuko, flowjax and TensorFlow Probability: z, log-det, and x from z.

Weights and points as in make_maf.py. zuko's diagonal stands in L and U's is one, the others' the other way round; TFP permutes behind the
product; flowjax has no LU map: its two triangular ones stand one behind the other.

    python tests/golden/make_lu.py
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import paramax
import tensorflow_probability.substrates.numpy as tfp
import torch
from flowjax.bijections import Chain, TriangularAffine
from make_maf import filled, plain, points, sines, state_of, write
from nflows.transforms import LULinear
from normflows.flows import LULinearPermute
from zuko.transforms import LULinearTransform


def case(peer: str, features: int) -> dict[str, Any]:
    """One map; normflows calls data to latent inverse, and permutes before it. nflows' inverse calls a function that torch has lost."""
    flow = filled(LULinear(features) if peer == "nflows" else LULinearPermute(features))
    if peer == "normflows":
        flow.permutation._permutation.copy_(torch.arange(features).roll(1))
    x, _ = points(features, 0)
    with torch.no_grad():
        z, log_det = flow(x) if peer == "nflows" else flow.inverse(x)
    fields: dict[str, Any] = {
        "case": f"{peer}, {features} features",
        "peer": peer,
        "settings": {},
        "context_dim": 0,
        "state": state_of(flow),
        "x": plain(x),
        "z": plain(z),
        "log_det": plain(log_det),
    }
    if peer == "normflows":
        with torch.no_grad():
            fields["back"] = plain(flow(z)[0])
    return fields


def matrix_case(peer: str, features: int) -> dict[str, Any]:
    """One map of a peer that is handed L and U in one square, their common diagonal positive."""
    square = sines((features, features), 0) + np.diag(np.full(features, 1.0))
    state: dict[str, Any] = {"square": square.tolist()}
    x = points(features, 0)[0].numpy()
    if peer == "zuko":
        transform = LULinearTransform(torch.from_numpy(square))
        z, log_det = transform.call_and_ladj(torch.from_numpy(x))
        back = transform.inv(z)
    elif peer == "tensorflow-probability":
        state["permutation"] = np.roll(np.arange(features), 1).tolist()
        bijector = tfp.bijectors.ScaleMatvecLU(square, np.array(state["permutation"]))
        z, back = bijector.forward(x), bijector.inverse(np.asarray(bijector.forward(x)))
        log_det = np.broadcast_to(bijector.forward_log_det_jacobian(x, event_ndims=1), len(x))
    else:
        state["bias"] = sines((features,), 1).tolist()
        lower = np.tril(square, -1) + np.eye(features)
        chain = Chain(
            [
                TriangularAffine(0.0, jnp.asarray(square), lower=False),
                TriangularAffine(jnp.asarray(state["bias"]), jnp.asarray(lower)),
            ]
        )
        chain = paramax.unwrap(chain)
        z, log_det = jax.vmap(chain.transform_and_log_det)(jnp.asarray(x))
        back, _ = jax.vmap(chain.inverse_and_log_det)(z)
    values = {name: np.asarray(value) for name, value in (("z", z), ("log_det", log_det), ("back", back))}
    assert {value.dtype for value in values.values()} == {np.dtype(np.float64)}
    return {
        "case": f"{peer}, {features} features",
        "peer": peer,
        "settings": {},
        "context_dim": 0,
        "state": state,
        "x": x.tolist(),
        **{name: value.tolist() for name, value in values.items()},
    }


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    rows = [case(peer, features) for peer in ("nflows", "normflows") for features in (2, 5)]
    others = ("zuko", "flowjax", "tensorflow-probability")
    rows += [matrix_case(peer, features) for peer in others for features in (2, 5)]
    peers = ("nflows", "normflows", "zuko", "flowjax", "jax", "tensorflow-probability", "numpy", "torch")
    write("lu", "LU-factored linear maps: state, x, z, log_det, back", peers, rows)
