"""RealNVP on scikit-learn's digits, 8×8 pictures of 17 levels: data that every machine has.

    bijectory train digits_realnvp

Checkerboard and channel couplings with small residual networks, stopped where held-out digits say so.
"""

from __future__ import annotations

from ..data.images import digits_splits
from ..experiments.recipe import Expect, Recipe
from ..models.flows.realnvp_image import realnvp_image
from ..transforms.reversible import Memory
from ._pictures import Training, picture_recipe


def digits_realnvp(
    *,
    filters: int = 32,
    blocks: int = 1,
    couplings: tuple[int, ...] = (4, 4, 4),
    alpha: float = 0.05,
    memory: Memory = "plain",
    steps: int = 3000,
    batch: int = 64,
    rate: float = 2e-3,
    weight_decay: float = 0.1,
    smoke: bool = False,
) -> Recipe:
    """RealNVP on digits of 8×8 pixels, 17 levels each.

    filters: channels inside the residual networks
    blocks: residual blocks of each network
    couplings: how many between checkerboard colours, channels, and checkerboard colours again
    alpha: margin of the logit
    memory: plain, or rebuild, which recomputes activations while it goes backwards
    steps: updates
    batch: pictures an update
    rate: Adam's learning rate at its highest
    weight_decay: AdamW's; 1,258 pictures are soon learned by heart
    smoke: a run of seconds on generated pictures, to see that everything works
    """
    kinds = ("checkerboard", "channel", "checkerboard")
    counts = (1, 1, 1) if smoke else couplings
    return picture_recipe(
        lambda folder, seed: digits_splits(seed),
        lambda schema: realnvp_image(
            schema.event_shape,
            filters=4 if smoke else filters,
            blocks=blocks,
            stages=tuple(zip(kinds, counts, strict=True)),
        ),
        shape=(1, 8, 8),
        levels=17,
        training=Training(steps, batch, rate, warmup=200, decay=1.0, weight_decay=weight_decay),
        alpha=alpha,
        memory=memory,
        expect=Expect(
            metric="bits_per_dim",
            value=2.6717,
            tolerance=0.7,
            source=(
                "a mixture of Gaussians (30, diagonal, by BIC) on the same dequantised rows, 2.6717 ± 0.0237, and a full-covariance "
                "Gaussian, 2.9662 ± 0.0202 (benchmarks/digits.py): to be beaten; the bits of the integers are counted exactly as theirs"
            ),
            hardware="two CPU cores",
            minutes=3,
            measured=(
                "2.0161 ± 0.0135 bits/dim, one draw; 1.9588 ± 0.0128 with four (bijectory train digits_realnvp, 151 s on one thread beside "
                "other work)"
            ),
        ),
        smoke=smoke,
    )
