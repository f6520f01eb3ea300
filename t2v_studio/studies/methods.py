"""The methods paragraph and the findings, in words that claim no more than the numbers allow."""

from __future__ import annotations

from typing import Any

from t2v_studio.errors import plural
from t2v_studio.studies.analysis import RESAMPLES, TENTATIVE_ALPHA, floor_topics
from t2v_studio.studies.tables import p_text

WITHIN_ONE = 0.7
"""Repeats that come within one point less often than this are called shaky."""


def headline(result: dict[str, Any]) -> dict[str, Any]:
    """The analysis that the tables show: without the examiners whom the locked rules exclude."""
    return dict(result["kept"] or result["all"])


def footnotes(result: dict[str, Any], analysis: dict[str, Any]) -> list[str]:
    """What stands below table 1: N, R, repeats, exclusions, test, seed, versions, design hash."""
    counts = (
        f"{analysis['topics']} topics, {plural(analysis['raters'], 'examiner')}, {plural(analysis['ratings'], 'score')}"
    )
    counts += f", {plural(analysis['cannot_judge'], 'time')} cannot judge" if analysis["cannot_judge"] else ""
    quality = result.get("quality")
    if quality:
        counts += f"; {quality['repeats']['n']} repeated scores"
    out = _excluded_names(result)
    lines = [
        f"{counts}; excluded examiners: {', '.join(out) if out else 'none'}.",
        f"Gap: mean over topics with 95% BCa bootstrap interval ({RESAMPLES} resamples, seed {analysis['seed']}). "
        f"p: Wilcoxon signed-rank over topic means (zeros by Pratt), Holm over {len(analysis['criteria'])} criteria. "
        "r: matched-pairs rank-biserial correlation. W/T/L: topics in which the treated video is better, equal, worse. "
        "α: Krippendorff's ordinal alpha over clips.",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in analysis["versions"].items()) + ".",
    ]
    if result.get("design_sha256"):
        lines.append(f"Design hash (SHA-256): {result['design_sha256']}.")
    return lines


def paragraph(result: dict[str, Any], design: dict[str, Any]) -> str:
    """How the study was done, for the methods section."""
    analysis = headline(result)
    parts = [*_collected(result, analysis, design), *_tested(analysis)]
    quality = result.get("quality")
    if quality:
        repeats = quality["repeats"]
        parts.append(
            f"Self-consistency was measured on {repeats['n']} repeated scores with the sides swapped"
            + (f" (quadratically weighted kappa {repeats['kappa']:.2f})." if repeats["kappa"] is not None else ".")
        )
    if design:
        out = _excluded_names(result)
        parts.append(
            f"Rules of exclusion were fixed before the first rating; "
            f"{', '.join(out) + ' ' + ('was' if len(out) == 1 else 'were') if out else 'nobody was'} excluded."
        )
    versions = ", ".join(f"{name} {number}" for name, number in analysis["versions"].items())
    parts.append(f"The analysis used {versions}.")
    if result.get("design_sha256"):
        parts.append(f"The design was locked before collection; its SHA-256 is {result['design_sha256']}.")
    return " ".join(parts)


def _collected(result: dict[str, Any], analysis: dict[str, Any], design: dict[str, Any]) -> list[str]:
    count = len(analysis["criteria"])
    topics, raters = _count(analysis["topics"], "topic"), _count(analysis["raters"], "examiner")
    parts = [
        f"Each of {topics} was made as two videos, {analysis['control']} and {analysis['treated']}, and judged by "
        f"{raters} on {_count(count, 'criterion', 'criteria')} from 1 to 5 ({analysis['ratings']} scores, "
        f'{plural(analysis["cannot_judge"], "time")} "cannot judge").'
    ]
    if design:
        mine = [placement["kind"] for placement in design["assignments"] if placement["rater"] == 0]
        parts.append(
            "The two videos of a topic, alike in seed, length and settings, stood side by side under neutral names. "
            "The order of topics followed a balanced Latin square, the sides were counterbalanced; after "
            f"{_count(mine.count('practice'), 'practice pair')} each examiner saw "
            f"{_count(mine.count('main'), 'scored pair')}, {_count(mine.count('repeat'), 'repeated pair')} with sides "
            f"swapped and {_count(mine.count('identical'), 'pair')} of one video with itself."
        )
    if result.get("screens_open"):
        parts.append(f"{_count(result['screens_open'], 'scored pair')} were not submitted and are not counted.")
    return parts


def _tested(analysis: dict[str, Any]) -> list[str]:
    return [
        "Topics are the units of analysis: scores were averaged over examiners within topic and arm, and the differences "
        "of these means were tested with Wilcoxon's signed-rank test (zeros by Pratt), two-sided, with Holm's correction "
        f"over the {_count(len(analysis['criteria']), 'criterion', 'criteria')}. "
        f"Gaps have 95% BCa bootstrap intervals ({RESAMPLES} resamples of topics, seed {analysis['seed']}); the effect "
        "size is the matched-pairs rank-biserial correlation; a sign-flip permutation test of the mean is a check of "
        "robustness. Agreement is Krippendorff's ordinal alpha over clips, with a bootstrap interval."
    ]


