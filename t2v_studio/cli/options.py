"""Flags made from the request model, so that a name, a default and a sentence of help live in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import note
from t2v_studio.errors import InputError
from t2v_studio.production.request import DIFFUSION_FIELDS, LENGTHS, MANIM_FIELDS, VideoRequest, parse_request
from t2v_studio.studio import Studio

_NOT_FLAGS = {"plan", "manim_code", "evidence_room"}
_ONLY_RAG = ("rag_query", "rag_top_k")
_ONLY_ADAPTER = ("lora_scale", "lora_trigger")

LoraPath = Annotated[
    Path | None,
    typer.Option("--lora-path", envvar="T2V_LORA_PATH", help="A LoRA file or folder; it joins `t2v adapters list`."),
]
LoraWeightName = Annotated[
    str | None,
    typer.Option("--lora-weight-name", envvar="T2V_LORA_WEIGHT_NAME", help="Which file of a folder of several."),
]
Strict = Annotated[
    bool | None,
    typer.Option("--strict/--no-strict", envvar="T2V_STRICT", help="Fail rather than draw a bad scene locally."),
]
_CONVENIENT = {"lora_path": LoraPath, "lora_weight_name": LoraWeightName, "strict": Strict}
"""Flags of making a video that are not fields of a request: they become some."""


def with_request_flags(*without: str, convenient: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each field of VideoRequest but those in `without`.

    The command takes them as keyword arguments; a flag that was not given is None. Each has a
    T2V_ twin in the environment, which a flag overrules. convenient: also --lora-path and its like,
    which `request_from` turns into fields.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        flags = [_flag(name) for name in VideoRequest.model_fields if name not in _NOT_FLAGS | set(without)]
        more = [optional(name, kind) for name, kind in _CONVENIENT.items()] if convenient else []
        return with_flags(command, [*flags, *more])

    return decorate


def with_flags(command: Callable[..., None], flags: list[inspect.Parameter]) -> Callable[..., None]:
    """Show Typer these flags in place of a command's `**keywords`, which receive them."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    own = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *flags]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


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
    return optional(name, Annotated[annotation | None, option])


def optional(name: str, annotation: Any) -> inspect.Parameter:
    """A flag that is None where it was not given."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(name: str) -> str:
    field = VideoRequest.model_fields[name]
    text = field.description or ""
    if field.default not in (None, "", False) and not field.is_required() and not callable(field.default_factory):
        text += f" Default: {'on' if field.default is True else field.default}."
    return text


def request_from(context: typer.Context, studio: Studio, values: dict[str, Any], **fixed: Any) -> VideoRequest:
    """The request that the given flags make; the environment yields where flags would exclude each other."""
    given = {name: value for name, value in values.items() if value is not None and value != []}
    lengths = [name for name in LENGTHS if name in given and typed(context, name)]
    if lengths:
        given = {name: value for name, value in given.items() if name not in LENGTHS or name in lengths}
    _convenient(context, studio, given)
    if given.get("preset") and typed(context, "preset"):
        rows = {row["name"]: row for row in studio.diffusion.presets()}
        _yield(context, given, rows.get(given["preset"], {}).get("sets", {}))
    if not (given | fixed).get("use_rag"):
        _yield(context, given, _ONLY_RAG)
    if (given | fixed).get("engine") != "diffusion":
        _yield(context, given, DIFFUSION_FIELDS)
    if (given | fixed).get("engine") != "manim":
        _yield(context, given, MANIM_FIELDS)
    if not given.get("adapter"):
        _yield(context, given, _ONLY_ADAPTER)
    if fixed.get("plan") is not None:
        _yield(context, given, ("use_llm_planner",))
    return parse_request(given | fixed)


def _yield(context: typer.Context, given: dict[str, Any], names: Iterable[str]) -> None:
    """Leave out what only the environment says."""
    for name in names:
        if name in given and not typed(context, name):
            del given[name]


def _convenient(context: typer.Context, studio: Studio, given: dict[str, Any]) -> None:
    """Turn the convenient flags into fields of a request, in place."""
    path, weights, strict = (given.pop(name, None) for name in _CONVENIENT)
    if strict:
        fallback = given.get("fallback_local_on_fail") and typed(context, "fallback_local_on_fail")
        strict = not fallback or typed(context, "strict")
        if fallback and strict:
            raise InputError(
                "usage", "--strict and --fallback-local-on-fail exclude each other.", "Leave one of them out."
            )
        if strict:
            given["fallback_local_on_fail"] = False
    diffusion = given.get("engine") == "diffusion"
    if path is not None and not diffusion and not typed(context, "lora_path"):
        path = None
    if path is not None and not diffusion:
        raise InputError("usage", "--lora-path needs --engine diffusion.", "Add --engine diffusion.")
    if weights and path is None and typed(context, "lora_weight_name"):
        raise InputError("usage", "--lora-weight-name needs --lora-path.", "Name the folder with --lora-path.")
    if path is not None and given.get("adapter"):
        raise InputError("usage", "--lora-path and --adapter exclude each other.", "Leave one of them out.")
    if path is not None:
        row = studio.adapters.adopt(path.expanduser(), weight_name=weights or "")
        given["adapter"] = row["id"]
        for notice in row["notices"]:
            note(f"note: {notice}")
    elif given.get("adapter") and diffusion:
        given["adapter"] = studio.adapters.row(given["adapter"])["id"]


def typed(context: typer.Context, name: str) -> bool:
    """Whether a flag stood on the command line, rather than in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
