"""Which keys a settings class has, its blocks included: ("engine", "generation", "max_tokens")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from t2s.layers import KeyPath


def knows(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether `path` is a value or a block; below a free-form block (`vllm:`) everything is."""
    for position, key in enumerate(path):
        field = model.model_fields.get(key)
        if field is None:
            return False
        if _is_free_form(field):
            return True
        below = _model_of(field)
        if below is None:
            return position == len(path) - 1
        model = below
    return True


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The class of the block at `path`; None where there is no block with known keys."""
    for key in path:
        field = model.model_fields.get(key)
        below = _model_of(field) if field else None
        if below is None:
            return None
        model = below
    return model


def defaults(model: type[BaseModel], path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every value's path, and its default as YAML."""
    for name, field in model.model_fields.items():
        below = _model_of(field)
        if below is not None:
            yield from defaults(below, (*path, name))
        else:
            yield (*path, name), "(must be set)" if field.is_required() else json.dumps(field.default)


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    if get_origin(field.annotation) in (list, tuple):
        return None  # a list of blocks has no keys of its own
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _is_free_form(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", field.annotation) is dict
