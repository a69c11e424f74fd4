"""Knobs are read strictly, from text and from JSON alike, and a refusal says what would have been right."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from bijectory.errors import KnobError
from bijectory.experiments.knobs import Knob, convert, jsonable, knobs, parse


def rings(
    *,
    depth: int = 5,
    rate: float = 1e-3,
    hidden: tuple[int, ...] = (64, 64),
    size: tuple[int, float] = (2, 0.5),
    tags: tuple[str, ...] = (),
    map: Literal["affine", "spline"] = "spline",
    bins: Literal[4, 8] = 8,
    seed: int | None = None,
    note: Optional[str] = None,  # noqa: UP045 - people still write it
    weights: Path | None = None,
    clip: int | float | bool = 1,
    smoke: bool = False,
) -> None:
    """Two rings.

    depth: the number of couplings
    `rate`: Adam's
    unknown: not a knob
    """


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("depth=5", 5),
        ("depth=-3", -3),
        ("depth=1_000", 1000),
        ("rate=1e-3", 1e-3),
        ("rate=5", 5.0),
        ("hidden=64,64", (64, 64)),
        ("hidden=[64, 64]", (64, 64)),
        ("hidden=(64,)", (64,)),
        ("hidden=64", (64,)),
        ("hidden=[]", ()),
        ("size=3,4", (3, 4.0)),
        ("tags=a, b=c", ("a", "b=c")),
        ("map=affine", "affine"),
        ("bins=4", 4),
        ("seed=7", 7),
        ("seed=none", None),
        ("note=none", None),
        ("note=", ""),
        ("note=a=b", "a=b"),
        ("weights=runs/a b", Path("runs/a b")),
        ("weights=None", None),
        ("clip=2", 2),
        ("clip=1", 1),
        ("clip=2.5", 2.5),
        ("clip=true", True),
        ("smoke=true", True),
        ("smoke=1", True),
        ("smoke=Yes", True),
        ("smoke=FALSE", False),
        ("smoke=0", False),
        ("smoke=no", False),
    ],
)
def test_a_text_becomes_its_type(word: str, value: object) -> None:
    (got,) = parse(rings, [word]).values()
    # 1 == 1.0 == True: equality alone would let a float pass for an int.
    assert (got, type(got)) == (value, type(value))
    if isinstance(got, tuple):
        assert [type(item) for item in got] == [type(item) for item in value]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("depth=5.0", "a whole number"),
        ("depth=1e3", "a whole number"),
        ("depth= 5", "a whole number"),
        ("depth=٥", "a whole number"),
        ("depth=true", "a whole number"),
        ("depth=none", "a whole number"),
        ("depth=", "a whole number"),
        ("rate=nan", "a finite number"),
        ("rate=inf", "a finite number"),
        ("rate=-1e999", "a finite number"),
        ("rate=fast", "a finite number"),
        ("rate=٥", "a finite number"),
        ("hidden=64,64.0", "a list, each entry a whole number"),
        ("hidden=64,,64", "a list"),
        ("hidden=[64", "a list"),
        ("hidden=", "a list"),
        ("size=3", "a list of 2"),
        ("size=3,4,5", "a list of 2"),
        ("size=3,inf", "a list of 2"),
        ("map=Affine", "one of affine, spline"),
        ("bins=5", "one of 4, 8"),
        ("seed=some", "none or a whole number"),
        ("weights=", "none or a path"),
        ("smoke=2", "true or false"),
        ("smoke=", "true or false"),
    ],
)
def test_a_text_of_another_type_is_refused(word: str, expected: str) -> None:
    name, _, text = word.partition("=")
    with pytest.raises(KnobError) as caught:
        parse(rings, [word])
    message = str(caught.value)
    assert [part for part in (f"'{name}'", expected, f"got {text!r}") if part not in message] == [], message


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["dpeth=5"], "did you mean 'depth'?"),
        (["--depth=5"], "did you mean 'depth'?"),
        (["zzz=5"], "there is no knob 'zzz'; the knobs"),
        (["depth=5", "depth=6"], "given twice, again as 'depth=6'"),
        (["depth"], "write depth=value"),
        (["--depth", "5"], "without dashes, with an equals sign: depth=value"),
        (["5"], "does not say which knob it is for: write depth=5?"),
        (["=5"], "there is no knob ''"),
    ],
)
def test_a_word_that_is_no_assignment_gets_the_list_and_a_hint(words: list[str], hint: str) -> None:
    with pytest.raises(KnobError) as caught:
        parse(rings, words)
    message = str(caught.value)
    assert hint in message
    listed = ("the knobs of rings are", "depth: int = 5", "hidden: tuple[int, ...] = (64, 64)", "smoke: bool = False")
    assert [part for part in listed if part not in message] == [], message
    assert "\n" not in message


def test_only_what_was_said_is_returned() -> None:
    assert parse(rings, []) == {}
    assert parse(rings, ["smoke=1", "depth=2"]) == {"smoke": True, "depth": 2}


def test_knobs_are_described() -> None:
    table = knobs(rings)
    assert list(table)[:3] == ["depth", "rate", "hidden"]
    assert table["depth"] == Knob("depth", "int", 5, "the number of couplings")
    assert table["rate"].doc == "Adam's"
    assert [table[name].type for name in ("size", "map", "seed", "note", "weights")] == [
        "tuple[int, float]",
        "Literal['affine', 'spline']",
        "int | None",
        "str | None",
        "Path | None",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"depth": 3, "rate": 1.0, "hidden": (1, 2), "size": (1, 2.0), "tags": ("a",), "smoke": True},
        {"seed": None, "note": None, "weights": Path("a/b"), "clip": 2.0},
        {"clip": False, "hidden": (), "rate": 5e-324, "map": "affine", "bins": 4, "note": 'é\n"'},
        {name: knob.default for name, knob in knobs(rings).items()},
    ],
)
def test_settings_come_back_as_they_were(values: dict[str, object]) -> None:
    back = convert(rings, json.loads(json.dumps(jsonable(values), allow_nan=False)))
    assert back == values
    assert repr(back) == repr(values)  # 2.0 stays a float, True a bool


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 5.0}, "a whole number"),
        ({"depth": True}, "a whole number"),
        ({"depth": "5"}, "a whole number"),
        ({"depth": None}, "a whole number"),
        ({"rate": math.nan}, "a finite number"),
        ({"rate": 10**400}, "a finite number"),
        ({"size": (1, math.inf)}, "a list of 2"),
        ({"hidden": [1, 2.0]}, "a list"),
        ({"hidden": {1, 2}}, "a list"),
        ({"hidden": 64}, "a list"),
        ({"tags": "ab"}, "a list"),
        ({"map": "other"}, "one of affine, spline"),
        ({"smoke": 1}, "true or false"),
        ({"weights": 3}, "a path"),
        ({"dpeth": 3}, "did you mean 'depth'?"),
    ],
)
def test_values_from_json_obey_the_same_law(values: dict[str, object], message: str) -> None:
    with pytest.raises(KnobError, match=message.replace("?", r"\?")):
        convert(rings, values)


@pytest.mark.parametrize("value", [math.inf, math.nan, object(), {"a": 1}, (1, object())])
def test_what_json_cannot_hold_is_not_recorded(value: object) -> None:
    with pytest.raises(KnobError, match="'depth' cannot be recorded"):
        jsonable({"depth": value})


def positional(depth: int = 5) -> None: ...
def loose(**knobs: int) -> None: ...
def untyped(*, depth=5) -> None: ...  # type: ignore[no-untyped-def]
def required(*, depth: int) -> None: ...
def mistyped(*, depth: int = 5.0) -> None: ...  # type: ignore[assignment]
def implicit(*, note: str = None) -> None: ...  # type: ignore[assignment]
def mapping(*, table: dict[str, int] = {}) -> None: ...
def nested(*, pairs: tuple[tuple[int, int], ...] = ()) -> None: ...
def ambiguous(*, place: str | Path = "here") -> None: ...
def unnamed(*, depth: Nowhere = 5) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (positional, r"keyword-only.*depth: .*write a bare \*"),
        (loose, "keyword-only"),
        (untyped, "a type and a default"),
        (required, "a type and a default"),
        (mistyped, "is int, its default 5.0 is not"),
        (implicit, "is str, its default None is not"),
        (mapping, "cannot write"),
        (nested, r"tuple\[tuple\[int, int\], ...\], which the command line cannot write"),
        (ambiguous, r"str \| Path, which the command line cannot write"),
        (unnamed, "'Nowhere' is not defined"),
    ],
)
def test_a_recipe_with_wrong_knobs_is_told_so(function: Any, message: str) -> None:
    with pytest.raises(KnobError, match=f"^{function.__name__}: .*{message}"):
        knobs(function)


def test_a_recipe_without_knobs_says_so() -> None:
    def plain() -> None: ...

    with pytest.raises(KnobError, match="plain has no knobs"):
        parse(plain, ["depth=5"])
