"""`t2v plan`, `generate`, `pair`, `figure` and `videos`: from a topic to files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.models import asker
from t2v_studio.cli.options import requested, typed, with_request_flags
from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.errors import InputError, StudioError, plural
from t2v_studio.planning.plan import ScenePlan, Written, parse_plan, read_plan
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.request import VideoRequest, unread
from t2v_studio.studio import Studio

PrintPrompt = Annotated[bool, typer.Option("--print-prompt", help="Print each scene's prompt as an engine gets it.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Also write the video here, with its record and subtitles.", envvar="T2V_OUTPUT"
    ),
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A plan file to draw as it stands (see `t2v plan`).")]
PruneCache = Annotated[
    bool | None,
    typer.Option(
        "--prune-hf-cache/--no-prune-hf-cache",
        help="First delete models of the cache that nothing needs; it shows them and asks. Default: T2V_PRUNE_HF_CACHE.",
    ),
]
PurgeCache = Annotated[
    bool | None,
    typer.Option(
        "--purge-hf-cache/--no-purge-hf-cache",
        help="First delete all models of the cache but what this run needs; it shows them and asks. Default: T2V_PURGE_HF_CACHE.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before models of the cache are deleted.")]
videos_app = typer.Typer(help="Finished videos: list, show, redraw.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Put these commands on the root."""
    app.command("plan")(plan)
    app.command("generate")(generate)
    app.command("pair")(pair)
    app.command("figure")(figure)
    app.add_typer(videos_app, name="videos")


