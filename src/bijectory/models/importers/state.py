"""Reading another library's state dictionary by prefixes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...distributions.base import Normal
from ...errors import InputError
from ...transforms.base import Chain, Transform
from ..flow import Flow
from .nets import Layer

State = Mapping[str, Tensor]


def below(state: State, prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    start = prefix + "."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def numbered(state: State) -> list[dict[str, Tensor]]:
    """The entries of a list of modules, in order; raises InputError where one has no tensors and so is missing."""
    keys = sorted({int(name.split(".")[0]) for name in state if name.split(".")[0].isdigit()})
    if keys != list(range(len(keys))):
        raise InputError(
            f"flow: expected transforms 0 to {keys[-1]} in the state, got {keys}; a transform without tensors does not show in it: hand "
            "in the flow itself"
        )
    return [below(state, str(key)) for key in keys]


def linear_layer(state: State, prefix: str) -> Layer:
    """The layer under a prefix."""
    mask = state.get(f"{prefix}.mask")
    return Layer(state[f"{prefix}.weight"], state[f"{prefix}.bias"], None if mask is None else mask.bool())


def tensors(flow: nn.Module | State) -> dict[str, Tensor]:
    """A module's or a mapping's tensors, detached and on the CPU; raises InputError for what holds none, or other things besides."""
    state = flow.state_dict() if isinstance(flow, nn.Module) else flow
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        got = type(flow).__name__ if not isinstance(state, Mapping) else "other values in it"
        raise InputError(f"flow: expected a flow, or its state_dict() of names and tensors, got {got}")
    return {name: value.detach().cpu() for name, value in state.items()}


def assembled(transforms: list[Transform], features: int, context_dim: int) -> Flow:
    """The flow to a standard normal, in the dtype of its weights."""
    chain = Chain(transforms)
    numbers = [*chain.parameters(), *(buffer for buffer in chain.buffers() if buffer.is_floating_point())]
    dtype = numbers[0].dtype if numbers else torch.get_default_dtype()
    return Flow(Normal((features,)), chain, context_dim=context_dim).to(dtype).eval()
