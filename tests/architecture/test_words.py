"""The words of this house: one word for a thing, the field's word where it has one, and plain English around it.

An old word is refused as an identifier in the code, and as a phrase wherever a user or a maintainer reads.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = sorted(path for folder in ("src", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
SQL = sorted((ROOT / "src").rglob("*.sql"))

# Each old word with the one that replaced it.
IDENTIFIERS = {
    "begins": "start_from",
    "apart": "lane",
    "formerly": "renamed_from",
    "Fact": "Justified",
    "give_up_on": "unrecoverable",
    "Standing": "ComponentStatus",
    "standing": "status",
    "Observer": "StatusReader",
    "behind": "lag",
    "unsent": "outbox",
    "passed_over": "skipped",
    "letter": "dead_letter",
    "letters": "dead_letters",
    "Letter": "DeadLetter",
    "Person": "Operator",
    "Crossing": "Violation",
    "crossing": "violation",
    "crossings": "violations",
    "Territory": "Ownership",
    "territory": "ownership",
    "homes": "databases",
    "Inbox": "BatchProcessor",
    "inbox": "batch",
    "Handled": "BatchResult",
    "Handling": "HandlerInvoker",
    "Workplace": "TransactionRunner",
    "Binding": "SessionContext",
    "Work": "Transaction",
    "Outgoing": "PendingMessages",
    "Deferrable": "CommandType",
    "Published": "EventType",
    "SagaTie": "SagaReference",
    "OwnUnitOfWork": "UnitOfWorkContext",
    "Standstill": "StalledStream",
    "standstill": "stall",
    "standstills": "stalls",
    "Asking": "ResendRequests",
    "ask_again": "request_resend",
    "take_asked": "resend_requests",
    "Timekeeper": "CommandScheduler",
    "evict": "terminate_sessions",
    "note_of": "session_note",
    "verify_fence": "peek_fence",
    "check_fence": "enforce_fence",
    "reaching": "translating_errors",
    "survives": "is_live",
    "did_something": "on_progress",
    "House": "CompositionContext",
    "house": "context",
    "Desk": "ComponentPool",
    "desk": "pool, or back_office",
    "Patience": "InlineBudget",
    "patience": "budget",
    "View": "Execution",
    "Slice": "PartResult",
    "Touched": "TableAccess",
    "Around": "SchemaObjects",
    "tellings": "flows",
    "told": "published",
    "tells": "publishes",
    "heard": "consumed",
    "hears": "subscribes",
    "announces": "publishes",
    "shelf": "cache",
    "wording": "formatting",
}

# These are old words for what something does only; as a variable they may be English.
METHODS = {"later": "schedule", "look": "status"}

# A phrase is looked for as whole words, whatever its case.
PHRASES = {
    "whoever": "name who",
    "somebody": "name who",
    "someone": "name who",
    "anybody": "name who",
    "by hand": "manually",
    "mend": "fix",
    "mends": "fixes",
    "mended": "fixed",
    "stands still": "is stalled",
    "stand still": "are stalled",
    "standing still": "stalled",
    "stood still": "was stalled",
    "standstill": "stall",
    "moves again": "recovered",
    "told": "published, notified or reported",
    "tells": "publishes, notifies or reports",
    "hears": "subscribes, consumes",
    "heard": "consumed",
    "announce": "publish",
    "announces": "publishes",
    "announced": "published",
    "in force": "active",
    "passed over": "skipped",
    "unsent": "outbox",
    "give up on": "unrecoverable",
    "as long as it takes": "say when it ends",
    "crossing": "violation",
    "crossings": "violations",
}

# What is not done yet: a file, or a folder with all that it holds. The sets may only shrink.
IDENTIFIERS_LEFT: set[str] = set()
PHRASES_LEFT: set[str] = set()

# The irregular verbs of English are among its strings.
LISTS_OF_VERBS = {"src/preterite/checks/past_tense.py"}

_PHRASE = re.compile(r"\b(" + "|".join(PHRASES).replace(" ", r"\s+") + r")\b", re.IGNORECASE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without(paths: list[Path], left: set[str]) -> list[Path]:
    return [path for path in paths if not any(f"{named(path)}/".startswith(f"{one}/") for one in left)]


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every old word among the names of classes, functions, parameters, attributes, variables and modules."""
    for line, name, is_method in names(tree):
        word = name.strip("_")
        replaced = IDENTIFIERS.get(word) or (METHODS.get(word) if is_method else None)
        if replaced is not None:
            yield line, f"{name} ({replaced})"


def names(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Every name that the code gives or uses, with its line and whether it names what something does."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name, True
            case ast.Attribute(attr=name):
                yield node.lineno, name, True
            case ast.ClassDef(name=name) | ast.arg(arg=name) | ast.Name(id=name):
                yield node.lineno, name, False
            case ast.keyword(arg=str(name)):
                yield node.value.lineno, name, False
            case ast.alias(name=name):
                yield node.lineno, name.rpartition(".")[2], False
            case _:
                pass


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and other strings of a module; neighbouring lines of comments as one."""
    comment, first, last = "", 0, -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield first, comment
                comment, first = "", token.start[0]
            comment, last = f"{comment} {token.string.lstrip('# ')}", token.start[0]
    yield first, comment
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def phrases(text: str) -> Iterator[str]:
    for found in _PHRASE.finditer(text):
        phrase = re.sub(r"\s+", " ", found[0].lower())
        yield f"{phrase!r} ({PHRASES[phrase]})"


@pytest.mark.parametrize("path", without(CODE, IDENTIFIERS_LEFT), ids=named)
def test_no_identifier_is_an_old_word(path: Path) -> None:
    found = [f"line {line}: {one}" for line, one in identifiers(ast.parse(path.read_text(encoding="utf-8")))]

    assert path.stem not in IDENTIFIERS
    assert found == []


@pytest.mark.parametrize("path", without(SOURCES, PHRASES_LEFT | LISTS_OF_VERBS), ids=named)
def test_no_text_of_the_code_uses_an_old_phrase(path: Path) -> None:
    found = [f"line {line}: {one}" for line, text in texts(path.read_text(encoding="utf-8")) for one in phrases(text)]

    assert found == []


@pytest.mark.parametrize("path", without([*PAGES, *SQL], PHRASES_LEFT), ids=named)
def test_no_page_uses_an_old_phrase(path: Path) -> None:

    assert [*phrases(path.read_text(encoding="utf-8"))] == []
