"""Text storyboards to rows of style, prompt, negative prompt and tags, several for each scene."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from t2v_studio.datasets.text_pairs.near import near_pairs
from t2v_studio.errors import InputError, NotFoundError

SUFFIXES = (".txt", ".md", ".json")
SCENE_CHARS, SECTION_CHARS, SECTIONS_MAX = 50, 100, 5
WORDS_MIN, WORDS_MAX = 30, 90
BODY_WORDS = 60
ECHO_MAX, COPY_MIN = 0.5, 0.85
NEGATIVE = "blurry, low quality, watermark, distorted shapes, flicker, jitter"
CAMERAS = (
    "The camera moves in slowly.",
    "The camera stays still in a wide shot.",
    "The camera glides from left to right.",
    "The camera pulls back and shows the whole place.",
    "A close shot holds on the main subject.",
)
LIGHTS = (
    "Soft light falls from one side, with deep shadows.",
    "Even daylight, calm colours and clear edges.",
    "Low warm light, with haze in the background.",
    "Cool light before dawn, with muted colours.",
)
INSTRUCTIONS = (
    "Write a video prompt for the scene {title!r}.",
    "Describe {title!r} as one continuous shot for a video model.",
    "Turn the idea {title!r} into a prompt with camera and light. Keywords: {tags}.",
    "I need a short clip about {tags}. Write its prompt.",
)
_HEADER = re.compile(r"^\s*(?:#+\s*)?(?:\*\*)?scene\s+(\d+|[ivx]+)\b[\s.:–—-]*(.*?)(?:\*\*)?\s*$", re.I)
_LABEL = re.compile(r"^\s*(style|negative(?: prompt)?|tags|prompt|description)\s*:\s*(.+)$", re.I)
_WORDS = re.compile(r"[^\W\d_]{2,}")
_COMMON = frozenset(
    [
        "about",
        "after",
        "again",
        "along",
        "around",
        "because",
        "before",
        "behind",
        "being",
        "between",
        "could",
        "every",
        "first",
        "from",
        "into",
        "their",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "under",
        "until",
        "where",
        "which",
        "while",
        "with",
        "would",
        "scene",
        "camera",
        "shot",
        "slowly",
    ]
)
_GATES: dict[str, re.Pattern[str]] = {
    "technical_parameters": re.compile(
        r"--\w+ |\b(?:cfg|guidance|seed|steps?|fps|sampler|aspect ratio)\b\s*[:=]|\b\d{3,4}\s*[x×]\s*\d{3,4}\b", re.I
    ),
    "screenplay_label": re.compile(r"\b(?:INT|EXT)\.|\b(?:CUT TO|FADE (?:IN|OUT)|DISSOLVE TO)\b|\bscene \d+\s*:", re.I),
    "preamble": re.compile(r"^\s*(?:sure|certainly|of course|here (?:is|are)|prompt:|q:|a:)", re.I),
    "list": re.compile(r"(?:^|\s)(?:[-*•]\s|\d+[.)]\s)"),
}


@dataclass(frozen=True)
class StoryScene:
    """One scene of a storyboard, with what its labels say."""

    file: str
    title: str
    text: str
    style: str = ""
    negative: str = ""
    tags: tuple[str, ...] = field(default=())


def read_storyboards(path: Path) -> list[StoryScene]:
    """Scenes of a .txt, .md or .json file, or of those in a folder; each scene once. Raises StudioError."""
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.is_symlink())
    else:
        files = [path] if path.is_file() and path.suffix.lower() in SUFFIXES else []
    if not files:
        raise NotFoundError(
            "no_storyboards", f"There is no storyboard in {path}.", f"They end in {', '.join(SUFFIXES)}."
        )
    scenes: dict[tuple[str, str], StoryScene] = {}
    for file in files:
        for scene in _scenes(file):
            scenes.setdefault((scene.title.lower(), scene.text[:100].lower()), scene)
    if not scenes:
        raise InputError(
            "no_scenes",
            f"{path}: no scene was found.",
            f'Write "Scene 1: title", then {SCENE_CHARS} characters or more.',
        )
    return list(scenes.values())


def _scenes(file: Path) -> Iterable[StoryScene]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        parts = _frames(json.loads(text)) if file.suffix.lower() == ".json" else _parts(text)
    except (OSError, ValueError) as error:
        raise InputError("bad_storyboard", f"{file.name} cannot be read ({error}).", "Save it as UTF-8.") from error
    head: dict[str, str] = {}
    for number, (title, body) in enumerate(parts):
        labels, words = _labelled(body)
        if not title and number == 0 and len(words) < SCENE_CHARS:
            head = labels  # labels before the first scene hold for all
            continue
        labels = head | labels
        words = words or labels.get("prompt", "")
        if len(words) >= SCENE_CHARS:
            tags = tuple(tag.strip().lower() for tag in labels.get("tags", "").split(",") if tag.strip())
            title = title or " ".join(words.split()[:6]).rstrip(".,;:")
            yield StoryScene(file.name, title, words, labels.get("style", ""), labels.get("negative", ""), tags)


def _parts(text: str) -> list[tuple[str, str]]:
    """Title and body by "Scene N" headers; without any, the first sections between empty lines that are long enough."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            found.append((header[2].strip() or f"Scene {header[1]}", []))
        else:
            found[-1][1].append(line)
    if len(found) > 1:
        return [(title, "\n".join(lines)) for title, lines in found if title or any(lines)]
    sections = [part for part in re.split(r"\n\s*\n", text) if len(part.strip()) >= SECTION_CHARS]
    return [("", part) for part in sections[:SECTIONS_MAX]]