@with_request_flags(convenient=True)
def plan(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the plan to this JSON file.")] = None,
    print_prompt: PrintPrompt = False,
    prune_hf_cache: PruneCache = None,
    purge_hf_cache: PurgeCache = None,
    yes: Yes = False,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Plan the scenes of a topic, with or without the library."""
    studio = Studio()
    with requested(context, studio, values, makes=False) as request:
        _clear_cache(studio, request, bool(prune_hf_cache), bool(purge_hf_cache), yes)
        result = follow(studio, studio.submit_plan(request), json)
    scene_plan = parse_plan(result["plan"])
    if output:
        _write_plan(scene_plan, output)
    if json:
        prompts = {"prompts": _prompts_of(scene_plan, result["prompts"])} if print_prompt else {}
        print_json(scene_plan.model_dump(mode="json") | prompts)
    else:
        _show_plan(scene_plan, result["prompts"] if print_prompt else None)
    if print_prompt and not all(prompt["trimmed"] for prompt in result["prompts"]):
        note("note: The prompts are not trimmed to the tokens that the model reads: its tokenizer is not on this disk.")
    _notices({"notices": [*result["ahead"], *result["notices"]]}, unread(request))


def _prompts_of(scene_plan: ScenePlan, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Scene id to prompt and negative prompt: as the model's tokenizer reads them, or the plan's own where there is none."""
    if not rows:
        return {
            scene.id: {"prompt": " ".join(scene.prompt.split()), "negative_prompt": scene.negative_prompt}
            for scene in scene_plan.scenes
        }
    return {
        row["scene"]: {
            "prompt": row["text"],
            "negative_prompt": row["negative"],
            "trimmed": row["trimmed"],
            **({"tokens": row["token_count"], "limit": row["limit"]} if row["trimmed"] else {}),
            "left_out": [*row["dropped"], *row["evidence_dropped"]],
        }
        for row in rows
    }


def _clear_cache(studio: Studio, request: VideoRequest, prune: bool | None, purge: bool | None, yes: bool) -> None:
    """What --prune-hf-cache and --purge-hf-cache, or the settings, ask for: shown, then asked, then deleted."""
    prune = studio.settings.prune_hf_cache if prune is None else prune
    purge = studio.settings.purge_hf_cache if purge is None else purge
    deleted = studio.models.before_generate(prune=prune, purge=purge, ask=asker(yes), request=request.model_dump())
    if deleted:
        note(f"note: {deleted['freed'] / 1e9:.1f} GB of models were deleted.")
    elif prune or purge:
        note("note: nothing of the model cache was deleted.")


def _write_plan(scene_plan: ScenePlan, path: Path) -> None:
    try:
        path.write_text(scene_plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            "output_unwritable",
            f"--output: {path} cannot be written ({error.strerror}).",
            "Name a file in a folder that exists.",
        ) from error


def _show_plan(scene_plan: ScenePlan, prompts: list[dict[str, Any]] | None = None) -> None:
    """prompts: of each scene as the model's tokenizer reads them; empty shows the plan's own, None shows none."""
    labels = {source.id: f"{source.book}, p. {source.label or source.page}" for source in scene_plan.sources}
    say(f"{scene_plan.topic}  [{scene_plan.template}]")
    for number, scene in enumerate(scene_plan.scenes, 1):
        say(f"\n{number}. {scene.title}  ({scene.visual.kind})")
        for step in scene.steps:
            cites = "; ".join(labels[cite] for cite in step.cites)
            say(f"   - {step.say}{f'  [{cites}]' if cites else ''}")
        if scene.written is not None and prompts is not None:
            _show_written(scene.written)
        if prompts:
            _show_prompt(prompts[number - 1])
        elif prompts is not None:
            say(f"   prompt: {' '.join(scene.prompt.split())}\n   negative: {scene.negative_prompt}")


def _show_written(note: Written) -> None:
    """What a prompt writer made of a scene, before what stands now."""
    if note.taken:
        say(f"   written by {note.name}{f' ({note.mended})' if note.mended else ''}")
        say(f"   before: {' '.join(note.prompt_before.split())}\n   negative before: {note.negative_before}")
    else:
        say(f"   the rules' prompt stays: {note.reason}")


def _show_prompt(prompt: dict[str, Any]) -> None:
    """One scene's prompt as the model gets it, with its tokens."""
    if not prompt["trimmed"]:
        say(f"   prompt (not trimmed to the model's tokens): {prompt['text']}\n   negative: {prompt['negative']}")
        return
    dropped = f"; left out: {', '.join(prompt['dropped'])}" if prompt["dropped"] else ""
    cut = len(prompt["evidence_dropped"])
    dropped += f"; {cut} retrieved sentence{'s' if cut > 1 else ''} left out" if cut else ""
    say(f"   prompt ({prompt['token_count']} of {prompt['limit']} tokens{dropped}): {prompt['text']}")
    say(f"   negative ({prompt['negative_token_count']} tokens): {prompt['negative']}")


@with_request_flags(convenient=True)
def generate(
    context: typer.Context,
    plan_file: PlanFile = None,
    record: Annotated[
        Path | None, typer.Option("--from", help="A record.json (or a video of the studio): make the same video again.")
    ] = None,
    output: Output = None,
    print_prompt: PrintPrompt = False,
    prune_hf_cache: PruneCache = None,
    purge_hf_cache: PurgeCache = None,
    yes: Yes = False,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Make one video."""
    studio = Studio()
    if record:
        _alone(context, values, plan_file)
        again = studio.record_at(record)
        _clear_cache(studio, again.request, prune_hf_cache, purge_hf_cache, yes)
        said: list[str] = []
        result = follow(studio, studio.submit_again(again, output=output), json)
    else:
        with requested(context, studio, values, **_lesson(studio, values, plan_file)) as request:
            _clear_cache(studio, request, prune_hf_cache, purge_hf_cache, yes)
            said = _foretell(studio, request)
            result = follow(studio, studio.submit_video(request, output=output), json)
    if print_prompt:
        result["prompts"] = _prompts(studio.video(result["id"]))
    if json:
        print_json(result)
        return
    _show_prompts(result)
    _show_video(result)
    _notices(result, said)


def _prompts(record: VideoRecord) -> dict[str, dict[str, Any]]:
    """Scene id to prompt and negative prompt: as the model read them, where the record's scene says so."""
    found: dict[str, dict[str, Any]] = {}
    for scene, made in zip(record.plan.scenes, record.scenes, strict=True):
        found[scene.id] = {"prompt": " ".join(scene.prompt.split()), "negative_prompt": scene.negative_prompt}
        if read := made.details.get("prompt"):
            found[scene.id] = {"prompt": read["text"], "negative_prompt": read["negative"]}
            found[scene.id]["tokens"] = made.details["tokens"]["prompt"]
    return found


def _show_prompts(result: dict[str, Any]) -> None:
    """Of a video's result, where it holds them."""
    for scene_id, prompts in result.get("prompts", {}).items():
        tokens = f" ({prompts['tokens']} tokens)" if "tokens" in prompts else ""
        say(f"{scene_id}{tokens}: {prompts['prompt']}\n  negative: {prompts['negative_prompt']}")


def _foretell(studio: Studio, request: VideoRequest) -> list[str]:
    """Say before the run what diffusion will come to, and what is rounded; the local engine's notices come with its
    result. Every sentence that was said before the run."""
    if request.engine != "diffusion":
        return unread(request)
    said = studio.diffusion.foretold(request)
    for sentence in said:
        note(f"note: {sentence}")
    return said


def _lesson(studio: Studio, values: dict[str, Any], plan_file: Path | None) -> dict[str, Any]:
    """The fields that a plan file fixes: the plan, and its topic where none is given. Raises InputError without a topic."""
    if plan_file is None:
        _need_topic(values)
        return {}
    scene_plan = _plan_in(studio, plan_file)
    return {"topic": values.get("topic") or scene_plan.topic, "plan": scene_plan}


def _plan_in(studio: Studio, path: Path) -> ScenePlan:
    """The plan of a file. Raises InputError; a record, or a video that holds one, is told from what is no plan at all."""
    try:
        scene_plan, prompts = read_plan(path)
    except InputError as error:
        try:
            studio.record_at(path)
        except StudioError:
            raise error from None
        raise InputError(
            "record_for_plan",
            f"--plan: {path} is the record of a video, not a plan.",
            f"Make that video again with: t2v generate --from {path}",
        ) from error
    if prompts:
        note(f"note: \"prompts\" in {path.name} only tells what the model reads. To change a prompt, edit prompt or negative_prompt of its scene.")  # fmt: skip
    return scene_plan


def _need_topic(values: dict[str, Any]) -> None:
    if not values.get("topic"):
        raise InputError(
            "no_topic", "--topic: there is no topic.", 'For example: t2v generate --topic "gradient descent"'
        )


def _alone(context: typer.Context, values: dict[str, Any], plan_file: Path | None) -> None:
    """--from takes every setting from the record; any other flag would be ignored, so it is refused."""
    others = [name for name, value in values.items() if value is not None and typed(context, name)]
    if plan_file or others:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in (["plan"] if plan_file else []) + others)
        raise InputError(
            "usage", f"--from and {flags} exclude each other: the record holds every setting.", "Leave one out."
        )


@with_request_flags("use_rag", convenient=True)
def pair(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also copy both videos into this folder.")
    ] = None,
    print_prompt: PrintPrompt = False,
    prune_hf_cache: PruneCache = None,
    purge_hf_cache: PurgeCache = None,
    yes: Yes = False,
    json: JsonFlag = False,
    **values: Any,
) -> None:
    """Make the same topic twice, without and with retrieval, alike in all else."""
    _need_topic(values)
    studio = Studio()
    with requested(context, studio, values, use_rag=True) as request:
        _clear_cache(studio, request, prune_hf_cache, purge_hf_cache, yes)
        said = _foretell(studio, request)
        result = follow(studio, studio.submit_pair(request, output=output), json)
    arms = ("no_rag", "rag_semantic")
    if print_prompt:
        for arm in arms:
            result[arm]["prompts"] = _prompts(studio.video(result[arm]["id"]))
    if json:
        print_json(result)
        return
    for arm in arms:
        say(f"{arm}:")
        _show_prompts(result[arm])
        _show_video(result[arm])
    _notices(result, said)


