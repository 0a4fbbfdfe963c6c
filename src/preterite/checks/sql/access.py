"""Rules about tables: which tables statements access, and what components declare around their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from preterite.checks.code.codebase import Codebase, modules_of_components
from preterite.checks.code.literals import PLACEHOLDER, StringLiteral
from preterite.checks.code.modules import TABLE_CALLS, ModuleSource
from preterite.checks.findings import Finding, Place
from preterite.checks.partition import Ownership, Partition, is_infrastructure, is_preterites
from preterite.checks.sql.databases import is_database, role_of
from preterite.checks.sql.statements import StatementCache
from preterite.checks.sql.tables import NotUnderstood, TableAccess, TableName
from preterite.printing.text import clause


def check_table_access(partition: Partition, codebase: Codebase) -> Iterator[Finding]:
    """All findings about tables that need no running system."""
    for ownership in partition.ownerships:
        yield from _declared(partition, ownership)
    caches = {one.dialect: StatementCache(one.dialect) for one in partition.ownerships}
    for ownership, source in modules_of_components(partition, codebase):
        yield from _statements(partition, ownership, source, caches[ownership.dialect])


def access_violations(
    partition: Partition, ownership: Ownership, access: TableAccess, rule: str, place: Place, path: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """What a statement of a component accesses that another component owns, or that no component declares."""
    yield from _assumed(partition, ownership, access, rule, place)
    path = access.search_path or path
    for operation, names in (("write", access.writes), ("read", access.reads)):
        for name in sorted(names, key=str):
            owner = partition.owner(name, ownership, path)
            verb = {"write": "writes", "read": "reads"}[operation]
            if owner is None:
                if ownership.component.tables is not None and not is_infrastructure(name):
                    message = f"{ownership.name} {verb} {name}, which no component declares."
                    yield Finding("table-without-owner", ownership.name, str(name), operation, message, place)
            elif owner is not ownership:
                message = f"{ownership.name} {verb} {name}, a table of {owner.name}."
                yield Finding(rule, ownership.name, f"{owner.name}.{name.table}", operation, message, place)


def _assumed(
    partition: Partition, ownership: Ownership, access: TableAccess, rule: str, place: Place
) -> Iterator[Finding]:
    """Files and roles of other components that a statement attaches or assumes."""
    for other in partition.ownerships:
        url = partition.urls.get(other.name, "")
        if other is ownership or url == partition.urls.get(ownership.name, ""):
            continue
        if any(is_database(file, url) for file in access.attached):
            message = f"{ownership.name} attaches the database of {other.name}."
            yield Finding(rule, ownership.name, f"{other.name}.database", "attach", message, place)
        if access.role is not None and (role_of(url) or "").rpartition("/")[2] == access.role:
            message = f"{ownership.name} assumes {access.role}, the role of {other.name}."
            yield Finding(rule, ownership.name, f"{other.name}.{access.role}", "set role", message, place)


def _statements(
    partition: Partition, ownership: Ownership, source: ModuleSource, cache: StatementCache
) -> Iterator[Finding]:
    for string in source.strings:
        if string.call in TABLE_CALLS and string.value.isidentifier():
            owner = partition.owner(TableName(string.value), ownership)
            if owner is not None and owner is not ownership:
                message = f"{ownership.name} describes {string.value}, a table of {owner.name}."
                what, place = f"{owner.name}.{string.value}", Place(source.file, string.line)
                yield Finding("cross-component-sql", ownership.name, what, "describe", message, place)
        elif string.call == "ForeignKey":
            yield from _foreign_key(partition, ownership, string, Place(source.file, string.line))
        elif string.looks_like_sql and string.value != ownership.component.tables:
            yield from _statement(partition, ownership, string, source, cache)


def _foreign_key(partition: Partition, ownership: Ownership, string: StringLiteral, place: Place) -> Iterator[Finding]:
    """A foreign key that a model names as `table.column`."""
    *schema, table, _ = ("", *string.value.split("."))[-3:] if "." in string.value else ("", "")
    owner = partition.owner(TableName(table, schema[0] or None if schema else None), ownership)
    if owner is not None and owner is not ownership:
        message = f"{ownership.name} declares a foreign key to {string.value}, in a table of {owner.name}."
        yield Finding(
            "cross-component-foreign-key", ownership.name, f"{owner.name}.{table}", "reference", message, place
        )


def _statement(
    partition: Partition, ownership: Ownership, string: StringLiteral, source: ModuleSource, cache: StatementCache
) -> Iterator[Finding]:
    place = Place(source.file, string.line)
    try:
        access = cache.table_access(string.value)
    except NotUnderstood as error:
        if string.is_executed and string.is_complete:
            what = " ".join(string.value.split())[:40]
            message = f"{ownership.name} runs {what!r}: {clause(error)}."
            yield Finding("sql-not-understood", ownership.name, what, "run", message, place)
        return
    known = replace(access, reads=_known(access.reads), writes=_known(access.writes))
    for found in access_violations(partition, ownership, known, "cross-component-sql", place):
        if found.rule != "table-without-owner" or string.is_executed:
            yield found


def _known(names: Iterable[TableName]) -> frozenset[TableName]:
    """Tables whose whole name is in the source; a schema that is a value may be any."""
    return frozenset(
        TableName(one.table, None if PLACEHOLDER in (one.schema or "") else one.schema)
        for one in names
        if PLACEHOLDER not in one.table
    )


def _declared(partition: Partition, ownership: Ownership) -> Iterator[Finding]:
    """Foreign keys, views, triggers and grants among the tables that a component declares."""
    name, schema, place = ownership.name, ownership.schema, ownership.place
    for what, why in schema.not_understood:
        yield Finding("sql-not-understood", name, what, "declare", f"{name} declares {what!r}: {clause(why)}.", place)
    for reference in schema.references:
        owner = partition.owner(reference.target, ownership)
        if owner is not None and owner is not ownership:
            message = f"{name} declares a foreign key from {reference.table} to {reference.target} of {owner.name}."
            object_ = f"{reference.table.table}→{owner.name}.{reference.target.table}"
            yield Finding("cross-component-foreign-key", name, object_, "reference", message, place)
    for one in schema.objects:
        if one.kind == "grant":
            message = f"{name} grants {', '.join(one.grantees) or 'another role'} rights on {one.name}."
            yield Finding("cross-component-grant", name, one.name, f"to {','.join(one.grantees)}", message, place)
            continue
        for table in sorted(one.access.reads | one.access.writes, key=str):
            owner = partition.owner(table, ownership)
            if owner is not None and owner is not ownership:
                message = f"The {one.kind} {one.name} of {name} accesses {table}, a table of {owner.name}."
                object_ = f"{one.name}→{owner.name}.{table.table}"
                yield Finding(f"cross-component-{one.kind}", name, object_, "access", message, place)
        for table in sorted(filter(is_preterites, one.access.writes), key=str):
            message = f"The function or trigger {one.name} of {name} writes {table}, a table of Preterite's own."
            yield Finding("cross-component-trigger", name, f"{one.name}→{table}", "write", message, place)
