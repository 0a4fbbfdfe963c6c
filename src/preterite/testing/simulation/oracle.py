"""What must hold once everything has come to rest, read from the databases directly.

Shares no code with the core: SQL and JSON are all it knows (invariants I1 to I6 of the plan).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID


class PublishedEvent(NamedTuple):
    """An event as its publisher's journal has it."""

    id: str
    publisher: str
    partition: int
    number: int
    type: str
    key: str
    data: Mapping[str, Any]


class Effect(NamedTuple):
    """A row that a handler wrote, in the order of its component."""

    handler: str
    cause: str
    key: str


class SetAside(NamedTuple):
    """What is visibly not done: parked, dead, or discarded. A void may have no identifier."""

    handler: str
    id: str
    publisher: str
    partition: int
    number: int
    key: str | None
    type: str


Place = tuple[str, int, int]
"""Publisher, partition and number."""
SUBSCRIPTIONS = {"bill": ("finance", "sales.ItemPurchased"), "plan": ("shipping", "finance.ItemBilled"),
         "count": ("shipping", "sales.ItemPurchased")}  # fmt: skip
LATE = {"audit": ("finance", "sales.ItemPurchased")}
PUBLISHERS = ("sales", "finance")
RENAMED_BILL = "invoice"
"""What the handler that bills is called where a newer version has renamed it."""


def violations(
    folder: Path,
    acknowledged: Sequence[str],
    unknown: Sequence[str],
    subscriptions: Mapping[str, tuple[str, str]] = SUBSCRIPTIONS,
    asked: Mapping[tuple[str, int], int] | None = None,
    taken_back: Set[str] = frozenset(),
) -> list[str]:
    """What does not hold; nothing if all is well. The purchases are those that Sales committed, or may have.

    `subscriptions` says which handler of which component consumes which event. Where a handler came late, `asked` says
    how far its component had read each stream, at most, when its history was asked for. What was `taken_back` when
    Sales was restored may have been published before.
    """
    published = {one.id: one for publisher in PUBLISHERS for one in _journal(folder, publisher)}
    found = [*_purchases(published, acknowledged, unknown, taken_back), *_numbers(published.values())]
    for component in ("finance", "shipping"):
        effects = _effects(folder, component)
        aside = set_aside(folder, component)
        types = {handler: wire_name for handler, (where, wire_name) in subscriptions.items() if where == component}
        found += _handled_once(types, published, effects, aside, lost_for(folder, component))
        starts = {} if asked is None else _starts(folder, component)
        found += _in_order(types, published, effects, starts, asked or {})
        found += _left_over(folder, component)
    found += [*_answers(folder, published), *_commands(folder, published), *_deliveries(folder, published)]
    return found + _left_over(folder, "sales")


def events_published(folder: Path, components: Sequence[str]) -> int:
    """How many events are in the journals."""
    return sum(1 for component in components for _ in _numbered(folder, component))


def unfinished(folder: Path, publishers_of: Mapping[str, Iterable[str]], until: float) -> list[str]:
    """What must not be so in any system that has come to rest: `publishers_of` names those of a component.

    What is due after `until` may wait.
    """
    found: list[str] = []
    ends: dict[tuple[str, int], int] = {}
    for component in publishers_of:
        numbers: dict[int, list[int]] = defaultdict(list)
        for partition, number in _numbered(folder, component):
            numbers[partition].append(number)
        for partition, given in numbers.items():
            ends[component, partition] = max(given)
            if sorted(given) != list(range(1, len(given) + 1)):
                found.append(f"numbers of {component}/{partition} have gaps or repeats: {sorted(given)[:20]}")
    for component, publishers in publishers_of.items():
        with _open(folder, component) as connection:
            rows = connection.execute("SELECT publisher, partition, number FROM preterite_cursor").fetchall()
        read = {(publisher, partition): number for publisher, partition, number in rows}
        for (publisher, partition), end in ends.items():
            if publisher in publishers and read.get((publisher, partition), 0) != end:
                found.append(
                    f"{component} has read {read.get((publisher, partition), 0)} of {end} in {publisher}/{partition}"
                )
        found += _left_over(folder, component, until)
    return found


