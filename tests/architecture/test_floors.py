"""The house stands: every import goes down, and what has one room is found in that room.

    7  cli
    6  recipes   estimators   report
    5  experiments
    4  training   evaluation   figures   testing      (of models/ they import models/base alone)
    3  models
    2  nets   transforms   distributions   data
    1  numerics
    0  errors

The checks are functions of (module name, source), so that each is also shown a planted fault and has to find it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bijectory

PACKAGE = Path(bijectory.__file__).parent
FLOORS = [
    {"errors"},
    {"numerics"},
    {"nets", "transforms", "distributions", "data"},
    {"models"},
    {"training", "evaluation", "figures", "testing"},
    {"experiments"},
    {"recipes", "estimators", "report"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOOR = {"bijectory.__init__", "bijectory.__main__"}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core"}
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CONSTANT_ROOMS = {"bijectory.models.quantised", "bijectory.evaluation.likelihood"}
# (module, number): what the number means there. A row that no longer excuses anything fails its own test.
EXCUSED: dict[tuple[str, float], str] = {}


def modules() -> Iterator[tuple[str, str]]:
    """Every module of the package and its text; a package's own file is called `….__init__`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield (
            ".".join(("bijectory", *path.relative_to(PACKAGE).with_suffix("").parts)),
            path.read_text(encoding="utf-8"),
        )


def at(module: str, node: ast.AST) -> str:
    return f"src/{module.replace('.', '/')}.py:{getattr(node, 'lineno', 1)}"


def imports(module: str, source: str) -> Iterator[tuple[str, ast.AST]]:
    """Every name of ours that is imported, wherever: in a function, under TYPE_CHECKING, relatively, by its text."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            names = [".".join((*above, *filter(None, [node.module]), alias.name)) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        yield from ((name, node) for name in names if name.split(".")[0] == "bijectory")


def upward(module: str, source: str) -> Iterator[str]:
    """One sentence for each import that the table does not allow."""
    if module in FRONT_DOOR:
        return
    room = module.split(".")[1]
    if room not in FLOOR:
        yield f"{at(module, ast.Module())}: {room!r} has no floor; move the file to a room that has, or give it a row"
        return
    for name, node in imports(module, source):
        parts = [*name.split("."), "", ""]
        target, inner = parts[1], parts[2]
        if name == "bijectory.__version__":
            continue  # defined in the front door itself, which loads its rooms only when a name of theirs is asked for
        why, remedy = "", f"hand it in as an argument, or move what both need to a floor below {FLOOR[room]}"
        if target not in FLOOR:
            why, remedy = (
                "that is the front door, which imports everything",
                "import the name from the room where it is defined",
            )
        elif FLOOR[target] > FLOOR[room]:
            why = f"{target} (floor {FLOOR[target]}) lies above {room} (floor {FLOOR[room]})"
        elif FLOOR[target] == FLOOR[room] and target != room:
            why = f"{target} and {room} are siblings on floor {FLOOR[room]} and do not know each other"
        elif target == "models" and FLOOR[room] == 4 and inner != "base":
            why = f"of models/, {room} imports models.base alone"
        elif target == "models" and room == "report":
            why, remedy = "report reads run folders, never models", "read the number from the run's record"
        elif target == "recipes" and room != "recipes":
            why, remedy = "recipes are imported by recipes alone", "find the recipe by its name through experiments"
        if why:
            yield f"{at(module, node)} imports {name}: {why}; {remedy}"


def pickles(module: str, source: str) -> Iterator[str]:
    """Anything that would run code on loading."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
            if node.module == "torch" and any(alias.name == "load" for alias in node.names):
                yield f"{at(module, node)}: torch.load by another name escapes this check; write torch.load"
        for name in PICKLES.intersection(names):
            yield f"{at(module, node)} imports {name}, which runs code on loading; use safetensors, JSON or NPZ"
        if not isinstance(node, ast.Call):
            continue
        given = {word.arg: word.value for word in node.keywords}
        allowed = {key for key, value in given.items() if isinstance(value, ast.Constant) and value.value is True}
        refused = {key for key, value in given.items() if isinstance(value, ast.Constant) and value.value is False}
        if "allow_pickle" in given and "allow_pickle" not in refused:
            yield f"{at(module, node)}: allow_pickle runs code on loading; leave it off"
        if ast.unparse(node.func) == "torch.load" and "weights_only" not in allowed:
            yield f"{at(module, node)}: torch.load without weights_only=True runs code on loading; add it"