def _show_video(result: dict[str, Any]) -> None:
    say(f"{result['video']}")
    say(
        f"{result['duration_s']:.1f} s, {plural(result['frames'], 'frame')} at {result['fps']:g} a second, verdict: {result['verdict']}"
    )
    say(f"record: {result['record']}")


def _notices(result: dict[str, Any], said: Collection[str] = ()) -> None:
    """said: before the run; not again."""
    for notice in result.get("notices", []):
        if notice not in said:
            note(f"note: {notice}")


def figure(
    plan_file: Annotated[Path, typer.Option("--plan", help="A plan file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .svg, .pdf or .png.")],
    scene: Annotated[int, typer.Option(min=1, help="Scene, counted from 1.")] = 1,
    at: Annotated[float, typer.Option(min=0.0, max=1.0, help="Moment of the scene, 0 to 1.")] = 0.5,
    width: Annotated[int, typer.Option(min=128, max=7680)] = 1280,
    height: Annotated[int, typer.Option(min=128, max=7680)] = 720,
    theme: Annotated[str, typer.Option(help="light, dark or contrast.")] = "light",
    json: JsonFlag = False,
) -> None:
    """One frame of a plan as a figure for the thesis."""
    studio = Studio()
    path = studio.figure(_plan_in(studio, plan_file), scene, at, output, width=width, height=height, theme=theme)
    if json:
        print_json({"figure": str(path)})
    else:
        say(str(path))


