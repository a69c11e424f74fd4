"""Golden values of LU-factored linear maps, from nflows and normflows: z, log-det, and x from z.

Weights and points as in make_maf.py.

    python tests/golden/make_lu.py
"""

from __future__ import annotations

from typing import Any

import torch
from make_maf import filled, plain, points, state_of, write
from nflows.transforms import LULinear
from normflows.flows import LULinearPermute


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


if __name__ == "__main__":
    rows = [case(peer, features) for peer in ("nflows", "normflows") for features in (2, 5)]
    write("lu", "LU-factored linear maps: state, x, z, log_det, back", ("nflows", "normflows", "torch"), rows)
