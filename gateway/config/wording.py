"""What a model found wrong, in plain words: where it stands, what is wanted there, what was perhaps meant."""

import json
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.places import Path
from gateway.config.registry import Problem

_SHOWN = 12
_LONGEST = 60

_WANTED = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a table of keys",
    "model": "a table of keys",
}
"""The first word of pydantic's error types, and what is wanted there."""

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def near(word: str, known: Collection[str]) -> str:
    """What was perhaps meant, or what there is."""
    if found := get_close_matches(word, known, n=1, cutoff=0.6):
        return f"did you mean `{found[0]}`?"
    names = sorted(known)
    if not names:
        return "there is none yet"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there is: {', '.join(names[:_SHOWN])}{more}"


def kind(value: Any) -> str:
    """What a value of the file is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((int, float), "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a table of keys"),
    )
    return next(name for types_, name in names if isinstance(value, types_))


class _Found(NamedTuple):
    """One of pydantic's errors, brought home: `path` really stands in the file, `branch` is the alternative of a union
    that was tried, and `at` where that union stands.
    """

    error: ErrorDetails
    path: Path
    at: Path
    branch: str
    key: bool


def problems(error: ValidationError, model: type[BaseModel], raw: Any, shown: Mapping[Path, str]) -> list[Problem]:
    """What `model` found wrong with `raw`. `shown`: texts to print for values that came from outside the file."""
    found = [_brought_home(detail, raw) for detail in error.errors(include_url=False, include_input=False)]
    return _unique(_worded(group, model, raw, shown) for group in _by_place(_likeliest(found)))


def _unique(found: Iterable[Problem]) -> list[Problem]:
    """Each once; a key that is there, but mistyped, is not missing as well."""
    unique = list(dict.fromkeys(found))
    mistyped = {(*one.path[:-1], one.hint) for one in unique if one.key}
    return [one for one in unique if (*one.path, f"did you mean {one.cause.partition(' is')[0]}?") not in mistyped]


def _brought_home(detail: ErrorDetails, raw: Any) -> _Found:
    """Pydantic's location without what is not in the file: names of alternatives, indices of a list of one."""
    path: Path = ()
    at: Path = ()
    branch = ""
    value = raw
    steps = detail["loc"][:-1] if detail["type"] == "missing" else detail["loc"]
    for part in steps:
        if _is_in(part, value):
            path, value = (*path, part), value[part]
        elif isinstance(part, str) and part != "[key]" and not branch:
            at, branch = path, part
    key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
    return _Found(detail, path, at, branch, key)


def _is_in(part: str | int, value: Any) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _likeliest(found: list[_Found]) -> list[_Found]:
    """Of a union's alternatives only the one that fits best: the file's author meant one of them."""
    scores: dict[tuple[Path, str], tuple[int, int]] = {}
    for one in found:
        if one.branch:
            misfits, count = scores.get((one.at, one.branch), (0, 0))
            misfit = one.path == one.at and one.error["type"] != "missing"
            scores[one.at, one.branch] = (misfits + misfit, count + 1)
    best = {at: min(score for (where, _), score in scores.items() if where == at) for at, _ in scores}
    return [one for one in found if not one.branch or scores[one.at, one.branch] == best[one.at]]


def _by_place(found: list[_Found]) -> list[list[_Found]]:
    """Errors that say the same of the same value, together: `a text or a table of keys is wanted`."""
    groups: dict[Any, list[_Found]] = {}
    for one in found:
        same = (one.path, one.key) if one.branch and _wanted(one.error["type"]) else id(one)
        groups.setdefault(same, []).append(one)
    return list(groups.values())


def _wanted(error_type: str) -> str | None:
    """What is wanted, where the error is one of type."""
    if not error_type.endswith(("_type", "_parsing", "_from_float", "_attributes_type")):
        return None
    return _WANTED.get(error_type.split("_", maxsplit=1)[0])


def _worded(group: list[_Found], model: type[BaseModel], raw: Any, shown: Mapping[Path, str]) -> Problem:
    first = group[0]
    if len(group) > 1 or _wanted(first.error["type"]):
        wanted = dict.fromkeys(_wanted(one.error["type"]) or "" for one in group)
        cause = f"{' or '.join(wanted)} is wanted, and this is {kind(_at(raw, first.path))}"
        return Problem(first.path, cause, _about(_field(model, first.path)))
    words = _WORDS.get(first.error["type"], _other)
    return words(_Case(first, model, _at(raw, first.path), shown.get(first.path)))


