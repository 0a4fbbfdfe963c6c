"""`preterite check` and `preterite explain`: whether the partition holds, and what a rule means."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, Refused, add_command, find
from preterite.clock import SystemClock
from preterite.errors import UsageError
from preterite.evolution import lock

HELP = """\
Looks for whatever crosses a boundary between components: in code, SQL, declared tables, databases and events.
Opens nothing but with --rights. Fails if anything does, but for what accepted.toml names; with --strict warnings
fail too.

  preterite check shop.system:system
  preterite check --format github           in CI
  preterite check --rights                  on PostgreSQL: also log in as each component, and try what is not its own
  preterite check --accept "before we began"    write accepted.toml, once, with all that crosses now
  preterite check --shrink                  take out of it what crosses no more
  preterite explain touches-foreign-table
"""
EXPLAIN = """\
What a rule says, why, and what to do instead; without a rule, all of them.

  preterite explain event-carries
"""
FORMATS = ("full", "concise", "json", "sarif", "github")


def add_to(commands: Any) -> None:
    """Declare both commands."""
    parser = add_command(commands, "check", "whether any boundary is crossed", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--format", choices=FORMATS, default="full", help="how findings are shown (full)")
    parser.add_argument("--rights", action="store_true", help="log in as each component and try the others' tables")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument(
        "--list", type=Path, metavar="FILE", help="what is accepted (accepted.toml beside pyproject.toml)"
    )
    parser.add_argument("--accept", metavar="REASON", help="begin the list of what is accepted")
    parser.add_argument("--shrink", action="store_true", help="take out of the list what crosses no more")
    parser.set_defaults(command=check)
    parser = add_command(commands, "explain", "what a rule of check means", EXPLAIN)
    parser.add_argument("rule", nargs="?", metavar="RULE", help="as check names it")
    parser.set_defaults(command=explain)


def check(options: argparse.Namespace) -> int:
    """Check, and say what was found; 1 if anything crosses that is not accepted."""
    application, _ = find([options.app] if options.app else [])
    whole = checks()
    from preterite.checks import accepted, report

    file: Path = options.list or root() / accepted.FILE
    entries = accepted.read(file)
    found = whole.check(application.system, application.urls(), root() / lock.FILE)
    if options.rights:
        found = [*found, *_rights(application)]
    if options.accept is not None:
        return _begin(file, options.accept, found, bool(entries))
    if options.shrink:
        left = accepted.shrunk(entries, found)
        accepted.write(file, left)
        print(f"{file.name}: {len(entries) - len(left)} entries removed, {len(left)} left", file=sys.stderr)
        entries = tuple(left)
    left, taken = accepted.apply(found, entries, file)
    shown = report.FORMATS[options.format](left, Path.cwd())
    if shown:
        print(shown)
    print(f"{application.system.name}: {report.summary(left, taken)}", file=sys.stderr)
    fails = ("error", "warning") if options.strict else ("error",)
    return 1 if any(one.about.severity in fails for one in left) else 0


def explain(options: argparse.Namespace) -> int:
    """Explain a rule, or list all."""
    checks()
    from preterite.checks.report import explained
    from preterite.checks.rules import RULES
    from preterite.cli.output import table

    if options.rule is None:
        print(
            table(["rule", "where", "severity", "says"], [[r.id, r.level, r.severity, r.says] for r in RULES.values()])
        )
        return 0
    if options.rule not in RULES:
        raise Refused(f"There is no rule {options.rule!r}; preterite explain lists them.")
    print(explained(RULES[options.rule]))
    return 0


def root() -> Path:
    """The folder of the nearest pyproject.toml, or the one that one is in."""
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / "pyproject.toml").is_file()), here)


def _rights(application: Application) -> list[Any]:
    from preterite.checks.partition import Partition
    from preterite.checks.rights import check_rights

    return list(check_rights(Partition(application.system, application.urls())))


def _begin(file: Path, reason: str, found: list[Any], exists: bool) -> int:
    from preterite.checks import accepted

    if exists:
        raise Refused(f"{file} is there already, and may only shrink. Write a further entry by hand, with its reason.")
    entries = accepted.begun(found, reason, SystemClock().now().date())
    accepted.write(file, entries)
    print(f"{file}: {len(entries)} crossings accepted", file=sys.stderr)
    return 0


def checks() -> Any:
    """The package of checks; raises `UsageError` where what it needs is not installed."""
    try:
        from preterite import checks as found
    except ModuleNotFoundError as error:
        raise UsageError(f"preterite check needs {error.name}: pip install 'preterite[check]'.") from error
    return found
