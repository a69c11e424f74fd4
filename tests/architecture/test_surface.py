"""The public surface is frozen: names, verbs and options change only together with this file."""

from __future__ import annotations

import subprocess
import sys

import click

import bijectory
from bijectory.cli.main import VERBS

NAMES = """
ActNorm Affine Angles Autoregressive BijectoryError BlockAutoregressive BoundModel Chain ChannelHalves ChannelMADE
Checkerboard CircularSpline Composed Conditioned ConstantAffine Continuous Conv1x1 ConvNet Coupling DiagonalScale
Embedded EstimateModel EstimatedFlow ExactModel Exp FactorOut Flow FlowAnomaly FlowBase FlowDensity FlowRegressor
Householder IntegerModel Inverse LULinear LeftRight LipschitzMLP Logistic MADE MLP Mixture MixtureCDF Normal
Orthogonal Partition Permute Planar Quantised Radial RationalQuadraticSpline ResNet Residual Rotate SampleModel Scorer
Shift ShiftFirst Sigmoid SigmoidAffine Softplus Squeeze Standardise StandardisedContext StudentT Subgrid Sylvester
TimeMLP TopBottom Transform Uniform as_distribution bnaf channel_autoregressive compiled ffjord flowpp from_nflows from_zuko
frozen glow iaf initialise logit maf mixture_cdf naf nice nice_image nsf planar radial realnvp realnvp_image
realnvp_multiscale residual_flow residuals set_memory set_sampling standardised_context sylvester uniform_latents
""".split()

OPTIONS = {
    "list": [],
    "show": ["recipe"],
    "train": ["recipe", "knobs", "--run", "--resume", "--seed", "--device", "--tensorboard", "--data"],
    "fit": ["data", "knobs", "--run", "--resume", "--seed", "--device", "--tensorboard"],
    "evaluate": ["run", "--json", "--data", "--recipe"],
    "sample": ["run", "-n", "-o", "--seed", "--context", "--given", "--recipe"],
    "score": ["run", "data", "-o", "--order", "--given", "--draws", "--json", "--skip-bad", "--recipe"],
    "impute": ["run", "data", "-o", "--draws", "--seed", "--json", "--skip-bad", "--recipe"],
    "interpolate": ["run", "first", "second", "-o", "--steps", "--json", "--recipe"],
    "encode": ["run", "data", "-o", "--skip-bad", "--recipe"],
    "decode": ["run", "latents", "-o", "--recipe"],
    "verify": ["run", "--json", "--data", "--recipe"],
    "report": ["runs", "-o"],
}


def test_public_names() -> None:
    assert bijectory.__all__ == NAMES
    assert all(getattr(bijectory, name) is not None for name in NAMES)
    assert set(NAMES) <= set(dir(bijectory))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(bijectory, "glow_in_the_dark")


def test_verbs_and_their_options() -> None:
    found = {
        verb: [p.opts[0] if isinstance(p, click.Option) else p.name for p in command.params]
        for verb, command in VERBS.items()
    }
    assert found == OPTIONS


def test_every_verb_says_what_it_does_with_an_example() -> None:
    silent = [verb for verb, command in VERBS.items() if f"bijectory {verb}" not in (command.help or "")]
    assert silent == []


def test_help_and_import_leave_torch_alone() -> None:
    code = (
        "import sys, bijectory\nfrom bijectory.cli.main import bijectory as command\n"
        "command.main(['--help'], standalone_mode=False)\n"
        "command.main(['train', '--help'], standalone_mode=False)\n"
        "command.main(['list'], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_equals_the_changelog() -> None:
    from pathlib import Path

    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    first = next(line for line in changelog.splitlines() if line.startswith("## "))
    assert first.split()[1] == bijectory.__version__
