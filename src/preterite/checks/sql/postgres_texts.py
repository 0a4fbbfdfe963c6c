"""Functions of PostgreSQL whose arguments are texts with a meaning: names of relations, and statements."""

from __future__ import annotations

from typing import Any

from preterite.checks.sql.postgres_nodes import constant, message_of
from preterite.checks.sql.tables import NotUnderstood, TableName, name_in_text

SEQUENCES = frozenset({"nextval", "currval", "setval"})
"""Functions that read or write the sequence which their first argument names."""
NAMING = SEQUENCES | {"pg_get_serial_sequence", "table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema"}
"""Functions whose first argument names a sequence or table."""
RUNNING = frozenset(
    {
        *("query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "crosstab"),
        *("dblink", "dblink_exec", "dblink_open", "dblink_send_query"),
    }
)
"""Functions that run a statement in one of their arguments."""


def named_by(called: str, arguments: Any) -> TableName | None:
    """The relation that a call of a function in `NAMING` names; raises `NotUnderstood` if a value decides."""
    if not arguments:
        return None
    name = name_in_text(constant(arguments[0]), "postgres")
    if not name.table and called in SEQUENCES and message_of(arguments[0]).DESCRIPTOR.name != "FuncCall":
        raise NotUnderstood(f"a value decides which sequence {called} uses")
    return name if name.table else None


def run_by(called: str, arguments: Any) -> list[str]:
    """The texts that a call of a function in `RUNNING` may run; raises `NotUnderstood` if a value decides."""
    texts = [text for one in arguments if (text := constant(one))]
    if not texts:
        raise NotUnderstood(f"a value decides which statement {called} runs")
    return texts
