"""A scene of a plan made ready to draw: its trace, its regions, and its display list at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t2v_studio.engines.local import furniture
from t2v_studio.engines.local.display import DisplayList, Item
from t2v_studio.engines.local.formula import measure_formula
from t2v_studio.engines.local.kinds import kind_of
from t2v_studio.engines.local.kinds.base import Kind, LegendEntry, Moment, Stage
from t2v_studio.engines.local.layout import Regions, arrange
from t2v_studio.engines.local.text import measure
from t2v_studio.engines.local.theme import PALETTES, Palette
from t2v_studio.planning.plan import Scene, ScenePlan, Source


@dataclass(frozen=True)
class Composition:
    """All that a scene's frames share. Made once a scene by `compose`."""

    plan: ScenePlan
    scene: Scene
    kind: Kind
    trace: Any
    palette: Palette
    regions: Regions
    stage: Stage
    legend: tuple[LegendEntry, ...]
    sources: dict[str, Source]
    show_sources: bool
    still: tuple[Item, ...]
    """Furniture that never changes within the scene."""

    def items(self, moment: Moment, step_seconds: float) -> DisplayList:
        """The frame at one moment, as pure data."""
        step = self.scene.steps[moment.step]
        cited = [self.sources[cite] for cite in step.cites if cite in self.sources] if self.show_sources else []
        drawn: list[Item] = [*self.still]
        drawn += furniture.progress(self.regions, self.palette, len(self.scene.steps), moment)
        drawn += self.kind.draw(self.scene, self.trace, moment, self.stage)
        drawn += furniture.caption(
            self.regions,
            self.palette,
            step,
            moment,
            readout=self.kind.caption(self.scene, self.trace, moment),
            quoted=bool(cited),
            step_seconds=step_seconds,
        )
        drawn += furniture.footer(self.regions, self.palette, cited)
        return tuple(drawn)


def compose(plan: ScenePlan, index: int, *, width: float, height: float, theme: str, show_sources: bool) -> Composition:
    """Simulate scene `index` (from 0) and arrange its frame of width x height design units."""
    scene = plan.scenes[index]
    palette = PALETTES[theme]
    kind = kind_of(scene.visual.kind)
    legend = tuple(kind.legend(scene, palette))
    regions = arrange(
        width,
        height,
        legend=legend,
        formula=scene.formula,
        has_show=scene.visual.kind != "process",
        show_sources=show_sources,
    )
    still = [
        *furniture.card(regions, palette),
        *furniture.heading(regions, palette, plan.topic, scene.title),
        *furniture.legend(regions, palette, legend),
        *furniture.formula(regions, palette, scene.formula),
    ]
    return Composition(
        plan=plan,
        scene=scene,
        kind=kind,
        trace=kind.simulate(scene, plan.seed),
        palette=palette,
        regions=regions,
        stage=Stage(regions.stage, palette, measure, measure_formula),
        legend=legend,
        sources={source.id: source for source in plan.sources},
        show_sources=show_sources,
        still=tuple(still),
    )
