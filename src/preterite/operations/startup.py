"""Prepares a component's database: its tables, its identity, its active handlers and its calendars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from preterite.clock import Clock
from preterite.errors import SystemRefused, WrongDatabase
from preterite.log.contract import Log
from preterite.printing.logger import logger
from preterite.receiving.scheduler import keep_calendars
from preterite.store.contract import Database, Store, connected, run_in_transaction
from preterite.store.rows import HandlerRegistration, StoreIdentity
from preterite.topology import Subscriptions

_logger = logger()


class Prepared(NamedTuple):
    """What a component's database is once it is prepared: whose, and at which version of its active handlers."""

    identity: StoreIdentity
    handlers_version: int


def prepare(database: Database, wanted: StoreIdentity, subscriptions: Subscriptions, clock: Clock) -> Prepared:
    """Verify the component's database, bring its tables up to date, and register what is declared.

    Its identity is the wanted one if the database is new. Raises `WrongDatabase` if it is another component's,
    and `SystemRefused` if a handler now handles another event; then nothing was registered.
    """
    store = database.store
    with connected(database) as connection:
        store.migrate(connection)
        return run_in_transaction(store, connection, lambda: _register(store, connection, wanted, subscriptions, clock))


def _register(
    store: Store, connection: Any, wanted: StoreIdentity, subscriptions: Subscriptions, clock: Clock
) -> Prepared:
    store.bind_identity(connection, wanted)
    _refuse_changed_handlers(wanted, store.handlers(connection)[1], subscriptions)
    _warn_of_late_handlers(store, connection, subscriptions)
    store.register_handlers(connection, subscriptions.registrations, subscriptions.renamed, clock.wall())
    store.retry_undecodable(connection, subscriptions.fingerprint)
    identity = store.identity(connection)
    assert identity is not None, "a database that was identified has an identity"
    keep_calendars(store, connection, identity, subscriptions, clock.now())
    return Prepared(identity, store.handlers(connection)[0])


def require_own_database(log: Log, wanted: StoreIdentity, database: Database) -> None:
    """Raise `WrongDatabase` if the log knows another database of this component; changes nothing, and makes none.

    One that belongs to another component or system is not looked at further: `prepare` refuses it.
    """
    known = log.databases.of(wanted.component)
    if known is None:
        return
    found = identity_of(database)
    if found is None:
        raise second_database(wanted.component, database, None, known)
    if found.component_id != known and replace(found, component_id=wanted.component_id) == wanted:
        raise second_database(wanted.component, database, found.component_id, known)


def bind_database(log: Log, database: Database, identity: StoreIdentity) -> None:
    """Let the log know the component's database if it knows none; raise `WrongDatabase` if it knows another one."""
    known = log.databases.of(identity.component) or log.databases.bind(identity.component, identity.component_id)
    if known != identity.component_id:
        raise second_database(identity.component, database, identity.component_id, known)


def identity_of(database: Database) -> StoreIdentity | None:
    """Whose database this is; `None` if it is new. Makes none."""
    if not database.exists():
        return None
    with connected(database) as connection:
        return database.store.identity(connection) if database.store.is_migrated(connection) else None


def second_database(component: str, database: Database, found: UUID | None, known: UUID) -> WrongDatabase:
    """The error for a database that is not the one that the log knows of a component."""
    what = "is new" if found is None else f"has the id {found}"
    return WrongDatabase(
        f"{database.url} is not the database of {component!r} that the log knows ({known}): it {what}. Nothing was "
        "handled or published. Check the component's URL, or restore a backup; if its database is lost, and begins "
        f"anew: preterite recover new-database {component}."
    )


def _warn_of_late_handlers(store: Store, connection: Any, subscriptions: Subscriptions) -> None:
    """Warn once that a handler, new to a component that already reads, starts with the next event."""
    registered = {handler.name for handler in store.handlers(connection)[1]}
    known = registered | {subscriptions.renamed.get(name, name) for name in registered}
    cursors = store.cursors(connection)
    for subscription in subscriptions.by_wire_name.values():
        read = sum(s.cursor.number for stream, s in cursors.items() if stream.publisher == subscription.publisher)
        for bound in subscription.handlers:
            if bound.name not in known and read:
                handler = f"{subscriptions.component.name}.{bound.name}"
                _logger.warning(
                    "%s is new and starts with the next event; %s published %s before. "
                    "What it missed: preterite replay plan --to %s",
                    handler,
                    subscription.publisher,
                    "1 event" if read == 1 else f"{read:,} events",
                    handler,
                )


def _refuse_changed_handlers(
    identity: StoreIdentity, registered: Sequence[HandlerRegistration], subscriptions: Subscriptions
) -> None:
    known = {handler.name: handler for handler in registered}
    faults: list[str] = []
    for handler in subscriptions.registrations:
        before, named = known.get(handler.name), f"{identity.component}.{handler.name}"
        if before is not None and before.retired:
            faults.append(f"{named} was retired; remove it, or give the new handler another name=.")
        elif before is not None and before.event_type != handler.event_type:
            faults.append(
                f"{named} handled {before.event_type} before, and {handler.event_type} now; "
                "give the new one another name=, and retire the old one."
            )
    if faults:
        raise SystemRefused(identity.system, faults)
