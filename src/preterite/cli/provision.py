"""`preterite provision`: a database and two roles for each component on a PostgreSQL server, proved to be closed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preterite import settings
from preterite.cli.application import Refused, add_command, find
from preterite.cli.output import table
from preterite.settings import owner_variable, url_variable

HELP = """\
Make for each component of APP, and for the log, a database with two roles: one that owns the tables and runs
migrations, one that reads and writes rows. Nobody else may connect. Then log in as every component and show that
every other component's data is refused. What is there already is kept; running it again changes nothing.

  preterite provision shop.system:system --admin postgresql://postgres@localhost/postgres
  preterite provision shop.system:system --admin postgresql://postgres@localhost/postgres --dry-run

The URLs, with new passwords, are written to a file that only its owner can read (.preterite/SYSTEM.env). Use it with:
  set -a; . .preterite/shop.env; set +a; preterite run shop.system:system
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "provision", "make databases and roles on PostgreSQL", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--admin", required=True, metavar="URL", help="an administrator's way to the server")
    parser.add_argument("--urls", type=Path, metavar="FILE", help="where the URLs are written")
    parser.add_argument("--dry-run", action="store_true", help="print the SQL and change nothing")
    parser.add_argument("--new-passwords", action="store_true", help="also for roles that are there already")
    parser.set_defaults(command=provision)


def provision(options: argparse.Namespace) -> int:
    """Make what is missing, write the URLs, and prove that nobody reaches what is another's."""
    from preterite import provisioning

    application, _ = find([options.app] if options.app else [])
    system = application.system
    places = provisioning.premises_of(system.name, [component.name for component in system.components])
    file: Path = options.urls or Path(settings.DEFAULT_FOLDER) / f"{system.name}.env"
    server = provisioning.Server(options.admin)
    try:
        known = {} if options.new_passwords else _known_passwords(file, places)
        present = server.present()
        roles = [role for place in places for role in (place.owner, place.runner)]
        passwords = {role: known.get(role) or provisioning.new_password() for role in roles}
        if options.dry_run:
            _print_sql(places, present, passwords)
            return 0
        _refuse_lost_passwords(file, known, present.roles, places, renew=options.new_passwords)
        provisioning.write_urls(file, server, places, passwords)
        provisioning.provision(server, places, passwords, lambda name: print(f"  {name} is ready", file=sys.stderr))
        print(f"the URLs are in {file}", file=sys.stderr)
        return _show(provisioning.prove(server, places, passwords))
    finally:
        server.close()


def _print_sql(places: Any, present: Any, passwords: Mapping[str, str]) -> None:
    from preterite import provisioning

    for place in places:
        print(f"-- {place.component}")
        for step in provisioning.statements(place, present, passwords, lambda _role, _password: "…"):
            print(f"{'' if step.database is None else f'/* in {step.database} */ '}{step.shown};")
        print(f"/* in {place.database} */ -- as {place.owner}: the tables, as preterite migrate sql prints them")
        for step in provisioning.grants(place, present.version):
            print(f"/* in {step.database} */ {step.shown};")


def _show(refusals: Any) -> int:
    """What every component tried, and how it was refused; 1 if anything was allowed."""
    rows = [
        [refusal.role, refusal.tried, "refused" if refusal.refused else "ALLOWED", refusal.answer]
        for refusal in refusals
    ]
    print(table(["role", "tried", "", "the server's answer"], rows))
    allowed = sum(1 for refusal in refusals if not refusal.refused)
    print(f"{len(refusals)} attempts, {allowed} allowed")
    return 1 if allowed else 0


def _known_passwords(file: Path, places: Any) -> dict[str, str]:
    """The passwords of an earlier run, by role."""
    from psycopg.conninfo import conninfo_to_dict

    if not file.is_file():
        return {}
    lines = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    wanted = [name for one in places for name in (url_variable(one.component), owner_variable(one.component))]
    found = [conninfo_to_dict(lines[name]) for name in wanted if name in lines]
    return {str(parts["user"]): str(parts["password"]) for parts in found if "user" in parts and "password" in parts}


def _refuse_lost_passwords(
    file: Path, known: Mapping[str, str], roles: frozenset[str], places: Any, *, renew: bool
) -> None:
    there = [role for place in places for role in (place.owner, place.runner) if role in roles and role not in known]
    if there and not renew:
        raise Refused(
            f"The role {there[0]!r} is there already, and {file} does not have its password; nothing was changed. "
            "Give the file of the earlier run with --urls, or --new-passwords, after which the old ones are refused."
        )