def _purchases(
    published: Mapping[str, PublishedEvent],
    acknowledged: Sequence[str],
    unknown: Sequence[str],
    taken_back: Set[str],
) -> Iterator[str]:
    """What Sales has committed is published once, and nothing else."""
    counts = Counter(one.data["purchase_id"] for one in published.values() if one.type == "sales.ItemPurchased")
    for purchase in acknowledged:
        if counts[purchase] != 1 and not (counts[purchase] == 0 and purchase in taken_back):
            yield f"I1: purchase {purchase} was committed, and published {counts[purchase]} times"
    for purchase in set(counts) - set(acknowledged) - set(unknown):
        yield f"I3: purchase {purchase} was published, and never committed"


def _numbers(published: Any) -> Iterator[str]:
    numbers: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in published:
        numbers[one.publisher, one.partition].append(one.number)
    for stream, given in numbers.items():
        if sorted(given) != list(range(1, len(given) + 1)):
            yield f"numbers of {stream} have gaps or repeats: {sorted(given)[:20]}"


def _cause_of(handler: str, one: PublishedEvent) -> str:
    return one.data["purchase_id"] if handler == "count" else one.id


def _handled_once(
    types: Mapping[str, str],
    published: Mapping[str, PublishedEvent],
    effects: Sequence[Effect],
    aside: Sequence[SetAside],
    lost: Set[Place],
) -> Iterator[str]:
    """Every event has one effect of each handler, or one visible reason why not; no effect has no event (I1 to I3).

    What is lost on record may have been handled before.
    """
    done = Counter((one.handler, one.cause) for one in effects)
    excused = Counter((one.handler, one.id) for one in aside)
    for handler, wire_name in types.items():
        causes: set[str] = set()
        for one in published.values():
            if one.type != wire_name:
                continue
            cause = _cause_of(handler, one)
            causes.add(cause)
            times, reasons = done[handler, cause], excused[handler, one.id] + excused["", one.id]
            if times > 1:
                yield f"I2: {handler} handled {one.id} {times} times"
            elif times + min(reasons, 1) != 1 and (times + reasons > 0 or _place(one) not in lost):
                yield f"I1: {handler} handled {one.id} {times} times, set aside {reasons} times"
        for effect in effects:
            if effect.handler == handler and effect.cause not in causes:
                yield f"I3: {handler} handled {effect.cause}, which was never published"


def _in_order(
    types: Mapping[str, str],
    published: Mapping[str, PublishedEvent],
    effects: Sequence[Effect],
    starts: Mapping[tuple[str, str, int], int],
    asked: Mapping[tuple[str, int], int],
) -> Iterator[str]:
    """Of one key the numbers of a handler's effects grow (I4).

    So do those of its history, which is what lies before its start; what came in since that was asked for comes after.
    """
    places = {
        (handler, _cause_of(handler, one)): one
        for handler, wire_name in types.items()
        for one in published.values()
        if one.type == wire_name
    }
    last: dict[tuple[str, str, int, str, bool], int] = {}
    for effect in effects:
        one = places.get((effect.handler, effect.cause))
        if one is None:
            continue
        stream = (one.publisher, one.partition)
        is_history = one.number < starts.get((effect.handler, *stream), 0)
        lane = (effect.handler, *stream, one.key, is_history)
        before = last.get(lane, 0)
        since = last.get((*lane[:-1], False), 0) if is_history else 0
        if since > asked.get(stream, inf):
            before = since
        if before >= one.number:
            yield f"I4: {effect.handler} handled number {one.number} of key {one.key} after {before}"
        last[lane] = one.number


