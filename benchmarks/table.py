"""Writes docs/benchmarks.md (ratios first, then absolute numbers, then correctness) and docs/images/benchmarks.png from results/*.json."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from clock import JAX_PEERS, OURS, PEERS, TORCH_PEERS
from picture_table import picture_lines
from ratios import Runs, by_round, ratios, spread, verdict

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def rates(runs: Runs, mode: str) -> list[float]:
    return [run["rate"][mode] for run in runs if mode in run.get("rate", {})]


def seconds(runs: Runs) -> list[float]:
    return [run["seconds"] for run in runs if run.get("seconds")]


def best_mode(runs: Runs) -> str:
    """The optimiser mode with the higher median rate."""
    modes = {mode for run in runs for mode in run.get("rate", {})}
    return max(modes, key=lambda mode: statistics.median(rates(runs, mode)))


def headline(found: dict[str, Any]) -> list[tuple[str, str, str, float, list[float], str]]:
    """The rows of the goal: what, must, aim, median ratio, its values by round, best peer."""
    rows = []
    if "steps" in found:
        steps = found["steps"]
        speed = {
            name: by_round(runs, "rate", best_mode(runs))
            for name, runs in steps.items()
            if any(r.get("rate") for r in runs)
        }
        torch_peers = {name: speed[name] for name in TORCH_PEERS if name in speed}
        every = {name: speed[name] for name in PEERS if name in speed}
        for what, mode, peers, must, aim in (
            # each peer in the better of its two optimiser modes
            ("A · training steps/s, eager, over the best torch peer (fused Adam)", "eager", torch_peers, "1.2", "1.5"),
            ("A · training steps/s, compiled, over the best torch peer", "compiled", torch_peers, "3", "4"),
            ("A · training steps/s, compiled, over the best of all peers", "compiled", every, "0.65", "1.0"),
        ):  # fmt: skip
            rows.append((what, must, aim, *ratios(speed[mode], peers, True)))
        long = {name: by_round(runs, "seconds") for name, runs in steps.items()}
        long = {name: values for name, values in long.items() if values}
        mine = min((m for m in OURS if m in long), key=lambda m: statistics.median(long[m].values()))
        what = f"F · process start to 2,000 steps of A ({mine}): best peer's seconds over ours"
        rows.append((what, "0.45", "0.7", *ratios(long[mine], {n: v for n, v in long.items() if n in PEERS}, False)))
    if "smiley" in found:
        reach = {name: by_round(runs, "seconds") for name, runs in found["smiley"].items()}
        peers = {name: values for name, values in reach.items() if name != "ours" and values}
        what = "F · process start to 0.02 excess nats on smiley: best peer's seconds over ours"
        rows.append((what, "1.5", "3", *ratios(reach["ours"], peers, False)))
    return rows


#: Rows B and C: results, what they count, its words, must and aim. Whose best: of all peers.
VECTOR_ROWS = (
    ("nsf", "steps", "B · NSF, D = 8: training steps/s, batch 512, compiled", "1.4", "1.8"),
    ("maf", "steps", "B · MAF, D = 21: training steps/s, batch 512, compiled", "1.7", "2"),
    ("nsf", "log_prob", "B · NSF, D = 8: log_prob of 10,000 rows", "1.05", "1.3"),
    ("maf", "log_prob", "B · MAF, D = 21: log_prob of 10,000 rows", "0.95", "1.1"),
    ("nsf", "sample 10000", "B · NSF, D = 8: 10,000 samples", None, None),
    ("maf", "sample 10000", "C · MAF, D = 21: 10,000 samples", "7", "12"),
    ("maf64", "sample 1000", "C · MAF, D = 64: 1,000 samples", "5", "12"),
    ("maf64", "sample 10000", "C · MAF, D = 64: 10,000 samples", None, None),
)


def vector_lines(found: dict[str, Any]) -> list[str]:
    """The rows over longer vectors: our better mode over the best torch peer, and over the best of all, within each round."""
    lines = [
        "| row | must | aim | over the best torch peer | over the best of all peers | |",
        "|---|---|---|---|---|---|",
    ]
    for row, key, what, must, aim in VECTOR_ROWS:
        if row not in found:
            continue
        speed = {name: by_round(runs, key) for name, runs in found[row].items()}
        speed = {name: values for name, values in speed.items() if values}
        mine = [name for name in OURS if name in speed]
        ours = speed[
            "compiled" if key == "steps" else max(mine, key=lambda name: statistics.median(speed[name].values()))
        ]
        cells = []
        for peers in (TORCH_PEERS, PEERS):
            middle, each, name = ratios(ours, {peer: speed[peer] for peer in peers if peer in speed}, True)
            cells.append((middle, f"{middle:.2f} ({min(each):.2f}..{max(each):.2f}), {name}"))
        reached = "" if must is None else verdict(cells[0][0], must, aim) + "; " + verdict(cells[1][0], must, aim)
        lines.append(f"| {what} | {must or '–'} | {aim or '–'} | {cells[0][1]} | {cells[1][1]} | {reached} |")
    lines += [
        "",
        "| library | row | steps/s | log_prob/s, 10,000 rows | samples: calls/s | parameters | made of |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in dict.fromkeys(row for row, *_ in VECTOR_ROWS):
        for name, runs in found.get(row, {}).items():
            label = f"bijectory, {name}" if name in OURS else name
            if "failed" in runs[0]:
                lines.append(f"| {label} | {row} | failed | | | | {runs[0]['failed'][-120:]!r} |")
                continue
            draws = "; ".join(
                f"{key.removeprefix('sample ')}: {spread([run[key] for run in runs], 2)}"
                for key in runs[0]
                if key.startswith("sample")
            )
            steps, density = ([run[key] for run in runs if key in run] for key in ("steps", "log_prob"))
            cells = [
                label,
                row,
                spread(steps),
                spread(density, 1),
                draws,
                str(runs[0]["parameters"]),
                runs[0]["made_of"],
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def nats_lines(found: dict[str, Any]) -> list[str]:
    """Test nats of equal flows; what is better than the best of the peers stands with the paired difference."""
    lines = [
        "| table, flow | bijectory | without LU | zuko | nflows | ours better than zuko by | than nflows by | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys(" ".join(name.split(" ")[:2]) for name in found):
        one = {name: found.get(f"{key} {name}") for name in ("bijectory", "bijectory, plain", "zuko", "nflows")}
        if any(about is None for about in one.values()):
            continue
        nats = [f"{about['nats']:.3f}" for about in one.values()]
        better = [f"{one[n]['ours better by']:.3f} ± {one[n]['paired stderr']:.3f}" for n in ("zuko", "nflows")]
        counts = ", ".join(str(about["parameters"]) for about in one.values())
        lines.append("| " + " | ".join([key.replace(" ", ", "), *nats, *better, counts]) + " |")
    return lines


def generated(found: dict[str, Any]) -> str:
    """The tables of one results file, as Markdown."""
    made = found["made"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    when = "; ".join(
        f"{row}: {note['date']}, {note['rounds']} rounds, {note['minutes']} minutes, "
        + (note.get("note") or f"load {note['load before'][0]} before the start")
        + f", {note.get('machine', 'processor not noted')}"
        for row, note in made["measured"].items()
    )
    lines = [
        f"{made['threads']} thread(s), {made['machine']}, Python {made['python']} ({when}). {versions}.",
        "",
        "| row | must | aim | measured: median (least..largest round) | best peer | |",
        "|---|---|---|---|---|---|",
    ]
    for what, must, aim, middle, each, name in headline(found):
        reached = verdict(middle, must, aim)
        lines.append(
            f"| {what} | {must} | {aim} | {middle:.2f} ({min(each):.2f}..{max(each):.2f}) | {name} | {reached} |"
        )
    if "steps" in found:
        lines += ["", *_speeds(found["steps"]), "", *_errors(found["steps"])]
    if "smiley" in found:
        lines += ["", *_smiley(found["smiley"])]
    if "guards" in found:
        lines += ["", *_guards(found["guards"])]
    if any(row in found for row, *_ in VECTOR_ROWS):
        lines += ["", *vector_lines(found)]
    if "glow" in found or "memory" in found:
        lines += ["", *picture_lines(found)]
    return "\n".join(lines)


def _speeds(steps: dict[str, Runs]) -> list[str]:
    lines = [
        "| library | steps/s, default Adam | steps/s, fused Adam or as named | first step, s | start to 2,000 steps, s "
        "| import over backend, ms | parameters | made of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in steps.items():
        good = [run for run in runs if "rate" in run]
        if not good:
            lines.append(f"| {name} | failed | | | | | | {runs[0].get('failed', '')[-120:]!r} |")
            continue
        mode = next(m for m in ("fused", "jit", "eager", "compiled") if rates(good, m))
        builds = [run["build"] for run in good if "build" in run]
        first = (
            "–"
            if name == "eager" or not builds
            else f"{builds[0]:.1f}, then {statistics.median(builds[1:] or builds):.1f}"
        )
        imports = spread([1000 * run["import"] for run in good])
        label = f"bijectory, {name}" if name in OURS else name
        cells = [
            label,
            spread(rates(good, "default")),
            spread(rates(good, mode)),
            first,
            spread(seconds(good), 1),
            imports,
        ]
        lines.append("| " + " | ".join([*cells, str(good[0]["parameters"]), good[0]["made_of"]]) + " |")
    return lines


def _errors(steps: dict[str, Runs]) -> list[str]:
    kinds = ("round trip range", "round trip 3x", "log-det range", "log-det 3x")
    lines = [
        "| after training | round trip, float32, in range | at 3× | log-det against Jacobian, float64, in range | at 3× |",
        "|---|---|---|---|---|",
    ]
    for name, runs in steps.items():
        errors = next((run["errors"] for run in runs if "errors" in run), None)
        if errors is not None:
            values = (errors[kind] for kind in kinds)
            cells = ("not finite" if not math.isfinite(value) else f"{value:.1e}" for value in values)
            lines.append(f"| {'bijectory, ' + name if name in OURS else name} | " + " | ".join(cells) + " |")
    return lines


def _smiley(smiley: dict[str, Runs]) -> list[str]:
    lines = [
        "| smiley | seconds to 0.02 excess nats | rounds | steps | parameters | flow |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in smiley.items():
        run = runs[0]
        if "failed" in run:
            lines.append(f"| {name} | failed | | | | {run['failed'][-120:]!r} |")
            continue
        reached = spread(seconds(runs), 1) if seconds(runs) else f"not reached: {run['excess']:.3f} when time was up"
        label = "bijectory" if name == "ours" else name
        lines.append(f"| {label} | {reached} | {len(runs)} | {run['steps']} | {run['parameters']} | {run['made_of']} |")
    return lines


def _guards(guards: dict[str, Any]) -> list[str]:
    lines = [
        "| cost of all guards in a training step (must: at most 3 %) | median (quartiles) | of it saving | bare step, ms |",
        "|---|---|---|---|",
    ]
    for mode, one in guards.items():
        low, high = one["quartiles"]
        share = f"{one['cost']:.1%} ({low:.1%}..{high:.1%})"
        lines.append(f"| {mode} | {share} | {one['saving']:.1%} | {1000 * one['bare_step']:.2f} |")
    return lines


def plot(found: dict[str, Any], target: Path) -> None:
    """Rates of row A and seconds on smiley, medians with least and largest."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    bars: list[tuple[str, list[float]]] = []
    for name, runs in found["steps"].items():
        good = [run for run in runs if "rate" in run]
        if good:
            bars.append((f"bijectory, {name}" if name in OURS else name, rates(good, best_mode(good))))
    reach = [("bijectory" if n == "ours" else n, seconds(runs)) for n, runs in found["smiley"].items() if seconds(runs)]
    for axis, rows, title, unit in (
        (axes[0], bars, "Training steps per second (more is better)", "8 affine couplings, MLP 2×64, batch 256"),
        (axes[1], reach, "Process start to 0.02 excess nats on smiley (less is better)", "seconds"),
    ):
        rows = sorted(rows, key=lambda row: statistics.median(row[1]), reverse=axis is axes[1])
        middles = [statistics.median(values) for _, values in rows]
        pairs = [(m, v) for m, (_, v) in zip(middles, rows, strict=True)]
        reach_of = [[m - min(v) for m, v in pairs], [max(v) - m for m, v in pairs]]
        colours = [
            "#b3541e" if name.startswith("bijectory") else "#c9a227" if name in JAX_PEERS else "#5b7fa6"
            for name, _ in rows
        ]
        axis.barh([name for name, _ in rows], middles, xerr=reach_of, color=colours, ecolor="#333333", capsize=3)
        for place, (middle, high) in enumerate(zip(middles, reach_of[1], strict=True)):
            text = f"{middle:.0f}" if middle >= 100 else f"{middle:.1f}"
            axis.annotate(
                text, (middle + high, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
            )
        axis.set_title(title, fontsize=11)
        axis.set_xlabel(unit)
        axis.margins(x=0.14)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "orange: bijectory · blue: torch peers · yellow: JAX peers · whiskers: least and largest round",
        fontsize=9,
        y=-0.03,
    )
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=130, bbox_inches="tight")


def main() -> None:
    """Replace what stands between the two marks of the page; the rest of it is written by hand."""
    parts = []
    for path in sorted((HERE / "results").glob("threads*.json")):
        found = json.loads(path.read_text())
        parts.append(generated(found))
        if {"steps", "smiley"} <= found.keys() and not path.stem.startswith("threads2"):
            plot(found, PAGE.parent / "images" / "benchmarks.png")
    if (nats := HERE / "results" / "nats.json").exists():
        parts.append("\n".join(nats_lines(json.loads(nats.read_text()))))
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(before + "\n" + "\n\n---\n\n".join(parts) + "\n" + after)


if __name__ == "__main__":
    main()
