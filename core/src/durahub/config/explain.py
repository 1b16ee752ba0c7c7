"""Says what a settings model found wrong in terms of the file: file, line, key, what is expected.

No value is ever repeated. Pydantic's own messages say what is expected. Those of a plugin's validators
may say anything, so what they repeat of the configuration is masked; except that a
`PydanticCustomError` without a context is taken for what it is made for, a constant text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from durahub.config.mask import mask
from durahub.config.tree import (
    Items,
    Node,
    Plain,
    Position,
    Table,
    describe,
    join_path,
    leaves,
)
from durahub.errors import ConfigError, nearest_name

OWN_PREFIX = "durahub_"
"""Begins the types of our own custom errors, whose contexts hold constant texts."""

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_PYDANTICS_OWN = frozenset(get_args(ErrorType))
_SAYS_WHAT_IS_EXPECTED = frozenset(
    {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "expected", "pattern"}
)


class _Place(NamedTuple):
    """Where an error is.

    Attributes:
        position: The line of the nearest key that the file has.
        keys: That key, with all that lead to it, as the file spells them.
        node: What is there.
    """

    position: Position | None
    keys: tuple[str | int, ...]
    node: Node


def explain(
    error: ValidationError,
    model: type[BaseModel],
    table: Table,
    *,
    at: Position | None,
    path: tuple[str | int, ...],
) -> ConfigError:
    """Return an error with one line for each problem, in the order of the lines in the files.

    Args:
        error: What pydantic found.
        model: The model that it was checking.
        table: What was checked.
        at: Where the table's key stands, if there is one.
        path: Keys that lead to the table.
    """
    values = leaves(table)
    problems = set()
    for details in error.errors(include_url=False):
        place = _locate(details["loc"], table, at)
        missing = details["loc"][-1:] if details["type"] == "missing" else ()
        keys = join_path(*path, *place.keys, *missing)
        where = f"{place.position}: {keys}" if place.position else keys
        line = place.position.line if place.position else 0
        problems.add((line, where, _message(details, place, model, values)))
    (_, first, message), *others = sorted(problems)
    more = "".join(f"\n{where}: {text}" for _, where, text in others)
    return ConfigError(message + more, location=first)


def _locate(loc: Sequence[str | int], table: Table, at: Position | None) -> _Place:
    place = _Place(at, (), table)
    for part in loc:
        match place.node:
            case Table(entries=entries) if part in entries:
                entry = entries[str(part)]
                place = _Place(entry.at, (*place.keys, entry.key), entry.value)
            case Items(items=items) if isinstance(part, int) and part < len(items):
                place = _Place(items[part].at, (*place.keys, part), items[part])
            case _:
                # A missing key, which is the last; or a part that is no key, such as the name of the
                # model that was tried where a field may have several.
                continue
    return place


def _message(
    details: ErrorDetails, place: _Place, model: type[BaseModel], values: Sequence[Plain]
) -> str:
    kind = details["type"]
    if kind == "missing":
        return "required key is missing"
    if kind == "extra_forbidden":
        return _unknown_key(details["loc"], model)
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {describe(place.node)}"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message.removeprefix("Input ") if _is_constant(details) else mask(message, values)


def _is_constant(details: ErrorDetails) -> bool:
    """Whether a message is made of nothing but what a model's author wrote down."""
    context = details.get("ctx", {}).keys()
    if details["type"] in _PYDANTICS_OWN:
        return context <= _SAYS_WHAT_IS_EXPECTED
    return not context or details["type"].startswith(OWN_PREFIX)


def _unknown_key(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    parent = _model_at(model, loc[:-1])
    known = [] if parent is None else list(_keys_of(parent))
    nearest = nearest_name(str(loc[-1]), known)
    if nearest is not None:
        return f"unknown key; did you mean {nearest!r}?"
    return f"unknown key; known keys: {', '.join(known)}" if known else "unknown key"


def _model_at(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model of the table at `loc`; None if it can't be told."""
    current: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        if current is None:
            return None
        fields = current.model_fields.items()
        field = next((f for name, f in fields if part in keys_of_field(name, f)), None)
        models = [] if field is None else list(models_in(field.annotation))
        current = models[0] if len(models) == 1 else None
    return current


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that a field with this annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _keys_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from keys_of_field(name, field)


def keys_of_field(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the keys under which a field is found in a file."""
    match field.validation_alias:
        case None:
            return (name,)
        case AliasChoices(choices=choices):
            return tuple(choice for choice in choices if isinstance(choice, str))
        case AliasPath():
            return ()
        case alias:
            return (alias,)
