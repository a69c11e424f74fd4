"""The worst figure of each law over the zoo: PYTHONPATH=tests/contract python tests/contract/worst.py"""

from __future__ import annotations

from zoo import MODELS, TRANSFORMS, specimen

from bijectory.testing import model_laws, transform_laws
from bijectory.testing.checks import hold

LAWS = (
    "round trip float64",
    "round trip float32",
    "log-det",
    "inverse log-det",
    "far inputs 3x",
    "far inputs 10x",
    "far inputs 100x",
)


def main() -> None:
    """Print a line a law, over the rows that keep the contract's own bounds."""
    for title, rows, laws in (("transforms", TRANSFORMS, transform_laws), ("models", MODELS, model_laws)):
        for name in LAWS:
            found = []
            for row in rows:
                thing = specimen(row)
                law = laws(thing.module, thing.x, thing.context).get(name)  # type: ignore[operator]
                if law is not None and name not in row.exceptions and not row.tolerances:
                    found.append((hold(name, law).figure, row.id))
            print(f"{title:10}  {name:18}  {max(found)[0]:.1e}  {max(found)[1]} (of {len(found)} rows)", flush=True)


if __name__ == "__main__":
    main()
