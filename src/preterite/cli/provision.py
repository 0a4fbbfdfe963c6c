"""`preterite provision`: creates a database and two roles for each component, and tests their isolation."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preterite.cli.application import Refused, add_command, find
from preterite.cli.output import number_of, print_block, print_line, table
from preterite.clock import SystemRandomness
from preterite.drivers.private_folder import DEFAULT_FOLDER
from preterite.log.contract import LogIdentity
from preterite.settings import ADMIN_VARIABLE, owner_variable, url_variable

HELP = """\
Create a database with two roles for each component, and for the log: one role owns the tables and runs migrations, one
reads and writes rows. No other role may connect. Then log in as every component and test that the server refuses access
to every other component's data. What exists is kept; running the command again changes nothing.

  preterite provision --admin postgresql://postgres@localhost/postgres
  preterite provision --admin postgresql://postgres@localhost/postgres --dry-run

The URLs, with new passwords, are written to files that only their owner can read: .preterite/SYSTEM.env for the roles
that run, SYSTEM.owners.env for migrations, SYSTEM.COMPONENT.env for one worker alone. Use the first with:
  set -a; . .preterite/shop.env; set +a; preterite run
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "provision", "create databases and roles on PostgreSQL", HELP)
    parser.add_argument(
        "--admin",
        default=os.environ.get(ADMIN_VARIABLE),
        metavar="URL",
        help=f"the server, with a role that may create databases and roles; default: {ADMIN_VARIABLE}",
    )
    parser.add_argument(
        "--urls", type=Path, metavar="FILE", help="the file for the URLs; default: .preterite/SYSTEM.env"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the SQL and change nothing")
    parser.add_argument("--new-passwords", action="store_true", help="set new passwords for existing roles, too")
    parser.set_defaults(command=provision)


def provision(options: argparse.Namespace) -> int:
    """Create what is missing, write the URLs, and test that no role reaches another component's data."""
    from preterite.operations import proof, provisioning

    if options.admin is None:
        raise Refused(f"No server is given. Name it with --admin, or in {ADMIN_VARIABLE}.")
    application = find(options)
    system = application.system
    places = provisioning.premises_of(system.name, [component.name for component in system.components])
    file: Path = options.urls or Path(DEFAULT_FOLDER) / f"{system.name}.env"
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
        identity = LogIdentity(system.name, SystemRandomness().uuid(), system.partitions)
        declared = provisioning.declared_log(identity, system.components)
        provisioning.write_urls(file, server, places, passwords)
        provisioning.provision(server, places, passwords, _print_ready, declared)
        print_line(f"the URLs are in {file}", error=True)
        return _show(proof.prove(server, places, passwords))
    finally:
        server.close()


def _print_ready(component: str) -> None:
    print_line(f"  {component} is ready", error=True)


def _print_sql(places: Any, present: Any, passwords: Mapping[str, str]) -> None:
    from preterite.operations import provisioning

    for place in places:
        print_line(f"-- {place.component}")
        for step in provisioning.statements(place, present, passwords, lambda _role, _password: "…"):
            print_line(f"{'' if step.database is None else f'/* in {step.database} */ '}{step.shown};")
        print_line(f"/* in {place.database} */ -- as {place.owner}: the tables, as preterite migrate sql prints them")
        steps = provisioning.grants(place, present.version)
        if place.component == provisioning.LOG:
            steps = provisioning.log_grants(place, [one for one in places if one is not place])
        for step in steps:
            print_line(f"/* in {step.database} */ {step.shown};")


def _show(refusals: Any) -> int:
    """What every component tried, and how it was refused; 1 if anything was allowed."""
    rows = [
        [refusal.role, refusal.tried, "refused" if refusal.refused else "ALLOWED", refusal.answer]
        for refusal in refusals
    ]
    print_block(table(["role", "tried", "", "the server's answer"], rows))
    allowed = sum(1 for refusal in refusals if not refusal.refused)
    print_line(f"{number_of(len(refusals), 'attempt')}, {allowed} allowed")
    return 1 if allowed else 0


def _known_passwords(file: Path, places: Any) -> dict[str, str]:
    """The passwords of an earlier run, by role."""
    from psycopg.conninfo import conninfo_to_dict

    from preterite.operations.provisioning import owners_file

    texts = [one.read_text(encoding="utf-8") for one in (file, owners_file(file)) if one.is_file()]
    lines = dict(line.split("=", 1) for text in texts for line in text.splitlines() if "=" in line)
    wanted = [name for one in places for name in (url_variable(one.component), owner_variable(one.component))]
    found = [conninfo_to_dict(lines[name]) for name in wanted if name in lines]
    return {str(parts["user"]): str(parts["password"]) for parts in found if "user" in parts and "password" in parts}


def _refuse_lost_passwords(
    file: Path, known: Mapping[str, str], roles: frozenset[str], places: Any, *, renew: bool
) -> None:
    there = [role for place in places for role in (place.owner, place.runner) if role in roles and role not in known]
    if there and not renew:
        raise Refused(
            f"The role {there[0]!r} exists, and {file} does not have its password; nothing was changed. "
            "Give the file of the earlier run with --urls, or --new-passwords, which replaces the old ones."
        )