class _Case(NamedTuple):
    """What a sentence is made of."""

    found: _Found
    model: type[BaseModel]
    value: Any
    shown: str | None

    @property
    def path(self) -> Path:
        return self.found.path

    @property
    def context(self) -> dict[str, Any]:
        return dict(self.found.error.get("ctx") or {})

    def about(self) -> str:
        return _about(_field(self.model, self.path))

    def text(self) -> str:
        text = self.shown if self.shown is not None else str(self.value)
        return f"`{text[:_LONGEST]}...`" if len(text) > _LONGEST else f"`{text}`"


def _missing(case: _Case) -> Problem:
    key = str(case.found.error["loc"][-1])
    return Problem(case.path, f"`{key}` is missing", _about(_field(case.model, (*case.path, key))))


def _unknown(case: _Case) -> Problem:
    key = str(case.path[-1])
    known = [name for model in _models(case.model, case.path[:-1]) for name in _keys(model)]
    return Problem(case.path, f"unknown key `{key}`", near(key, known), key=True)


def _no_choice(case: _Case) -> Problem:
    choices = str(case.context.get("expected", "")).replace("'", "")
    words = choices.replace(" or ", ", ").split(", ")
    if len(words) == 1:
        return Problem(case.path, f"{case.text()} is not `{words[0]}`")
    hint = near(str(case.value), words)
    return Problem(
        case.path, f"{case.text()} is none of {', '.join(words)}", hint if "did you" in hint else case.about()
    )


def _said(case: _Case) -> Problem:
    """A ValueError of ours: its text is written for operators."""
    wanted = str(case.context.get("error", ""))
    hint = "" if case.found.key or isinstance(case.value, dict) else case.about()
    if case.shown is not None and case.value == "":
        hint = f"{case.shown} is empty"
    return Problem(case.path, wanted, hint, key=case.found.key)


def _bound(case: _Case) -> Problem:
    name, words = _BOUNDS[case.found.error["type"]]
    return Problem(case.path, f"must be {words} {case.context.get(name):g}", case.about())


def _too_few(case: _Case) -> Problem:
    least = case.context.get("min_length", 1)
    return Problem(case.path, "must not be empty" if least == 1 else f"at least {least} are wanted", case.about())


def _too_many(case: _Case) -> Problem:
    return Problem(case.path, f"at most {case.context.get('max_length')} are allowed", case.about())


def _no_kind(case: _Case) -> Problem:
    """A table that may be one of several, and does not say which, or says another."""
    key = str(case.context.get("discriminator", "")).strip("'")
    known = str(case.context.get("expected_tags", "")).replace("'", "").split(", ")
    if "tag" not in case.context:
        return Problem(case.path, f"`{key}` is missing", case.about())
    hint = near(str(case.context["tag"]), known)
    return Problem((*case.path, key), f"`{key}` is none of {', '.join(known)}", hint if "did you" in hint else "")


def _other(case: _Case) -> Problem:
    return Problem(case.path, "the value does not fit here", case.about(), key=case.found.key)


_WORDS: dict[str, Callable[[_Case], Problem]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _no_choice,
    "enum": _no_choice,
    "value_error": _said,
    "union_tag_not_found": _no_kind,
    "union_tag_invalid": _no_kind,
    **dict.fromkeys(_BOUNDS, _bound),
    "too_short": _too_few,
    "string_too_short": _too_few,
    "too_long": _too_many,
    "string_too_long": _too_many,
}


# --- the models, walked by key path ----------------------------------------------------------------------------------


def _at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def _about(field: FieldInfo | None) -> str:
    """A field's description and an example."""
    if field is None or not field.description:
        return ""
    words = field.description.rstrip(".")
    return f"{words}. Example: {json.dumps(field.examples[0])}" if field.examples else words


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _alternatives(annotation: Any) -> list[Any]:
    """The types that an annotation allows, unions and Annotated taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [found for one in get_args(annotation) for found in _alternatives(one)]
    return [annotation]


def _fields_of(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    return next((field for name, field in model.model_fields.items() if key == (field.alias or name)), None)


def _below(annotation: Any, part: str | int) -> list[Any]:
    """The types one step down a key path."""
    found: list[Any] = []
    for one in _alternatives(annotation):
        arguments = get_args(one)
        if isinstance(one, type) and not arguments and issubclass(one, BaseModel):
            if field := _fields_of(one, part):
                found += _alternatives(field.annotation)
        elif arguments:
            found += _alternatives(arguments[-1])
    return found


def _models(model: type[BaseModel], path: Path) -> list[type[BaseModel]]:
    """The models that may stand at a key path."""
    level: list[Any] = [model]
    for part in path:
        level = [found for one in level for found in _below(one, part)]
    return [one for one in level if isinstance(one, type) and not get_args(one) and issubclass(one, BaseModel)]


def _field(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """The field that a key path names, or the one whose list or table it goes into."""
    for end in range(len(path), 0, -1):
        for owner in _models(model, path[: end - 1]):
            if field := _fields_of(owner, path[end - 1]):
                return field
    return None
