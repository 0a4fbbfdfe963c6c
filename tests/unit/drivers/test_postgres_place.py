"""Where a PostgreSQL database is, and what is said when it cannot be reached. URLs of all shapes: `test_urls`."""

from __future__ import annotations

import psycopg
import pytest
from support.canary_urls import CANARY

from preterite.drivers.postgres_place import place_of, unreachable
from preterite.errors import ConfigurationError


def test_a_place_is_printed_without_what_the_driver_gets() -> None:
    place = place_of(f"postgresql://u:{CANARY}@h/db")

    assert CANARY in place.conninfo
    assert CANARY not in f"{place} {place!r}"


def test_what_the_server_says_is_shown_unless_it_holds_what_is_not_shown() -> None:
    place = place_of(f"postgresql://u:{CANARY}@h/db")

    assert "no such host" in str(unreachable(place, psycopg.OperationalError("no such host")))
    assert CANARY not in str(unreachable(place, psycopg.OperationalError(f'invalid value "{CANARY}"')))


def test_a_url_that_can_be_read_in_two_ways_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"write @ : / .* as %40 %3A %2F"):
        place_of(f"postgresql://u:a@{CANARY}@h/db")
