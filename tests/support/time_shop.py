"""A demo system for tests with real processes: cases are opened, some closed, and each that is open is called up."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Command, Component, Event, Saga, System, UnitOfWork, joined_by, started_by, timeout
from support.any_store import Connection, sql


class CaseOpened(Event, key="case_id"):
    case_id: UUID
    due_at: datetime


class CaseClosed(Event, key="case_id"):
    case_id: UUID


class CallUp(Command):
    """Look at a case again."""

    at: datetime


sales = Component("sales", publishes=[CaseOpened, CaseClosed])
finance = Component(
    "finance", tables=sql("create table called (position integer primary key, case_id text, meant real, at real)")
)


@finance.saga
class Case(Saga, by="case_id"):
    case_id: UUID

    @started_by(CaseOpened)
    def open(self, event: CaseOpened, unit_of_work: UnitOfWork) -> None:
        unit_of_work.schedule(CallUp(at=event.due_at), at=event.due_at)

    @joined_by(CaseClosed)
    def close(self, event: CaseClosed) -> None:
        self.complete()

    @timeout(CallUp)
    def call_up(self, command: CallUp, connection: Connection, unit_of_work: UnitOfWork) -> None:
        row = (str(self.case_id), command.at.timestamp(), unit_of_work.now.timestamp())
        connection.execute(sql("insert into called (case_id, meant, at) values (?, ?, ?)"), row)


system = System("cases", [sales, finance], demo=True)
