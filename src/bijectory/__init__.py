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
    "Angles": "transforms.circular",
    "Autoregressive": "transforms.autoregressive",
    "BlockAutoregressive": "transforms.block_autoregressive",
    "BijectoryError": "errors",
    "BoundModel": "models.base",
    "Chain": "transforms.base",
    "ChannelHalves": "transforms.partitions",
    "ChannelMADE": "nets.channel_made",
    "Checkerboard": "transforms.partitions",
    "CircularSpline": "transforms.circular",
    "Composed": "transforms.composed",
    "Conditioned": "transforms.conditioned",
    "ConstantAffine": "transforms.normalise",
    "Continuous": "transforms.continuous",
    "Conv1x1": "transforms.convolution",
    "ConvNet": "nets.convnet",
    "Coupling": "transforms.coupling",
    "DiagonalScale": "transforms.normalise",
    "Embedded": "transforms.embedded",
    "EstimateModel": "models.base",
    "EstimatedFlow": "models.estimated",
    "ExactModel": "models.base",
    "Exp": "transforms.elementwise",
    "FactorOut": "transforms.factor_out",
    "Flow": "models.flow",
    "FlowAnomaly": "estimators.anomaly",
    "FlowBase": "models.flow_base",
    "FlowDensity": "estimators.density",
    "FlowRegressor": "estimators.regressor",
    "Householder": "transforms.orthogonal",
    "IntegerModel": "models.base",
    "Inverse": "transforms.base",
    "LULinear": "transforms.linear",
    "LeftRight": "transforms.partitions",
    "LipschitzMLP": "nets.lipschitz",
    "Logistic": "distributions.base",
    "MADE": "nets.made",
    "MLP": "nets.mlp",
    "Mixture": "distributions.mixture",
    "MixtureCDF": "transforms.mixtures",
    "Normal": "distributions.base",
    "Orthogonal": "transforms.orthogonal",
    "Partition": "transforms.coupling",
    "Permute": "transforms.linear",
    "Planar": "transforms.planar",
    "Quantised": "models.quantised",
    "Radial": "transforms.radial",
    "RationalQuadraticSpline": "transforms.splines",
    "ResNet": "nets.resnet",
    "Residual": "transforms.residual",
    "Rotate": "transforms.circular",
    "SampleModel": "models.base",
    "Scorer": "experiments.scorer",
    "Shift": "transforms.elementwise",
    "ShiftFirst": "transforms.elementwise",
    "Sigmoid": "transforms.elementwise",
    "SigmoidAffine": "transforms.elementwise",
    "Softplus": "transforms.elementwise",
    "Squeeze": "transforms.reshape",
    "Standardise": "transforms.normalise",
    "StandardisedContext": "nets.embed",
    "StudentT": "distributions.student",
    "Subgrid": "transforms.partitions",
    "Sylvester": "transforms.sylvester",
    "TimeMLP": "nets.field",
    "TopBottom": "transforms.partitions",
    "Transform": "transforms.base",
    "Uniform": "distributions.uniform",
    "as_distribution": "models.view",
    "bnaf": "models.flows.bnaf",
    "channel_autoregressive": "models.flows.channel_autoregressive",
    "compiled": "models.frozen",
    "ffjord": "models.flows.ffjord",
    "flowpp": "models.flows.flowpp",
    "from_nflows": "models.importers.nflows",
    "from_zuko": "models.importers.zuko",
    "frozen": "models.frozen",
    "glow": "models.flows.glow",
    "iaf": "models.flows.iaf",
    "initialise": "training.initialise",
    "logit": "transforms.elementwise",
    "maf": "models.flows.maf",
    "mixture_cdf": "models.flows.mixture_cdf",
    "naf": "models.flows.naf",
    "nice": "models.flows.nice",
    "nice_image": "models.flows.nice_image",
    "nsf": "models.flows.nsf",
    "planar": "models.flows.planar",
    "radial": "models.flows.radial",
    "realnvp": "models.flows.realnvp",
    "realnvp_image": "models.flows.realnvp_image",
    "realnvp_multiscale": "models.flows.realnvp_multiscale",
    "set_memory": "transforms.reversible",
    "set_sampling": "transforms.autoregressive",
    "residual_flow": "models.flows.residual_flow",
    "residuals": "numerics.residuals",
    "standardised_context": "models.conditional",
    "sylvester": "models.flows.sylvester",
    "uniform_latents": "models.view",
}

