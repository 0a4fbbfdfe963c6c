"""Whose code runs: the component of the innermost frame, template or view, or the one that a handler or batch is of."""

from __future__ import annotations

import site
import sys
import sysconfig
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from preterite.checks.findings import NOWHERE, Place
from preterite.checks.partition import Ownership, Partition

FRAMES_MAX = 1_000
"""How many frames of a stack are searched for a component's code."""
_OWN = "preterite."
_RECORDING = __name__.rpartition(".")[0]
_TEMPLATES = "django.template.base"
_REQUESTS = "django.core.handlers.base"
_PATHS = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_NOT_OF_THE_PROJECT = (*dict.fromkeys([*_PATHS, *site.getsitepackages()]), "<")
"""How the files of Python, of installed packages, and of code without a file begin."""
_context = threading.local()


class Running(NamedTuple):
    """Whose code runs."""

    ownership: Ownership | None
    """The component; None if the code is that of none."""
    place: Place = NOWHERE
    """The line of the component, or of whatever code runs that is in no library."""
    is_own: bool = False
    """Whether it is Preterite that runs something, called by this code."""


def handler() -> tuple[str | None, str | None]:
    """The component and the name of the handler that this thread runs."""
    return getattr(_context, "handler", (None, None))


@contextmanager
def running(component: str, handler: str | None = None) -> Generator[None]:
    """Note that this thread works for a component, and which of its handlers runs."""
    before = getattr(_context, "component", None), getattr(_context, "handler", (None, None))
    _context.component = component
    if handler is not None:
        _context.handler = (component, handler)
    try:
        yield
    finally:
        _context.component, _context.handler = before


class Attribution:
    """Finds whose code runs, for one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._names = {one.name: one for one in partition.ownerships}
        self._known: dict[tuple[str, str], Ownership | None] = {}
        self._folders = {folder: one for one in partition.ownerships for folder in _folders_of(one.package)}

    def now(self) -> Running:
        """Whose code runs in this thread.

        The innermost frame of a component's module, or of a template in its package; then the view of the request; then
        the handler, or the component whose batch is applied.
        """
        view, outside, is_own = None, None, False
        for frame in _frames():
            module, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
            found = self._of_frame(module, file)
            if found is not None:
                return Running(found, Place(Path(file), _line(frame)), is_own)
            if module == _TEMPLATES and (rendering := self._of_template(frame)) is not None:
                return rendering
            if module == _REQUESTS and view is None:
                view = self._of_view(frame)
            if outside is not None or is_own or module.startswith(_RECORDING):
                continue
            if module.startswith(_OWN):
                is_own = True
            elif not file.startswith(_NOT_OF_THE_PROJECT):
                outside = Place(Path(file), frame.f_lineno)
        if view is not None:
            return view
        component = handler()[0] or getattr(_context, "component", None)
        return Running(self._names.get(component or ""), outside or NOWHERE, is_own)

    def _of_frame(self, module: str, file: str) -> Ownership | None:
        """The component of a module, or of a template that was compiled into a module without a name of its own."""
        key = (module, file)
        if key not in self._known:
            found = self._partition.of_module(module)
            self._known[key] = self._of_file(file) if found is None and not file.endswith(".py") else found
        return self._known[key]

    def _of_file(self, file: object) -> Ownership | None:
        if not isinstance(file, str) or file.startswith("<"):
            return None
        inside = [folder for folder in self._folders if Path(file).is_relative_to(folder)]
        return self._folders[max(inside, key=lambda folder: len(folder.parts))] if inside else None

    def _of_template(self, frame: Any) -> Running | None:
        """The component of a template of Django that is being rendered."""
        node = frame.f_locals.get("self")
        file = getattr(getattr(node, "origin", None), "name", None)
        found = self._of_file(file)
        line = getattr(getattr(node, "token", None), "lineno", None)
        return None if found is None else Running(found, Place(Path(str(file)), line))

    def _of_view(self, frame: Any) -> Running | None:
        """The component of the view that a request of Django was resolved to: its answer may be rendered later."""
        match = getattr(frame.f_locals.get("request"), "resolver_match", None)
        view = getattr(match, "func", None)
        view = getattr(view, "view_class", view)
        found = self._of_frame(getattr(view, "__module__", None) or "", ".py")
        code = getattr(view, "__code__", None)
        place = NOWHERE if code is None else Place(Path(code.co_filename), code.co_firstlineno)
        return None if found is None else Running(found, place)


def _frames() -> Iterator[Any]:
    """The frames of this stack from the inside, also those below a greenlet, as SQLAlchemy uses them for asyncio."""
    frame: Any = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the only way to read the stack
    greenlet: Any = sys.modules.get("greenlet")
    current = None if greenlet is None else greenlet.getcurrent()
    for _ in range(FRAMES_MAX):
        while frame is None:
            current = None if current is None else current.parent
            if current is None:
                return
            frame = current.gr_frame
        yield frame
        frame = frame.f_back


def _line(frame: Any) -> int:
    """The line of the source; of a template of Jinja, the line in its file."""
    template = frame.f_globals.get("__jinja_template__")
    return frame.f_lineno if template is None else template.get_corresponding_lineno(frame.f_lineno)


def _folders_of(package: str | None) -> list[Path]:
    paths: Any = getattr(sys.modules.get(package or ""), "__path__", ())
    return [Path(one) for one in paths]
