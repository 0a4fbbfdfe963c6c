"""Components open each on its own: where one database is out of reach the others open, and it is tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

from preterite.clock import Clock
from preterite.drivers.attempts import Attempts
from preterite.errors import StoreUnavailable
from preterite.printing.logger import logger
from preterite.store.rows import StoreIdentity

Result = TypeVar("Result")
_logger = logger()


class Openings:
    """The components of a process that are open, with the identity of each database. May be used by several threads.

    `open_one` makes one database ready and returns its identity; it raises `StoreUnavailable` where it cannot just now.
    """

    def __init__(self, open_one: Callable[[str], StoreIdentity], clock: Clock) -> None:
        self._open_one = open_one
        self._clock = clock
        self._attempts: dict[str, Attempts] = {}
        self.identities: dict[str, StoreIdentity] = {}
        """Of the databases that are open."""

    @property
    def faults(self) -> Mapping[str, str]:
        """Why each component that is not open is not."""
        return {name: one.reason for name, one in self._attempts.items() if name not in self.identities}

    def open(self, names: Iterable[str]) -> None:
        """Open these components; what is out of reach is logged, and opened when it is used.

        Another fault than that passes through.
        """
        for name in names:
            self._note(name, partial(self._open_one, name))

    def open_side_by_side(self, names: Iterable[str], seconds: float) -> None:
        """The same, all at once; what has not answered after so many seconds is out of reach, too."""
        for name, result in side_by_side(self._open_one, names, seconds).items():
            self._note(name, result)

    def _note(self, name: str, result: Callable[[], StoreIdentity]) -> None:
        try:
            self.identities[name] = result()
        except StoreUnavailable as error:
            closed = _not_open(name, error)
            self._attempts[name] = Attempts(self._clock, closed)
            _logger.error("%s", closed)

    def require(self, name: str) -> StoreIdentity:
        """The identity of a component's database, which is opened if it is not; the attempts have waits between them.

        Raises `StoreUnavailable` if it is still out of reach; then nothing was written.
        """
        if name not in self.identities:
            self._attempts[name].run(lambda: self._try_again(name))
        return self.identities[name]

    def open_again(self, name: str) -> None:
        """Make an open component's database ready once more: it was restored. Raises what `open_one` raises."""
        self.identities[name] = self._open_one(name)

    def _try_again(self, name: str) -> None:
        if name in self.identities:
            return
        try:
            self.identities[name] = self._open_one(name)
        except StoreUnavailable as error:
            raise _not_open(name, error) from None
        _logger.warning("%s: its database is available again; it is open", name)


def side_by_side(act: Callable[[str], Result], names: Iterable[str], seconds: float) -> dict[str, Callable[[], Result]]:
    """What `act` returns or raises for each name, in threads that begin at once; `StoreUnavailable` if it takes longer.

    Such a thread ends by itself, and what comes of it is of no use.
    """
    ends = {name: _begun(partial(act, name)) for name in names}
    done, _ = wait(ends.values(), seconds)

    def result(name: str) -> Result:
        if ends[name] not in done:
            raise StoreUnavailable(f"It has not answered within {seconds:.0f} s.")
        return ends[name].result()

    return {name: partial(result, name) for name in ends}


def _begun(act: Callable[[], Result]) -> Future[Result]:
    end: Future[Result] = Future()

    def run() -> None:
        try:
            end.set_result(act())
        except BaseException as error:
            end.set_exception(error)

    # A daemon: what never answers keeps no process from ending.
    threading.Thread(target=run, name="opening", daemon=True).start()
    return end


def _not_open(name: str, error: StoreUnavailable) -> StoreUnavailable:
    return StoreUnavailable(f"Component {name!r} is not open, and is tried again when it is used: {error}")
