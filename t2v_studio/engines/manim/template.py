"""The base of the template scenes: beats of a simulated run, told with Manim's own motions.

Each step of the plan is cut into beats at which the run has come to a whole event (a node expanded, a layer
passed, a step down the valley). From one beat to the next what is new enters, what has changed is transformed,
what has gone fades; what moves all the time (`live`) follows the simulation frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from manim import Animation, FadeOut, Mobject, Transform, UpdateFromAlphaFunc, VGroup, Wait
from manim.utils.rate_functions import ease_in_cubic, linear, smooth, squish_rate_func

from t2v_studio.engines.local import furniture
from t2v_studio.engines.local.composition import Composition, compose
from t2v_studio.engines.local.display import Item, Text
from t2v_studio.engines.local.kinds.base import Moment
from t2v_studio.engines.local.painter import design_size
from t2v_studio.engines.local.timeline import moments
from t2v_studio.engines.manim.board import Lesson
from t2v_studio.engines.manim.entrances import entrance
from t2v_studio.engines.manim.job import HarnessJob
from t2v_studio.engines.manim.matching import Ranked, matched
from t2v_studio.engines.manim.shapes import Sheet
from t2v_studio.planning.plan import ScenePlan

LIVE = frozenset({"tick", "read-out"})
"""Furniture that moves with every frame; it stands above all, so that what lies still is drawn once."""
AT_ONCE = frozenset({"card", "topic", "title", "step"})
"""Furniture that is there in a scene's first frame."""
FURNITURE = AT_ONCE | {
    "caption-bar", "show", "caption", "legend", "formula-slip", "formula", "source-icon", "source",
}  # fmt: skip
"""What stands around the stage."""
ABOVE = 100_000
"""Added to the rank of live furniture."""
HALF = 0.5
"""A text that the simulation shows fainter than so at the end of a beat belongs to the next one."""
ENTER_S = 0.7
"""Longest time in which new things enter within a beat."""
OPEN_S = 1.1
"""Longest time in which the scene is built up at its start."""


@dataclass(frozen=True)
class Beat:
    """Frames from `start` to `end` (end excluded) of a scene, at whose end the picture has `settled`.

    frames: of the step that is told.
    """

    start: int
    end: int
    settled: Moment
    frames: int


