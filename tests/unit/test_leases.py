"""Who does what alone: taken, renewed, lost, given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.machine_clock import MachineClock

from preterite import store as stores
from preterite.leases import LEASE_SECONDS, RENEW_SECONDS, TRUST_SECONDS, Leases
from preterite.store.contract import Database
from preterite.testing.conformance.store_steps import IDENTITY, transaction

NAMES = ["partition/0", "partition/1"]


class Bench:
    """One database, a clock, and as many holders as a test wants."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = MachineClock()
        self.connection = database.connect()
        database.store.migrate(self.connection)
        with transaction(database.store, self.connection):
            database.store.bind_identity(self.connection, IDENTITY)

    def holder(self, owner: str) -> Leases:
        return Leases(self.database.store, self.clock, owner, NAMES)

    def keep(self, leases: Leases) -> list[str]:
        leases.keep(self.connection)
        return sorted(leases.held)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(stores.connect(f"sqlite:///{tmp_path}/sales.sqlite"))
    yield made
    made.connection.close()


def state(bench: Bench) -> dict[str, Any]:
    return {one.name: (one.owner, one.epoch) for one in bench.database.store.leases(bench.connection)}


def test_what_is_free_is_taken_once(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")

    assert bench.keep(first) == NAMES
    assert bench.keep(second) == []


def test_a_release_that_fails_leaves_no_transaction_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, store = bench.holder("first"), bench.database.store
    bench.keep(first)

    def full(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "release", full)
        with pytest.raises(OSError, match="disk full"):
            first.release(bench.connection)

    assert not store.in_transaction(bench.connection)
    first.release(bench.connection)
    assert {owner for owner, _ in state(bench).values()} == {None}


@pytest.mark.rule(1)
def test_what_another_took_since_the_look_is_theirs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, late = bench.holder("first"), bench.holder("late")
    before = bench.database.store.leases(bench.connection)
    bench.keep(first)

    def as_before(*_given: object) -> object:
        return before

    monkeypatch.setattr(type(bench.database.store), "leases", as_before)

    assert bench.keep(late) == []


def test_what_is_renewed_in_time_is_never_taken(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    for _ in range(20):
        bench.clock.pass_by(RENEW_SECONDS)
        bench.keep(first)

        assert bench.keep(second) == []


def test_a_killed_holder_is_overtaken_after_one_lease(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    bench.keep(second)
    bench.clock.pass_by(LEASE_SECONDS - 0.1)
    too_early = bench.keep(second)
    bench.clock.pass_by(RENEW_SECONDS)

    assert too_early == []
    assert bench.keep(second) == NAMES
    assert not any(lease.clean for lease in second.held.values())


def test_a_holder_that_gives_back_is_followed_at_once(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    first.release(bench.connection)

    assert bench.keep(second) == NAMES
    assert all(lease.clean for lease in second.held.values())


def test_an_overtaken_holder_notices_when_it_renews(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    bench.clock.pass_by(LEASE_SECONDS + 1)
    bench.keep(second)

    assert bench.keep(first) == []


def test_a_holder_trusts_itself_for_less_than_its_lease(bench: Bench) -> None:
    leases = bench.holder("first")
    before = leases.trusted()
    bench.keep(leases)
    fresh = leases.trusted()
    bench.clock.pass_by(TRUST_SECONDS)

    assert (before, fresh, leases.trusted()) == (False, True, False)
    assert TRUST_SECONDS < LEASE_SECONDS


def test_a_transaction_renews_only_what_was_not_renewed_lately(bench: Bench) -> None:
    leases = bench.holder("first")
    bench.keep(leases)
    just_now = leases.renewal()
    bench.clock.pass_by(RENEW_SECONDS)
    in_time = leases.renewal()
    uncommitted = leases.renewal()
    leases.committed()
    afterwards = leases.renewal()

    assert (just_now, afterwards) == (None, None)
    assert in_time == uncommitted == leases.expires_at()


def test_a_forgotten_lease_is_taken_again_at_once(bench: Bench) -> None:
    leases = bench.holder("first")
    bench.keep(leases)
    leases.lost()

    assert bench.keep(leases) == NAMES
    assert state(bench)["partition/0"] == ("first", 2)


@pytest.mark.parametrize("hours", [-1, -24, -24 * 400])
def test_a_clock_that_jumps_back_does_not_keep_a_dead_holders_lease_alive(bench: Bench, hours: int) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    bench.clock.jump(hours * 3600)
    bench.keep(second)
    bench.clock.pass_by(LEASE_SECONDS + 0.1)

    assert bench.keep(second) == NAMES


def test_a_clock_that_jumps_back_does_not_take_a_living_holders_lease(bench: Bench) -> None:
    first, second = bench.holder("first"), bench.holder("second")
    bench.keep(first)
    bench.clock.jump(-3600)
    for _ in range(10):
        bench.clock.pass_by(RENEW_SECONDS)
        bench.keep(first)

        assert bench.keep(second) == []


def test_looking_often_writes_seldom(bench: Bench) -> None:
    leases = bench.holder("first")
    bench.keep(leases)
    before = bench.connection.total_changes
    for _ in range(100):
        bench.keep(leases)

    assert bench.connection.total_changes == before


def test_what_cannot_be_taken_changes_nothing(bench: Bench) -> None:
    """The transaction fails at its end: what was taken in it is not held."""
    leases = bench.holder("first")
    bench.connection.execute(
        "create trigger full before update on preterite_lease begin select raise(abort, 'disk full'); end"
    )
    with pytest.raises(Exception, match="disk full"):
        leases.keep(bench.connection)

    assert leases.held == {}


# shared by several workers


def shared(bench: Bench, owner: str) -> Leases:
    return Leases(bench.database.store, bench.clock, owner, NAMES, shared=True)


def test_what_is_shared_is_given_up_to_a_new_worker(bench: Bench) -> None:
    first, second = shared(bench, "first"), shared(bench, "second")
    alone = bench.keep(first)
    assert bench.keep(second) == []
    bench.clock.pass_by(RENEW_SECONDS)

    assert alone == NAMES
    assert len(bench.keep(first)) == 1
    bench.clock.pass_by(RENEW_SECONDS)
    assert len(bench.keep(second)) == 1


def test_a_loop_made_anew_gives_up_what_was_in_its_name_and_is_beyond_its_share(bench: Bench) -> None:
    """It held everything alone, lost its connection, and another one is there by now."""
    bench.keep(shared(bench, "first"))
    second = shared(bench, "second")
    bench.keep(second)
    anew = shared(bench, "first")
    assert len(bench.keep(anew)) == 1
    bench.clock.pass_by(RENEW_SECONDS)

    assert len(bench.keep(second)) == 1


def test_a_worker_with_a_heartbeat_keeps_its_leases_beyond_their_time(bench: Bench) -> None:
    first, second = shared(bench, "first"), shared(bench, "second")
    bench.keep(first)
    for _ in range(10):
        bench.clock.pass_by(RENEW_SECONDS)
        with transaction(bench.database.store, bench.connection):
            now = bench.clock.wall()
            bench.database.store.heartbeat(bench.connection, "first", now + LEASE_SECONDS, now)
        assert bench.keep(second) == []
    bench.clock.pass_by(LEASE_SECONDS + RENEW_SECONDS)

    assert bench.keep(second) == NAMES, "it is silent now"
