"""`contracts.lock` with any other value in any place is read, or refused in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.documents import reader, writer

from preterite import System
from preterite.errors import ConfigurationError
from preterite.evolution import lock
from preterite.evolution.lock import Lock

SYSTEM = System("fuzzed", [writer, reader])
ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, "", "x", [], {}, [[]], [{}], {"": 1}, {"0": {}}, {"of": 1}, {"optional": 1},
    {"list": {"of": None}}, {"list": 5}, {"struct": []}, {"struct": {"a": 1}}, {"enum": 1}, {"enum": []},
    {"one of": {}}, {"tuple": 1}, {"dict": {"key": "str"}}, {"int": {"ge": "x"}}, {"str": {"pattern": 1}}, {"int": 1},
)  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document."""
    inside: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for name, value in inside:
        yield (*path, name)
        yield from places(value, (*path, name))


def test_any_other_value_in_any_place_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / lock.FILE
    lock.save(file, lock.extended(SYSTEM, Lock()))
    whole = json.loads(file.read_text(encoding="utf-8"))
    refused = 0
    for path in places(whole):
        for odd in ODD:
            changed = copy.deepcopy(whole)
            place = changed
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = odd
            file.write_text(json.dumps(changed), encoding="utf-8")
            try:
                found = lock.load(file)
            except ConfigurationError:
                refused += 1
                continue
            for one in lock.changes(SYSTEM, found):
                assert one.is_compatible in (True, False)
            lock.save(file, lock.extended(SYSTEM, found))

    assert refused > 100
