"""How the tables sum rounds up: medians with their range, and ratios taken inside a round."""

from __future__ import annotations

import statistics
from typing import Any

Runs = list[dict[str, Any]]


def spread(values: list[float], digits: int = 0) -> str:
    """Median (least..largest)."""
    if not values:
        return "–"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def ratios(ours: dict[int, float], peers: dict[str, dict[int, float]], more: bool) -> tuple[float, list[float], str]:
    """Ours over the best peer within each round, so that load common to a round cancels; and the peer that was best by median."""
    pick = max if more else min
    name = pick(peers, key=lambda peer: statistics.median(peers[peer].values()))
    shared = sorted(ours.keys() & peers[name].keys())
    each = [ours[r] / peers[name][r] if more else peers[name][r] / ours[r] for r in shared]
    return statistics.median(each), each, name


def by_round(runs: Runs, key: str, mode: str | None = None) -> dict[int, float]:
    """The value of each round that has one."""
    found = {number: run.get(key) if mode is None else run.get(key, {}).get(mode) for number, run in enumerate(runs)}
    return {number: value for number, value in found.items() if value}


def verdict(middle: float, must: str, aim: str | None, less: bool = False) -> str:
    """What a ratio has reached of its goal; with ``less`` the goal is to stay below."""
    sign = -1 if less else 1
    reached = [sign * middle >= sign * float(goal) for goal in (aim or must, must)]
    return "aim reached" if reached[0] else "must reached" if reached[1] else "**missed**"
