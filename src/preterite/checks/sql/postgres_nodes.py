"""The nodes of PostgreSQL's grammar as its parser returns them: messages inside wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preterite.checks.sql.tables import TableName


def is_message(value: Any) -> bool:
    """Whether a field's value is one node, not a list of nodes."""
    return hasattr(value, "DESCRIPTOR")


def message_of(node: Any) -> Any:
    """The message inside the grammar's wrapper of every node."""
    return getattr(node, node.WhichOneof("node")) if node.DESCRIPTOR.name == "Node" else node


def relation_name(place: Any) -> TableName:
    """The table that a relation names."""
    return TableName(place.relname, place.schemaname or None)


def relations(node: Any, name: str) -> Iterator[Any]:
    """The nodes of a field that names relations."""
    value = getattr(node, name)
    if not is_message(value):
        inner = [message_of(one) for one in value]
        yield from (one for one in inner if one.DESCRIPTOR.name == "RangeVar")
    elif node.HasField(name):
        yield value


def object_kind(node: Any, name: str) -> str:
    """The kind of object, without the prefix of PostgreSQL's enumeration."""
    values = node.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number
    return values[getattr(node, name)].name.removeprefix("OBJECT_")


def strings(nodes: Any) -> list[str]:
    """The texts of a list of names."""
    return [one.string.sval for one in nodes if one.WhichOneof("node") == "string"]


def text_of(node: Any) -> str:
    """The text of a constant."""
    if node.DESCRIPTOR.name == "A_Const":
        return node.sval.sval if node.WhichOneof("val") == "sval" else ""
    return node.sval if node.DESCRIPTOR.name == "String" else ""


def constant(node: Any) -> str:
    """The text of a constant, with or without a cast."""
    inner = message_of(node)
    while inner.DESCRIPTOR.name == "TypeCast":
        inner = message_of(inner.arg)
    return text_of(inner)
