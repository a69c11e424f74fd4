"""What an experiment is, and the one door through which a recipe is found by name."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from ..data.batches import Noise
    from ..data.preparation import Preparation
    from ..data.splits import Schema, Splits
    from ..models.base import SampleModel
    from ..training.fit import Budget, Evaluator
    from ..training.update import Update

_FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class Expect:
    """The number a recipe should reach: what a published source says, and what we measured ourselves.

    ``value`` ± ``tolerance`` is ``source``'s figure for ``metric`` on ``split``; ``measured`` is our own, with command and commit, or
    'not measured'. ``minutes`` on ``hardware`` is what the run takes.
    """

    metric: str
    value: float
    tolerance: float
    source: str
    hardware: str
    minutes: float
    split: str = "test"
    measured: str = "not measured"


@dataclass(frozen=True)
class Recipe:
    """One experiment. Members are callables: nothing loads until it runs.

    ``data(folder, seed)`` gives the splits; ``model(schema)`` assembles the model; ``objective(model)`` the updates;
    ``evaluators(model, splits)`` what is looked at besides validation nats, every ``budget.steps / looks`` steps.
    """

    data: Callable[[Path | None, int], Splits]
    model: Callable[[Schema], SampleModel]
    objective: Callable[[Any], list[Update]]
    budget: Budget
    expect: Expect | None = None
    evaluators: Callable[[Any, Splits], Sequence[Evaluator]] = field(default=lambda model, splits: ())
    looks: int = 40
    #: Random numbers that the objective consumes with each batch, where its losses need others than the model itself says.
    noise: Callable[[Any], Noise] | None = None
    #: Half of the training pictures of every batch are mirrored left to right.
    flips: bool = False
    #: Data-dependent constants are set from at most this many training rows, and validation looks at this many at most.
    initial_rows: int = 65_536
    look_rows: int = 10_000
    #: What networks compute in on an accelerator; maps and log-dets stay in float32.
    networks: Literal["float32", "bfloat16"] = "float32"
    #: The precision in which the finished model is judged, and the draws a row of the tighter bound beside the one-draw bound.
    judged_in: Literal["float64", "float32"] = "float64"
    draws: int = 8
    #: Small matrices gain little from a second thread, and lose tenfold where another process wants the core: threads wait by spinning.
    threads: int | None = 1
    #: What is done to a person's picture file before this model takes it; None: nothing, another file is refused.
    preparation: Preparation | None = None
    #: Values that the recipe chose for knobs by what the data are. They are recorded in the knobs' place, so that nothing is chosen anew.
    chosen: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A recipe's function, where it came from, and its text for the record."""

    name: str
    function: Callable[..., Recipe]
    path: Path
    built_in: bool

    def build(self, values: Mapping[str, object]) -> Recipe:
        """The recipe with these knobs; InputError where the function gives something else."""
        recipe = self.function(**values)
        if not isinstance(recipe, Recipe):
            raise InputError(f"{self.path}: {self.function.__name__} must return a Recipe, got {type(recipe).__name__}")
        return recipe


def built_in_recipes() -> dict[str, str]:
    """Names of the recipes that come with the package, and the first line each says of itself. Imports none of them."""
    found = {}
    for path in sorted(_FOLDER.glob("*.py")):
        if not path.stem.startswith("_"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = text.split("\n")[0]
    return found


def find_recipe(name: str, file: Path | None = None) -> Found:
    """The recipe of that name, or in that Python file: its function carries the file's name, or is called ``recipe``.

    Raises UnknownNameError with the nearest names, InputError for a file without such a function.
    """
    if file is not None or name.endswith(".py"):
        return _from_file(file or Path(name))
    names = built_in_recipes()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(
            f"recipe: there is none named {name!r}; {hint}those there are: {', '.join(names)}; a file of your own ends in .py"
        )
    module = importlib.import_module(f"bijectory.recipes.{name}")
    return Found(name, getattr(module, name), _FOLDER / f"{name}.py", True)


def _from_file(path: Path) -> Found:
    if not path.is_file():
        raise UnknownNameError(f"recipe: expected a Python file at {path}, found none")
    spec = importlib.util.spec_from_file_location(f"bijectory_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"recipe: {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"recipe: {path} does not run: {type(error).__name__}: {error}") from error
    function = getattr(module, path.stem, None) or getattr(module, "recipe", None)
    if not callable(function):
        raise InputError(f"recipe: {path} has no function named {path.stem!r} or 'recipe'")
    return Found(path.stem, function, path, False)
