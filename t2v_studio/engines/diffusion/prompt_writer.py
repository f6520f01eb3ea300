"""A language model writes the scenes' prompts; the model's own tokenizer decides whether they stand.

A written prompt keeps every retrieved word that the rules' prompt lets the model read. What an answer leaves out is
asked for once, then put back as the sentences that hold it. Where that does not help either, or the tokens do not
suffice, the rules' prompt stays and the scene says why. In a pair both arms are written, or neither, scene by scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from t2v_studio.engines.diffusion.prompts import FinalPrompt
from t2v_studio.errors import CancelledError, StudioError, plural
from t2v_studio.planning.plan import Scene, ScenePlan, Written
from t2v_studio.planning.prompt_writing import MOST_WORDS, asked, mend, read_answer, rewritten
from t2v_studio.planning.prompts import EVIDENCE, OWN, evidence_sentences, parts_of
from t2v_studio.planning.sentences import content_stems

Ask = Callable[[list[dict[str, str]]], str]
Finals = Callable[[ScenePlan], Sequence[FinalPrompt]]
"""A plan's prompts as the model's tokenizer reads them, scene by scene."""
TOKENS_A_WORD = 1.6
"""Generous for English, so that what the writer is told to keep to fits."""


@dataclass(frozen=True)
class Writer:
    """Who is asked. name: as the request names it; sha256: of its weights; ask: messages to answer."""

    name: str
    sha256: str
    ask: Ask


def unwritten(plan: ScenePlan) -> ScenePlan:
    """The plan with the rules' own prompts, as they were before a writer was asked."""
    return plan.model_copy(update={"scenes": [_before(scene) for scene in plan.scenes]})


def is_written(plan: ScenePlan, name: str) -> bool:
    """Whether this writer has been asked for every scene, so that the plan is drawn as it stands."""
    return all(scene.written is not None and scene.written.writer == name for scene in plan.scenes)


def write(
    plan: ScenePlan, writer: Writer, finals: Finals, report: Callable[[int, int], None] = lambda *_: None
) -> ScenePlan:
    """The plan with written prompts; each scene says what came of it. Never raises for what a model answers."""
    plan = unwritten(plan)
    before = finals(plan)
    scenes = []
    for index in range(len(plan.scenes)):
        report(index, len(plan.scenes))
        scenes.append(_Scene(plan, index, before[index], writer, finals).written())
    return plan.model_copy(update={"scenes": scenes})


def alike(treated: ScenePlan, control: ScenePlan) -> tuple[ScenePlan, ScenePlan]:
    """Both arms of a pair with a written prompt in the same scenes, and the control's negative prompt in both."""
    refused: dict[str, str] = {}
    for mine, other in zip(treated.scenes, control.scenes, strict=True):
        for scene in (mine, other):
            if scene.written is not None and not scene.written.taken:
                refused.setdefault(scene.id, scene.written.reason)
    treated, control = withdrawn(treated, refused), withdrawn(control, refused)
    scenes = [
        mine.model_copy(update={"negative_prompt": other.negative_prompt})
        for mine, other in zip(treated.scenes, control.scenes, strict=True)
    ]
    return treated.model_copy(update={"scenes": scenes}), control


def withdrawn(plan: ScenePlan, reasons: dict[str, str]) -> ScenePlan:
    """The plan with the rules' prompts in the scenes that `reasons` names, which say why."""
    scenes = [
        _refused(scene, f"not alike in both videos: {reasons[scene.id]}")
        if scene.id in reasons and scene.written is not None and scene.written.taken
        else scene
        for scene in plan.scenes
    ]
    return plan.model_copy(update={"scenes": scenes})


def said(plan: ScenePlan) -> list[str]:
    """What the writer did, in a sentence, and one for each scene that it did not write."""
    found = [(number, scene.written) for number, scene in enumerate(plan.scenes, 1) if scene.written is not None]
    if not found:
        return []
    taken = sum(one.taken for _, one in found)
    first = f"The prompt writer {found[0][1].name} wrote the prompts of {taken} of {plural(len(plan.scenes), 'scene')}."
    return [first, *(f"Scene {n}: the rules' prompt stays ({one.reason})." for n, one in found if not one.taken)]


