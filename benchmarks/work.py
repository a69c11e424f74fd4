"""One library's turn at one row, in a process of its own; ``run.py`` starts it and reads its last line.

python benchmarks/work.py steps zuko --threads 1 --whole
"""

from __future__ import annotations

import argparse

from clock import answer, first_turn, hold


def main() -> None:
    """Read the arguments, hold the cores, measure, answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=["steps", "smiley", "guards", "nsf", "maf", "maf64", "glow", "memory"])
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="run to 2,000 steps")
    parser.add_argument("--check", action="store_true", help="measure the trained flow's errors")
    parser.add_argument("--cap", type=float, default=120.0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--depth", type=int, default=4, help="steps of flow at each scale of a Glow")
    parser.add_argument("--mode", help="how a peer's Glow is run")
    arguments = parser.parse_args()
    hold(arguments.threads)
    first_turn()
    if arguments.row == "steps":
        import steps

        answer(steps.measure(arguments.library, arguments.threads, arguments.whole, arguments.check))
    elif arguments.row == "guards":
        import guards

        answer(guards.measure(arguments.threads, arguments.rounds))
    elif arguments.row in ("nsf", "maf", "maf64"):
        import vectors

        answer(vectors.measure(arguments.library, arguments.row, arguments.threads))
    elif arguments.row == "glow":
        import pictures

        answer(pictures.measure(arguments.library, arguments.threads, arguments.check, arguments.mode))
    elif arguments.row == "memory" and arguments.library == "pace":
        import memory

        answer(memory.pace(arguments.threads, arguments.rounds))
    elif arguments.row == "memory":
        import memory

        answer(memory.measure(arguments.library, arguments.depth, arguments.threads))
    else:
        import smiley

        answer(smiley.measure(arguments.library, arguments.threads, arguments.cap, arguments.rate))


if __name__ == "__main__":
    main()
