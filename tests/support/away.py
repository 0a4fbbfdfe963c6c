"""A SQLite database that is out of reach for a while, though processes have it open."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def away(folder: Path, name: str) -> Generator[Path]:
    """A database that cannot be opened: in place of its file there is a folder."""
    place = folder / f"{name}.sqlite"
    kept = {kind: place.with_name(f"{place.name}{kind}") for kind in ("", "-wal", "-shm")}
    for file in kept.values():
        if file.exists():
            file.rename(file.with_name(f"{file.name}.kept"))
    place.mkdir()
    yield place
    place.rmdir()
    for file in kept.values():
        if file.with_name(f"{file.name}.kept").exists():
            file.with_name(f"{file.name}.kept").rename(file)