class _Scene:
    """The writing of one scene."""

    def __init__(self, plan: ScenePlan, index: int, before: FinalPrompt, writer: Writer, finals: Finals) -> None:
        self._plan, self._index, self._scene = plan, index, plan.scenes[index]
        self._before, self._writer, self._finals = before, writer, finals
        # An author's own prompt may hold what its scene cites without a line of evidence.
        self._sentences = before.evidence or tuple(source.quote for source in plan.cited(self._scene))
        self._keep = _kept_words(self._sentences, before.read)

    def written(self) -> Scene:
        """The scene with a written prompt, or with the rules' own; asked twice at most."""
        most = self._most_words()
        messages = asked(self._plan, self._scene, list(self._keep.values()), most)
        usable: Scene | None = None
        first = reason = ""
        for again in (False, True):
            text = ""
            try:
                text = self._writer.ask(messages)
                made = rewritten(self._scene, read_answer(text, most))
                self._must_fit(made)
                usable = made
                self._must_keep(made)
                return self._note(made, True, mended="asked again" if again else "", reason=first)
            except CancelledError:
                raise
            except StudioError as error:
                first, reason = first or error.message, error.message
                break
            except ValueError as error:
                first, reason = first or str(error), str(error)
                messages = [*messages, *mend(text, reason)]
        if usable is not None:
            try:
                made = self._put_back(usable)
                self._must_fit(made)
                self._must_keep(made)
                return self._note(made, True, mended="retrieved sentences were put back", reason=reason)
            except ValueError as error:
                reason = str(error)
        return self._note(self._scene, False, reason=reason)

    def _most_words(self) -> int:
        """How many words the writer may use beside what retrieval may have to put back."""
        free = self._before.limit - self._before.evidence_tokens - 8
        return max(20, min(MOST_WORDS, int(free / TOKENS_A_WORD)))

    def _read(self, scene: Scene) -> FinalPrompt:
        scenes = [*self._plan.scenes]
        scenes[self._index] = scene
        return self._finals(self._plan.model_copy(update={"scenes": scenes}))[self._index]

    def _lacking(self, scene: Scene) -> list[str]:
        """Retrieved words that the model read in the rules' prompt and does not read in this one."""
        if not self._keep:
            return []
        there = set(content_stems(self._read(scene).read))
        return [word for stem, word in self._keep.items() if stem not in there]

    def _must_keep(self, scene: Scene) -> None:
        if lacking := self._lacking(scene):
            raise ValueError(f"it leaves out {', '.join(lacking)}")

    def _put_back(self, scene: Scene) -> Scene:
        """With the retrieved sentences that hold what is lacking, before the written prompt."""
        part = next((part for part in parts_of(self._scene.prompt) if part.name == EVIDENCE), None)
        head = evidence_sentences(part)[0] if part else "Textbook facts: "
        wanted = {stem for word in self._lacking(scene) for stem in content_stems(word)}
        sentences = " ".join(one for one in self._sentences if wanted & set(content_stems(one)))
        line = f'{head}"{sentences}"' if head.startswith("Textbook context") else f"{head}{sentences}"
        return scene.model_copy(update={"prompt": f"{line}\n{scene.prompt}"})

    def _must_fit(self, scene: Scene) -> None:
        read = self._read(scene)
        if OWN in read.dropped or read.evidence_dropped or read.token_count > read.limit:
            raise ValueError(f"it does not fit in the {read.limit} tokens that the model reads; write less")

    def _note(self, scene: Scene, taken: bool, *, mended: str = "", reason: str = "") -> Scene:
        note = Written(
            writer=self._writer.name,
            sha256=self._writer.sha256,
            taken=taken,
            mended=mended,
            reason=reason,
            prompt_before=self._scene.prompt,
            negative_before=self._scene.negative_prompt,
        )
        return scene.model_copy(update={"written": note})


def _kept_words(sentences: Sequence[str], read: str) -> dict[str, str]:
    """Stem to word of the retrieved sentences, as far as the model reads them."""
    there = set(content_stems(read))
    words = [word.strip(".,;:!?()[]\"'“”’").lower() for sentence in sentences for word in sentence.split()]
    found: dict[str, str] = {}
    for word in words:
        for stem in content_stems(word):
            if stem in there:
                found.setdefault(stem, word)
    return found


def _before(scene: Scene) -> Scene:
    if scene.written is None:
        return scene
    old = scene.written
    return scene.model_copy(
        update={"prompt": old.prompt_before, "negative_prompt": old.negative_before, "written": None}
    )


def _refused(scene: Scene, reason: str) -> Scene:
    assert scene.written is not None
    note = scene.written.model_copy(update={"taken": False, "mended": "", "reason": reason})
    return _before(scene).model_copy(update={"written": note})
