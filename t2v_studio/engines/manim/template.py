"""The base of the template scenes: beats of a simulated run, told with Manim's own motions.

Each step of the plan is cut into beats at which the run has come to a whole event (a node expanded, a layer
passed, a step down the valley). From one beat to the next what is new enters, what has changed is transformed,
what has gone fades; what moves all the time (`live`) follows the simulation frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from manim import Animation, AnimationGroup, FadeIn, FadeOut, Mobject, Transform, UpdateFromAlphaFunc, VGroup, Wait
from manim.utils.rate_functions import ease_out_cubic, linear, smooth

from t2v_studio.engines.local import furniture
from t2v_studio.engines.local.composition import Composition, compose
from t2v_studio.engines.local.display import Item, Rect, Text
from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.local.painter import design_size, in_paint_order
from t2v_studio.engines.local.timeline import moments
from t2v_studio.engines.manim.board import Lesson
from t2v_studio.engines.manim.entrances import entrance
from t2v_studio.engines.manim.job import HarnessJob
from t2v_studio.engines.manim.matching import matched
from t2v_studio.engines.manim.shapes import Sheet
from t2v_studio.planning.plan import ScenePlan

LIVE = frozenset({"tick", "read-out"})
"""Furniture that moves with every frame."""
ENTER_S = 0.7
"""Longest time in which new things enter within a beat."""
OPEN_S = 1.1
"""Longest time in which the scene is built up at its start."""


@dataclass(frozen=True)
class Beat:
    """Frames from `start` to `end` (end excluded) of a scene, at whose end the picture has settled at `moment`."""

    start: int
    end: int
    moment: Moment


class TemplateScene(Lesson):
    """A scene of a plan. Each kind is a subclass that says what lives, how things enter and what is stressed."""

    live: ClassVar[frozenset[str]] = frozenset()
    """Names of stage items that follow the simulation in every frame."""
    dropped: ClassVar[frozenset[str]] = frozenset()
    """Names of items that the kind tells by a motion of its own instead."""

    def fill(self, job: HarnessJob) -> None:
        """Takes the plan's scene: simulated and laid out as the local engine does it."""
        width, height = design_size(job.width, job.height)
        plan = ScenePlan.model_validate(job.plan)
        self.view: Composition = compose(
            plan, job.index, width=width, height=height, theme=job.theme, show_sources=job.show_sources
        )
        self.sheet = Sheet(width, height)
        self.fps = job.fps
        self.frames = job.frames or max(1, round(job.fps * 4))
        self.shown: list[tuple[Item, Mobject]] = []
        self.moving = VGroup()

    # What a kind says.

    def events(self, moment: Moment) -> int:
        """How many whole events the run has passed at a moment; a beat ends wherever this changes."""
        return 0

    def enter(self, item: Item, mobject: Mobject) -> Animation:
        """How a new item comes in."""
        return entrance(item, mobject)

    def stress(self, fresh: list[tuple[Item, Mobject]], moment: Moment) -> list[Animation]:
        """What draws the eye in a beat, beside what enters and changes; gone when it ends."""
        return []

    # The film.

    def construct(self) -> None:
        self.told = moments(self.view.scene, self.frames)
        beats = self._beats()
        self._open(beats[0])
        for beat in beats[1:]:
            self._tell(beat)

    def _beats(self) -> list[Beat]:
        """The film cut where an event, a page of the caption or a step ends."""
        marks = [self._mark(moment, frames) for moment, frames in self.told]
        ends = [n + 1 for n in range(len(marks) - 1) if marks[n] != marks[n + 1]] + [len(marks)]
        beats, start = [], 0
        for end in ends:
            beats.append(Beat(start, end, self.told[end - 1][0]))
            start = end
        return beats

    def _mark(self, moment: Moment, frames: int) -> tuple[int, int, int]:
        return moment.step, self._page(moment, frames)[0], self.events(moment)

    def _page(self, moment: Moment, frames: int) -> tuple[int, int]:
        """Number of the caption's page that is read at a moment, and how many there are."""
        said = self.view.scene.steps[moment.step].say.strip()
        said = f"“{said}”" if self._cited(moment) else said
        most = max(1, int(frames / self.fps / furniture.PAGE_SECONDS))
        regions = self.view.regions
        count = len(furniture.pages(said, regions.caption.w - 14, regions.say_lines, most))
        return min(int(moment.progress * count), count - 1), count

    def _cited(self, moment: Moment) -> list[Any]:
        step, view = self.view.scene.steps[moment.step], self.view
        return [view.sources[cite] for cite in step.cites if cite in view.sources] if view.show_sources else []

    def _open(self, beat: Beat) -> None:
        """The first beat: the scene is built up, then its first event is told."""
        moment, frames = self.told[0]
        first = self._still_items(moment, frames)
        room = beat.end - beat.start
        count = min(room, max(1, round(OPEN_S * self.fps))) if room > 3 else 0
        entering = self._take(first)
        animations = [self.enter(item, mobject) for item, mobject in entering]
        self._play(animations, 0, count)
        self._tell(Beat(count, beat.end, beat.moment))

    def _tell(self, beat: Beat) -> None:
        """From what is shown to the beat's end: changes first, then a rest in which only live things move."""
        count = beat.end - beat.start
        if count <= 0 and beat.start:
            return
        frames = self.told[max(beat.end - 1, 0)][1]
        target = self._still_items(beat.moment, frames)
        animations = self._changes(target, beat.moment)
        moving = min(count, max(1, round(ENTER_S * self.fps)))
        self._play(animations, beat.start, moving)
        self._play([], beat.start + moving, count - moving)

    def _play(self, animations: list[Animation], start: int, count: int) -> None:
        """Plays for exactly `count` frames from frame `start`; with none, the end state is put at once."""
        if count <= 0:
            for animation in animations:
                animation._setup_scene(self)
                animation.begin()
                animation.finish()
                animation.clean_up_from_scene(self)
            return
        follow = self._follow(start, count)
        if not animations and follow is None:
            self.play(Wait(run_time=(count + 0.5) / self.fps))
            return
        run_time = (count - 0.5) / self.fps
        for animation in animations:
            animation.run_time = run_time
        self.play(*([follow] if follow is not None else []), *animations, run_time=run_time)

    def _follow(self, start: int, count: int) -> Animation | None:
        """The live items, frame by frame."""
        pictures = [self._live_items(*self.told[start + n]) for n in range(count)]
        if self.moving not in self.mobjects:
            self.add(self.moving)
        if all(picture == pictures[0] for picture in pictures):
            self._show_live(pictures[0])
            return None
        last = len(pictures) - 1

        def follow(group: Mobject, alpha: float) -> None:
            self._show_live(pictures[min(int(alpha * count + 1e-6), last)])

        return UpdateFromAlphaFunc(self.moving, follow, rate_func=linear)

    def _show_live(self, items: tuple[tuple[int, Item], ...]) -> None:
        if getattr(self, "_live_shown", None) != items:
            self._live_shown = items
            self.moving.submobjects = [self.sheet.mobject(item, rank) for rank, item in items]

    # Items at a moment.

    def _items(self, moment: Moment, frames: int) -> list[Item]:
        view = self.view
        drawn: list[Item] = [*view.still, *furniture.progress(view.regions, view.palette, len(view.scene.steps), moment)]
        drawn += view.kind.draw(view.scene, view.trace, moment, view.stage)
        drawn += self._caption(moment, frames)
        drawn += furniture.footer(view.regions, view.palette, self._cited(moment))
        return [item for item in drawn if item.alpha > 0.002 and item.name not in self.dropped]

    def _caption(self, moment: Moment, frames: int) -> list[Item]:
        """The caption's page, at rest: its motion is Manim's."""
        view = self.view
        page, count = self._page(moment, frames)
        rested = Moment(moment.step, min((page + 0.999) / count, 1.0), moment.overall)
        items = furniture.caption(
            view.regions,
            view.palette,
            view.scene.steps[moment.step],
            rested,
            readout=view.kind.caption(view.scene, view.trace, moment),
            quoted=bool(self._cited(moment)),
            step_seconds=frames / self.fps,
        )
        return [replace(item, alpha=1.0) if isinstance(item, Text) else item for item in items]

    def _still_items(self, moment: Moment, frames: int) -> list[tuple[int, Item]]:
        """What is not live, with its rank in painting order."""
        names = LIVE | self.live
        ordered = in_paint_order(self._items(moment, frames))
        return [(rank, item) for rank, item in enumerate(ordered) if item.name not in names]

    def _live_items(self, moment: Moment, frames: int) -> tuple[tuple[int, Item], ...]:
        names = LIVE | self.live
        ordered = in_paint_order(self._items(moment, frames))
        return tuple((rank, item) for rank, item in enumerate(ordered) if item.name in names)

    # From one picture to the next.

    def _take(self, items: Iterable[tuple[int, Item]]) -> list[tuple[Item, Mobject]]:
        """Mobjects for new items, remembered as shown."""
        made = [(item, self.sheet.mobject(item, rank)) for rank, item in items]
        self.shown += made
        return made

    def _changes(self, target: list[tuple[int, Item]], moment: Moment) -> list[Animation]:
        """Animations that turn what is shown into the target."""
        kept, changed, new, gone = matched(self.shown, target)
        animations: list[Animation] = [FadeOut(mobject) for _, mobject in gone]
        self.shown = list(kept)
        for (old, mobject), (rank, item) in changed:
            made = self.sheet.mobject(item, rank)
            if isinstance(item, Text) and isinstance(old, Text) and old.text != item.text:
                animations += [FadeOut(mobject, rate_func=ease_out_cubic), self.enter(item, made)]
                self.shown.append((item, made))
            else:
                animations.append(Transform(mobject, made, rate_func=smooth))
                mobject.set_z_index(made.z_index)
                mobject.lint_name = item.name  # type: ignore[attr-defined]
                self.shown.append((item, mobject))
        fresh = self._take(new)
        animations += [self.enter(item, mobject) for item, mobject in fresh]
        return animations + self.stress(fresh + [(i, m) for i, m in self.shown if (i, m) not in fresh], moment)


def grouped(animations: list[Animation], lag: float = 0.15) -> Animation:
    """Several as one, each a little after the one before."""
    return AnimationGroup(*animations, lag_ratio=lag)


def is_backdrop(item: Item) -> bool:
    """Patches and cards: they come in without a show."""
    return isinstance(item, Rect) and (item.name.endswith("patch") or item.name in ("card", "formula-slip"))


def faded(mobject: Mobject) -> Animation:
    return FadeIn(mobject)
