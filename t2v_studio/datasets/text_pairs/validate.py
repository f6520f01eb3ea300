"""A text set, checked row by row and as a whole, before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from t2v_studio.datasets.text_pairs import tokens
from t2v_studio.datasets.text_pairs.code import CodeTools, facts, looks_like_code
from t2v_studio.datasets.text_pairs.faults import encoding_faults, has_mail, secrets_in
from t2v_studio.datasets.text_pairs.files import Read
from t2v_studio.datasets.text_pairs.near import near_pairs
from t2v_studio.datasets.text_pairs.rows import RowError, TextPair, normalised, shape_of
from t2v_studio.errors import StudioError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
PROMPT_WORDS = 60
"""Most words of an instruction for code."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: how bad, which row (file:line), which field, what is wrong, what to do."""

    severity: Severity
    code: str
    row: str
    field: str
    reason: str
    fix: str


@dataclass
class Report:
    """What was found; `ok` where no finding is an error."""

    rows: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    code: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, Any] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(one.severity != "error" for one in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Findings with the worst first; counts by severity and by code; checks that could not be made, and why."""
        ordered = sorted(self.findings, key=lambda one: SEVERITIES.index(one.severity))
        severities = Counter(one.severity for one in ordered)
        return {
            "ok": self.ok,
            "rows": self.rows,
            "shapes": dict(self.shapes),
            "splits": dict(self.splits),
            "licenses": dict(self.licenses),
            "counts": {name: severities.get(name, 0) for name in SEVERITIES},
            "by_code": dict(Counter(one.code for one in ordered).most_common()),
            "findings": [vars(one) for one in ordered],
            "code": dict(self.code),
            "tokens": self.tokens,
            "unchecked": self.unchecked,
        }


def validate(
    rows: Sequence[Read],
    *,
    tools: CodeTools,
    count: tokens.Counter | None = None,
    max_length: int = 1024,
) -> Report:
    """Check every row, then the rows against each other. count: of tokens; without one there is no histogram."""
    report = Report(rows=len(rows), unchecked=dict(tools.missing))
    usable: list[tuple[Read, TextPair]] = []
    for row in rows:
        report.splits[row.split] += 1
        pair = _shaped(row, report)
        report.findings += _text_findings(row)
        if pair is not None:
            usable.append((row, pair))
            report.licenses[pair.license] += 1
            report.findings += _pair_findings(row, pair)
            if looks_like_code(pair.answer):
                report.findings += _code_findings(row, pair, tools, report.code)
    if not rows:
        report.findings.append(Finding("error", "empty", "", "", "there are no rows", "Name a set that holds some."))
    report.findings += _unnamed(usable)
    report.findings += _doubles(usable)
    report.findings += _broken_groups(usable)
    _measure(report, usable, count, max_length)
    return report


def _shaped(row: Read, report: Report) -> TextPair | None:
    try:
        if row.fault:
            raise RowError("unreadable", "row", row.fault, "Mend the line, or remove it.")
        report.shapes[shape_of(row.data)] += 1
        return normalised(row.data)
    except RowError as error:
        # plain text can be trained on, but not with the loss on the answer alone
        severity: Severity = "warning" if error.code == "no_prompt" and "text" in row.data else "error"
        report.findings.append(Finding(severity, error.code, row.place, error.field, error.reason, error.fix))
        return None


def _text_findings(row: Read) -> Iterator[Finding]:
    for name, text in _strings(row.data):
        for what in secrets_in(text):
            yield Finding("error", "secret", row.place, name, f"it holds {what}", "Remove it, and have it replaced.")
        if has_mail(text):
            yield Finding("warning", "person", row.place, name, "it holds an e-mail address", "Replace it.")
        for reason, fix in encoding_faults(text):
            yield Finding("warning", "encoding", row.place, name, reason, fix)


def _strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a row with the path to it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _strings(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _strings(part, f"{name}[{number}]")


def _pair_findings(row: Read, pair: TextPair) -> Iterator[Finding]:
    if pair.asked.strip() == pair.answer.strip():
        yield Finding("error", "echo", row.place, "completion", "it repeats the prompt", "Remove the row.")
    if "no visible scene" in f"{pair.asked} {pair.answer}".lower():
        yield Finding("warning", "no_scene", row.place, "prompt", '"No visible scene"', "t2v dataset combine drops it.")


_UNNAMED: dict[str, tuple[Severity, str, str, str]] = {
    "license": ("warning", "no_license", "nothing says under which licence", "Name it."),
    "source": ("note", "no_source", "nothing says where it comes from", "Name the set."),
}


def _unnamed(usable: Sequence[tuple[Read, TextPair]]) -> Iterator[Finding]:
    """Rows without licence or source: one line a file, since as a rule a whole file lacks them."""
    without: dict[tuple[str, str], list[Read]] = {}
    for row, pair in usable:
        for name in _UNNAMED:
            if not getattr(pair, name):
                without.setdefault((name, row.place.rpartition(":")[0]), []).append(row)
    for (name, _), rows in without.items():
        severity, code, reason, fix = _UNNAMED[name]
        more = f" (nor in {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        yield Finding(severity, code, rows[0].place, name, reason + more, fix)


def _code_findings(row: Read, pair: TextPair, tools: CodeTools, counts: Counter[str]) -> Iterator[Finding]:
    name = next((name for name in ("code", "output", "completion", "messages") if name in row.data), "completion")
    found = facts(pair.answer)
    counts["rows"] += 1
    if len(pair.asked.split()) > PROMPT_WORDS:
        words = len(pair.asked.split())
        yield Finding("warning", "long_prompt", row.place, "prompt", f"{words} words", f"Use at most {PROMPT_WORDS}.")
    if found.fault:
        flat = "; the code was flattened to one line" if found.lines <= 1 else f" (line {found.line})"
        fix = "t2v dataset extract-pairs mends what can be mended." if found.lines <= 1 else "Mend it, or remove it."
        yield Finding("error", "no_parse", row.place, name, f"it does not parse: {found.fault}{flat}", fix)
        return
    counts["parse"] += 1
    if len(found.scenes) != 1:
        reason = f"it holds {len(found.scenes)} scenes with construct"
        reason += f" ({', '.join(found.bare)} has none)" if found.bare else ""
        yield Finding("warning", "not_one_scene", row.place, name, reason, "Keep one Scene class with construct a row.")
    else:
        counts["one_scene"] += 1
    if found.latex:
        counts["latex"] += 1
        named = ", ".join(found.latex[:4])
        yield Finding("note", "latex", row.place, name, f"it needs LaTeX ({named})", "Use Text, or install LaTeX.")
    yield from _engine_findings(row.place, name, pair.answer, found.scenes, tools, counts)


def _engine_findings(
    place: str, name: str, code: str, scenes: tuple[str, ...], tools: CodeTools, counts: Counter[str]
) -> Iterator[Finding]:
    """What the Manim engine says. Code that the gate refuses is not run."""
    if tools.gate is not None:
        refusals = tools.gate(code)
        if refusals:
            yield Finding("error", "gate", place, name, "; ".join(refusals[:3]), "Write it without these.")
            return
        counts["gate"] += 1
    if tools.dry_run is not None and tools.gate is not None and len(scenes) == 1:
        try:
            trouble = tools.dry_run(code, scenes[0])
        except StudioError as error:
            yield Finding("warning", "dry_run", place, name, f"it could not be tried: {error.message}", error.hint)
            return
        if trouble:
            yield Finding("error", "dry_run", place, name, trouble, "Mend it, or remove it.")
        else:
            counts["dry_run"] += 1


def _doubles(usable: Sequence[tuple[Read, TextPair]]) -> Iterator[Finding]:
    """Rows that say again what an earlier one says: an error across splits, else a warning."""
    told: set[int] = set()
    for first, second in near_pairs([f"{pair.asked}\n{pair.answer}" for _, pair in usable]):
        (row, pair), (other, other_pair) = usable[first], usable[second]
        across = row.split != other.split
        if second in told and not across:
            continue
        told.add(second)
        same = pair.hash == other_pair.hash
        where = f" of another split ({row.split or 'none'})" if across else ""
        yield Finding(
            "error" if across else "warning",
            ("duplicate" if same else "near_copy") + ("_across_splits" if across else ""),
            other.place,
            "row",
            f"it is {'the same as' if same else 'nearly'} {row.place}{where}",
            "Split again with t2v dataset combine." if across else "Keep one of them.",
        )


def _broken_groups(usable: Iterable[tuple[Read, TextPair]]) -> Iterator[Finding]:
    first: dict[str, Read] = {}
    for row, pair in usable:
        seen = first.setdefault(pair.group, row) if pair.group else row
        if seen.split != row.split:
            reason = f"group {pair.group} stands in {seen.split or 'none'}, too ({seen.place})"
            yield Finding("error", "group_across_splits", row.place, "group", reason, "Keep a group in one split.")


def _measure(
    report: Report, usable: Sequence[tuple[Read, TextPair]], count: tokens.Counter | None, max_length: int
) -> None:
    if count is None:
        reason = "no tokenizer was named (--tokenizer FOLDER)"
        report.tokens = {"available": False, "reason": reason}
        report.unchecked["tokens"] = reason
        return
    lengths = [count(pair) for _, pair in usable]
    report.tokens = tokens.histogram(lengths, max_length)
    for (row, _), length in zip(usable, lengths, strict=True):
        if length > max_length:
            reason = f"{length} tokens, {max_length} are read: the end is cut off"
            fix = "Raise max_length, shorten the row, or remove it."
            report.findings.append(Finding("warning", "truncated", row.place, "row", reason, fix))