@videos_app.command("list")
def list_videos(limit: Annotated[int, typer.Option(min=1)] = 60, json: JsonFlag = False) -> None:
    """Videos, newest first."""
    rows = Studio().videos(limit=limit)
    if json:
        print_json({"videos": rows})
    elif not rows:
        say('No video yet. Make one with: t2v generate --topic "gradient descent"')
    else:
        table(rows, ("id", "topic", "engine", "arm", "duration_s", "verdict", "created_at"))


@videos_app.command("show")
def show_video(video_id: Annotated[str, typer.Argument(help="Id of a video.")], json: JsonFlag = False) -> None:
    """One video's record."""
    record = Studio().video(video_id)
    if json:
        print_json(record.model_dump(mode="json"))
    else:
        say(f"{record.id}  {record.plan.topic}  {record.duration_s:.1f} s  verdict: {record.verdict}")
        _show_plan(record.plan)


@videos_app.command("redraw")
def redraw(
    video_id: Annotated[str, typer.Argument(help="Id of a video.")],
    scene: Annotated[int, typer.Option(help="The scene to draw again, counted from 1.")],
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="An edited plan of this video: its scene is drawn. Empty: as it was.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed for this scene; diffusion only.")] = None,
    code_file: Annotated[
        Path | None, typer.Option("--code", help="Manim code for this scene; an empty file: the template. Manim only.")
    ] = None,
    output: Output = None,
    json: JsonFlag = False,
) -> None:
    """Draw one scene again and join the film anew; the other scenes are taken over as they are."""
    studio = Studio()
    edited = None
    if plan_file is not None:
        scenes = _plan_in(studio, plan_file).scenes
        if not 1 <= scene <= len(scenes):
            raise InputError("no_scene", f"--plan: it has no scene {scene}.", f"It has {len(scenes)}.")
        edited = scenes[scene - 1]
    code = _text(code_file) if code_file is not None else None
    job = studio.submit_redraw(video_id, scene, edited=edited, seed=seed, code=code, output=output)
    result = follow(studio, job, json)
    if json:
        print_json(result)
        return
    _show_video(result)
    _notices(result)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("code_unreadable", f"--code: {path} cannot be read ({error}).", "Name a text file.") from error