def _answers(folder: Path, published: Mapping[str, PublishedEvent]) -> Iterator[str]:
    """What Finance has billed it has published, once, and nothing else (I1, I3).

    What it had published before it was put back, and has not billed again, is set aside: `_handled_once` requires that.
    """
    billed = Counter(one.cause for one in _effects(folder, "finance") if one.handler == "bill")
    due = Counter(published[cause].data["purchase_id"] for cause in billed if cause in published)
    answers = Counter(one.data["purchase_id"] for one in published.values() if one.type == "finance.ItemBilled")
    with _open(folder, "finance") as connection:
        forgotten = {str(UUID(bytes=row[0])) for row in connection.execute("SELECT event_id FROM preterite_forgotten")}
    before = {one.data["purchase_id"] for one in published.values() if one.id in forgotten}
    for purchase in due.keys() | answers.keys():
        billed_before = due[purchase] == 0 and answers[purchase] == 1 and purchase in before
        if due[purchase] != answers[purchase] and not billed_before:
            yield f"I1: {purchase} was billed {due[purchase]} times, and that was published {answers[purchase]} times"


def _commands(folder: Path, published: Mapping[str, PublishedEvent]) -> Iterator[str]:
    """Every planned item is shipped once, or its command waits visibly (I5)."""
    effects = _effects(folder, "shipping")
    shipped = Counter(one.cause for one in effects if one.handler == "ship")
    planned = [
        published[one.cause].data["purchase_id"] for one in effects if one.handler == "plan" and one.cause in published
    ]
    waiting = {one.id for one in set_aside(folder, "shipping") if one.handler == "ship"}
    for purchase in planned:
        if shipped[purchase] > 1:
            yield f"I2: {purchase} was shipped {shipped[purchase]} times"
    missing = sum(1 for purchase in planned if shipped[purchase] == 0)
    if missing != len(waiting):
        yield f"I5: {missing} planned items are not shipped, {len(waiting)} wait visibly"


def _deliveries(folder: Path, published: Mapping[str, PublishedEvent]) -> Iterator[str]:
    """Every delivery that began has ended once, by its event or by its timeout, unless something of it waits (I5)."""
    effects = _effects(folder, "shipping")
    ends = Counter(one.cause for one in effects if one.handler in ("deliver", "give up"))
    aside = [one for one in set_aside(folder, "shipping") if one.handler.startswith("Delivery.")]
    excused = {published[one.id].data["purchase_id"] for one in aside if one.id in published}
    excused |= {one.key.removeprefix("Delivery/") for one in aside if one.key is not None}
    lost = lost_for(folder, "shipping")
    excused |= {one.data["purchase_id"] for one in published.values() if _place(one) in lost}
    purchases = {one.data["purchase_id"] for one in published.values() if one.type == "sales.ItemPurchased"}
    for purchase in purchases:
        if ends[purchase] > 1 or (ends[purchase] == 0 and purchase not in excused):
            yield f"I5: the delivery of {purchase} has ended {ends[purchase]} times"
    for purchase in set(ends) - purchases:
        yield f"I3: the delivery of {purchase}, which was never published, has ended"


def commands_to_come(folder: Path, component: str, until: float = inf) -> int:
    """How many commands wait that are due by then; not those of sagas that an operator must look at first (rule 21)."""
    with _open(folder, component) as connection:
        return connection.execute(
            "SELECT count(*) FROM preterite_scheduled l WHERE due_at <= ? AND (l.saga_id IS NULL "
            "OR NOT EXISTS (SELECT 1 FROM preterite_parked p WHERE p.saga = l.key))",
            (until,),
        ).fetchone()[0]