def findings(result: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """One sentence a criterion, then everything that weakens them."""
    analysis = headline(result)
    lines = [f"{labels.get(row['criterion'], row['criterion'])}: {row['verdict']}" for row in analysis["criteria"]]
    preference = (result.get("preferences_kept") if result["kept"] else None) or result.get("preferences_all")
    if preference and preference["topics"]["p"] is not None:
        topics = preference["topics"]
        lines.append(
            f"Overall preference: by the majority of examiners the treated video wins {topics['win']}, ties "
            f"{topics['tie']} and loses {topics['loss']} topics (binomial p {p_text(topics['p'])})."
        )
    return [*lines, *weaknesses(result, labels)]


def weaknesses(result: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """Why a reader should be careful; empty where nothing speaks against the numbers."""
    analysis = headline(result)
    criteria = analysis["criteria"]
    lines = [_labelled(line, labels) for line in analysis["warnings"]]
    floor = floor_topics(len(criteria))
    if floor <= analysis["topics"] < 12:
        lines.append(f"{analysis['topics']} topics are few: only large and even gaps can be found; 12 are recommended.")
    fragile = [
        _name(row, labels)
        for row in criteria
        if row["p_holm"] <= 0.05 and (row["alpha"] is None or row["alpha"] < TENTATIVE_ALPHA)
    ]
    if fragile:
        lines.append(f"Significant, but the examiners do not agree enough to lean on it: {', '.join(fragile)}.")
    before = [_name(row, labels) for row in criteria if row["p"] <= 0.05 < row["p_holm"]]
    if before:
        lines.append(f"Below 0.05 only before Holm's correction: {', '.join(before)}.")
    lines += _other_count(result, labels)
    lines += _about_examiners(result)
    return lines


def _other_count(result: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """Where the exclusions change what can be said."""
    if not result.get("excluded") or not result["kept"]:
        return (
            ["All examiners break a rule of exclusion; the numbers are those of all of them."]
            if result.get("excluded")
            else []
        )
    before = {row["criterion"]: row for row in result["all"]["criteria"]}
    changed = [
        _name(row, labels)
        for row in result["kept"]["criteria"]
        if row["criterion"] in before and (row["p_holm"] <= 0.05) != (before[row["criterion"]]["p_holm"] <= 0.05)
    ]
    if changed:
        return [f"The exclusions decide whether these are significant: {', '.join(changed)}. Both tables are given."]
    return ["With all examiners the same criteria are significant."]


def _about_examiners(result: dict[str, Any]) -> list[str]:
    quality = result.get("quality")
    if not quality:
        return []
    lines = []
    repeats, guesses = quality["repeats"], quality["guesses"]
    if repeats["n"] and repeats["within_one_share"] < WITHIN_ONE:
        lines.append(
            f"Repeated scores came within one point in only {repeats['within_one']} of {repeats['n']} cases: the scale "
            "was not used consistently."
        )
    beyond = [row["rater"] for row in quality["raters"] if row["identical"]["beyond"]]
    if beyond:
        lines.append(f"Scored one video more than one point apart from itself: {', '.join(beyond)}.")
    sided = [row["rater"] for row in quality["raters"] if row["sides"]["p"] is not None and row["sides"]["p"] <= 0.05]
    if sided:
        lines.append(f"Lean to one side of the screen (p at most 0.05, not corrected): {', '.join(sided)}.")
    said = guesses["right"] + guesses["wrong"]
    if said:
        words = f"Examiners named the arm rightly in {guesses['right']} of {said} guesses (binomial p {p_text(guesses['p'])})"
        broken = guesses["p"] is not None and guesses["p"] <= 0.05 and guesses["right"] > guesses["wrong"]
        ending = "; the study was not blind to them." if broken else ": no sign that the blinding failed."
        if not broken and said < 20:
            ending = ": too few to tell whether the blinding held."
        lines.append(words + ending)
    return lines


def _name(row: dict[str, Any], labels: dict[str, str]) -> str:
    return labels.get(row["criterion"], row["criterion"])


def _labelled(line: str, labels: dict[str, str]) -> str:
    """A warning that ends in a list of criteria, with their labels for their keys."""
    head, colon, names = line.partition(" on: ")
    return (
        head + colon + ", ".join(labels.get(name.rstrip("."), name.rstrip(".")) for name in names.split(", ")) + "."
        if colon
        else line
    )


def _excluded_names(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["rater"] for row in result.get("excluded") or []))


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
