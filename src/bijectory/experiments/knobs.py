"""Knobs: the keyword-only arguments of a recipe, read from the command line, from JSON and from Python under one law.

A knob is an argument with a type and a default, and the type is kept strictly: `depth=5.0` is refused for an int rather
than rounded, `rate=nan` rather than trained with. What a run was made with must be what somebody wrote.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from bijectory.errors import KnobError

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_WHOLE = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
# Of several types that fit a text, the first counts: '1' for `bool | int` is 1, 'none' for `str | None` is None.
_ORDER = ("None", "Literal", "int", "float", "bool", "Path", "tuple", "str")
_MEANS = {
    "None": "none",
    "int": "a whole number such as 5",
    "float": "a finite number such as 1e-3",
    "bool": "true or false",
    "Path": "a path",
    "str": "text",
}


@dataclass(frozen=True)
class Knob:
    """One knob; `doc` is what the recipe's docstring says of it on a line `name: …`."""

    name: str
    type: str
    default: object
    doc: str


def knobs(function: Callable[..., Any]) -> dict[str, Knob]:
    """The knobs of a recipe, in the order of its signature.

    Raises:
        KnobError: an argument that cannot be a knob: positional, lacking a type or default, of a type that the command
            line has no grammar for, or with a default that its own type refuses.

    Example:
        >>> def recipe(*, depth: int = 5, hidden: tuple[int, ...] = (64, 64)) -> None:
        ...     '''A flow.
        ...
        ...     depth: the number of couplings
        ...     '''
        >>> knobs(recipe)["depth"]
        Knob(name='depth', type='int', default=5, doc='the number of couplings')
    """
    docs = _docs(function)
    return {
        name: Knob(name, _type_text(kind), default, docs.get(name, ""))
        for name, (kind, default) in _declared(function).items()
    }


def parse(function: Callable[..., Any], assignments: Sequence[str]) -> dict[str, object]:
    """What `name=value` words say, as keyword arguments for the recipe; only the knobs that were named.

    Tuples are written `64,64` or `[64,64]` (`[]` is empty), switches true/false/yes/no/1/0, an absent value `none`.

    Raises:
        KnobError: no '=', an unknown knob, one given twice, or a text that its type refuses. Lists what would be right.

    Example:
        >>> def recipe(*, depth: int = 5, rate: float = 1e-3, hidden: tuple[int, ...] = (64, 64)) -> None: ...
        >>> parse(recipe, ["hidden=128,128", "rate=5"])
        {'hidden': (128, 128), 'rate': 5.0}
    """
    declared = _declared(function)
    values: dict[str, object] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise KnobError(
                f"expected knob=value, got {word!r}; {_hint(word, declared)}; {_listing(function, declared)}"
            )
        if name not in declared:
            _refuse_unknown(function, declared, name)
        if name in values:
            raise KnobError(f"the knob {name!r} is given twice, again as {word!r}; {_listing(function, declared)}")
        kind, default = declared[name]
        for member in _members(kind):
            try:
                values[name] = _convert(_from_text(text, member), member)
                break
            except ValueError:
                continue
        else:
            _refuse_value(name, kind, default, text)
    return values


def convert(function: Callable[..., Any], values: Mapping[str, object]) -> dict[str, object]:
    """The same law for values from JSON or from Python: lists become tuples, and nothing else changes its type.

    Raises:
        KnobError: an unknown knob, or a value that its type refuses.

    Example:
        >>> def recipe(*, depth: int = 5, hidden: tuple[int, ...] = (64, 64)) -> None: ...
        >>> convert(recipe, {"hidden": [32]})
        {'hidden': (32,)}
    """
    declared = _declared(function)
    result: dict[str, object] = {}
    for name, value in values.items():
        if name not in declared:
            _refuse_unknown(function, declared, name)
        kind, default = declared[name]
        try:
            result[name] = _convert(value, kind)
        except ValueError:
            _refuse_value(name, kind, default, value)
    return result


