"""How the type of a value within a model is annotated, by the path of keys that leads to it.

Rule of this file: pure; nothing is validated here.
"""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

_SEVERAL = {Union, UnionType}


def alternatives(kind: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the types that an annotation allows, each with the metadata around it."""
    if get_origin(kind) is Annotated:
        inner, *metadata = get_args(kind)
        yield from ((each, (*metadata, *further)) for each, further in alternatives(inner))
    elif get_origin(kind) in _SEVERAL:
        for each in get_args(kind):
            yield from alternatives(each)
    else:
        yield kind, ()


def models_in(kind: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation allows."""
    return [each for each, _ in alternatives(kind) if isinstance(each, type) and issubclass(each, BaseModel)]


def model_at(model: type[BaseModel] | None, path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the model of the part at `path` within a model; None where there is none."""
    kind: Any = model
    for key in path:
        kind = kind_of_member(kind, key)
    return next(iter(models_in(kind)), None)


def kind_of_member(kind: Any, key: str | int, type_name: object = None) -> Any:
    """Return how a member of a mapping or a list is annotated, None where it is not known.

    Of several models that a mapping may be it is the one of type `type_name`.
    """
    allowed = [each for each, _ in alternatives(kind)]
    if isinstance(key, int):
        return next((get_args(each)[0] for each in allowed if get_origin(each) in {list, tuple}), None)
    if models := models_in(kind):
        if len(models) > 1:
            models = [each for each in models if each.model_fields["type"].default == type_name]
        return _kind_of_field(models[0], key) if models else None
    return next((get_args(each)[1] for each in allowed if _is_mapping(each)), None)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _kind_of_field(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in {name, field.alias}:
            return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return None
