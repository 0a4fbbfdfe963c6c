"""Rules about data: whose tables statements touch, what is declared around tables, who shares a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from urllib.parse import urlsplit

from preterite.checks.code import Code, of_components
from preterite.checks.findings import Finding, Place
from preterite.checks.partition import Partition, Territory, is_nobodys
from preterite.checks.source import TABLE_CALLS, Facts, Text
from preterite.checks.sql import Name, Shapes, Touched, Unread

POSTGRES_PORT = 5432


def check_data(partition: Partition, code: Code) -> Iterator[Finding]:
    """All findings about data that can be seen without running anything."""
    for territory in partition.territories:
        yield from _declared(partition, territory)
    shapes = {one.dialect: Shapes(one.dialect) for one in partition.territories}
    for territory, facts in of_components(partition, code):
        yield from _statements(partition, territory, facts, shapes[territory.dialect])
    yield from _databases(partition)
    yield from _one_metadata(partition)


def crossings(
    partition: Partition, territory: Territory, touched: Touched, rule: str, place: Place, path: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """What a statement of a component touches that is another's, or nobody's."""
    path = touched.search_path or path
    for operation, names in (("write", touched.writes), ("read", touched.reads)):
        for name in sorted(names, key=str):
            owner = partition.owner(name, territory, path)
            verb = {"write": "writes", "read": "reads"}[operation]
            if owner is None:
                if territory.component.tables is not None and not is_nobodys(name):
                    sentence = f"{territory.name} {verb} {name}, which no component declares."
                    yield Finding("table-without-owner", territory.name, str(name), operation, sentence, place)
            elif owner is not territory:
                sentence = f"{territory.name} {verb} {name}, a table of {owner.name}."
                yield Finding(rule, territory.name, f"{owner.name}.{name.table}", operation, sentence, place)


def _statements(partition: Partition, territory: Territory, facts: Facts, shapes: Shapes) -> Iterator[Finding]:
    for text in facts.texts:
        if text.call in TABLE_CALLS and text.value.isidentifier():
            owner = partition.owner(Name(text.value), territory)
            if owner is not None and owner is not territory:
                sentence = f"{territory.name} describes {text.value}, a table of {owner.name}."
                what, place = f"{owner.name}.{text.value}", Place(facts.file, text.line)
                yield Finding("touches-foreign-table", territory.name, what, "describe", sentence, place)
        elif text.call == "ForeignKey":
            yield from _foreign_key(partition, territory, text, Place(facts.file, text.line))
        elif text.looks_like_sql and text.value != territory.component.tables:
            yield from _statement(partition, territory, text, facts, shapes)


def _foreign_key(partition: Partition, territory: Territory, text: Text, place: Place) -> Iterator[Finding]:
    """A foreign key that a model names as `table.column`."""
    *schema, table, _ = ("", *text.value.split("."))[-3:] if "." in text.value else ("", "")
    owner = partition.owner(Name(table, schema[0] or None if schema else None), territory)
    if owner is not None and owner is not territory:
        sentence = f"{territory.name} refers to {text.value}, in a table of {owner.name}, by a foreign key."
        yield Finding("foreign-key-crosses", territory.name, f"{owner.name}.{table}", "refer", sentence, place)


def _statement(
    partition: Partition, territory: Territory, text: Text, facts: Facts, shapes: Shapes
) -> Iterator[Finding]:
    place = Place(facts.file, text.line)
    try:
        touched = shapes.touched(text.value)
    except Unread as error:
        if text.is_executed and text.whole:
            what = " ".join(text.value.split())[:40]
            sentence = f"{territory.name} runs {what!r}: {error}."
            yield Finding("sql-not-understood", territory.name, what, "run", sentence, place)
        return
    known = Touched(
        frozenset(name for name in touched.reads if name.table != "placeholder"),
        frozenset(name for name in touched.writes if name.table != "placeholder"),
        touched.search_path,
    )
    for found in crossings(partition, territory, known, "touches-foreign-table", place):
        if found.rule != "table-without-owner" or text.is_executed:
            yield found


def _declared(partition: Partition, territory: Territory) -> Iterator[Finding]:
    """Foreign keys, views, triggers and grants in what a component declares."""
    name, schema, place = territory.name, territory.schema, territory.place
    for what, why in schema.unread:
        sentence = f"{name} declares {what!r}: {why}."
        yield Finding("sql-not-understood", name, what, "declare", sentence, place)
    for reference in schema.references:
        owner = partition.owner(reference.to, territory)
        if owner is not None and owner is not territory:
            sentence = f"{name}'s {reference.of} refers to {reference.to}, a table of {owner.name}, by a foreign key."
            object_ = f"{reference.of.table}→{owner.name}.{reference.to.table}"
            yield Finding("foreign-key-crosses", name, object_, "refer", sentence, place)
    for around in schema.around:
        if around.kind == "grant":
            sentence = f"{name} grants {', '.join(around.grantees) or 'somebody'} rights on {around.name}."
            yield Finding("grant-crosses", name, around.name, f"to {','.join(around.grantees)}", sentence, place)
            continue
        for touched in sorted(around.touched.reads | around.touched.writes, key=str):
            owner = partition.owner(touched, territory)
            if owner is not None and owner is not territory:
                sentence = f"{name}'s {around.kind} {around.name} touches {touched}, a table of {owner.name}."
                object_ = f"{around.name}→{owner.name}.{touched.table}"
                yield Finding(f"{around.kind}-crosses", name, object_, "touch", sentence, place)


def _databases(partition: Partition) -> Iterator[Finding]:
    """Components that share a database or a role, and tables that two of them declare there."""
    places = {one.name: where(partition.urls[one.name]) for one in partition.territories if one.name in partition.urls}
    roles = {one.name: role(partition.urls[one.name]) for one in partition.territories if one.name in partition.urls}
    for database, names in _together(places).items():
        for first, second in combinations(names, 2):
            sentence = f"{first} and {second} share the database {database}."
            yield Finding("database-shared", second, first, "share", sentence, partition.territory(second).place)
            yield from _owned_twice(partition, first, second)
    for one, names in _together({name: role for name, role in roles.items() if role is not None}).items():
        for first, second in combinations(names, 2):
            sentence = f"{first} and {second} log in under the same role, {one.rpartition('/')[2]}."
            yield Finding("role-shared", second, first, "share", sentence, partition.territory(second).place)
    for name, one in roles.items():
        if one is not None and one.rpartition("/")[2] in ("postgres", "root"):
            sentence = f"{name} logs in as {one.rpartition('/')[2]}, whom nothing is refused."
            yield Finding(
                "role-shared", name, one.rpartition("/")[2], "superuser", sentence, partition.territory(name).place
            )


def _one_metadata(partition: Partition) -> Iterator[Finding]:
    """Components that declare the very same metadata: nobody can tell whose a table of it is."""
    with_metadata = [one for one in partition.territories if not isinstance(one.component.tables, str | None)]
    for first, second in combinations(with_metadata, 2):
        if first.component.tables is second.component.tables:
            sentence = f"{first.name} and {second.name} declare the same metadata; each of its tables has two owners."
            yield Finding("table-owned-twice", second.name, "metadata", first.name, sentence, second.place)


def _owned_twice(partition: Partition, first: str, second: str) -> Iterator[Finding]:
    theirs = partition.territory(first).schema.tables
    for table in sorted(partition.territory(second).schema.tables & theirs, key=str):
        sentence = f"{first} and {second} both declare {table}, in one database."
        yield Finding("table-owned-twice", second, str(table), first, sentence, partition.territory(second).place)


def _together(places: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, place in places.items():
        found.setdefault(place, []).append(name)
    return {place: names for place, names in found.items() if len(names) > 1}


def where(url: str) -> str:
    """The database that a URL leads to, without who comes."""
    parts = urlsplit(url)
    if parts.scheme.startswith("postgres"):
        return f"{server(url)}{parts.path}"
    return f"{parts.scheme}://{parts.path}"


def role(url: str) -> str | None:
    """Server and role; nothing where there are no roles."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or parts.username is None:
        return None
    return f"{server(url)}/{parts.username}"


def server(url: str) -> str:
    """The server that a URL leads to."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in (None, "localhost", "::1") else parts.hostname
    return f"postgresql://{host}:{parts.port or POSTGRES_PORT}"