def _left_over(folder: Path, component: str, until: float = inf) -> list[str]:
    with _open(folder, component) as connection:
        unnumbered = connection.execute("SELECT count(*) FROM preterite_outbox").fetchone()[0]
        running = connection.execute("SELECT count(*) FROM preterite_parked WHERE running = 1").fetchone()[0]
        stall = connection.execute("SELECT stall FROM preterite_cursor WHERE stall IS NOT NULL").fetchall()
        relay = connection.execute("SELECT relay_halt FROM preterite_component").fetchone()[0]
        replays = connection.execute(
            "SELECT count(*) FROM preterite_replay WHERE state IN ('running', 'paused')"
        ).fetchone()[0]
    due = commands_to_come(folder, component, until)
    found = [f"{component}: a stream is stalled: {row[0]}" for row in stall]
    if relay is not None:
        found.append(f"{component}: the relay is stalled: {relay}")
    counts = (("unnumbered", unnumbered), ("running for ever", running), ("commands never due", due),
              ("replays not done", replays))  # fmt: skip
    return found + [f"{component}: {count} {what}" for what, count in counts if count]


def lost_for(folder: Path, component: str) -> Set[Place]:
    """What is lost for a subscriber: voids, what an operator has left out, what was dropped before its first read."""
    with _open(folder, component) as connection:
        targets = connection.execute("SELECT target FROM preterite_audit WHERE action = 'accept the loss of events'")
        left_out = [re.fullmatch(r"(\w+)/(\d+) (\d+) to (\d+)", target) for (target,) in targets]
    found = {(one[1], int(one[2]), number) for one in left_out if one for number in range(int(one[3]), int(one[4]) + 1)}
    for (_, publisher, partition), first in _starts(folder, component).items():
        found |= {(publisher, partition, number) for number in range(1, first)}
    return found | {(one.publisher, one.partition, one.number) for one in set_aside(folder, component) if not one.id}


def _place(one: PublishedEvent) -> Place:
    return one.publisher, one.partition, one.number


def _numbered(folder: Path, component: str) -> list[tuple[int, int]]:
    with _open(folder, component) as connection:
        return connection.execute(f"SELECT partition, number FROM {_journal_of(connection)}").fetchall()


def _journal_of(connection: sqlite3.Connection) -> str:
    """The journal with what was pruned from it, where the world keeps that."""
    kept = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'pruned_journal'").fetchone()
    columns = "SELECT partition, number, event_id, envelope FROM"
    return f"({columns} preterite_journal UNION ALL {columns} pruned_journal)" if kept else "preterite_journal"


def _journal(folder: Path, component: str) -> Iterator[PublishedEvent]:
    with _open(folder, component) as connection:
        rows = connection.execute(
            f"SELECT partition, number, event_id, envelope FROM {_journal_of(connection)} ORDER BY partition, number"
        ).fetchall()
    for partition, number, event_id, envelope in rows:
        document = json.loads(envelope)
        yield PublishedEvent(str(UUID(bytes=event_id)), component, partition, number,
                             document["type"], document["subject"], document["data"])  # fmt: skip


def _effects(folder: Path, component: str) -> list[Effect]:
    with _open(folder, component) as connection:
        return [Effect(*row) for row in connection.execute("SELECT handler, cause, key FROM effect ORDER BY id")]


def _starts(folder: Path, component: str) -> dict[tuple[str, str, int], int]:
    """From which number of each stream each handler has been active."""
    with _open(folder, component) as connection:
        rows = connection.execute(
            "SELECT handler, publisher, partition, number FROM preterite_handler_start"
        ).fetchall()
    return {(handler, publisher, partition): number for handler, publisher, partition, number in rows}


def set_aside(folder: Path, component: str) -> list[SetAside]:
    """What is parked, dead or discarded in a component's database."""
    with _open(folder, component) as connection:
        rows = connection.execute(
            "SELECT handler, event_id, publisher, partition, number, key, type FROM preterite_parked "
            "UNION ALL SELECT handler, event_id, publisher, partition, number, key, type FROM preterite_discarded"
        ).fetchall()
    rows = [("bill" if row[0] == RENAMED_BILL else row[0], *row[1:]) for row in rows]
    return [SetAside(handler, str(UUID(bytes=id)) if id else "", *place) for handler, id, *place in rows]


def _open(folder: Path, component: str) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(folder / f"{component}.sqlite"))
