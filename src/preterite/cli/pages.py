"""`preterite pages`: which pages are composed, of whose parts, and in which order they are asked."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preterite import settings
from preterite.cli.application import Refused, add_command, import_module
from preterite.composition.pages import Page, Step, plans
from preterite.errors import ConfigurationError

HELP = """\
Pages that are composed from parts of several components. PAGES is module:attribute, a sequence of pages; it may be left
out where [tool.preterite] in pyproject.toml names it as `pages`. Opens nothing.

  preterite pages list             every page: where it is, whose parts it shows, how many waves it takes
  preterite pages show invoice     one page: each slot, its part, and from where that gets identifiers
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "pages", "which pages are composed of whose parts", HELP)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, parser_class=type(parser))
    listing = add_command(actions, "list", "every page", HELP)
    listing.add_argument("pages", nargs="?", metavar="PAGES", help="module:attribute of the pages")
    listing.set_defaults(command=list_pages)
    showing = add_command(actions, "show", "one page", HELP)
    showing.add_argument("words", nargs="+", metavar="[PAGES] NAME", help="the name of a page")
    showing.set_defaults(command=show_page)


def declared_pages(name: str | None = None) -> Sequence[Page]:
    """The pages under this name, or those that the project names; none if it names none."""
    name = name or settings.read_project(Path.cwd()).pages
    if name is None:
        return ()
    module_name, _, attribute = name.partition(":")
    found = getattr(import_module(module_name, name), attribute, None)
    if not isinstance(found, Sequence) or not all(isinstance(page, Page) for page in found):  # pyright: ignore[reportUnknownVariableType]
        raise ConfigurationError(f"{module_name} has no sequence of pages called {attribute!r}.")
    return found  # pyright: ignore[reportUnknownVariableType]


def list_pages(options: argparse.Namespace) -> int:
    """A line for each page."""
    pages = _some(declared_pages(options.pages))
    waves = plans(pages)
    rows = [["page", "path", "waves", "parts", "owners"]]
    for page in pages:
        owners = dict.fromkeys(part.component.name for part in page.parts)
        rows.append([page.name, page.path, str(len(waves[page.name])), str(len(page.parts)), ", ".join(owners)])
    _print(rows)
    return 0


def show_page(options: argparse.Namespace) -> int:
    """One page with its parts, wave by wave."""
    *named, name = options.words
    if len(named) > 1:
        raise Refused(f"{named[1]!r} is one word too many; preterite pages show --help shows how it is called.")
    pages = {page.name: page for page in _some(declared_pages(named[0] if named else None))}
    if name not in pages:
        close = difflib.get_close_matches(name, list(pages), 1)
        raise Refused(f"There is no page {name!r}.{f' Did you mean {close[0]!r}?' if close else ''}")
    page = pages[name]
    takes = ", ".join(f"{source} ({kind.__name__})" for source, kind in page.takes.items()) or "nothing"
    print(f"{page.name} {page.path}, takes {takes}\n")
    rows = [["wave", "slot", "part", "", "asked with", "gives", "declared"]]
    for number, wave in enumerate(plans([page])[name], start=1):
        rows += [_row(number, step) for step in wave]
    _print(rows)
    return 0


def _row(number: int, step: Step) -> list[str]:
    part = step.part
    asked = [f"{part.needs[name].__name__} of {' and '.join(sources)}" for name, sources in step.sources.items()]
    gives = ", ".join(kind.__name__ for kind in part.gives)
    required = "required" if part.required else ""
    return [str(number), part.slot, part.full_name, required, ", ".join(asked) or "–", gives or "–", part.place]


def _some(pages: Sequence[Page]) -> Sequence[Page]:
    if not pages:
        raise ConfigurationError(
            "No pages are named. Give them as module:attribute, as in shop.pages:pages, "
            'or once and for all in pyproject.toml: [tool.preterite] pages = "shop.pages:pages".'
        )
    return pages


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
