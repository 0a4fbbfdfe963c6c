"""SagaPersister of sagas: one that somebody else has changed or ended meanwhile is not overwritten."""

from __future__ import annotations

from uuid import UUID

import pytest

from preterite import Component, Event, Saga, System, started_by
from preterite.errors import SagaChanged
from preterite.handling.sagas import SagaInstance, SagaPersister
from preterite.saga import encoded
from preterite.store.rows import SagaRow
from preterite.testing import started


class CaseOpened(Event, key="case_id"):
    case_id: UUID


class Case(Saga, by="case_id"):
    case_id: UUID
    looks: int = 0

    @started_by(CaseOpened)
    def open(self, event: CaseOpened) -> None:
        self.looks += 1


@pytest.mark.parametrize("ends", [False, True])
def test_a_saga_that_was_changed_meanwhile_is_not_overwritten_nor_ended(ends: bool) -> None:
    sales, finance = Component("sales", publishes=[CaseOpened]), Component("finance")
    finance.saga(Case)
    with started(System("cases", [sales, finance])) as opened:
        store = opened.databases["finance"].store
        instances = SagaPersister(store, opened.clock)
        with opened.connection(finance) as connection:
            store.begin(connection)
            fresh = Case(case_id=UUID(int=1))
            number = store.add_saga(connection, "Case", str(fresh.case_id), 1, encoded(fresh), 0.0)
            assert number is not None, "there is none yet"
            row = SagaRow(number, "Case", str(fresh.case_id), 0, 1, encoded(fresh))
            first, second = (SagaInstance(Case(case_id=UUID(int=1), looks=looks), row) for looks in (1, 2))
            instances.save(connection, first)
            if ends:
                second.saga.complete()
            with pytest.raises(SagaChanged, match="nothing was written"):
                instances.save(connection, second)
            kept = store.get_saga(connection, number)
            connection.commit()

        assert kept is not None
        assert kept.state == encoded(first.saga)
