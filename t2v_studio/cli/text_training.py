"""`t2v train evaluate`, `export` and `push`: what a language model's adapter is worth, and how it leaves the studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, confirm_sending, follow, note, print_json, say, table
from t2v_studio.errors import plural
from t2v_studio.studio import Studio

MOST_WARNINGS = 5
"""Of a dry run: near-copies alone may be hundreds."""
Adapter = Annotated[str, typer.Argument(help="Id or name of a language model's adapter (see `t2v adapters list`).")]


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)
    app.command("export")(export)
    app.command("push")(push)


def evaluate(
    run: Annotated[str, typer.Argument(help="Id of a run (a row for each of its adapters), or an adapter.")],
    task: Annotated[str, typer.Option("--task", help="auto (the recipe's), manim, prompts or chat.")] = "auto",
    rows: Annotated[int, typer.Option("--rows", help="Held-out prompts that are asked.")] = 8,
    tries: Annotated[int, typer.Option("--tries", help="Answers a prompt, for the best of k.")] = 3,
    render: Annotated[bool, typer.Option("--render", help="Draw what runs, in the sandbox.")] = False,
    repairs: Annotated[int, typer.Option("--repairs", help="Times that an error is shown to the model.")] = 0,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Ask the base too, and the base with retrieved examples.")
    ] = True,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", "-d", help="Rows to ask for. Default: those of the adapter's own run.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Judge the adapters of a run on held-out rows: one table for base, base with examples, and each checkpoint."""
    studio = Studio()
    job = studio.training.submit_evaluation(
        run, task=task, rows=rows, tries=tries, render=render, repairs=repairs, baselines=baselines, dataset=dataset
    )
    found = follow(studio, job, json)
    if json:
        print_json(found)
        return
    columns = [one for one in found["columns"] if any(row.get(one["name"]) is not None for row in found["rows"])]
    shown = [
        {"who": row["who"]} | {one["label"]: figure(row.get(one["name"]), one["share"]) for one in columns}
        for row in found["rows"]
    ]
    table(shown, ["who", *(one["label"] for one in columns)])
    for words in found["notes"]:
        note(f"note: {words}")
    say(f"\nwritten: {found['csv']} and {found['json']}")


def figure(value: float | None, share: bool) -> str:
    """A share as percent, another figure as it is; "" for one that could not be measured."""
    if value is None:
        return ""
    return f"{100 * value:.0f} %" if share else f"{value:g}"


def export(
    adapter: Adapter,
    target: Annotated[
        str, typer.Option("--target", "-t", help="gguf (the adapter), merged, merged_gguf, modelfile or card.")
    ] = "gguf",
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: export/ beside the adapter.")
    ] = None,
    llama_cpp: Annotated[
        Path | None, typer.Option("--llama-cpp", help="Checkout of llama.cpp, for merged_gguf (T2V_LLAMA_CPP_PATH).")
    ] = None,
    outtype: Annotated[
        str, typer.Option("--outtype", help="Of merged_gguf: f16, q8_0 …; q4_k_m and the like need llama-quantize.")
    ] = "q8_0",
    base: Annotated[
        str, typer.Option("--from", help="What FROM names in the Modelfile, such as qwen3:4b-instruct.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Write an adapter for llama.cpp and Ollama, the merged 16-bit model, or the model card."""
    studio = Studio()
    options: dict[str, Any] = {"base": base}
    if target == "merged_gguf":
        options |= {"llama_cpp": llama_cpp.expanduser().absolute() if llama_cpp else "", "outtype": outtype}
    found = follow(studio, studio.training.submit_export(adapter, target, folder, **options), json)
    if json:
        print_json(found)
        return
    for one in found["files"]:
        say(f"{one['path']}  {one['bytes']:,} bytes")
    for words in found["notes"]:
        note(f"note: {words}")


def push(
    adapter: Adapter,
    repo: Annotated[str, typer.Option("--repo", help="Where to: owner/name.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to read; private by default.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it without asking.")] = False,
    json: JsonFlag = False,
) -> None:
    """Send an adapter and its card to the hub, after asking. The token comes from HF_TOKEN in the environment."""
    desk = Studio().training
    ready = desk.plan_push(adapter, repo, private=not public)
    if not yes:
        confirm_sending(ready, repo, public=public)
    made = desk.push(adapter, repo, private=not public)
    if json:
        print_json(made)
    else:
        say(f"sent: {made['url']}")


def show_smoke(found: dict[str, Any]) -> None:
    table(found["families"], ("family", "losses", "reload_difference", "merge_difference", "gguf_bytes", "seconds"))
    say(f"{found['recipe']}: trained, saved, loaded, merged and exported alike, {found['seconds']:.1f} s")


def show_dry_run(found: dict[str, Any], json: bool) -> None:
    """Rows, three of them with the part that is learned, layers, memory, steps, disk."""
    if json:
        print_json(found)
        return
    rows, tokens, counted = found["rows"], found["tokens"], found["parameters"]
    say(
        f"{found['model']} ({found['family']}): {plural(rows['train'], 'row')}, {rows['test']} held out, {rows['refused']} refused"
    )
    if tokens.get("rows"):
        say(f"tokens a row: median {tokens['median']:g}, longest {tokens['max']}, {tokens['truncated']} cut")
    for number, row in enumerate(found["preview"], start=1):
        say(f"\nrow {number}: {plural(row['tokens'], 'token')}, {row['loss_tokens']} of them learned (between » and «)")
        say("".join(f"»{part['text']}«" if part["loss"] else part["text"] for part in row["parts"]))
    say(f"\nlayers: {', '.join(f'{name} {count}' for name, count in found['targets'].items())}")
    say(f"{counted['trainable']:,} trainable parameters, {100 * counted['share']:.2f} % of {counted['base']:,}")
    say(
        f"{plural(found['steps'], 'optimiser step')} of {plural(found['effective_batch'], 'row')}, {found['epochs']:g} rounds"
    )
    say("memory on the card, estimated:")
    table(
        [{"what": name.replace("_", " "), "GiB": value} for name, value in found["memory_gib"].items()], ("what", "GiB")
    )
    stored = found["disk"]
    say(f"\ncheckpoints {stored['checkpoints_bytes'] / 1e6:,.1f} MB, free {stored['free_bytes'] / 1e9:,.0f} GB")
    for row in found["refused"]:
        note(f"refused: {row['row']}: {row['reason']}")
    for severity, most in (("error", None), ("warning", MOST_WARNINGS)):
        for one in [one for one in found["findings"] if one["severity"] == severity][:most]:
            note(f"{severity}: {one['row']}: {one['reason']}")
    counts = found["counts"]
    if counts.get("warning", 0) > MOST_WARNINGS or counts.get("note"):
        note(f"{counts.get('warning', 0)} warnings and {counts.get('note', 0)} notes in all: see t2v dataset validate")
    for words in found["notices"]:
        note(f"note: {words}")
