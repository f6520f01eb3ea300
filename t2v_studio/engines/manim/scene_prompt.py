"""What a language model is told that writes a scene: the rules, what is at hand, the plan's scene, the API."""

from __future__ import annotations

from collections.abc import Sequence

from t2v_studio.engines.manim.api_docs import ApiDocs, Entry
from t2v_studio.planning.plan import Scene, ScenePlan

Message = dict[str, str]

RULES = """You write one scene for Manim Community {version}. Answer with one python block and nothing else.

The code:
- begins with `from manim import *` and defines exactly one class, `{name}(Lesson)`, with `construct(self)`.
- imports nothing but manim, numpy, math and random; reads and writes no files; has no endless loops.
- uses no LaTeX: no Tex, MathTex, Title, BulletedList, Matrix, no include_numbers, no add_coordinates. Formulas are \
`Formula(r"a^2 + b^2")`, words are `Text("...", font_size=30)`.

The layout, which is checked after each play:
- The frame is {width:.1f} wide and {height:.1f} high. Nothing leaves it, no two texts overlap, no text is smaller than \
font_size 22.
- `self.title("...")` gives the title in its strip on top; show it with Write or FadeIn.
- Below it is a grid of cells, A1 (top left) to F6 (bottom right). `self.place(mobject, "B2", "D4")` moves a mobject into \
a block of cells and shrinks it to fit; `self.anchor("C3")` is the middle of a cell. Place everything so.
- Before new text takes a place, FadeOut what stands there.

The time: all plays and waits together take about {seconds:.0f} s."""

BY_KIND = {
    "process": ("Arrow", "RoundedRectangle", "Mobject.next_to", "VMobject.set_fill", "Indicate"),
    "gradient_descent": (
        "Axes",
        "CoordinateSystem.plot",
        "CoordinateSystem.c2p",
        "Dot",
        "ValueTracker",
        "always_redraw",
    ),
    "neural_net": ("Circle", "Line", "Mobject.arrange", "ShowPassingFlash", "Indicate"),
    "compute_graph": ("Circle", "Arrow", "Mobject.next_to", "Indicate"),
    "graph_search": ("Graph", "Indicate", "Circumscribe"),
    "attention": ("Square", "Mobject.arrange_in_grid", "VMobject.set_fill", "Table"),
    "bias_variance": ("Axes", "CoordinateSystem.plot", "CoordinateSystem.c2p", "Dot"),
    "classification_metrics": ("Axes", "Dot", "Line", "Table", "Mobject.arrange_in_grid"),
}
"""Entries that the pictures of a kind begin with; more come by search."""
_ALWAYS = ("Text", "FadeIn", "FadeOut", "Write", "Create", "Transform", "Mobject.next_to", "VGroup", "Scene.play", "Scene.wait")  # fmt: skip
SHOWN = 14


def class_name(scene: Scene) -> str:
    """The name that the scene's class is asked to have."""
    words = "".join(part.capitalize() for part in scene.id.replace("-", "_").split("_") if part.isalnum())
    return words if words[:1].isalpha() else f"Scene{words}"


def messages(plan: ScenePlan, index: int, seconds: float, size: tuple[float, float], docs: ApiDocs, version: str) -> list[Message]:  # fmt: skip
    """The first question for scene `index`. size: width and height of the frame in Manim's units."""
    scene = plan.scenes[index]
    rules = RULES.format(version=version, name=class_name(scene), width=size[0], height=size[1], seconds=seconds)
    shown = "\n".join(entry.line() for entry in at_hand(scene, docs))
    return [
        {"role": "system", "content": f"{rules}\n\nFrom the documentation:\n{shown}"},
        {"role": "user", "content": task(plan, scene)},
    ]


def at_hand(scene: Scene, docs: ApiDocs) -> list[Entry]:
    """The entries that every scene needs, and those that suit this one."""
    first = (*_ALWAYS, *BY_KIND.get(scene.visual.kind, ()))
    by_name = {entry.name: entry for entry in docs.entries}
    words = [scene.visual.kind.replace("_", " "), scene.title, *(step.show for step in scene.steps)]
    found = docs.search(" ".join([*words, *first[len(_ALWAYS) :]]), SHOWN)
    return list(
        {entry.name: entry for entry in [*(by_name[name] for name in first if name in by_name), *found]}.values()
    )


def task(plan: ScenePlan, scene: Scene) -> str:
    """The plan's scene in words."""
    place = [one.id for one in plan.scenes].index(scene.id) + 1
    settings = ", ".join(f"{name} {value}" for name, value in scene.visual.model_dump().items() if name != "kind")
    lines = [
        f"Topic: {plan.topic}",
        f"Audience: {plan.audience}" if plan.audience else "",
        f"Scene {place} of {len(plan.scenes)}: {scene.title}",
        f"Picture: {scene.visual.kind.replace('_', ' ')} ({settings})",
        f"Formula: {scene.formula}" if scene.formula else "",
        "Steps, in this order, each shown as it is said:",
        *(_step(number, step.show, step.say) for number, step in enumerate(scene.steps, 1)),
    ]
    return "\n".join(line for line in lines if line)


def _step(number: int, show: str, say: str) -> str:
    return f'{number}. show "{show}" while it is said: {say}' if show else f"{number}. while it is said: {say}"


def answered(asked: Sequence[Message], code: str, wish: str) -> list[Message]:
    """The first question, the code so far, and what is to be mended: no longer history, so that small windows suffice."""
    return [*asked, {"role": "assistant", "content": f"```python\n{code}```"}, {"role": "user", "content": wish}]