__all__ = sorted(_ROOMS)

if TYPE_CHECKING:
    from .distributions.base import Logistic, Normal
    from .distributions.mixture import Mixture
    from .distributions.student import StudentT
    from .distributions.uniform import Uniform
    from .errors import BijectoryError
    from .estimators.anomaly import FlowAnomaly
    from .estimators.density import FlowDensity
    from .estimators.regressor import FlowRegressor
    from .experiments.scorer import Scorer
    from .models.base import BoundModel, EstimateModel, ExactModel, IntegerModel, SampleModel
    from .models.conditional import standardised_context
    from .models.estimated import EstimatedFlow
    from .models.flow import Flow
    from .models.flow_base import FlowBase
    from .models.flows.bnaf import bnaf
    from .models.flows.channel_autoregressive import channel_autoregressive
    from .models.flows.ffjord import ffjord
    from .models.flows.flowpp import flowpp
    from .models.flows.glow import glow
    from .models.flows.iaf import iaf
    from .models.flows.maf import maf
    from .models.flows.mixture_cdf import mixture_cdf
    from .models.flows.naf import naf
    from .models.flows.nice import nice
    from .models.flows.nice_image import nice_image
    from .models.flows.nsf import nsf
    from .models.flows.planar import planar
    from .models.flows.radial import radial
    from .models.flows.realnvp import realnvp
    from .models.flows.realnvp_image import realnvp_image
    from .models.flows.realnvp_multiscale import realnvp_multiscale
    from .models.flows.residual_flow import residual_flow
    from .models.flows.sylvester import sylvester
    from .models.frozen import compiled, frozen
    from .models.importers.nflows import from_nflows
    from .models.importers.zuko import from_zuko
    from .models.quantised import Quantised
    from .models.view import as_distribution, uniform_latents
    from .nets.channel_made import ChannelMADE
    from .nets.convnet import ConvNet
    from .nets.embed import StandardisedContext
    from .nets.field import TimeMLP
    from .nets.lipschitz import LipschitzMLP
    from .nets.made import MADE
    from .nets.mlp import MLP
    from .nets.resnet import ResNet
    from .numerics.residuals import residuals
    from .training.initialise import initialise
    from .transforms.autoregressive import Autoregressive, set_sampling
    from .transforms.base import Chain, Inverse, Transform
    from .transforms.block_autoregressive import BlockAutoregressive
    from .transforms.circular import Angles, CircularSpline, Rotate
    from .transforms.composed import Composed
    from .transforms.conditioned import Conditioned
    from .transforms.continuous import Continuous
    from .transforms.convolution import Conv1x1
    from .transforms.coupling import Coupling, Partition
    from .transforms.elementwise import Affine, Exp, Shift, ShiftFirst, Sigmoid, SigmoidAffine, Softplus, logit
    from .transforms.embedded import Embedded
    from .transforms.factor_out import FactorOut
    from .transforms.linear import LULinear, Permute
    from .transforms.mixtures import MixtureCDF
    from .transforms.normalise import ActNorm, ConstantAffine, DiagonalScale, Standardise
    from .transforms.orthogonal import Householder, Orthogonal
    from .transforms.partitions import ChannelHalves, Checkerboard, LeftRight, Subgrid, TopBottom
    from .transforms.planar import Planar
    from .transforms.radial import Radial
    from .transforms.reshape import Squeeze
    from .transforms.residual import Residual
    from .transforms.reversible import set_memory
    from .transforms.splines import RationalQuadraticSpline
    from .transforms.sylvester import Sylvester


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'bijectory' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
