"""Who may do what on a PostgreSQL log: its owner everything, any other role what the table `access` says.

What a role may do is granted here; which rows it may do it to is decided by the row security of `schema.sql`, by
`session_user`, so that no function and no other role widens it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from preterite.drivers.postgres_place import first_line
from preterite.errors import ConfigurationError

Access = Mapping[str, Mapping[str, bool]]
"""By role: the publishers whose streams it reads, and whether it appends to them."""
COMPONENT_GRANTS = (
    "GRANT USAGE ON SCHEMA preterite_log TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA preterite_log TO {role}",
    "GRANT INSERT (publisher, partition) ON preterite_log.stream TO {role}",
    # By column, because a right to the whole table is a right to lock it.
    "GRANT UPDATE (epoch, claim, last_number, head_epoch, head_number, head_id, head_body) ON preterite_log.stream "
    "TO {role}",
    "GRANT INSERT ON preterite_log.record TO {role}",
    "GRANT INSERT ON preterite_log.database TO {role}",
    "GRANT UPDATE (epoch) ON preterite_log.record TO {role}",
    "GRANT EXECUTE ON FUNCTION preterite_log.readable(), preterite_log.appendable(), "
    "preterite_log.take_requests(text), preterite_log.request_resend(text, integer, bigint) TO {role}",
)
"""What the role of one component gets on the log, before its rows in `access` say for which streams."""
SYSTEM_GRANTS = (
    *COMPONENT_GRANTS,
    "GRANT UPDATE (forgotten) ON preterite_log.stream TO {role}",
    "GRANT DELETE ON preterite_log.record TO {role}",
    "GRANT INSERT, UPDATE ON preterite_log.clock TO {role}",
)
"""What the role gets under which several components run in one process: also retention, and a demo's clock."""
_ACCESS = """
SELECT pg_has_role(current_user, relowner, 'USAGE'),
    ARRAY(SELECT publisher FROM preterite_log.access WHERE role = session_user AND may_append ORDER BY 1)
FROM pg_class WHERE oid = to_regclass('preterite_log.stream')
"""
_MAY_FORGET = "SELECT has_table_privilege('preterite_log.record', 'DELETE')"


def rights(connection: Any) -> str:
    """What this connection may do on the log, as a part of its promise."""
    found = connection.execute(_ACCESS).fetchone()
    if found is None or found[0]:
        return "one role may do everything on it"
    return f"this role may append for {', '.join(found[1]) or 'no component'}"


def refuse_retention(connection: Any) -> None:
    """Raise `ConfigurationError` if this connection may not delete from the log: it could not keep a retention."""
    if not connection.execute(_MAY_FORGET).fetchone()[0]:
        raise ConfigurationError(
            "A retention is given, and the role of the log's URL may not delete from the log; nothing was opened. "
            "Open one process with the URL of the log's own role, which may, and the others without a retention."
        )


def set_access(connection: Any, role: str, publishers: Mapping[str, bool]) -> None:
    """Let a role read the streams of these publishers, and append to them where the value is true; nothing else."""
    connection.execute("DELETE FROM preterite_log.access WHERE role = %s", (role,))
    for publisher, may_append in publishers.items():
        connection.execute("INSERT INTO preterite_log.access VALUES (%s, %s, %s)", (role, publisher, may_append))


def granted(role: str, *, is_system: bool) -> list[str]:
    """The grants for a role, as SQL."""
    name = sql.Identifier(role)
    return [
        sql.SQL(text).format(role=name).as_string(None)  # pyright: ignore[reportArgumentType] - constants of this module
        for text in (SYSTEM_GRANTS if is_system else COMPONENT_GRANTS)
    ]


@contextmanager
def owners_only() -> Generator[None]:
    """Say in a sentence that another role than the log's owner was refused."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"Only the owner of the log may do this ({first_line(error)}); nothing was changed. Set "
            "PRETERITE_LOG_OWNER_URL, as preterite provision writes it."
        ) from None
