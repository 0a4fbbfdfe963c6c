"""A saga's instance around a handler's call: loaded or begun before it, saved or ended after it, in its transaction."""

from __future__ import annotations

from dataclasses import dataclass

from preterite.clock import Clock
from preterite.errors import InvalidEvent, SagaChanged, SagaMissing
from preterite.handling.delivery import Delivery
from preterite.publishing.unit_of_work import SagaReference
from preterite.saga import Reaction, Saga, correlation, decoded, encoded
from preterite.store.contract import Store
from preterite.store.rows import DbConnection, SagaRow, saga_key
from preterite.topology import BoundHandler


@dataclass(frozen=True)
class SagaInstance:
    """A saga's state while a handler works on it, and the row that it came from."""

    saga: Saga
    row: SagaRow

    @property
    def reference(self) -> SagaReference:
        """What makes a command this instance's own timeout."""
        return SagaReference(self.row.saga, self.row.id, saga_key(self.row.saga, self.row.correlation))


class SagaPersister:
    """Finds and keeps the instances of one component's sagas."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def load(self, connection: DbConnection, bound: BoundHandler, delivery: Delivery) -> SagaInstance | None:
        """The instance that this message is for; nothing if it has ended, or if its absence is to be ignored.

        Raises `SagaMissing` where the event waits for it, or comes too late and is not to be ignored.
        """
        saga, reaction = bound.handler.saga, bound.handler.reaction
        assert saga is not None, "only a saga's functions have instances"
        assert reaction is not None, "a saga's function is run by something"
        if reaction.kind == "times out":
            assert delivery.envelope is not None, "a command that runs was decoded"
            row = None if delivery.envelope.saga is None else self._store.get_saga(connection, delivery.envelope.saga)
            return None if row is None else SagaInstance(decoded(saga, row.version, row.state), row)
        assert delivery.event is not None, "an event that runs was decoded"
        value, text = correlation(saga, reaction, delivery.event)
        if text is None and reaction.missing == "park":
            raise InvalidEvent(
                f"{reaction.message_type.__name__}.{reaction.by or saga.__saga__.by} is None, and saga "
                f"{saga.__saga__.name} is found by it, so no instance takes this event. Nothing was written; handle "
                'such events outside of the saga, or join it with missing="ignore".'
            )
        row = None if text is None else self._store.find_saga(connection, saga.__saga__.name, text)
        if row is not None:
            return SagaInstance(decoded(saga, row.version, row.state), row)
        if reaction.kind == "starts" and text is not None:
            return self._begun(connection, saga(**{saga.__saga__.by: value}), text)
        self._miss(connection, saga.__saga__.name, text, reaction, delivery)
        return None

    def _miss(
        self, connection: DbConnection, name: str, value: str | None, reaction: Reaction, delivery: Delivery
    ) -> None:
        """Count a message that is skipped because its instance is not there; raises `SagaMissing` if it waits."""
        has_ended = value is not None and self._store.has_ended(connection, name, value)
        if (
            value is not None
            and (reaction.ended if has_ended and reaction.ended is not None else reaction.missing) == "park"
        ):
            raise SagaMissing(name, value, has_ended=has_ended)
        what = f"{'ended' if has_ended else 'no'} {name} for {reaction.message_type.__name__}"
        self._store.count_skipped(connection, delivery.record.stream.publisher, what, 1, self._clock.wall())

    def save(self, connection: DbConnection, instance: SagaInstance) -> None:
        """Keep the state as the handler has left it, or end the instance; raises `SagaChanged` if it was overtaken."""
        row = instance.row
        if instance.saga.completed:
            kept = self._store.end_saga(connection, row, self._clock.wall())
        else:
            state = encoded(instance.saga)
            version = instance.saga.__saga__.version
            unchanged = state == row.state and version == row.version
            kept = unchanged or self._store.save_saga(connection, row, version, state)
        if not kept:
            raise SagaChanged(
                f"Another transaction has changed saga {row.saga} for {row.correlation}; nothing was written, "
                "it is run again."
            )

    def _begun(self, connection: DbConnection, saga: Saga, value: str) -> SagaInstance:
        contract, state = saga.__saga__, encoded(saga)
        saga_id = self._store.add_saga(connection, contract.name, value, contract.version, state, self._clock.wall())
        if saga_id is None:
            raise SagaChanged(f"Another transaction has begun saga {contract.name} for {value}; it is run again.")
        return SagaInstance(saga, SagaRow(saga_id, contract.name, value, 0, contract.version, state))


def waited_for(bound: BoundHandler, delivery: Delivery) -> str | None:
    """The instance that an event is parked for, so that its timeouts wait for the event."""
    saga, reaction = bound.handler.saga, bound.handler.reaction
    if saga is None or reaction is None or reaction.kind == "times out" or delivery.event is None:
        return None
    _value, text = correlation(saga, reaction, delivery.event)
    return None if text is None else saga_key(saga.__saga__.name, text)
