"""Flags made from the request model, so that a name, a default and a sentence of help live in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.flags import flag, naming_flags
from t2v_studio.cli.output import note
from t2v_studio.cli.unused import unused
from t2v_studio.errors import BusyError, InputError, StudioError
from t2v_studio.production.request import DIFFUSION_FIELDS, LENGTHS, MANIM_FIELDS, VideoRequest, parse_request
from t2v_studio.studio import Studio

_NOT_FLAGS = {"plan", "manim_code", "evidence_room"}
_ONLY_RAG = ("rag_query", "rag_top_k", "rag_mode", "book_ids")
_ONLY_ADAPTER = ("lora_scale", "lora_trigger")
_NOT_KEPT = "A plan adds no LoRA to the catalogue; t2v generate and t2v pair do."

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
    which `requested` turns into fields.
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
    names = [flag(name)]
    if annotation is bool:
        names = [f"{flag(name)}/--no-{name.replace('_', '-')}"]
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


@contextmanager
def requested(
    context: typer.Context, studio: Studio, values: dict[str, Any], *, makes: bool = True, **fixed: Any
) -> Iterator[VideoRequest]:
    """The request that the given flags make; the environment yields where flags would exclude each other.

    Flags that do nothing are said. Within, the LoRA of --lora-path is in the catalogue; it stays there unless it is
    refused. makes: whether the command makes a video; without it the LoRA goes again.
    """
    given, lora = _given(context, studio, values, fixed)
    request = _parsed(context, given | fixed)
    for notice in unused(request, {name for name in values if typed(context, name)}, makes=makes):
        note(f"note: {notice}")
    if lora is None:
        yield request
        return
    with _joined(studio, *lora, request.model_id, makes) as adapter:
        yield _parsed(context, given | fixed | {"adapter": adapter})


def _given(
    context: typer.Context, studio: Studio, values: dict[str, Any], fixed: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Path, str] | None]:
    """Fields of a request as flags and environment give them, and the LoRA that --lora-path and its like name."""
    given = {name: value for name, value in values.items() if value is not None and value != []}
    lengths = [name for name in LENGTHS if name in given and typed(context, name)]
    if lengths:
        given = {name: value for name, value in given.items() if name not in LENGTHS or name in lengths}
    lora = _convenient(context, studio, given)
    if given.get("preset") and typed(context, "preset"):
        rows = {row["name"]: row for row in studio.diffusion.presets()}
        _yield(context, given, rows.get(given["preset"], {}).get("sets", {}))
    asked = given | fixed
    if not asked.get("use_rag"):
        _yield(context, given, _ONLY_RAG)
    if not asked.get("use_llm_planner"):
        _yield(context, given, ("planner_model_id",))
    if asked.get("engine") != "diffusion":
        _yield(context, given, DIFFUSION_FIELDS)
    if asked.get("engine") != "manim":
        _yield(context, given, MANIM_FIELDS)
    if not given.get("adapter"):
        _yield(context, given, _ONLY_ADAPTER)
    if fixed.get("plan") is not None:
        _yield(context, given, ("use_llm_planner",))
    return given, lora


def _parsed(context: typer.Context, data: dict[str, Any]) -> VideoRequest:
    """Raises InputError that names the flag, or the variable of the environment."""
    untyped = {name: f"T2V_{name.upper()}" for name in data if not typed(context, name)}
    with naming_flags({name: data[name] for name in data if name not in _NOT_FLAGS}, untyped):
        return parse_request(data)


def _yield(context: typer.Context, given: dict[str, Any], names: Iterable[str]) -> None:
    """Leave out what only the environment says."""
    for name in names:
        if name in given and not typed(context, name):
            del given[name]


def _convenient(context: typer.Context, studio: Studio, given: dict[str, Any]) -> tuple[Path, str] | None:
    """Turn the convenient flags into fields of a request, in place. Path and weight name of a LoRA that is to join."""
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
        given["adapter"] = "--lora-path"  # its id, once it is in the catalogue
        return path.expanduser(), weights or ""
    if given.get("adapter") and diffusion:
        given["adapter"] = studio.adapters.row(given["adapter"])["id"]
    return None


@contextmanager
def _joined(studio: Studio, path: Path, weight_name: str, model: str, keeps: bool) -> Iterator[str]:
    """A LoRA file in the catalogue, by its id. Where it was not there before, and is refused or not kept, it goes again."""
    row = studio.adapters.adopt(path, weight_name=weight_name, used_on=model)
    notices = row["notices"] if keeps or not row["new"] else [*row["notices"], _NOT_KEPT]
    for notice in notices:
        note(f"note: {notice}")
    stays = keeps
    try:
        yield row["id"]
    except StudioError as error:
        stays = stays and not error.code.startswith("adapter_")
        if row["new"] and error.code == "adapter_scale" and "low" in error.details:  # its hint is to edit the card
            hint = "Give {low:g} to {high:g}, or add the file first, with limits of its own: t2v adapters add FILE"
            raise InputError(error.code, error.message, hint.format(**error.details)) from error
        raise
    finally:
        if row["new"] and not stays:
            with suppress(BusyError):  # somebody else took it up meanwhile
                studio.adapters.remove(row["id"])


def typed(context: typer.Context, name: str) -> bool:
    """Whether a flag stood on the command line, rather than in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
