"""The homework's reference on an accelerator: RealNVP of 94 million parameters on 2-bit faces, how fast and how good.

    BIJECTORY_DATA=DIR python benchmarks/faces.py                     both parts, each under 8 minutes
    python benchmarks/faces.py --part speed                           seconds per 1,000 updates, TFLOP/s, share of the matrix peak
    python benchmarks/faces.py --part train --mode nets --minutes 7   bits/dim and the pictures

bfloat16 networks, float32 maps and log-dets, channels-last convolutions, the data on the device. ``--mode`` is what is compiled: the whole
step, the networks, or nothing; the part ``train`` takes the fastest that ``speed`` found. Without an accelerator it says so and exits 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODES = ("step", "nets", "off")
#: Multiply-accumulates of one picture's forward pass through the reference; a training step costs three forward passes.
GMAC = 20.3
WARM, COUNTED = 10, 60
#: A mode that has not answered after this long is left out.
PATIENCE = 150


def main() -> None:
    """Run the parts, and write results/faces.json and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["all", "speed", "train"], default="all")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--data", type=Path, default=os.environ.get("BIJECTORY_DATA"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="a tiny network on generated pictures, to try the script itself"
    )
    arguments = parser.parse_args()
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(
            "faces: no accelerator here; nothing was measured. On a machine with one: python benchmarks/faces.py --data DIR"
        )
        return
    if arguments.part == "speed" and arguments.mode is not None:
        print("\n" + json.dumps(_speed(arguments)), flush=True)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / "faces.json"
    found: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    found["made"] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": name,
        "torch": torch.__version__,
        "batch": arguments.batch,
    }
    if arguments.part in ("all", "speed"):
        found["peak_tflops"] = _peak(arguments.device)
        found["speed"] = {mode: _apart(mode) for mode in MODES}
        for speed in found["speed"].values():
            if "tflops" in speed:
                speed["share_of_peak"] = speed["tflops"] / found["peak_tflops"]
        target.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.part in ("all", "train"):
        measured = {m: s["seconds_per_1000"] for m, s in found.get("speed", {}).items() if "seconds_per_1000" in s}
        arguments.mode = arguments.mode or (min(measured, key=measured.__getitem__) if measured else "off")
        found["train"] = _train(arguments)
        target.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def _peak(device: str) -> float:
    """TFLOP/s of large bfloat16 matrix products, the best of ten."""
    import torch

    size = 8192 if device == "cuda" else 128
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = min(_seconds(lambda: a @ b, device) for _ in range(10))
    return 2 * size**3 / best / 1e12


def _seconds(work: Callable[[], Any], device: str) -> float:
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def _apart(mode: str) -> dict[str, Any]:
    """One mode in a process of its own, which is given up after ``PATIENCE`` seconds."""
    rest = [word for word in sys.argv[1:] if word not in ("--part", "all", "speed")]
    command = [sys.executable, __file__, "--part", "speed", "--mode", mode, *rest]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        found = {"failed": f"no answer after {PATIENCE} s"}
    except (IndexError, json.JSONDecodeError):
        found = {"failed": done.stderr[-1500:]}
    print(mode, found, flush=True)
    return found


def _parts(arguments: argparse.Namespace) -> tuple[Any, Any, Any, Any, Callable[[int], dict[str, Any]]]:
    """Splits, model, update, batches, and one step of the mode asked for."""
    import torch

    from bijectory.data.batches import Shuffled
    from bijectory.data.generated import generated_pictures
    from bijectory.data.images import celeba32_splits
    from bijectory.models.flows.realnvp_image import realnvp_image
    from bijectory.models.quantised import Quantised
    from bijectory.nets.resnet import ResNet
    from bijectory.training.compiled import CompiledStep
    from bijectory.training.initialise import initialise
    from bijectory.training.objectives.bound import maximum_bound
    from bijectory.training.precision import set_precision
    from bijectory.training.schedule import warmup_cosine
    from bijectory.training.update import apply

    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    splits = generated_pictures((3, 32, 32), 4, 400, 0) if arguments.small else celeba32_splits(arguments.data, 0)
    device = torch.device(arguments.device)
    filters, blocks = (8, 1) if arguments.small else (256, 8)
    model = Quantised(realnvp_image((3, 32, 32), filters=filters, blocks=blocks), levels=4).to(device)
    rows = type(splits.train)(splits.train.x.to(device))
    initialise(model, rows.x[:128])
    set_precision(model, torch.bfloat16)
    (update,) = maximum_bound(
        model,
        rate=5e-4,
        schedule=warmup_cosine(20_000, warmup=200, decay=0.0),
        clip=1.0,
        compiled=arguments.mode == "step",
    )
    batches = Shuffled(
        rows, arguments.batch, 0, noise=lambda n, generator: model.draw_noise((n,), generator=generator), flips=True
    )
    if arguments.mode == "nets":
        for part in model.modules():
            if isinstance(part, ResNet):
                part.compile(dynamic=False)
    if arguments.mode == "step":
        whole = CompiledStep(update)
        return splits, model, update, batches, lambda step: whole(batches(step), step)
    return splits, model, update, batches, lambda step: apply(update, batches(step), step)


def _speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds per 1,000 updates, after those that compile and choose kernels."""
    import torch

    *_, step = _parts(arguments)
    built = _seconds(lambda: [step(number) for number in range(WARM)], arguments.device)
    counted = 3 if arguments.small else COUNTED
    seconds = _seconds(lambda: [step(WARM + number) for number in range(counted)], arguments.device) / counted
    memory = torch.cuda.max_memory_allocated() / 2**30 if arguments.device == "cuda" else None
    tflops = 2 * 3 * GMAC * 1e9 * arguments.batch / seconds / 1e12
    return (
        {
            "seconds_per_1000": 1000 * seconds,
            "tflops": None if arguments.small else tflops,
            "first_steps_seconds": built,
            "peak_gib": memory,
        }
        if not arguments.small
        else {"seconds_per_1000": 1000 * seconds, "first_steps_seconds": built}
    )


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train until the minutes are over; bits/dim of all test faces, and the pictures that a page shows."""
    from bijectory.evaluation.images import ImagePictures
    from bijectory.evaluation.likelihood import evaluate_model
    from bijectory.figures.images import picture_grid
    from bijectory.figures.style import LIGHT
    from bijectory.training.precision import set_precision

    splits, model, update, _, step = _parts(arguments)
    limit, done, started = 60 * arguments.minutes, 0, time.perf_counter()
    curve = []
    while time.perf_counter() - started < limit:
        terms = step(done)
        done += 1
        if done % 250 == 0:
            curve.append([done, time.perf_counter() - started, float(terms["nats"])])
            print(curve[-1], flush=True)
    seconds = time.perf_counter() - started
    model.eval()
    set_precision(model, None)
    with update.ema.applied():
        test = splits.test.x[:64] if arguments.small else splits.test.x
        scores = evaluate_model(model, test.to(arguments.device), split="test", draws=1)
        pictures = {
            p.name: p.arrays for p in ImagePictures(model, splits, 1, small=arguments.small, rows=200).portrait()
        }
    picture_grid(LIGHT, pictures["image_samples"]["samples"], model.levels).savefig(
        arguments.out / "faces.png", dpi=120
    )
    return {
        "mode": arguments.mode,
        "updates": done,
        "seconds": seconds,
        "lost": len(update.lost()),
        "scores": [score.as_dict() for score in scores],
        "curve": curve,
    }


if __name__ == "__main__":
    main()
