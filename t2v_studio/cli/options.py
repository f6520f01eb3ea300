"""Flags made from the request model, so that a name, a default and a sentence of help live in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from t2v_studio.production.request import VideoRequest, parse_request

_NOT_FLAGS = {"plan"}
_ONE_OF = ("seconds", "frames", "scene_frames")
_ONLY_RAG = ("rag_query", "rag_top_k")


def with_request_flags(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each field of VideoRequest but those in `without`.

    The command takes them as keyword arguments; a flag that was not given is None. Each has a
    T2V_ twin in the environment, which a flag overrules.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())
        own = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [_flag(name) for name in VideoRequest.model_fields if name not in _NOT_FLAGS | set(without)]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *flags]]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _flag(name: str) -> inspect.Parameter:
    field = VideoRequest.model_fields[name]
    annotation: Any = field.annotation
    flag = f"--{name.replace('_', '-')}"
    names = [flag]
    if annotation is bool:
        names = [f"{flag}/--no-{name.replace('_', '-')}"]
    elif name == "book_ids":
        names = ["--book"]
    option = typer.Option(*names, envvar=f"T2V_{name.upper()}", help=_help(name))
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, option],
    )


def _help(name: str) -> str:
    field = VideoRequest.model_fields[name]
    text = field.description or ""
    if field.default not in (None, "", False) and not field.is_required() and not callable(field.default_factory):
        text += f" Default: {'on' if field.default is True else field.default}."
    return text


def request_from(context: typer.Context, values: dict[str, Any], **fixed: Any) -> VideoRequest:
    """The request that the given flags make; the environment yields where flags would exclude each other."""
    given = {name: value for name, value in values.items() if value is not None and value != []}
    lengths = [name for name in _ONE_OF if name in given and typed(context, name)]
    if lengths:
        given = {name: value for name, value in given.items() if name not in _ONE_OF or name in lengths}
    if not (given | fixed).get("use_rag"):
        given = {name: value for name, value in given.items() if name not in _ONLY_RAG or typed(context, name)}
    return parse_request(given | fixed)


def typed(context: typer.Context, name: str) -> bool:
    """Whether a flag stood on the command line, rather than in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
