"""Instances of sagas around a handler's call: found or begun before it, kept or ended after it, in its transaction."""

from __future__ import annotations

from dataclasses import dataclass

from preterite.clock import Clock
from preterite.errors import SagaChanged, SagaMissing
from preterite.items import Item
from preterite.rows import DbConnection, SagaRow, saga_key
from preterite.saga import Saga, correlation, decoded, encoded
from preterite.store import Store
from preterite.topology import BoundHandler
from preterite.unit_of_work import SagaTie


@dataclass(frozen=True)
class Instance:
    """A saga's state while a handler works on it, and the row that it came from."""

    saga: Saga
    row: SagaRow

    @property
    def tie(self) -> SagaTie:
        """What makes a command this instance's own timeout."""
        return SagaTie(self.row.saga, self.row.id, saga_key(self.row.saga, self.row.correlation))


class Instances:
    """Finds and keeps the instances of one component's sagas."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def enter(self, connection: DbConnection, bound: BoundHandler, item: Item) -> Instance | None:
        """The instance that this message is for; nothing if it has ended, or if its absence is to be ignored.

        Raises `SagaMissing` where the event waits for it.
        """
        saga, reaction = bound.handler.saga, bound.handler.reaction
        assert saga is not None, "only a saga's functions have instances"
        assert reaction is not None, "a saga's function is run by something"
        if reaction.kind == "times out":
            assert item.envelope is not None, "a command that runs was decoded"
            row = None if item.envelope.saga is None else self._store.get_saga(connection, item.envelope.saga)
            return None if row is None else Instance(decoded(saga, row.version, row.state), row)
        assert item.event is not None, "an event that runs was decoded"
        value = correlation(saga, reaction, item.event)
        row = self._store.find_saga(connection, saga.__saga__.name, str(value))
        if row is not None:
            return Instance(decoded(saga, row.version, row.state), row)
        if reaction.kind == "starts":
            return self._begun(connection, saga(**{saga.__saga__.by: value}), str(value))
        if reaction.missing == "park":
            raise SagaMissing(saga.__saga__.name, str(value))
        what = f"no {saga.__saga__.name} for {reaction.message_type.__name__}"
        self._store.count_passed_over(connection, item.record.stream.publisher, what, 1, self._clock.wall())
        return None

    def leave(self, connection: DbConnection, instance: Instance) -> None:
        """Keep the state as the handler has left it, or end the instance; raises `SagaChanged` if it was overtaken."""
        row = instance.row
        if instance.saga.completed:
            kept = self._store.end_saga(connection, row)
        else:
            state = encoded(instance.saga)
            version = instance.saga.__saga__.version
            unchanged = state == row.state and version == row.version
            kept = unchanged or self._store.save_saga(connection, row, version, state)
        if not kept:
            raise SagaChanged(
                f"Somebody else has changed saga {row.saga} for {row.correlation}; nothing was written, "
                "it is run again."
            )

    def _begun(self, connection: DbConnection, saga: Saga, value: str) -> Instance:
        contract, state = saga.__saga__, encoded(saga)
        saga_id = self._store.add_saga(connection, contract.name, value, contract.version, state, self._clock.wall())
        if saga_id is None:
            raise SagaChanged(f"Somebody else has begun saga {contract.name} for {value}; it is run again.")
        return Instance(saga, SagaRow(saga_id, contract.name, value, 0, contract.version, state))


def waited_for(bound: BoundHandler, item: Item) -> str | None:
    """The instance that an event is parked for, so that its timeouts wait for the event."""
    saga, reaction = bound.handler.saga, bound.handler.reaction
    if saga is None or reaction is None or reaction.kind == "times out" or item.event is None:
        return None
    return saga_key(saga.__saga__.name, str(correlation(saga, reaction, item.event)))
