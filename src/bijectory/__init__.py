"""Bijectory: generative models with a likelihood, trained, judged and used.

The names below load when first asked for, so that ``import bijectory`` costs nothing and ``bijectory --help`` never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "ActNorm": "transforms.normalise",
    "Affine": "transforms.elementwise",
    "Autoregressive": "transforms.autoregressive",
    "BijectoryError": "errors",
    "BoundModel": "models.base",
    "Chain": "transforms.base",
    "ChannelHalves": "transforms.partitions",
    "Checkerboard": "transforms.partitions",
    "ConstantAffine": "transforms.normalise",
    "Coupling": "transforms.coupling",
    "DiagonalScale": "transforms.normalise",
    "EstimateModel": "models.base",
    "ExactModel": "models.base",
    "Exp": "transforms.elementwise",
    "Flow": "models.flow",
    "IntegerModel": "models.base",
    "Inverse": "transforms.base",
    "LULinear": "transforms.linear",
    "LeftRight": "transforms.partitions",
    "Logistic": "distributions.base",
    "MADE": "nets.made",
    "MLP": "nets.mlp",
    "MixtureCDF": "transforms.mixtures",
    "Normal": "distributions.base",
    "Partition": "transforms.coupling",
    "Permute": "transforms.linear",
    "Quantised": "models.quantised",
    "RationalQuadraticSpline": "transforms.splines",
    "ResNet": "nets.resnet",
    "SampleModel": "models.base",
    "Shift": "transforms.elementwise",
    "ShiftFirst": "transforms.elementwise",
    "Sigmoid": "transforms.elementwise",
    "SigmoidAffine": "transforms.elementwise",
    "Softplus": "transforms.elementwise",
    "Squeeze": "transforms.reshape",
    "Standardise": "transforms.normalise",
    "TopBottom": "transforms.partitions",
    "Transform": "transforms.base",
    "initialise": "training.initialise",
    "logit": "transforms.elementwise",
    "maf": "models.flows.maf",
    "mixture_cdf": "models.flows.mixture_cdf",
    "nice": "models.flows.nice",
    "nice_image": "models.flows.nice_image",
    "nsf": "models.flows.nsf",
    "realnvp": "models.flows.realnvp",
    "realnvp_image": "models.flows.realnvp_image",
    "uniform_latents": "models.view",
}

__all__ = sorted(_ROOMS)

if TYPE_CHECKING:
    from .distributions.base import Logistic, Normal
    from .errors import BijectoryError
    from .models.base import BoundModel, EstimateModel, ExactModel, IntegerModel, SampleModel
    from .models.flow import Flow
    from .models.flows.maf import maf
    from .models.flows.mixture_cdf import mixture_cdf
    from .models.flows.nice import nice
    from .models.flows.nice_image import nice_image
    from .models.flows.nsf import nsf
    from .models.flows.realnvp import realnvp
    from .models.flows.realnvp_image import realnvp_image
    from .models.quantised import Quantised
    from .models.view import uniform_latents
    from .nets.made import MADE
    from .nets.mlp import MLP
    from .nets.resnet import ResNet
    from .training.initialise import initialise
    from .transforms.autoregressive import Autoregressive
    from .transforms.base import Chain, Inverse, Transform
    from .transforms.coupling import Coupling, Partition
    from .transforms.elementwise import Affine, Exp, Shift, ShiftFirst, Sigmoid, SigmoidAffine, Softplus, logit
    from .transforms.linear import LULinear, Permute
    from .transforms.mixtures import MixtureCDF
    from .transforms.normalise import ActNorm, ConstantAffine, DiagonalScale, Standardise
    from .transforms.partitions import ChannelHalves, Checkerboard, LeftRight, TopBottom
    from .transforms.reshape import Squeeze
    from .transforms.splines import RationalQuadraticSpline


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'bijectory' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
