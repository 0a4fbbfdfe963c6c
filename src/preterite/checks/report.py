"""The output formats of findings: full, concise, JSON, SARIF and GitHub's workflow commands."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preterite.checks.findings import Finding, Place
from preterite.checks.rules import RULES, Rule

WIDTH = 100
"""Columns of a printed finding."""
PLACES_MAX = 5
"""How many further places of a finding are printed; JSON and SARIF have all."""
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def full(found: Sequence[Finding], root: Path) -> str:
    """Each finding with its place and key; the explanation of a rule is printed once."""
    parts: list[str] = []
    explained_rules: set[str] = set()
    for one in found:
        place = one.place.link(root)
        parts.append(f"{f'{place}: ' if place else ''}{one.definition.severity}[{one.rule}] {one.message}")
        parts.append(f"    {one.key}")
        if one.also:
            parts.append(f"    also at {_listed(one, root)}")
        if one.rule not in explained_rules:
            explained_rules.add(one.rule)
            parts.append(_indented(f"Why: {one.definition.why}"))
            parts.append(_indented(f"Instead: {one.definition.instead}"))
        parts.append("")
    return "\n".join(parts)


def concise(found: Sequence[Finding], root: Path) -> str:
    """One line for each finding, with its first place."""
    return "\n".join(
        f"{one.place.link(root) or '-'}: {one.definition.severity}[{one.rule}] {one.message}{_more(one)}"
        for one in found
    )


def as_json(found: Sequence[Finding], root: Path) -> str:
    """One JSON document."""
    return json.dumps([_document(one, root) for one in found], indent=2, ensure_ascii=False)


def sarif(found: Sequence[Finding], root: Path) -> str:
    """SARIF 2.1.0, which code hosts display beside the source."""
    rules = sorted({one.rule for one in found})
    results: list[dict[str, Any]] = []
    for one in found:
        result: dict[str, Any] = {
            "ruleId": one.rule,
            "ruleIndex": rules.index(one.rule),
            "level": one.definition.severity,
            "message": {"text": one.message},
            "partialFingerprints": {"key": one.key},
        }
        if one.place.file is not None:
            result["locations"] = [_location(one.place, root)]
        if one.also:
            result["relatedLocations"] = [_location(place, root) for place in one.also]
        results.append(result)
    driver = {"name": "preterite check", "rules": [_sarif_rule(RULES[rule]) for rule in rules]}
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def github(found: Sequence[Finding], root: Path) -> str:
    """GitHub's workflow commands, which are displayed beside the source."""
    lines: list[str] = []
    for one in found:
        where = "" if one.place.file is None else f" file={one.place.relative_to(root)}"
        line = "" if one.place.line is None else f",line={one.place.line}"
        title = f"{',' if where else ' '}title={one.rule}"
        message = _escaped(f"{one.message}{_more(one)}")
        lines.append(f"::{_GITHUB[one.definition.severity]}{where}{line}{title}::{message}")
    return "\n".join(lines)


FORMATS: Mapping[str, Callable[[Sequence[Finding], Path], str]] = {
    "full": full,
    "concise": concise,
    "json": as_json,
    "sarif": sarif,
    "github": github,
}


def summary(found: Sequence[Finding], known: Sequence[Finding]) -> str:
    """The number of findings by severity, and of those in the baseline."""
    counts = Counter(one.definition.severity for one in found)
    texts = [
        f"{counts[severity]} {severity}{'s' if counts[severity] != 1 else ''}"
        for severity in ("error", "warning", "note")
        if counts[severity]
    ]
    also = f", {len({one.key for one in known})} in the baseline" if known else ""
    return f"{', '.join(texts) or 'no violations'}{also}"


def explained(rule: Rule) -> str:
    """The whole text of a rule."""
    texts = (rule.summary, f"Why: {rule.why}", f"Instead: {rule.instead}")
    parts = [f"{rule.id} ({rule.level}, {rule.severity})", *(f"\n{_indented(text, 0)}" for text in texts)]
    if rule.bad:
        parts += ["", f"    bad:   {rule.bad}"]
    if rule.good:
        parts += [f"    good:  {rule.good}"]
    return "\n".join(parts)


def _document(one: Finding, root: Path) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "severity": one.definition.severity,
        "component": one.component,
        "object": one.object,
        "operation": one.operation,
        "key": one.key,
        "message": one.message,
        "file": one.place.relative_to(root) or None,
        "line": one.place.line,
        "also": [{"file": place.relative_to(root) or None, "line": place.line} for place in one.also],
    }


def _location(place: Place, root: Path) -> dict[str, Any]:
    where: dict[str, Any] = {"artifactLocation": {"uri": place.relative_to(root)}}
    if place.line is not None:
        where["region"] = {"startLine": place.line}
    return {"physicalLocation": where}


def _more(one: Finding) -> str:
    """How many further places a finding has."""
    return f" (and {len(one.also)} more place{'s' if len(one.also) != 1 else ''})" if one.also else ""


def _listed(one: Finding, root: Path) -> str:
    """The further places of a finding."""
    shown = [place.link(root) for place in one.also[:PLACES_MAX]]
    left = len(one.also) - len(shown)
    return ", ".join([*shown, *([f"and {left} more"] if left else [])])


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.instead},
        "defaultConfiguration": {"level": rule.severity},
    }


def _indented(text: str, by: int = 4) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=" " * by, subsequent_indent=" " * by)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def rules_page() -> str:
    """The page of the reference that lists all rules."""
    parts = [
        "# Rules of `preterite check`\n",
        "Generated from the code. `preterite explain RULE` prints the same texts.\n",
    ]
    for level in dict.fromkeys(rule.level for rule in RULES.values()):
        parts.append(f"## {level.capitalize()}\n")
        for rule in RULES.values():
            if rule.level != level:
                continue
            parts.append(f"### {rule.id}\n")
            parts.append(f"*{rule.severity}*. {rule.summary} {rule.why}\n")
            parts.append(f"Instead: {rule.instead}\n")
            if rule.bad:
                parts.append(f"```text\nbad:   {rule.bad}\ngood:  {rule.good}\n```\n")
    return "\n".join(parts)
