"""What a language model is asked for a scene's prompts, and whether its answer may be used. Text in, text out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from t2v_studio.planning.plan import Scene, ScenePlan
from t2v_studio.planning.prompts import OWN, parts_of

SYSTEM = (
    'You write prompts for a text-to-video model. Answer with one line that begins with "Prompt:" and one that begins '
    'with "Negative:". Describe what is seen and how it moves, in plain sentences. No lists, no settings, no preamble.'
)
"""As in the recipe `prompt_writer`, so that an adapter is asked as it was trained."""
FEWEST_WORDS, MOST_WORDS, MOST_NEGATIVES = 12, 90, 40
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_ANSWER = re.compile(
    r"^[\s*#]*prompt[\s*]*:[\s*]*(?P<prompt>.+?)(?:^[\s*#]*negative(?: prompt)?[\s*]*:[\s*]*(?P<negative>.+?))?\Z",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_FAULTS = (
    (re.compile(r"^\W*(here (is|are)|sure|certainly|of course)\b", re.I), "it begins with a preamble"),
    (re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.M), "it is a list"),
    (re.compile(r"\b(?:INT|EXT)\.|^\s*(?:scene|camera|style|tags|shot)\s*\d*\s*:", re.I | re.M), "it holds labels"),
    (re.compile(r"--\w+|\b(?:steps|seed|cfg|guidance(?: scale)?|aspect ratio|fps)\b\W{0,3}\d|\b\d{3,4}p\b", re.I), "it holds settings"),
    (re.compile(r"https?://|<\|?\w+\|?>|\{|\}"), "it holds marks or links"),
    (re.compile(r"[Ѐ-ӿ֐-ۿ぀-ヿ㐀-鿿가-힯]"), "it is not in English"),
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a model wrote for one scene; negative is empty where it wrote none."""

    prompt: str
    negative: str = ""


def asked(plan: ScenePlan, scene: Scene, keep: list[str], most_words: int = MOST_WORDS) -> list[dict[str, str]]:
    """Messages for one scene: its steps and its picture, the words to keep, the room that there is."""
    picture = next(
        (part.text.removeprefix("Picture: ") for part in parts_of(scene.prompt) if part.name == "picture"), ""
    )
    lines = [
        "Write a prompt for a video model.",
        f"Scene: {scene.title}, in a video about {plan.topic}.",
        *(f"- {step.say}" for step in scene.steps),
        f"Picture: {picture}" if picture else "",
        f"Use all of these words: {', '.join(keep)}." if keep else "",
        f"At most {most_words} words.",
        f"Tags: {', '.join(step.show for step in scene.steps if step.show)}",
        f"Style: {plan.style or 'clear educational explainer, flat shapes'}",
    ]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n".join(filter(None, lines))}]


def mend(answer: str, reason: str) -> list[dict[str, str]]:
    """The turns that send an answer back with what is wrong with it."""
    said = f"That cannot be used: {reason}. Answer again with the two lines alone."
    return [{"role": "assistant", "content": answer[:2000] or "-"}, {"role": "user", "content": said}]


def read_answer(text: str, most_words: int = MOST_WORDS) -> Answer:
    """Prompt and negative prompt of an answer. Raises ValueError that says why it cannot be used."""
    found = _ANSWER.search(_THINKING.sub("", text).strip())
    if found is None:
        raise ValueError('no line begins with "Prompt:"')
    prompt = found["prompt"].strip()
    fault = next((said for pattern, said in _FAULTS if pattern.search(prompt)), "") or _length(prompt, most_words)
    if fault:
        raise ValueError(fault)
    return Answer(_flat(prompt), _negative(found["negative"] or ""))


def rewritten(scene: Scene, answer: Answer, evidence: str = "") -> Scene:
    """The scene with the written prompt in place of its own parts but style and camera. evidence: a line of retrieved
    sentences that goes before it. What the rules want avoided stays in the negative prompt."""
    kept = [part.text for part in parts_of(scene.prompt) if part.name in ("style", "camera")]
    words = [word.strip() for word in f"{answer.negative},{scene.negative_prompt}".split(",") if word.strip()]
    once = {word.lower(): word for word in reversed(words)}
    negative = ", ".join(word for word in dict.fromkeys(words) if once[word.lower()] == word)
    prompt = "\n".join(filter(None, [evidence, own_line(answer.prompt), *kept]))
    return scene.model_copy(update={"prompt": prompt, "negative_prompt": negative})


def own_line(prompt: str) -> str:
    """A written prompt as one line that is not taken for a part of the rules' own."""
    return prompt if parts_of(prompt)[0].name == OWN else f"We see: {prompt}"


def _length(prompt: str, most_words: int) -> str:
    words = [word.lower() for word in _WORD.findall(prompt)]
    if not FEWEST_WORDS <= len(words) <= most_words:
        return f"it has {len(words)} words, and {FEWEST_WORDS} to {most_words} can be used"
    phrases = Counter(tuple(words[n : n + 5]) for n in range(len(words) - 4))
    return "it repeats itself" if phrases and max(phrases.values()) >= 3 else ""


def _negative(text: str) -> str:
    """The words of a negative prompt, each once; a sentence or an endless list is left out, and the rules' own stays."""
    words = list(dict.fromkeys(_flat(word).rstrip(".") for word in text.split(",") if word.strip()))
    wild = len(words) > MOST_NEGATIVES or any(len(word.split()) > 6 for word in words)
    return "" if wild or any(pattern.search(text) for pattern, _ in _FAULTS) else ", ".join(words)


def _flat(text: str) -> str:
    return " ".join(text.split())
