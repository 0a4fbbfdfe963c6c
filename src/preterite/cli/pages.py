"""`preterite pages`: the pages, their parts, and the order in which the parts are called."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preterite import settings
from preterite.cli.application import Refused, add_command, add_verb, import_module, parts_of
from preterite.cli.output import print_block, print_line, table
from preterite.composition.pages import Page, Step, plans
from preterite.errors import ConfigurationError

HELP = """\
Print the pages that are composed from parts of several components. A part is a function of one component that fills
one slot of a page. --pages names the pages as MODULE:ATTR, a sequence; without it, the setting `pages` of
[tool.preterite] in pyproject.toml is used. Opens no database.

  preterite pages list             every page: its path, its components, and its waves: parts that are called together
  preterite pages show invoice     one page: each slot, the part that fills it, and which parts give it its identifiers
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "pages", "print the pages that are composed from parts of several components", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = add_verb(verbs, "pages", "list", "print every page", HELP)
    listing.set_defaults(command=list_pages)
    showing = add_verb(verbs, "pages", "show", "print one page", HELP)
    showing.add_argument("name", metavar="NAME", help="the name of a page")
    showing.set_defaults(command=show_page)
    for verb in (listing, showing):
        verb.add_argument(
            "--pages", metavar="MODULE:ATTR", help="the pages; default: pages of [tool.preterite] in pyproject.toml"
        )


def declared_pages(name: str | None = None) -> Sequence[Page]:
    """The pages of this name, or those that the project names; none if it names none."""
    name = name or settings.read_project(Path.cwd()).pages
    if name is None:
        return ()
    module_name, attribute = parts_of(name, "pages", "MODULE:ATTR, as in shop.pages:pages")
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
    name: str = options.name
    pages = {page.name: page for page in _some(declared_pages(options.pages))}
    if name not in pages:
        close = difflib.get_close_matches(name, list(pages), 1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise Refused(f"There is no page {name!r}; preterite pages list shows those there are.{meant}")
    page = pages[name]
    takes = ", ".join(f"{source} ({kind.__name__})" for source, kind in page.takes.items()) or "nothing"
    print_line(f"{page.name} {page.path}, takes {takes}")
    print_line()
    rows = [["wave", "slot", "part", "", "identifiers", "provides", "declared"]]
    for number, wave in enumerate(plans([page])[name], start=1):
        rows += [_row(number, step) for step in wave]
    _print(rows)
    return 0


def _row(number: int, step: Step) -> list[str]:
    part = step.part
    identifiers = [f"{part.needs[name].__name__} of {' and '.join(sources)}" for name, sources in step.sources.items()]
    provides = ", ".join(kind.__name__ for kind in part.provides)
    required = "required" if part.required else ""
    return [
        str(number),
        part.slot,
        part.full_name,
        required,
        ", ".join(identifiers) or "–",
        provides or "–",
        part.place,
    ]


def _some(pages: Sequence[Page]) -> Sequence[Page]:
    if not pages:
        raise ConfigurationError(
            "No pages are given. Name them with --pages MODULE:ATTR, as in --pages shop.pages:pages, "
            'or in pyproject.toml: [tool.preterite] pages = "shop.pages:pages".'
        )
    return pages


def _print(rows: Sequence[Sequence[str]]) -> None:
    print_block(table(rows[0], rows[1:]))
