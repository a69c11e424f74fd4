"""The README's picture, from two finished runs: python docs/images/make_smiley.py RUN RUN docs/images/smiley.png"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

*runs, output = map(Path, sys.argv[1:])
figure = Figure(figsize=(10.5, 3.6), layout="constrained")
axes = figure.subplots(1, 1 + len(runs), sharey=True)
newest = [sorted((run / "arrays").glob("density-*.npz"))[-1] for run in runs]
pictures = [dict(np.load(path)) for path in newest]
top = float(np.exp(pictures[0]["log_truth"]).max())
panels = [("true density", "entropy 1.3339 nats", pictures[0]["log_truth"])]
for run, arrays in zip(runs, pictures, strict=True):
    scores = {(s["name"], s["split"]): s for s in json.loads((run / "result.json").read_text())["scores"]}
    excess = scores["excess_nats", "test"]
    panels.append((run.name, f"{excess['value']:.4f} ± {excess['stderr']:.4f} nats above it", arrays["log_density"]))
for axis, (title, words, log_density) in zip(axes, panels, strict=True):
    low, high = pictures[0]["low"], pictures[0]["high"]
    shown = axis.imshow(
        np.exp(log_density),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        norm=PowerNorm(0.5, 0, top),
        cmap="Blues",
    )
    axis.set_title(f"{title}\n{words}", fontsize=11)
    axis.set_xlabel("x1")
axes[0].set_ylabel("x2")
figure.colorbar(shown, ax=axes, label="density per unit area", shrink=0.85)
figure.savefig(output, dpi=110)
