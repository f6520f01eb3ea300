"""Drawing an attention pass: strips of Q, K and V, the table of scores and shares, the mix of values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from t2v_studio.engines.local.display import MIN_TEXT, Box, Item, Point, Polyline, Rect, Text
from t2v_studio.engines.local.easing import mix, smooth, span
from t2v_studio.engines.local.kinds.base import Stage
from t2v_studio.engines.local.kinds.matrix import cell, cross, share_shade, signed_shade, strip
from t2v_studio.engines.local.kinds.numbers import number
from t2v_studio.engines.local.kinds.timing import part, turn
from t2v_studio.engines.local.simulations.attention import AttentionPass
from t2v_studio.engines.local.theme import Palette

LABEL = 25.0


@dataclass(frozen=True)
class AttentionMoment:
    """act: setup, scores, softmax or aggregate; progress 0 to 1 within it."""

    act: str
    progress: float


@dataclass(frozen=True, eq=False)
class Table:
    """The square of scores with its strips. queries, keys: one box a token, or empty where there is no room."""

    cells: tuple[tuple[Box, ...], ...]
    row_labels: tuple[Point, ...]
    column_labels: tuple[Point, ...]
    queries: tuple[Box, ...]
    keys: tuple[Box, ...]
    sums: tuple[Point, ...]
    label_size: float


def draw_attention(run: AttentionPass, at: AttentionMoment, stage: Stage) -> list[Item]:
    if at.act == "setup":
        return _draw_setup(run, at.progress, stage)
    if at.act == "aggregate":
        return _draw_mix(run, at.progress, stage)
    return _draw_table(run, at, stage)


def _largest(*matrices: object) -> float:
    return max(float(abs(matrix).max()) for matrix in matrices)  # type: ignore[arg-type]


def _token_width(run: AttentionPass, stage: Stage) -> float:
    """Room for the tokens at the left: as wide as the longest, at most a share of the stage."""
    return min(max(stage.measure(token, LABEL, "bold") for token in run.tokens), 0.21 * stage.box.w)


def _token(run: AttentionPass, index: int, at: Point, stage: Stage, on: bool = False) -> Item:
    text = _short(run.tokens[index], _token_width(run, stage) + 0.5, LABEL, stage)
    colour = stage.palette.accent if on else stage.palette.ink
    return Text(at=at, text=text, size=LABEL, colour=colour, weight="bold", name="token")


def _draw_setup(run: AttentionPass, progress: float, stage: Stage) -> list[Item]:
    """Each token with its query, key and value; the three columns fill one after the other."""
    palette, box, count = stage.palette, stage.box, len(run.tokens)
    d = run.queries.shape[1]
    label = _token_width(run, stage)
    head, gap = 40.0, 34.0
    row = min((box.h - head) / count, 74.0 if box.w > box.h else 110.0)
    top = box.y + head + (box.h - head - row * count) / 2
    room = box.w - label - 3 * gap
    wide = min(room / 3, d * 78.0)
    left = box.x + (box.w - label - 3 * gap - 3 * wide) / 2
    numbers = wide / d >= stage.measure("−0.0", MIN_TEXT, "regular") + 6 and row >= 34
    largest = _largest(run.queries, run.keys, run.values)
    items: list[Item] = []
    for i in range(count):
        items.append(_token(run, i, Point(left, top + (i + 0.5) * row), stage))
    blocks = (("query  q", run.queries), ("key  k", run.keys), ("value  v", run.values))
    for block, (name, matrix) in enumerate(blocks):
        x = left + label + gap + block * (wide + gap)
        items.append(
            Text(
                at=Point(x + wide / 2, top - 20),
                text=name,
                size=26,
                colour=palette.muted,
                anchor="centre",
                name="block",
            )
        )
        for i in range(count):
            shown = smooth(part(progress * 3 * count * 1.05, block * count + i))
            place = Box(x, top + i * row + 4, wide, row - 8)
            items.append(Rect(box=place, radius=3, stroke=palette.line, width=1.5, dash=(5.0, 5.0), name="empty"))
            if shown > 0:
                items += strip(place, [float(v) for v in matrix[i]], largest, palette, numbers=numbers, alpha=shown)
    return items


@lru_cache(maxsize=32)
def _table(run: AttentionPass, stage: Stage) -> Table:
    box, count, d = stage.box, len(run.tokens), run.queries.shape[1]
    wide = box.w > 800
    label = _token_width(run, stage)
    strips = 26.0 * d if wide else 0.0
    head = (min(13.0 * d, 78.0) + 44) if wide or box.h > 500 else 38.0
    height = min((box.h - head) / count, 84.0 if box.w > box.h else 120.0)
    left_room = label + 16 + (strips + 16 if strips else 0)
    sums = 120.0 if wide else 88.0
    width = min((box.w - left_room - sums) / count, 132.0)
    left = box.x + (box.w - left_room - sums - width * count) / 2 + left_room
    top = box.y + head + max(0.0, (box.h - head - height * count) / 2)
    cells = tuple(
        tuple(Box(left + j * width + 2, top + i * height + 2, width - 4, height - 4) for j in range(count))
        for i in range(count)
    )
    middles = [top + (i + 0.5) * height for i in range(count)]
    size = LABEL
    widest = max(stage.measure(token, LABEL, "bold") for token in run.tokens)
    if widest > width - 6:
        size = max(MIN_TEXT, LABEL * (width - 6) / widest)
    keys: tuple[Box, ...] = ()
    if head > 40:
        key_height = head - 46
        keys = tuple(Box(left + (j + 0.5) * width - 14, top - key_height - 6, 28, key_height) for j in range(count))
    return Table(
        cells,
        tuple(Point(left - left_room, y) for y in middles),
        tuple(Point(left + (j + 0.5) * width, top - (head - 20 if keys else 20)) for j in range(count)),
        tuple(Box(left - strips - 16, y - min(height - 12, 30) / 2, strips, min(height - 12, 30)) for y in middles)
        if strips
        else (),
        keys,
        tuple(Point(left + count * width + 14, y) for y in middles),
        size,
    )


def _short(token: str, room: float, size: float, stage: Stage) -> str:
    """A token, cut where it is longer than its room."""
    while len(token) > 2 and stage.measure(token, size, "bold") > room:
        token = token[:-2] + "…"
    return token


def _frame(run: AttentionPass, table: Table, row: int, column: int, stage: Stage) -> list[Item]:
    """Tokens, query strips and key strips, with the running ones marked."""
    palette = stage.palette
    largest = _largest(run.queries, run.keys)
    items: list[Item] = []
    for i in range(len(run.tokens)):
        items.append(_token(run, i, table.row_labels[i], stage, on=i == row))
        room = table.cells[0][i].w + 2
        items.append(Text(at=table.column_labels[i], text=_short(run.tokens[i], room, table.label_size, stage), size=table.label_size,
                          colour=palette.accent if i == column else palette.ink, weight="bold", anchor="centre", name="token"))  # fmt: skip
        if table.queries:
            items += strip(table.queries[i], [float(v) for v in run.queries[i]], largest, palette,
                           border=palette.warm if i == row else "", name="query")  # fmt: skip
        if table.keys:
            items += strip(table.keys[i], [float(v) for v in run.keys[i]], largest, palette, upright=True,
                           border=palette.warm if i == column else "", name="key")  # fmt: skip
    return items


def _draw_table(run: AttentionPass, at: AttentionMoment, stage: Stage) -> list[Item]:
    table, palette, count = _table(run, stage), stage.palette, len(run.tokens)
    scoring = at.act == "scores"
    index, _inside = turn(at.progress * count * count, count * count) if scoring else turn(at.progress * count, count)
    running = 0 < at.progress < 1
    row, column = (divmod(index, count) if scoring else (index, -1)) if running else (-1, -1)
    items = _frame(run, table, row, column, stage)
    biggest = _largest(run.scores)
    for i in range(count):
        for j in range(count):
            place = table.cells[i][j]
            known = 1.0 if not scoring else part(at.progress * count * count, i * count + j)
            shared = 0.0 if scoring else smooth(span(part(at.progress * count, i), 0.15, 0.8))
            items += _score_cell(run, i, j, place, known, shared, biggest, palette)
            if running and i == row and (j == column or not scoring):
                items.append(Rect(box=place.inset(-1), radius=4, stroke=palette.warm, width=4, layer=3, name="focus"))
    if not scoring:
        items += _row_sums(run, table, at.progress, stage)
    elif table.queries:
        at_corner = Point(table.row_labels[0].x, table.column_labels[0].y)
        items.append(Text(at=at_corner, text="q·k / √d", size=26, colour=palette.muted, italic=True, name="what"))
    return items


def _score_cell(
    run: AttentionPass, i: int, j: int, place: Box, known: float, shared: float, biggest: float, palette: Palette
) -> list[Item]:
    if run.mask[i, j] and known > 0:
        return cross(place, palette)
    score, weight = float(run.scores[i, j]), float(run.weights[i, j])
    if known <= 0:
        return cell(place, palette.surface, palette)
    if shared > 0.5:
        return cell(
            place,
            share_shade(weight, palette),
            palette,
            number(weight),
            weight="bold",
            alpha=mix(0.3, 1.0, 2 * shared - 1),
        )
    return cell(
        place, signed_shade(score, biggest, palette), palette, number(score), alpha=min(known * 2, 1.0) * (1 - shared)
    )


def _row_sums(run: AttentionPass, table: Table, progress: float, stage: Stage) -> list[Item]:
    palette, count = stage.palette, len(run.tokens)
    items: list[Item] = []
    for i in range(count):
        shown = span(part(progress * count, i), 0.7, 0.95)
        if shown > 0:
            items.append(Text(at=table.sums[i], text=f"Σ = {number(float(run.weights[i].sum()))}", size=MIN_TEXT,
                              colour=palette.positive, weight="bold", alpha=shown, name="sum"))  # fmt: skip
    return items


def _draw_mix(run: AttentionPass, progress: float, stage: Stage) -> list[Item]:
    """One query after the other: the shares of its row, the values they scale, the mix that comes out."""
    palette, box, count = stage.palette, stage.box, len(run.tokens)
    d = run.values.shape[1]
    row, inside = turn(progress * count, count)
    largest = _largest(run.values)
    label = _token_width(run, stage)
    wide = box.w > 800
    tall = box.h > box.w
    flat = box.h < 330
    head = 34.0 if flat else 40.0
    foot = 0.0 if wide else 44.0 if flat else 76.0
    pitch = min((box.h - head - foot) / count, 100.0 if tall else 76.0)
    top = box.y + head + (box.h - head - foot - pitch * count) / 2 * (0.6 if tall else 1.0)
    strip_width = min(d * 66.0, 280.0) if wide else min(box.w - label - 242, d * 66.0)
    bar_room = 210.0 if wide else 120.0
    numbers = strip_width / d >= stage.measure("−0.0", MIN_TEXT, "regular") + 4 and pitch >= 34
    bar_left = box.x + label + 20
    value_left = bar_left + bar_room + 96
    items: list[Item] = [
        Text(at=Point(bar_left, top - 20), text="share", size=MIN_TEXT, colour=palette.muted, name="column"),
        Text(at=Point(value_left, top - 20), text="value  v", size=MIN_TEXT, colour=palette.muted, name="column"),
    ]
    if wide:
        target = Box(box.right - strip_width - 8, top + (count * pitch - 56) / 2, strip_width, 56)
    else:
        target = Box(value_left, top + count * pitch + (7 if flat else 18), strip_width, 32 if flat else 48)
    grown = smooth(span(inside, 0.05, 0.35))
    flown = smooth(span(inside, 0.35, 0.75))
    for j in range(count):
        y = top + (j + 0.5) * pitch
        weight = float(run.weights[row, j])
        items.append(_token(run, j, Point(box.x, y), stage))
        if run.mask[row, j]:
            items += cross(Box(bar_left, y - min(15, pitch / 2 - 2), 44, min(30, pitch - 4)), palette)
        else:
            items += _share_bar(
                Box(bar_left, y - min(13, pitch / 2 - 3), bar_room, min(26, pitch - 6)), weight * grown, weight, palette
            )
        place = Box(value_left, y - min(pitch - 8, 52) / 2, strip_width, min(pitch - 8, 52))
        items += strip(place, [float(v) for v in run.values[j]], largest / mix(1.0, max(weight, 1e-3), grown), palette,
                       numbers=numbers, name="value")  # fmt: skip
        if weight > 0.004 and inside > 0.3:
            items += _flow(place, target, weight, flown, wide, palette)
    items += _output(run, row, target, largest, smooth(span(inside, 0.55, 0.9)), wide, stage)
    return items


def _share_bar(box: Box, shown: float, weight: float, palette: Palette) -> list[Item]:
    return [
        Rect(box=box, radius=5, fill=palette.paper, stroke=palette.line, width=1, name="share"),
        Rect(box=Box(box.x, box.y, max(box.w * shown, 0.5), box.h), radius=5, fill=palette.accent, width=0, layer=1, name="share"),
        Text(at=Point(box.right + 12, box.centre.y), text=number(weight), size=MIN_TEXT, colour=palette.ink, weight="bold",
             name="share"),
    ]  # fmt: skip


def _flow(place: Box, target: Box, weight: float, flown: float, wide: bool, palette: Palette) -> list[Item]:
    """A line from a value to the mix, as thick as its share."""
    if wide:
        a, b = Point(place.right + 6, place.centre.y), Point(target.x - 10, target.centre.y)
    else:
        return []
    end = Point(mix(a.x, b.x, flown), mix(a.y, b.y, flown))
    if flown <= 0:
        return []
    return [
        Polyline(
            points=(a, end), stroke=palette.accent, width=round(1.5 + 12 * weight, 2), alpha=0.55, layer=1, name="flow"
        )
    ]


def _output(
    run: AttentionPass, row: int, target: Box, largest: float, shown: float, wide: bool, stage: Stage
) -> list[Item]:
    palette, d = stage.palette, run.values.shape[1]
    room = target.w - 60 if wide else target.x - stage.box.x - 150
    text = f"new “{_short(run.tokens[row], room, 26, stage)}”"
    numbers = target.w / d >= stage.measure("−0.0", MIN_TEXT, "regular") + 4
    items: list[Item] = [
        Rect(box=target.inset(-5), radius=8, fill=palette.surface, stroke=palette.warm, width=3, layer=2, name="output")
    ]
    if wide:
        items.append(Text(at=Point(target.centre.x, target.y - 26), text=text, size=26, colour=palette.ink, weight="bold",
                          anchor="centre", layer=3, name="output"))  # fmt: skip
        items.append(Text(at=Point(target.centre.x, target.bottom + 28), text="Σ share · v", size=26, colour=palette.muted,
                          italic=True, anchor="centre", layer=3, name="output"))  # fmt: skip
    else:
        items.append(Text(at=Point(target.x - 20, target.centre.y), text=text + "  =  Σ", size=MIN_TEXT, colour=palette.ink,
                          weight="bold", anchor="right", layer=3, name="output"))  # fmt: skip
    if shown > 0:
        for item in strip(target, [float(v) for v in run.output[row]], largest, palette, numbers=numbers, alpha=shown):
            items.append(_raised(item))
    return items


def _raised(item: Item) -> Item:
    from dataclasses import replace

    return replace(item, layer=item.layer + 3)
