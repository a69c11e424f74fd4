"""Glow on Fashion-MNIST, and what it makes of digits.

    bijectory train fashion_mnist_glow preset=cpu

The finished model also scores MNIST, where the data folder has it, and finds digits likelier than the clothes it was trained on.
"""

from __future__ import annotations

from ..data.mnist import fashion_mnist_splits
from ..experiments.recipe import Expect
from ._glow import mnist_sized

fashion_mnist_glow = mnist_sized(
    "fashion_mnist_glow",
    fashion_mnist_splits,
    Expect(
        metric="bits_per_dim",
        value=2.96,
        tolerance=0.1,
        source="Glow on Fashion-MNIST in Nalisnick et al. 2019 (arXiv:1810.09136), read off their figures: about 2.96",
        hardware="one accelerator (preset=gpu)",
        minutes=8,
        measured=(
            "preset=cpu: 3.2683 ± 0.0085 bits/dim, one draw; 3.2519 ± 0.0085 with four (bijectory train fashion_mnist_glow, one thread "
            "beside other work, 5 minutes); preset=gpu not measured"
        ),
    ),
)
