"""One table of every transform and model, with its domain, its tolerances and its exceptions, each with a reason.

To add a map or a model, add a row to the list that it belongs to: `zoo_transforms`, `zoo_models`, `zoo_estimates` or, if its events are
pictures, `zoo_pictures`. The laws of `bijectory.testing` that apply to it follow.
"""

from __future__ import annotations

import zoo_estimates
import zoo_models
import zoo_pictures
import zoo_transforms
from rows import Row, specimen
from zoo_parts import AFFINE, HIDDEN, autoregressive, halves
from zoo_transforms import many_features

__all__ = [
    "AFFINE",
    "BOUNDS",
    "ESTIMATES",
    "HIDDEN",
    "MODELS",
    "TRANSFORMS",
    "Row",
    "autoregressive",
    "halves",
    "many_features",
    "specimen",
]

TRANSFORMS = [*zoo_transforms.TRANSFORMS, *zoo_pictures.TRANSFORMS]
MODELS = [*zoo_models.MODELS, *zoo_pictures.MODELS]
ESTIMATES = zoo_estimates.ESTIMATES
BOUNDS = [*zoo_estimates.BOUNDS, *zoo_pictures.BOUNDS]