def constants(module: str, source: str) -> Iterator[tuple[float, str]]:
    """255, 256, 127.5 and log 2 outside the two rooms where grey levels and bits are counted."""
    if module in CONSTANT_ROOMS:
        return
    tree = ast.parse(source)
    # 256 rows are nobody's grey levels: the number counts where something is computed with it. 255 and 127.5 count everywhere.
    used = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp | ast.UnaryOp)
        for part in ast.iter_child_nodes(node)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and type(node.value) in (int, float)
            and (node.value in (127.5, 255) or (node.value == 256 and id(node) in used))
        ):
            yield (
                float(node.value),
                f"{at(module, node)}: {node.value} belongs to models/quantised.py or evaluation/likelihood.py",
            )
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] == "log"
            and [a.value for a in node.args if isinstance(a, ast.Constant)] == [2]
        ):
            yield 2.0, f"{at(module, node)}: log 2 turns nats into bits, which evaluation/likelihood.py alone does"


def test_imports_go_down() -> None:
    faults = [fault for module, source in modules() for fault in upward(module, source)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("bijectory.transforms.coupling", "from bijectory.models.flow import Flow", "lies above"),
        ("bijectory.transforms.coupling", "def f():\n    import bijectory.models.flow", "coupling.py:2 imports"),
        ("bijectory.data.toys", "if TYPE_CHECKING:\n    from bijectory.training import fit", "lies above"),
        ("bijectory.errors", "from bijectory.numerics import stable", "lies above"),
        ("bijectory.experiments.run", "import importlib\nimportlib.import_module('bijectory.cli.main')", "lies above"),
        ("bijectory.nets.mlp", "from ..models import flow", "lies above"),
        ("bijectory.nets.__init__", "from ..models import flow", "lies above"),
        ("bijectory.transforms.coupling", "from bijectory.nets.mlp import MLP", "siblings"),
        ("bijectory.training.fit", "from bijectory import evaluation", "siblings"),
        ("bijectory.testing", "import bijectory.figures.curves", "siblings"),
        ("bijectory.estimators", "from bijectory.report import page", "siblings"),
        ("bijectory.evaluation.likelihood", "from bijectory.models.flow import Flow", "models.base alone"),
        ("bijectory.training.fit", "from bijectory.models import Flow", "models.base alone"),
        ("bijectory.training.fit", "import bijectory.models", "models.base alone"),
        ("bijectory.report.page", "from bijectory.models.base import ExactModel", "never models"),
        ("bijectory.cli.train", "from bijectory.recipes import rings", "by recipes alone"),
        ("bijectory.estimators", "from bijectory.cli.main import main", "lies above"),
        ("bijectory.cli.main", "from bijectory import Flow", "front door"),
        ("bijectory.cli.main", "from .. import Flow", "front door"),
        ("bijectory.cli.main", "import bijectory", "front door"),
        ("bijectory.extras.sound", "", "no floor"),
    ],
)
def test_a_planted_import_is_found(module: str, source: str, why: str) -> None:
    (fault,) = upward(module, source)
    assert why in fault


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "bijectory.transforms.coupling",
            "from bijectory.numerics.stable import f\nfrom .base import Transform\nimport torch",
        ),
        ("bijectory.transforms.__init__", "from . import base\nfrom .coupling import Coupling"),
        ("bijectory.models.flows.maf", "from bijectory.nets.made import MADE\nfrom ..flow import Flow"),
        (
            "bijectory.training.objectives.likelihood",
            "from bijectory.models.base import ExactModel\nfrom ..update import Update",
        ),
        ("bijectory.testing", "from bijectory.models import base"),
        ("bijectory.recipes.rings", "from bijectory.recipes import smiley\nfrom bijectory.models.flows.nsf import nsf"),
        ("bijectory.report.page", "from bijectory.experiments.record import read"),
        ("bijectory.cli.main", "from bijectory.cli import train\nfrom bijectory.models.flow import Flow"),
        ("bijectory.__main__", "from bijectory.cli.main import main"),
        ("bijectory.experiments.run", "from bijectory import __version__"),
    ],
)
def test_a_lawful_import_is_left_alone(module: str, source: str) -> None:
    assert list(upward(module, source)) == []


