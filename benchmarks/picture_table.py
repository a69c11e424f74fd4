"""Rows D and E of the tables: Glow's pictures a second, and what its training step holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from clock import OURS
from pictures import PEER_MODES
from ratios import Runs, by_round, ratios, spread, verdict

#: Results, words, must and aim of row D.
GLOW_ROWS = (
    ("train", "D · Glow, training pictures/s", "1.15", "1.3"),
    ("sample", "D · Glow, sampling pictures/s", "1.2", "1.5"),
)
FIRST, LAST = "4", "32"


def picture_lines(found: dict[str, Any]) -> list[str]:
    """The goals of both rows, then the figures that they are made of."""
    lines = [
        "| row | must | aim | measured: median (least..largest round) | best peer | |",
        "|---|---|---|---|---|---|",
    ]
    if "glow" in found:
        lines += _glow_goals(found["glow"])
    if "memory" in found:
        lines += _memory_goals(found["memory"])
    if "glow" in found:
        lines += ["", *_glow(found["glow"])]
    if "memory" in found:
        lines += ["", *_memory(found["memory"])]
    return lines


def _best(runs: Runs, key: str, modes: Sequence[str]) -> dict[int, float]:
    """A library's rates by round, in that of the modes in which its median is highest."""
    each = [rates for mode in modes if (rates := by_round(runs, key, mode))]
    return max(each, key=lambda rates: statistics.median(rates.values())) if each else {}


def _glow_goals(glow: dict[str, Runs]) -> list[str]:
    """Ours as it comes over the best peer as it comes, and compiled over the best peer in its best mode of all."""
    lines = []
    for key, what, must, aim in GLOW_ROWS:
        for mine, modes in (("eager", PEER_MODES[:2]), ("compiled", PEER_MODES)):
            if not (rates := _best(glow[mine], key, (mine,))):
                continue
            peers = {
                name: best for name, runs in glow.items() if name not in OURS and (best := _best(runs, key, modes))
            }
            middle, each, name = ratios(rates, peers, True)
            # With --uncompiled no peer was compiled: then a verdict on our compiled step would be one against a handicap.
            fair = mine == "eager" or any(_best(runs, key, PEER_MODES[2:]) for n, runs in glow.items() if n not in OURS)
            which = "as it comes" if mine == "eager" else "compiled or not" if fair else "none of them compiled"
            measured = f"{middle:.2f} ({min(each):.2f}..{max(each):.2f})"
            reached = verdict(middle, must, aim) if fair else "not decided"
            lines.append(
                f"| {what}, {mine}, over the best peer, {which} | {must} | {aim} | {measured} | {name} | {reached} |"
            )
    return lines


def _memory_goals(memory: dict[str, Any]) -> list[str]:
    growth = {name: one[LAST]["mib"] / one[FIRST]["mib"] for name, one in memory.items() if name != "pace"}
    name = min((n for n in growth if n not in ("plain", "rebuild")), key=growth.__getitem__)
    cells = f"{growth['rebuild']:.2f}; plain {growth['plain']:.2f} | {name} {growth[name]:.2f}"
    reached = verdict(growth["rebuild"], "1.3", "1.1", less=True)
    lines = [
        f"| E · what a training step of D holds, K = 32 over K = 4, rebuilt | ≤ 1.3 | ≤ 1.1 | {cells} | {reached} |"
    ]
    for depth, each in memory["pace"]["ratios"].items():
        middle = statistics.median(each)
        measured = f"{middle:.2f} ({min(each):.2f}..{max(each):.2f})"
        reached = verdict(middle, "1.5", "1.35", less=True)
        lines.append(
            f"| E · seconds of a step, rebuilt over plain, K = {depth} | ≤ 1.5 | ≤ 1.35 | {measured} | – | {reached} |"
        )
    return lines


def _glow(glow: dict[str, Runs]) -> list[str]:
    kinds = ("round trip range", "log-det range")
    lines = [
        "| Glow, pictures/s | mode | training | sampling | parameters | round trip, float32 | log-det, float64 | made of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in glow.items():
        label = "bijectory" if name in OURS else name
        if "failed" in runs[0]:
            lines.append(f"| {label} | {name} | failed | | | | | {runs[0]['failed'][-120:]!r} |")
            continue
        errors = next((run["errors"] for run in runs if "errors" in run), {})
        about = [str(runs[0]["parameters"]), *(f"{errors[kind]:.1e}" if kind in errors else "–" for kind in kinds)]
        made_of = runs[0]["made_of"]
        for mode in (name,) if name in OURS else PEER_MODES:
            speeds = [spread(list(by_round(runs, key, mode).values())) for key in ("train", "sample")]
            lines.append("| " + " | ".join([label, mode, *speeds, *about, made_of]) + " |")
            about, made_of = [""] * 3, ""
    return lines


def _memory(memory: dict[str, Any]) -> list[str]:
    depths = list(memory["plain"])
    lines = [
        "| MiB of the third step, less weights, gradients, optimiser's state and batch "
        + "".join(f"| K = {depth} " for depth in depths)
        + "| K = 32 over K = 4 | the same of the process, K = 4; 32 | gradients, K = 4; 32 |",
        "|---|" + "---|" * (len(depths) + 3),
    ]
    for name, one in memory.items():
        if name == "pace":
            continue
        label = f"bijectory, {name}" if name in ("plain", "rebuild") else name
        cells = [
            label,
            *(f"{one[depth]['mib']:.1f}" for depth in depths),
            f"{one[LAST]['mib'] / one[FIRST]['mib']:.2f}",
        ]
        cells += ["; ".join(f"{one[depth][kind]:.1f}" for depth in (FIRST, LAST)) for kind in ("resident", "gradients")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