def jsonable(values: Mapping[str, object]) -> dict[str, Any]:
    """What stands in settings.json for these knobs: `convert` gives the same values back from it.

    Raises:
        KnobError: a value that JSON has no word for, such as an infinite number or an object.
    """
    return {name: _jsonable(name, value) for name, value in values.items()}


def _jsonable(name: str, value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_jsonable(name, item) for item in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise KnobError(
        f"the knob {name!r} cannot be recorded: expected text, a finite number, true or false, none, a path or a tuple "
        f"of these, got {value!r} ({type(value).__name__})"
    )


def _declared(function: Callable[..., Any]) -> dict[str, tuple[Any, object]]:
    """Type and default of every knob; one wrongly declared is refused here, not on the day it is first set."""
    title = _title(function)
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise KnobError(f"{title}: {error}; import the types of its arguments at run time") from error
    declared: dict[str, tuple[Any, object]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise KnobError(f"{title}: expected keyword-only arguments, got {parameter}; write a bare * before them")
        if name not in hints or parameter.default is inspect.Parameter.empty:
            raise KnobError(f"{title}: expected a type and a default, got {parameter}; write {name}: type = default")
        kind = hints[name]
        if not _supported(kind):
            raise KnobError(
                f"{title}: the knob {name!r} has the type {_type_text(kind)}, which the command line cannot write; use "
                "int, float, bool, str, Path, Literal, a tuple of these, or such a type | None"
            )
        try:
            declared[name] = kind, _convert(parameter.default, kind)
        except ValueError:
            text = _type_text(kind)
            raise KnobError(f"{title}: the knob {name!r} is {text}, its default {parameter.default!r} is not") from None
    return declared


def _convert(value: object, kind: Any) -> object:
    """The value as its type, by msgspec in its strict mode; ValueError where it does not fit."""
    if isinstance(value, (set, frozenset)):
        raise ValueError("a set has no order, and msgspec would make a tuple of it in any")
    try:
        result = msgspec.convert(value, kind, dec_hook=_path)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(str(error)) from error
    for item in result if isinstance(result, tuple) else (result,):
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError("not finite")
    return result


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, (str, Path)) and str(value):
        return Path(value)
    raise msgspec.ValidationError(f"expected {kind.__name__}")


def _from_text(text: str, kind: Any) -> object:
    """A text as a value that `_convert` accepts for `kind`; ValueError where it is none."""
    group = _group(kind)
    if group == "None":
        return _one_of(text.lower(), {"none": None, "null": None})
    if group == "bool":
        return _one_of(text.lower(), _WORDS)
    if group == "int":
        if not _WHOLE.fullmatch(text):
            raise ValueError
        return int(text)
    if group == "float":
        if not text.isascii():  # float() reads the digits of every script
            raise ValueError
        return float(text)
    if group == "Literal":
        return _one_of(text, {str(choice): choice for choice in typing.get_args(kind)})
    if group == "tuple":
        inner = text[1:-1] if (text[:1], text[-1:]) in (("[", "]"), ("(", ")")) else text
        if not inner.strip():
            if inner == text:
                raise ValueError  # 'hidden=' is more often a slip than an empty tuple, which is written []
            return ()
        parts = [part.strip() for part in inner.strip().removesuffix(",").split(",")]
        arguments = typing.get_args(kind)
        kinds = [arguments[0]] * len(parts) if Ellipsis in arguments else list(arguments)
        return tuple(_from_text(part, part_kind) for part, part_kind in zip(parts, kinds, strict=True))
    return text


def _one_of(text: str, choices: Mapping[str, object]) -> object:
    if text not in choices:
        raise ValueError
    return choices[text]


def _group(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if kind is None or kind is types.NoneType:
        return "None"
    if origin in (typing.Union, types.UnionType):
        return "Union"
    if origin is Literal:
        return "Literal"
    if origin is tuple:
        return "tuple"
    return kind.__name__ if kind in (int, float, bool, str, Path) else ""


def _members(kind: Any) -> list[Any]:
    """The alternatives of a union in the order in which a text is held against them; of any other type, itself."""
    alternatives = typing.get_args(kind) if _group(kind) == "Union" else (kind,)
    return sorted(alternatives, key=lambda alternative: _ORDER.index(_group(alternative)))


def _supported(kind: Any) -> bool:
    group, arguments = _group(kind), typing.get_args(kind)
    if group == "Union":
        groups = [_group(member) for member in arguments]
        # JSON has one word for text and choices, and one for tuples of any kind: two of them in one union would not
        # come back as they were. A path is converted by our hook, which is not told that other types would do as well.
        alone = "Path" not in groups or set(groups) == {"Path", "None"}
        return (
            all(map(_supported, arguments))
            and alone
            and groups.count("tuple") < 2
            and not {"str", "Literal"} <= {*groups}
        )
    if group == "Literal":
        return all(isinstance(choice, (str, int)) and not isinstance(choice, bool) for choice in arguments)
    if group == "tuple":
        entries = [argument for argument in arguments if argument is not Ellipsis]
        return bool(entries) and all(_group(e) not in ("tuple", "Union", "None") and _supported(e) for e in entries)
    return bool(group)


def _type_text(kind: Any) -> str:
    group, arguments = _group(kind), typing.get_args(kind)
    if group == "Union":
        return " | ".join(map(_type_text, arguments))
    if group == "Literal":
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if group == "tuple":
        return f"tuple[{', '.join('...' if argument is Ellipsis else _type_text(argument) for argument in arguments)}]"
    return group or getattr(kind, "__name__", None) or str(kind)


def _meaning(kind: Any) -> str:
    group, arguments = _group(kind), typing.get_args(kind)
    if group == "Union":
        return " or ".join(_meaning(member) for member in _members(kind))
    if group == "Literal":
        return "one of " + ", ".join(map(str, arguments))
    if group == "tuple":
        if Ellipsis in arguments:
            return f"a list, each entry {_meaning(arguments[0])}, with commas between"
        return f"a list of {len(arguments)} with commas between: " + "; ".join(map(_meaning, arguments))
    return _MEANS[group]


def _docs(function: Callable[..., Any]) -> dict[str, str]:
    lines = (inspect.getdoc(function) or "").splitlines()
    matches = (re.fullmatch(r"\s*`?(\w+)`?\s*: +(\S.*)", line) for line in lines)
    return {match[1]: match[2].strip() for match in matches if match}


def _title(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "recipe")
    return function.__module__.rpartition(".")[2] if name == "recipe" else name


def _listing(function: Callable[..., Any], declared: Mapping[str, tuple[Any, object]]) -> str:
    if not declared:
        return f"{_title(function)} has no knobs"
    each = (f"{name}: {_type_text(kind)} = {default!r}" for name, (kind, default) in declared.items())
    return f"the knobs of {_title(function)} are {', '.join(each)}"


def _closest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def _hint(word: str, declared: Mapping[str, tuple[Any, object]]) -> str:
    bare = word.lstrip("-").replace("-", "_")
    name = bare if bare in declared else _closest(bare, declared)
    if word.startswith("-"):
        return f"knobs are written without dashes, with an equals sign: {name or bare}=value"
    if name is not None:
        return f"write {name}=value"
    return "a value alone does not say which knob it is for" + (
        f": write {next(iter(declared))}={word}?" if declared else ""
    )


def _refuse_unknown(function: Callable[..., Any], declared: Mapping[str, tuple[Any, object]], name: str) -> NoReturn:
    close = _closest(name.lstrip("-").replace("-", "_"), declared)
    suggestion = f"; did you mean {close!r}?" if close else ""
    raise KnobError(f"there is no knob {name!r}{suggestion}; {_listing(function, declared)}")


def _refuse_value(name: str, kind: Any, default: object, got: object) -> NoReturn:
    raise KnobError(
        f"the knob {name!r} ({_type_text(kind)}, default {default!r}) expects {_meaning(kind)}; "
        f"got {got!r} ({type(got).__name__})"
    )
