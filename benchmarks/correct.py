"""How wrong a trained flow is: round trip in float32, log-det against the autodiff Jacobian in float64; in range and three times as far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def torch_errors(
    module: Any, encode: Callable[[Any], tuple[Any, Any]], decode: Callable[[Any], Any], x: Any
) -> dict[str, float]:
    """Largest |decode(encode(x)) − x| over max(1, |x|), and largest |log-det − log|det J||, over the rows of x (rows, *event)."""
    import torch

    found = {}
    for name, far in (("range", 1.0), ("3x", 3.0)):
        with torch.no_grad():
            # a clone: pyro remembers which x a z came from, and would hand it back without inverting anything
            back = decode(encode(x * far)[0].clone())
            scale = (x * far).abs().clamp(min=1)
            found[f"round trip {name}"] = float(((back - x * far).abs() / scale).max())
    module.double()
    for name, far in (("range", 1.0), ("3x", 3.0)):
        wide = x.double() * far
        # Rows do not mix, so the Jacobian of a sum over rows holds every row's own.
        whole = torch.autograd.functional.jacobian(lambda w: encode(w)[0].flatten(1).sum(0), wide)
        jacobian = whole.flatten(2).permute(1, 0, 2)
        with torch.no_grad():
            log_det = encode(wide)[1].reshape(-1)
        found[f"log-det {name}"] = float((torch.linalg.slogdet(jacobian)[1] - log_det).abs().max())
    module.float()
    return found


def jax_errors(peer: Any, params: Any, x: Any) -> dict[str, float]:
    """The same of a JAX peer."""
    import jax
    import jax.numpy as jnp

    found = {}
    for name, far in (("range", 1.0), ("3x", 3.0)):
        back = np.asarray(peer.decode(params, peer.encode(params, x * far)[0]))
        found[f"round trip {name}"] = float(np.max(np.abs(back - x * far) / np.maximum(1, np.abs(x * far))))
    jax.config.update("jax_enable_x64", True)
    wide = jax.tree_util.tree_map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
    for name, far in (("range", 1.0), ("3x", 3.0)):
        points = np.asarray(x, np.float64) * far
        jacobian = jax.vmap(jax.jacfwd(lambda row: peer.encode(wide, row[None])[0][0]))(points)
        log_det = np.asarray(peer.encode(wide, points)[1]).reshape(-1)
        found[f"log-det {name}"] = float(np.max(np.abs(np.linalg.slogdet(np.asarray(jacobian))[1] - log_det)))
    return found
