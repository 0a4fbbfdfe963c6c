"""Components open each on its own: where one database is out of reach the others open, and it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from preterite.clock import Clock
from preterite.drivers.attempts import Attempts
from preterite.errors import StoreUnavailable
from preterite.printing.logger import logger
from preterite.store.rows import StoreIdentity

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
            try:
                self.identities[name] = self._open_one(name)
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

    def _try_again(self, name: str) -> None:
        if name in self.identities:
            return
        try:
            self.identities[name] = self._open_one(name)
        except StoreUnavailable as error:
            raise _not_open(name, error) from None
        _logger.warning("%s: its database is available again; it is open", name)


def _not_open(name: str, error: StoreUnavailable) -> StoreUnavailable:
    return StoreUnavailable(f"Component {name!r} is not open, and is tried again when it is used: {error}")
