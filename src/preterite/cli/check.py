"""`preterite check` and `preterite explain`: violations of boundaries, and what each rule means."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.output import number_of, print_block, print_line
from preterite.clock import SystemClock
from preterite.evolution import lock
from preterite.settings import read_file

HELP = """\
Check the boundaries between components: code, SQL, declared tables, databases, events, contracts. Opens no database,
except with --rights. The baseline is a file of accepted violations. Exits with 1 if there are errors that are not in
it; with --strict, warnings too.

  preterite check
  preterite check --format github           in CI
  preterite check --rights                  on PostgreSQL: also log in as each component and try the others' tables
  preterite check --accept "before we started"    write baseline.toml with all current errors, once
  preterite check --recorded                also what the last run of pytest recorded
  preterite check --shrink                  remove entries from the baseline that match no violation
  preterite explain cross-component-sql
"""
EXPLAIN = """\
Print a rule of preterite check, why it matters, and what to do instead; without RULE, list all rules.

  preterite explain event-carries-data
"""
FORMATS = ("full", "concise", "json", "sarif", "github")


def add_to(commands: Any) -> None:
    """Declare both commands."""
    parser = add_command(commands, "check", "check the boundaries between components", HELP)
    parser.add_argument("--format", choices=FORMATS, default="full", help="output format; default: full")
    parser.add_argument(
        "--rights", action="store_true", help="also log in to PostgreSQL as each component and try the others' tables"
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE",
        help="add what pytest recorded, from this file; default: do not, and without FILE from pytest's cache",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings too")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="the file of accepted violations; default: baseline.toml beside pyproject.toml",
    )
    parser.add_argument(
        "--accept",
        metavar="REASON",
        help="accept all current errors: write them to the baseline, with this reason; default: accept nothing",
    )
    parser.add_argument(
        "--shrink", action="store_true", help="remove entries from the baseline that match no violation"
    )
    parser.set_defaults(command=check)
    parser = add_command(commands, "explain", "explain a rule of preterite check", EXPLAIN)
    parser.add_argument("rule", nargs="?", metavar="RULE", help="the name of a rule")
    parser.set_defaults(command=explain)


def check(options: argparse.Namespace) -> int:
    """Check and print the findings; 1 if there are errors that are not in the baseline."""
    application = find(options)
    checks()
    from preterite.checks import baseline, report

    file: Path = options.baseline or root() / baseline.FILE
    _refuse_arguments(options, file)
    entries = baseline.read(file)
    found, whole = _found(options, application)
    if options.accept is not None:
        return _accept(file, options.accept, found, entries)
    if options.shrink:
        left = baseline.shrunk(entries, found, whole)
        baseline.write(file, left)
        removed = number_of(len(entries) - len(left), "entry", "entries")
        print_line(f"{file.name}: {removed} removed, {len(left)} left", error=True)
        entries = tuple(left)
    new, known = baseline.apply(found, entries, file, whole)
    text = report.FORMATS[options.format](new, Path.cwd())
    if text:
        print_block(text)
    print_line(f"{application.system.name}: {report.summary(new, known)}", error=True)
    fails = ("error", "warning") if options.strict else ("error",)
    return 1 if any(one.definition.severity in fails for one in new) else 0


def _refuse_arguments(options: argparse.Namespace, file: Path) -> None:
    if options.accept is not None and not options.accept.strip():
        raise Refused("--accept needs a reason, which the baseline keeps; nothing was written.")
    is_needed = options.accept is None and (options.shrink or options.baseline is not None)
    if is_needed and read_file(file) is None:
        raise Refused(f"There is no baseline {file}; nothing was written. preterite check --accept REASON writes one.")


def explain(options: argparse.Namespace) -> int:
    """Explain a rule, or list all."""
    checks()
    from preterite.checks.report import explained
    from preterite.checks.rules import RULES
    from preterite.cli.output import table

    if options.rule is None:
        rows = [[rule.id, rule.level, rule.severity, rule.summary] for rule in RULES.values()]
        print_block(table(["rule", "about", "severity", "summary"], rows))
        return 0
    if options.rule not in RULES:
        raise Refused(f"There is no rule {options.rule!r}; preterite explain lists the rules.")
    print_block(explained(RULES[options.rule]))
    return 0


def root() -> Path:
    """The folder of the nearest pyproject.toml, or the current directory if there is none."""
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / "pyproject.toml").is_file()), here)


def _found(options: argparse.Namespace, application: Application) -> tuple[list[Any], set[Any]]:
    """The violations of every source that is asked for, and the sources of which everything was run."""
    from preterite.checks import baseline

    found, whole = checks().check(application.system, application.urls(), root() / lock.FILE), {"code"}
    if options.rights:
        found, whole = [*found, *_rights(application)], {*whole, "rights"}
    if options.recorded is not None:
        file: Path = root() / baseline.RECORDED_FILE if options.recorded == Path() else options.recorded
        recorded, is_whole = baseline.read_recorded(file)
        found = [*found, *recorded]
        whole = {*whole, "run time"} if is_whole else whole
    return found, whole


def _rights(application: Application) -> list[Any]:
    from preterite.checks.partition import Partition
    from preterite.checks.rights import check_rights

    partition = Partition(application.system, application.urls())
    if not any(one.dialect == "postgres" for one in partition.ownerships):
        raise Refused(
            "--rights logs in to PostgreSQL, and all components are on SQLite files, which know no roles. "
            "Name their databases, for example in PRETERITE_SALES_URL, or leave --rights out."
        )
    return list(check_rights(partition))


def _accept(file: Path, reason: str, found: list[Any], known: Sequence[Any]) -> int:
    """Write the errors of the sources of which the baseline has no entry yet."""
    from preterite.checks import baseline

    entries = baseline.entries_for(found, reason, SystemClock().now().date(), known)
    if not known and not entries:
        print_line(f"there are no errors to accept; {file} was not written", error=True)
        return 0
    if known and not entries:
        raise Refused(f"{file} exists and may only shrink. Add further entries manually, each with its reason.")
    baseline.write(file, [*known, *entries])
    print_line(f"{file}: {number_of(len(entries), 'violation')} written", error=True)
    return 0


def checks() -> Any:
    """The package of checks; raises `ExtraMissing` if its dependencies are not installed."""
    from preterite import checks as found

    return found
