"""One flag for each field of a recipe, so that a default lives in one place."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

_NOT_FLAGS = ("kind", "name", "about")
Command = Callable[..., None]


def with_flags_of(model: type[BaseModel]) -> Callable[[Command], Command]:
    """Give a command one flag for each field of a recipe. A flag that was not given is None and leaves the recipe's own."""

    def flagged(command: Command) -> Command:
        own = list(inspect.signature(command, eval_str=True).parameters.values())
        own = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [_flag(model, name) for name in model.model_fields if name not in _NOT_FLAGS]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *flags]]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return flagged


def _flag(model: type[BaseModel], name: str) -> inspect.Parameter:
    field = model.model_fields[name]
    kinds = [one for one in typing.get_args(field.annotation) if one is not type(None)]
    optional = type(None) in typing.get_args(field.annotation)
    kind: Any = kinds[0] if optional and len(kinds) == 1 else field.annotation
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        help_text, kind = f"{field.description} One of: {', '.join(choices)}.", str
    else:
        help_text = field.description or ""
    flag = name.replace("_", "-")
    names = [f"--{flag}/--no-{flag}"] if kind is bool else [f"--{flag}"]
    group = (field.json_schema_extra or {}).get("group") if isinstance(field.json_schema_extra, dict) else None
    option = typer.Option(*names, help=help_text, rich_help_panel=str(group) if group else None)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def changes_of(values: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given; an empty text clears a field that may be empty."""
    return {name: value for name, value in values.items() if value is not None and value != []}