def _frames(data: Any) -> list[tuple[str, str]]:
    """Frames of JSON: a list, {"frames": […]} or {"scenes": […]} of texts or objects, or {"prompts": {"0": "…"}}."""
    if isinstance(data, dict):
        data = next((data[name] for name in ("scenes", "frames", "prompts") if name in data), data)
    frames = data.values() if isinstance(data, dict) else data if isinstance(data, list) else []
    found = []
    for frame in frames:
        if isinstance(frame, str):
            found.append(("", frame))
        elif isinstance(frame, dict):
            texts = {name: value for name, value in frame.items() if isinstance(value, str)}
            texts |= {"tags": ", ".join(map(str, frame["tags"]))} if isinstance(frame.get("tags"), list) else {}
            body = next((texts.pop(name) for name in ("prompt", "text", "description") if name in texts), "")
            labels = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in texts.items())
            found.append((texts.get("title", ""), f"{labels}\n{body}"))
    return found


def _labelled(body: str) -> tuple[dict[str, str], str]:
    labels: dict[str, str] = {}
    words = []
    for line in body.splitlines():
        found = _LABEL.match(line)
        name = found[1].lower().split()[0] if found else ""
        if found and name != "description":
            labels[name] = found[2].strip()
        elif not line.lower().startswith("title:"):
            words.append(found[2] if found else line)
    return labels, " ".join(" ".join(words).split())


def rows_of(
    scenes: Sequence[StoryScene],
    *,
    augmentation: int = 20,
    seed: int = 42,
    style: str = "cinematic",
    banned: Sequence[str] = (),
    source: str = "",
    license: str = "",
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Up to `augmentation` rows a scene, those that a gate refused with `reason`, and counts.

    All rows of a scene carry its group, so that no split parts them. Rows: instruction, style, prompt, negative,
    tags, scene, group, source, license.
    """
    kept: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    per_scene: dict[str, int] = {}
    for number, scene in enumerate(scenes, start=1):
        made = list(_variants(scene, f"scene{number:04d}", augmentation, seed, style))
        made = [row | {"source": source or scene.file, "license": license} for row in made]
        copies = {later for _, later in near_pairs([row["prompt"] for row in made], COPY_MIN)}
        good = 0
        for index, row in enumerate(made):
            reason = gate(row, banned) or ("near_copy" if index in copies else "")
            good += not reason
            (refused if reason else kept).append(row | ({"reason": reason} if reason else {}))
        per_scene[f"{scene.file}: {scene.title}"] = good
    reasons = dict(Counter(row["reason"] for row in refused).most_common())
    return kept, refused, {"scenes": len(scenes), "kept": len(kept), "refused": reasons, "per_scene": per_scene}


def _variants(scene: StoryScene, group: str, wanted: int, seed: int, style: str) -> Iterable[dict[str, Any]]:
    """The scene's own sentences from several starts, with camera, light and instruction varied in a seeded order."""
    sentences = re.split(r"(?<=[.!?])\s+", scene.text)
    bodies = list(dict.fromkeys(_body(sentences[start:]) for start in range(min(3, len(sentences)))))
    choices = list(product(bodies, CAMERAS, LIGHTS))
    random.Random(f"{seed}:{group}").shuffle(choices)
    tags = list(scene.tags) or _tags(scene.text)
    for number, (body, camera, light) in enumerate(choices[:wanted]):
        asked = INSTRUCTIONS[number % len(INSTRUCTIONS)].format(title=scene.title, tags=", ".join(tags))
        yield {
            "instruction": asked,
            "style": scene.style or style,
            "prompt": f"{body} {camera} {light}",
            "negative": scene.negative or NEGATIVE,
            "tags": tags,
            "scene": scene.title,
            "group": f"{scene.file}#{group}",
        }


def _body(sentences: Sequence[str]) -> str:
    """Whole sentences within the words that leave room for camera and light."""
    text: list[str] = []
    for sentence in sentences:
        if text and len(text) + len(sentence.split()) > BODY_WORDS:
            break
        text += sentence.split()
    body = " ".join(text)
    return body if body.endswith((".", "!", "?")) else f"{body}."


def _tags(text: str) -> list[str]:
    words = [word.lower() for word in _WORDS.findall(text) if len(word) > 4]
    return [word for word, _ in Counter(word for word in words if word not in _COMMON).most_common(4)]


def gate(row: dict[str, Any], banned: Sequence[str] = ()) -> str:
    """Why a row is no good example, "" where it is one."""
    prompt = row["prompt"]
    words = prompt.split()
    if not WORDS_MIN <= len(words) <= WORDS_MAX:
        return "too_short" if len(words) < WORDS_MIN else "too_long"
    for name, pattern in _GATES.items():
        if pattern.search(prompt):
            return name
    if not row["negative"].strip():
        return "no_negative"
    if len(row["tags"]) < 2:
        return "few_tags"
    lowered = [word.lower() for word in _WORDS.findall(prompt)]
    if any(re.search(rf"\b{re.escape(word)}\b", prompt, re.I) for word in banned):
        return "banned_word"
    asked = {word.lower() for word in _WORDS.findall(row["instruction"])}
    if sum(word in asked for word in lowered) > ECHO_MAX * len(lowered):
        return "echo"
    runs = Counter(tuple(lowered[start : start + 5]) for start in range(len(lowered) - 4))
    return "repeats_itself" if any(count >= 3 for count in runs.values()) else ""
