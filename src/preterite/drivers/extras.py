"""Packages that come with an extra: which one is missing, and how to install it, in one sentence."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager

from preterite.errors import ExtraMissing

EXTRAS = {
    "sqlalchemy": ("sqlalchemy", "aiosqlite", "greenlet"),
    "postgres": ("psycopg",),
    "calendar": ("cronsim",),
    "fastapi": ("fastapi",),
    "web": ("starlette", "jinja2", "markupsafe"),
    "check": ("sqlglot", "postgast", "grimp"),
    "simulation": ("greenlet",),
}
"""The extras of this package, with the packages that are imported because of them."""


def missing(what: str, error: ImportError, extra: str | None = None) -> ExtraMissing | None:
    """The exception that says which extra is missing for this; nothing if another package is."""
    package = _package_of(error)
    found = next((name for name, packages in EXTRAS.items() if package in packages), None)
    return None if found is None else ExtraMissing(what, package, extra or found)


def _package_of(error: ImportError) -> str:
    # SQLAlchemy and psycopg name what they lack in a sentence of their own.
    if "pq wrapper" in str(error):
        return "psycopg"
    if "greenlet" in str(error):
        return "greenlet"
    return (error.name or "").partition(".")[0]


def require(what: str, *packages: str) -> None:
    """Raise `ExtraMissing` if one of these packages of an extra is not installed."""
    with needing(what):
        for package in packages:
            importlib.import_module(package)


@contextmanager
def needing(what: str, extra: str | None = None) -> Generator[None]:
    """Raise `ExtraMissing` where the block imports a package of an extra that is not installed.

    `extra` is the one that brings all that the block needs, where that is not the first that brings the package.
    """
    try:
        yield
    except ImportError as error:
        found = missing(what, error, extra)
        if found is None or isinstance(error, ExtraMissing):
            raise
        raise found from None