def test_no_room_is_called_after_nothing() -> None:
    named = [p for p in PACKAGE.rglob("*") if p.stem.strip("_").lower() in BANNED_NAMES]
    assert not named, f"{named}: name the idea that the file serves, or keep its functions private in their only caller"


def test_no_file_holds_two_ideas() -> None:
    long = [f"{at(module, ast.Module())}: {n} lines" for module, source in modules() if (n := source.count("\n")) > 400]
    assert not long, "past 400 lines a file holds two ideas; part them:\n" + "\n".join(long)


def test_loading_runs_no_code() -> None:
    faults = [fault for module, source in modules() for fault in pickles(module, source)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.memory",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
    ],
)
def test_planted_pickles_are_found(source: str) -> None:
    assert len(list(pickles("bijectory.training.checkpoint", source))) == 1


def test_safe_loading_is_left_alone() -> None:
    source = "np.load(path, allow_pickle=False)\nnp.load(path)\ntorch.load(path, weights_only=True)\njson.load(file)"
    assert list(pickles("bijectory.training.checkpoint", source)) == []


def test_grey_levels_and_bits_are_counted_in_two_rooms() -> None:
    found = [(module, number, text) for module, source in modules() for number, text in constants(module, source)]
    faults = [text for module, number, text in found if (module, number) not in EXCUSED]
    assert not faults, (
        "\n".join(faults) + "\nmove it there, or, if it counts something else, excuse it here with its reason"
    )
    needless = [row for row in EXCUSED if row not in {(module, number) for module, number, _ in found}]
    assert not needless, f"{needless}: excused, and no longer there; drop the row"


@pytest.mark.parametrize(
    "expression", ["x / 255", "x * 256.0", "x - 127.5", "-256", "math.log(2)", "np.log(2.0)", "log(2)"]
)
def test_a_planted_constant_is_found(expression: str) -> None:
    assert len(list(constants("bijectory.data.images", f"y = {expression}"))) == 1
    assert not list(constants("bijectory.models.quantised", f"y = {expression}"))


@pytest.mark.parametrize("expression", ["'255'", "1256", "math.log(2 * math.pi)", "math.log2(x)", "math.log(x)"])
def test_other_numbers_are_left_alone(expression: str) -> None:
    assert not list(constants("bijectory.data.images", f"y = {expression}"))


def test_nothing_is_left_for_later() -> None:
    marks = ("TO" + "DO", "FIX" + "ME")
    left = [
        f"src/{module.replace('.', '/')}.py:{i}: {line.strip()}"
        for module, source in modules()
        for i, line in enumerate(source.splitlines(), start=1)
        if any(mark in line for mark in marks)
    ]
    assert not left, "do it, or open an issue and say nothing here:\n" + "\n".join(left)


def test_there_is_a_house_to_look_at() -> None:
    # A wrong folder would make every check above pass on nothing.
    assert {"bijectory.__init__", "bijectory.errors", "bijectory.data.tables"} <= {module for module, _ in modules()}


def test_the_networks_load_no_compiler() -> None:
    """It takes a second; who compiles nothing need not wait for it."""
    told = "import sys, bijectory; bijectory.maf(3); bijectory.glow((3, 8, 8), scales=1, depth=1); print('torch._dynamo' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
