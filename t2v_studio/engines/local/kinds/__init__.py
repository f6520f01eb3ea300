"""The diagram kinds by name."""

from __future__ import annotations

from importlib import import_module

from t2v_studio.engines.local.kinds.base import Kind
from t2v_studio.engines.local.kinds.process import ProcessKind
from t2v_studio.errors import unknown_name
from t2v_studio.planning.visuals import VISUALS


def _found(name: str) -> Kind | None:
    """The kind that the module of that name defines, None while there is no such module."""
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError:
        return None
    for candidate in vars(module).values():
        if isinstance(candidate, type) and getattr(candidate, "name", None) == name and hasattr(candidate, "simulate"):
            kind: Kind = candidate()
            return kind
    return None


KINDS: dict[str, Kind] = {"process": ProcessKind()}
KINDS.update({name: kind for name in VISUALS if name != "process" and (kind := _found(name)) is not None})


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises InputError with the nearest name."""
    if name not in VISUALS:
        raise unknown_name("visual.kind", name, list(VISUALS))
    return KINDS.get(name, KINDS["process"])
