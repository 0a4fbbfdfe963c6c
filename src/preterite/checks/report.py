"""Findings as people and programs want them: in full, one line each, JSON, SARIF, for GitHub's log."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preterite.checks.findings import Finding
from preterite.checks.rules import RULES, Rule

WIDTH = 100
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def full(found: Sequence[Finding], root: Path) -> str:
    """Each with its place, why it matters, and what to do instead; the explanation of a rule comes once."""
    parts: list[str] = []
    told: set[str] = set()
    for one in found:
        place = one.place.shown(root)
        parts.append(f"{f'{place}: ' if place else ''}{one.about.severity}[{one.rule}] {one.sentence}")
        parts.append(f"    {one.key}")
        if one.rule not in told:
            told.add(one.rule)
            parts.append(_indented(f"Why: {one.about.why}"))
            parts.append(_indented(f"Instead: {one.about.instead}"))
        parts.append("")
    return "\n".join(parts)


def concise(found: Sequence[Finding], root: Path) -> str:
    """A line each."""
    return "\n".join(
        f"{one.place.shown(root) or '-'}: {one.about.severity}[{one.rule}] {one.sentence}" for one in found
    )


def as_json(found: Sequence[Finding], root: Path) -> str:
    """One document."""
    return json.dumps([_document(one, root) for one in found], indent=2, ensure_ascii=False)


def sarif(found: Sequence[Finding], root: Path) -> str:
    """SARIF 2.1.0, as code hosts show it beside the lines."""
    rules = sorted({one.rule for one in found})
    results: list[dict[str, Any]] = []
    for one in found:
        result: dict[str, Any] = {
            "ruleId": one.rule,
            "ruleIndex": rules.index(one.rule),
            "level": one.about.severity,
            "message": {"text": one.sentence},
            "partialFingerprints": {"key": one.key},
        }
        if one.place.file is not None:
            where: dict[str, Any] = {"artifactLocation": {"uri": one.place.seen_from(root)}}
            if one.place.line is not None:
                where["region"] = {"startLine": one.place.line}
            result["locations"] = [{"physicalLocation": where}]
        results.append(result)
    driver = {"name": "preterite check", "rules": [_sarif_rule(RULES[rule]) for rule in rules]}
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def github(found: Sequence[Finding], root: Path) -> str:
    """Commands in the log of GitHub's runner, which shows them at the lines."""
    lines: list[str] = []
    for one in found:
        where = "" if one.place.file is None else f" file={one.place.seen_from(root)}"
        line = "" if one.place.line is None else f",line={one.place.line}"
        title = f"{',' if where else ' '}title={one.rule}"
        lines.append(f"::{_GITHUB[one.about.severity]}{where}{line}{title}::{_escaped(one.sentence)}")
    return "\n".join(lines)


FORMATS: Mapping[str, Callable[[Sequence[Finding], Path], str]] = {
    "full": full,
    "concise": concise,
    "json": as_json,
    "sarif": sarif,
    "github": github,
}


def summary(found: Sequence[Finding], accepted: Sequence[Finding]) -> str:
    """One sentence about all of it."""
    counts = Counter(one.about.severity for one in found)
    said = [
        f"{counts[severity]} {severity}{'s' if counts[severity] != 1 else ''}"
        for severity in ("error", "warning", "note")
        if counts[severity]
    ]
    also = f", {len({one.key for one in accepted})} accepted" if accepted else ""
    return f"{', '.join(said) or 'no crossing'}{also}"


def explained(rule: Rule) -> str:
    """All that is known about a rule."""
    said = (rule.says, f"Why: {rule.why}", f"Instead: {rule.instead}")
    parts = [f"{rule.id} ({rule.level}, {rule.severity})", *(f"\n{_indented(text, 0)}" for text in said)]
    if rule.bad:
        parts += ["", f"    not:  {rule.bad}"]
    if rule.good:
        parts += [f"    but:  {rule.good}"]
    return "\n".join(parts)


def _document(one: Finding, root: Path) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "severity": one.about.severity,
        "component": one.component,
        "object": one.object,
        "operation": one.operation,
        "key": one.key,
        "sentence": one.sentence,
        "file": one.place.seen_from(root) or None,
        "line": one.place.line,
    }


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.says},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.instead},
        "defaultConfiguration": {"level": rule.severity},
    }


def _indented(text: str, by: int = 4) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=" " * by, subsequent_indent=" " * by)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def rules_page() -> str:
    """All rules, as the page of the reference."""
    parts = ["# Rules of `preterite check`\n", "Made from the code: `preterite explain RULE` says the same.\n"]
    for level in dict.fromkeys(rule.level for rule in RULES.values()):
        parts.append(f"## {level.capitalize()}\n")
        for rule in RULES.values():
            if rule.level != level:
                continue
            parts.append(f"### {rule.id}\n")
            parts.append(f"*{rule.severity}*. {rule.says} {rule.why}\n")
            parts.append(f"Instead: {rule.instead}\n")
            if rule.bad:
                parts.append(f"```text\nnot:  {rule.bad}\nbut:  {rule.good}\n```\n")
    return "\n".join(parts)
