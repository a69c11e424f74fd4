"""Test nats of equal flows: our NSF and MAF against zuko's and nflows', on the same rows, steps and batches, paired row by row.

    BIJECTORY_DATA=DIR python benchmarks/nats.py                       all tables, both flows; then the table
    BIJECTORY_DATA=DIR python benchmarks/nats.py --tables bike --flows nsf --steps 500

Every library trains on standardised rows with Adam, the same rate falling as half a cosine, gradients clipped at the same norm,
batches from the same seed; each keeps the weights that were best on the same validation rows, looked at every so many steps. Sizes are
those of row B: five layers, two times 128 units, eight bins. Nats are those of the standardised test rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bijectory.data.patches import bsds300_splits
from bijectory.data.splits import Rows
from bijectory.data.uci import joint_splits

HERE = Path(__file__).parent
TARGET = HERE / "results" / "nats.json"
TABLES = ("bike", "parkinsons", "bsds300", "california")
FLOWS = ("nsf", "maf")
LIBRARIES = ("bijectory", "bijectory, plain", "zuko", "nflows")
BATCH, RATE, CLIP, LOOK = 512, 1e-3, 5.0, 100


def splits_of(table: str, folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and test rows, standardised by the first."""
    if table == "bsds300":
        found = bsds300_splits(folder, 0, train=50_000, validation=3_000, test=10_000)
        parts = found.train, found.validation, found.test
    elif table == "california":
        parts = _california(folder)
    else:
        found = joint_splits(folder, table, 0)
        parts = found.train, found.validation, found.test
    train, validation, test = (part.x.double() for part in parts)
    mean, scale = train.mean(0), train.std(0)
    return tuple(((x - mean) / scale).float() for x in (train, validation, test))  # type: ignore[return-value]


def _california(folder: Path) -> tuple[Rows, Rows, Rows]:
    """Complete rows of the numeric columns; repeated values get uniform noise of one step, as the UCI tables'."""
    from bijectory.data.ties import tie_widths

    values = _numbers(folder / "california_housing.csv.gz")
    rng = np.random.default_rng(0)
    for i in range(values.shape[1]):
        widths = tie_widths(values[:, i])
        if widths is not None:
            values[:, i] += rng.random(len(values)) * widths.widths
    order = rng.permutation(len(values))
    test, held = len(order) // 5, len(order) // 10
    cuts = order[test + held :], order[test : test + held], order[:test]
    return tuple(Rows(torch.from_numpy(values[cut])) for cut in cuts)  # type: ignore[return-value]


def _numbers(path: Path) -> np.ndarray:
    import csv
    import gzip

    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [[value for name, value in row.items() if name != "ocean_proximity"] for row in csv.DictReader(file)]
    return np.array([row for row in rows if all(row)], dtype=np.float64)


def build(library: str, flow: str, features: int, train: Tensor) -> tuple[nn.Module, Callable[[Tensor], Tensor], str]:
    """A library's flow, its log-density, and what it is made of."""
    if library.startswith("bijectory"):
        import bijectory

        # Our default mixes the features between layers by an LU map, as the paper of NSF does; plain leaves it out, as these peers do.
        linear: Any = "none" if library.endswith("plain") else "lu"
        model = {"nsf": bijectory.nsf, "maf": bijectory.maf}[flow](features, linear=linear)
        bijectory.initialise(model, train[: BATCH * 16])
        return model, model.log_prob, f"bijectory.{flow}({features}, linear={linear!r})"
    from vector_peers import VECTORS

    peer = VECTORS[flow][library](features)
    return peer.module, peer.log_prob, peer.made_of


def train_and_test(
    library: str, flow: str, parts: tuple[Tensor, Tensor, Tensor], steps: int, seed: int
) -> tuple[Tensor, dict[str, Any]]:
    """Log-densities of the test rows under the weights that were best on the validation rows."""
    train, validation, test = parts
    torch.manual_seed(seed)
    module, log_prob, made_of = build(library, flow, train.shape[1], train)
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    generator = torch.Generator().manual_seed(seed)
    best, kept, at, started = -math.inf, None, 0, time.perf_counter()
    order = torch.randperm(len(train), generator=generator)
    place = 0
    for step in range(1, steps + 1):
        if place + BATCH > len(train):
            order, place = torch.randperm(len(train), generator=generator), 0
        rows, place = train[order[place : place + BATCH]], place + BATCH
        optimizer.zero_grad()
        (-log_prob(rows).mean()).backward()
        nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        if step % LOOK == 0 or step == steps:
            module.eval()
            with torch.no_grad():
                now = torch.cat([log_prob(x) for x in validation.split(4096)]).mean().item()
            module.train()
            if now > best:
                best, at, kept = now, step, {name: value.clone() for name, value in module.state_dict().items()}
    if kept is None:
        raise SystemExit(f"{library} {flow}: no finite validation score")
    module.load_state_dict(kept)
    module.double().eval()
    with torch.no_grad():
        nats = torch.cat([log_prob(x) for x in test.double().split(4096)])
    about = {
        "best step": at,
        "seconds": time.perf_counter() - started,
        "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "made_of": made_of,
    }
    return nats, about


def main() -> None:
    """Train, compare, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--flows", nargs="+", default=list(FLOWS), choices=FLOWS)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    if not os.environ.get("BIJECTORY_DATA"):
        raise SystemExit("BIJECTORY_DATA: expected the folder with the data, got nothing; set it")
    torch.set_num_threads(1)
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for table in arguments.tables:
        parts = splits_of(table, Path(os.environ["BIJECTORY_DATA"]))
        for flow in arguments.flows:
            rows = {name: train_and_test(name, flow, parts, arguments.steps, arguments.seed) for name in LIBRARIES}
            ours = rows["bijectory"][0]
            for name, (nats, about) in rows.items():
                better = ours - nats
                about |= {
                    "steps": arguments.steps,
                    "nats": -nats.mean().item(),
                    "stderr": nats.std().item() / math.sqrt(len(nats)),
                    "ours better by": better.mean().item(),
                    "paired stderr": better.std().item() / math.sqrt(len(better)),
                }
                found[f"{table} {flow} {name}"] = about
                print(table, flow, name, {k: round(v, 4) for k, v in about.items() if isinstance(v, float)}, flush=True)
            arguments.out.parent.mkdir(exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
