"""What diffusion stands on: the graphics card, the models, and how the chosen one would lie in memory."""

from __future__ import annotations

import re
import shutil
import subprocess

from t2v_studio.doctor.row import PROBE_SECONDS, Row, row
from t2v_studio.errors import StudioError
from t2v_studio.machine import free_memory
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


def graphics_card(settings: Settings, workspace: Workspace) -> Row:
    cost = "The local engine needs none. Diffusion video and LoRA training do."
    if shutil.which("nvidia-smi") is None:
        return row(
            "graphics card",
            "warning",
            "no NVIDIA driver",
            cost,
            "Use the local engine here, or a machine with a CUDA device.",
        )
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,compute_cap,driver_version,memory.free",
        "--format=csv,noheader",
    ]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return row(
            "graphics card", "warning", f"nvidia-smi fails ({error})", cost, "Repair the driver, then look again."
        )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    plan = memory_plan(lines[0], settings, workspace) if lines else ""
    return row("graphics card", "ok", "; ".join([*map(card_text, lines), *([plan] if plan else [])]))


def memory_plan(card: str, settings: Settings, workspace: Workspace) -> str:
    """How the chosen model would lie on a card, from its line of nvidia-smi (free memory comes last, in MiB)."""
    from t2v_studio.engines.diffusion.memory_plan import PartBytes, Work, choose
    from t2v_studio.engines.diffusion.models import model

    free = re.search(r"(\d+) MiB$", card)
    try:
        entry = model("", settings, workspace)
    except StudioError:
        return ""
    if free is None or not entry.all_parts():
        return ""
    usual, rules, dtype = entry.rules.profile("balanced"), entry.rules, entry.compute_dtype
    work = Work.of(rules, usual.frames, usual.width, usual.height, dtype, rules.vae_dtype or dtype)
    plan = choose(float(free.group(1)) * 2**20, PartBytes.listed(entry), work, free_memory())
    return f"{entry.name}: {plan.label}"


def card_text(line: str) -> str:
    """One card of nvidia-smi's list: name, memory, and whether it computes in bf16 (compute capability 8 and above)."""
    name, memory, capability, driver = ([part.strip() for part in line.split(",")] + [""] * 4)[:4]
    number = capability.partition(".")[0]
    bf16 = "" if not number.isdigit() else ", bf16" if int(number) >= 8 else ", no bf16 (T2V_DTYPE=fp16)"
    return f"{name}, {memory}{bf16}, driver {driver}"


def models(settings: Settings, workspace: Workspace) -> list[Row]:
    """Which video models are here, and whether the disk can hold the default one."""
    from t2v_studio.engines.diffusion.models import model, registry
    from t2v_studio.engines.diffusion.store import ModelStore, require_root

    try:
        require_root(settings, workspace)
        entries = [entry for entry in registry(workspace).values() if entry.repo_id]
        default = model("", settings, workspace)
    except StudioError as error:
        return [row("models", "missing", error.message, "Diffusion finds no model.", error.hint)]
    store = ModelStore.of(settings, workspace)
    here = [entry.name for entry in entries if store.source(entry) is not None]
    there = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free / 1e9, 1.2 * default.bytes() / 1e9
    rows = [row("models", "ok", ", ".join(here))] if here else []
    if not here:
        cost = "Diffusion runs only the tiny models, whose pictures mean nothing."
        rows = [row("models", "warning", "none is here", cost, f"t2v models download {default.name}")]
    found = f"{free:.0f} GB free in {store.root}"
    if default.repo_id and default.name not in here and free < needed:
        cost = f"{default.name} needs {needed:.0f} GB to be fetched."
        rows.append(row("disk for models", "warning", found, cost, "Set T2V_CACHE_ROOT to a folder on a larger disk."))
    else:
        rows.append(row("disk for models", "ok", found))
    return rows