class TemplateScene(Lesson):
    """A scene of a plan. Each kind is a subclass that says where its beats end and what lives."""

    live: ClassVar[frozenset[str]] = frozenset()
    """Names of stage items that follow the simulation in every frame."""
    changes_last: ClassVar[bool] = False
    """Whether the stage changes at the end of a beat, when what travels has arrived, instead of at its start."""

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
        self.live_shown: tuple[Ranked, ...] = ()
        self.floor: int | None = None

    # What a kind says.

    def events(self, moment: Moment) -> int:
        """How many whole events the run has passed at a moment; a beat ends wherever this changes."""
        return 0

    def lives(self, item: Item) -> bool:
        """Whether a stage item follows the simulation in every frame."""
        return item.name in self.live

    def enter(self, item: Item, mobject: Mobject) -> Animation:
        """How a new item comes in."""
        return entrance(item, mobject)

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
            beats.append(Beat(start, end, self._settled(end), self.told[end - 1][1]))
            start = end
        return beats

    def _settled(self, end: int) -> Moment:
        """The moment whose picture a beat ends with: the next frame's where step and page go on, for there the event is whole."""
        last, frames = self.told[end - 1]
        after = self.told[end][0] if end < len(self.told) else last
        same = after.step == last.step and self._page(after, frames) == self._page(last, frames)
        return after if same else last

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
        """The scene is built up, then its first beat is told."""
        first = self._still_items(*self.told[0])
        room = beat.end - beat.start
        count = min(room, max(1, round(OPEN_S * self.fps))) if room > 3 else 0
        entering = self._take(first)
        self.add(*(mobject for item, mobject in entering if item.name in AT_ONCE))
        animations = [self.enter(item, mobject) for item, mobject in entering if item.name not in AT_ONCE]
        self._play(animations, 0, count, opening=True)
        self._tell(Beat(count, beat.end, beat.settled, beat.frames))

    def _tell(self, beat: Beat) -> None:
        """From what is shown to the picture at the beat's end."""
        count = beat.end - beat.start
        moving = min(count, max(1, round(ENTER_S * self.fps)))
        target = self._still_items(beat.settled, beat.frames)
        if self.changes_last and count > moving + 1:
            stage = [one for one in self._ranked_shown() if one[1].name not in FURNITURE]
            around = [one for one in target if one[1].name in FURNITURE]
            self._play(self._changes([*stage, *around]), beat.start, moving)
            last = min(moving, count - moving)
            self._play([], beat.start + moving, count - moving - last)
            self._play(self._changes(target), beat.end - last, last)
            return
        self._play(self._changes(target), beat.start, moving)
        self._play([], beat.start + moving, count - moving)

    def _play(self, animations: list[Animation], start: int, count: int, opening: bool = False) -> None:
        """Plays for exactly `count` frames from frame `start`; with none, the end state is put at once."""
        if count <= 0:
            for animation in animations:
                animation._setup_scene(self)
                animation.begin()
                animation.finish()
                animation.clean_up_from_scene(self)
                self.add(*(m for _, m in self.shown if m not in self.mobjects))
            return
        follow = self._follow(start, count, opening)
        if not animations and follow is None:
            self.play(Wait(run_time=(count + 0.5) / self.fps))
            return
        run_time = (count - 0.5) / self.fps
        for animation in animations:
            animation.run_time = run_time
        self.play(*([follow] if follow is not None else []), *animations, run_time=run_time)
        self.floor = None

    # What lives.

    def _follow(self, start: int, count: int, opening: bool) -> Animation | None:
        """The live items, frame by frame; while the scene opens they come in with it."""
        pictures = []
        for n in range(count):
            veil = smooth(n / count) if opening else 1.0
            pictures.append(self._live_items(*self.told[start + n], veil))
        if self.moving not in self.mobjects:
            self.add(self.moving)
        if all(picture == pictures[0] for picture in pictures):
            self._show_live(pictures[0])
            return None
        last = len(pictures) - 1
        ranks = [item.layer * 1000 + rank for picture in pictures for rank, item in picture]
        self.floor = min(ranks, default=None)

        def follow(group: Mobject, alpha: float) -> None:
            self._show_live(pictures[min(int(alpha * (count - 0.5) + 1e-6), last)])

        return UpdateFromAlphaFunc(self.moving, follow, rate_func=linear)

    def _show_live(self, items: tuple[tuple[int, Item], ...]) -> None:
        if self.live_shown != items:
            self.live_shown = items
            self.moving.submobjects = [self.sheet.mobject(item, rank) for rank, item in items]

    def get_moving_and_static_mobjects(self, animations: Any) -> tuple[list[Mobject], list[Mobject]]:
        """Manim's own, and with live items: all that lies above the lowest of them is drawn anew in each frame."""
        moving, static = super().get_moving_and_static_mobjects(animations)
        if self.floor is None:
            return moving, static
        members = set(self.moving.get_family()) - {self.moving}
        above = [one for one in static if one.z_index >= self.floor and one not in members]
        drawn = [self.moving, *(one for one in moving if one not in members and one is not self.moving), *above]
        return drawn, [one for one in static if one.z_index < self.floor and one not in members]

    # Items at a moment.

    def _items(self, moment: Moment, frames: int) -> list[tuple[bool, Item]]:
        """All items of a moment, each with whether it lives."""
        view = self.view
        around: list[Item] = [
            *view.still,
            *furniture.progress(view.regions, view.palette, len(view.scene.steps), moment),
        ]
        around += self._caption(moment, frames)
        around += furniture.footer(view.regions, view.palette, self._cited(moment))
        stage = view.kind.draw(view.scene, view.trace, moment, view.stage)
        tagged = [(item.name in LIVE, item) for item in around] + [(self.lives(item), item) for item in stage]
        seen = [pair for pair in tagged if pair[1].alpha > 0.002]
        return sorted(seen, key=lambda pair: pair[1].layer)

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

    def _still_items(self, moment: Moment, frames: int) -> list[Ranked]:
        """What is not live, with its rank in painting order; a text is either there or not."""
        still = [(rank, item) for rank, (live, item) in enumerate(self._items(moment, frames)) if not live]
        seen = [(rank, item) for rank, item in still if not isinstance(item, Text) or item.alpha >= HALF]
        return [(rank, replace(item, alpha=1.0) if isinstance(item, Text) else item) for rank, item in seen]

    def _live_items(self, moment: Moment, frames: int, veil: float) -> tuple[Ranked, ...]:
        found = []
        for rank, (live, item) in enumerate(self._items(moment, frames)):
            if live and item.name in LIVE:
                found.append((rank + ABOVE, item))
            elif live and item.alpha * veil > 0.002:
                found.append((rank, replace(item, alpha=item.alpha * veil)))
        return tuple(found)

    def _ranked_shown(self) -> list[Ranked]:
        return [(mobject.z_index - item.layer * 1000, item) for item, mobject in self.shown]

    # From one picture to the next.

    def _take(self, items: Iterable[Ranked]) -> list[tuple[Item, Mobject]]:
        """Mobjects for new items, remembered as shown."""
        made = [(item, self.sheet.mobject(item, rank)) for rank, item in items]
        self.shown += made
        return made

    def _changes(self, target: list[Ranked]) -> list[Animation]:
        """Animations that turn what is shown into the target."""
        kept, changed, new, gone = matched(self.shown, target)
        animations: list[Animation] = [FadeOut(mobject, rate_func=_soon) for _, mobject in gone]
        self.shown = [one for one, _ in kept]
        for (_, mobject), (rank, item) in kept:
            mobject.set_z_index(item.layer * 1000 + rank)
        for (old, mobject), (rank, item) in changed:
            made = self.sheet.mobject(item, rank)
            if isinstance(item, Text) and isinstance(old, Text) and old.text != item.text:
                animations += [FadeOut(mobject, rate_func=_soon), _after(self.enter(item, made))]
                self.shown.append((item, made))
            else:
                animations.append(Transform(mobject, made, rate_func=smooth))
                mobject.set_z_index(made.z_index)
                mobject.lint_name = item.name  # type: ignore[attr-defined]
                self.shown.append((item, mobject))
        fresh = self._take(new)
        animations += [self.enter(item, mobject) for item, mobject in fresh]
        return animations


_soon = squish_rate_func(ease_in_cubic, 0.0, 0.4)
"""Old words are gone before the new ones come: two texts never stand on each other."""


def _after(animation: Animation) -> Animation:
    animation.rate_func = squish_rate_func(animation.rate_func, 0.35, 1.0)
    return animation
