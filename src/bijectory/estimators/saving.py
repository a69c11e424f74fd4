"""Fitted estimators on disk: one safetensors file with JSON beside the tensors. No code runs when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from torch import Tensor

from ..data.kinds import Column
from ..data.splits import Rows
from ..errors import BijectoryError, CheckpointError, InputError
from ..evaluation.likelihood import log_prob_rows
from ..experiments.auto import TableSize
from ..training.checkpoint import read_tensors, write_tensors
from .fitting import made

T = TypeVar("T")
#: What is written in a way of its own; all other attributes that ``fit`` sets are numbers, words and lists of them.
APART = ("model_", "probes_", "size_")


def save_estimator(estimator: Any, path: Path) -> None:
    """Write the parameters, what ``fit`` found, the weights, and some rows with their log density."""
    params = estimator.get_params(deep=False)
    for name, value in params.items():
        if not isinstance(value, bool | int | float | str | Mapping | None):
            raise InputError(
                f"{name}: expected a number, a text or None in an estimator that is saved, got {value!r}; set_params({name}=None)"
            )
    tensors = {f"model.{name}": tensor for name, tensor in estimator.model_.state_dict().items()}
    tensors["probe.x"] = estimator.probes_.x
    if estimator.probes_.context is not None:
        tensors["probe.context"] = estimator.probes_.context
    tensors["probe.log_prob"] = _probe(estimator.model_, tensors)
    fitted = {name: value for name, value in vars(estimator).items() if name.endswith("_") and name not in APART}
    record = {
        "estimator": type(estimator).__name__,
        "params": {name: dict(value) if isinstance(value, Mapping) else value for name, value in params.items()},
        "columns": [asdict(column) for column in estimator.model_.columns],
        "context": [asdict(column) for column in estimator.model_.context_columns],
        "size": estimator.size_._asdict(),
        "fitted": {
            name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in fitted.items()
        },
    }
    write_tensors(path, tensors, record)


def load_estimator(kind: type[T], path: Path) -> T:
    """An estimator of this kind from its file."""
    tensors, record = read_tensors(path)
    if record.get("estimator") != kind.__name__:
        raise CheckpointError(
            f"{path}: expected a saved {kind.__name__}, got {record.get('estimator', 'something else')}"
        )
    found: Any
    try:
        found = kind(**record["params"])
        size = TableSize(**record["size"])
        columns, context = (msgspec.convert(record[part], tuple[Column, ...]) for part in ("columns", "context"))
        model = made(columns, context, size, size.members).double().eval()
        model.load_state_dict(
            {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        )
        for name, value in record["fitted"].items():
            setattr(found, name, value)
        found.model_, found.size_, found.probes_ = model, size, Rows(tensors["probe.x"], tensors.get("probe.context"))
        then = tensors["probe.log_prob"]
    except (KeyError, TypeError, ValueError, RuntimeError, BijectoryError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: does not hold what a {kind.__name__} saves ({detail})") from error
    if hasattr(found, "feature_names_in_"):
        found.feature_names_in_ = np.array(found.feature_names_in_, dtype=object)
    # Another processor may sum in another order; 1e-9 relative is far above that and far below any changed constant.
    if not torch.allclose(_probe(model, tensors), then, rtol=1e-9, atol=1e-9):
        raise CheckpointError(
            f"{path}: its rows have other log densities than when it was saved; use the version that saved it"
        )
    return found


def _probe(model: Any, tensors: Mapping[str, Tensor]) -> Tensor:
    return log_prob_rows(model, tensors["probe.x"], tensors.get("probe.context"))
