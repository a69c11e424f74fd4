"""Judging a model: the scores that stand in a run's result."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from ..data.splits import Rows, Splits
from ..evaluation.likelihood import Score, kind_of, likelihood_rows, mean_and_stderr, scores_of_rows
from ..evaluation.regression import predicts_one_number, regression_scores
from ..models.base import EstimateModel, SampleModel
from ..training.precision import set_precision
from .recipe import Recipe

#: The float32 bias is measured on this many rows at most, and on no more numbers than that unless these are fewer rows than 64.
BIAS_ROWS, BIAS_NUMBERS = 2_000, 400_000


def judge(experiment: Recipe, model: SampleModel, splits: Splits) -> tuple[list[Score], Tensor]:
    """Scores on validation and test rows, in the recipe's ``judged_in``: float64 on the CPU, unless that would take too long.

    A conditional density of one number is scored as a prediction too: CRPS, and coverage of its intervals.
    Beside them the joint nats of each test row, (rows,), by which two runs on the same rows are compared row by row. What float32 says
    differently from float64 is a score of its own: ``float32_bias``, in nats, over some rows of the test split.
    """
    judged = as_judged(experiment, model)
    device = next(judged.parameters()).device
    scores: list[Score] = []
    for split in ("validation", "test"):
        rows = like_model(judged, getattr(splits, split), device)
        truth = None if splits.truth is None else splits.truth(rows.x.double().cpu())
        nats = likelihood_rows(judged, rows.x, rows.context, draws=experiment.draws)
        scores += scores_of_rows(judged, nats, split=split, truth=truth)
        if predicts_one_number(judged):
            scores += regression_scores(judged, rows, split=split, unit=splits.columns[0])
    # Of a bound the one-draw bound, of an estimate the mean of its draws.
    each = nats.mean(1) if isinstance(judged, EstimateModel) else nats[:, 0]
    return [*scores, precision_bias(model, splits.test)], each


def as_judged(experiment: Recipe, model: SampleModel) -> SampleModel:
    """A copy in the precision in which it is judged; in float32 it stays on its device, where an accelerator saves an hour."""
    copied = copy.deepcopy(model).eval()
    set_precision(copied, None)
    return copied.double().cpu() if experiment.judged_in == "float64" else copied.float()


def like_model(model: SampleModel, rows: Rows, device: torch.device | str = "cpu") -> Rows:
    """Rows as the model wants them: real ones in its precision, integers as they are."""
    dtype = next(model.parameters()).dtype
    x = rows.x.to(device) if not rows.x.is_floating_point() else rows.x.to(device, dtype)
    return Rows(x, None if rows.context is None else rows.context.to(device, dtype))


def precision_bias(model: SampleModel, rows: Rows) -> Score:
    """Mean of log p (or of its bound or estimate, with the same noise) in float32 minus that in float64, over some rows."""
    dims = math.prod(model.event_shape)
    some = rows.select(slice(0, max(64, min(BIAS_ROWS, BIAS_NUMBERS // dims))))
    values = []
    for dtype in (torch.float32, torch.float64):
        copied = copy.deepcopy(model).to("cpu", dtype).eval()
        set_precision(copied, None)
        cast = like_model(copied, some)
        values.append(likelihood_rows(copied, cast.x, cast.context)[:, 0])
    mean, error = mean_and_stderr(values[0] - values[1])
    return Score("float32_bias", "test", mean, error, "nats", kind_of(model))
