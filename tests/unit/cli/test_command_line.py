"""The command line: what it says, where it says it, and its exit codes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import process_shop
from support.command_line import Run
from support.process_shop import finance
from support.processes import RunningShop

from preterite import errors
from preterite.cli.command_line import COMMANDS
from preterite.cli.exit_codes import EXIT_CODES, exit_code_of
from preterite.cli.output import ago, table

APP = "support.process_shop:system"
XML = """<?xml version="1.0"?>
<messages><itempurchased><purchase_id>57cbe59c-6881-4e5d-84a5-3264e2252ac2</purchase_id>
<customer_id>2ed3cd8e-b7c2-4557-9442-4f58939c201b</customer_id><purchased_at>2013-01-17T13:37:00</purchased_at>
</itempurchased></messages>
"""


def letter(shop: RunningShop) -> str:
    """A dead letter of Finance, and another event behind it."""
    customer = shop.opened.randomness.uuid()
    shop.publish("raises always", customer)
    shop.publish("", customer)
    shop.opened.settle(failures="park")
    with shop.opened.connection(finance) as connection:
        connection.execute("update preterite_parked set state = 'dead' where attempts > 0")
        return f"finance/{connection.execute('select id from preterite_parked where attempts > 0').fetchone()[0]}"


def test_without_a_command_it_says_what_it_is_and_what_to_try(run: Run) -> None:
    code, out, _ = run()

    assert code == 0
    assert all(
        word in out for word in ("preterite run", "preterite status", "preterite dead-letters list", "[tool.preterite]")
    )
    assert out == run("--help")[1], "with every command and every exit code"


@pytest.mark.parametrize(
    ("words", "others"),
    [
        (("dead-letters", "list"), "dead-letters discard"),
        (("replay", "pause"), "replay plan"),
        (("recover", "accept"), "recover fill"),
        (("contracts", "lock"), "contracts table"),
        (("pages", "show"), "pages list"),
        (("migrate", "sql"), "migrate up"),
    ],
)
def test_the_help_of_a_subcommand_is_its_own_and_names_that_of_its_group(
    run: Run, words: tuple[str, str], others: str
) -> None:
    out = run(*words, "--help")[1]

    assert f"\n  preterite {' '.join(words)}" in out
    assert others not in out
    assert f"about {words[0]}: preterite {words[0]} --help\n" in out


def test_help_lists_the_exit_codes(run: Run) -> None:
    _, out, _ = run("--help")
    _, of_a_command, _ = run("dead-letters", "redrive", "--help")

    assert out.partition("exit codes:\n")[2].splitlines() == [
        f"  {code:<4} {text}" for code, text in EXIT_CODES.items()
    ]
    assert of_a_command.endswith("exit codes: preterite --help\n")


@pytest.mark.parametrize(
    "command", ["run", "status", "dead-letters", "publish", "describe", "retire", "clock", "replay"]
)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")

    assert code == 0
    assert f"  preterite {command}" in out
    assert len(out.splitlines()) > 5


def test_a_word_that_is_not_understood_is_exit_code_2_and_one_sentence(run: Run) -> None:
    code, _, err = run("statsu")

    assert code == 2
    assert "invalid choice: 'statsu'" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "dead-letters list"])
def test_a_word_too_many_names_the_help_of_its_own_command(run: Run, command: str) -> None:
    code, _, err = run(*command.split(), "extra")

    assert code == 2
    assert err == f"preterite {command}: unrecognized arguments: extra; see preterite {command} --help.\n"


def test_a_url_of_no_known_kind_is_said_of_its_component(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETERITE_FINANCE_URL", "mysql://localhost/finance")
    for command in ("status", "migrate status", "run"):
        code, _, err = run(*command.split(), "-A", APP)

        assert code == 3
        assert err.startswith("preterite: The URL of component 'finance' is not valid: ")


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("nowhere:system", "There is no module 'nowhere', which 'nowhere:system' names, in "),
        (":", "':' names no system; write MODULE:ATTR"),
        ("shop:", "'shop:' names no system; write MODULE:ATTR"),
        ("a shop:system", "'a shop:system' names no system; write MODULE:ATTR"),
        ("support.process_shop:shop", "process_shop has no System called 'shop'; it has system."),
        ("json:system", "json has no System called 'system'; it has none."),
    ],
)
def test_an_application_that_cannot_be_found_is_exit_code_3(run: Run, app: str, says: str) -> None:
    code, out, err = run("status", "-A", app)

    assert (code, out) == (3, "")
    assert says in err
    assert "Traceback" not in err


def test_a_declaration_that_is_refused_on_import_ends_with_one_full_stop(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare_shop.py").write_text(
        "from preterite import Component\nsales = Component('sales')\n@sales.handles\ndef bill(event): ...\n"
    )
    code, _, err = run("status", "-A", "bare_shop:system")

    assert code == 3
    assert err.endswith("nothing was declared.\n")


def test_an_application_that_fails_when_it_is_imported_is_said_in_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_shop.py").write_text("from preterite import System\n1 / 0\n")
    code, _, err = run("status", "-A", "failing_shop:system")

    assert code == 3
    assert err == "preterite: failing_shop cannot be imported: ZeroDivisionError: division by zero.\n"


@pytest.mark.parametrize(
    "words",
    [
        ("dead-letters", "list", "-A", APP, "--component", "finance"),
        ("dead-letters", "redrive", "-A", APP, "finance/1"),
        ("retire", "-A", APP, "finance", "former"),
        ("publish", "-A", APP, "finance", "-"),
    ],
)
def test_a_database_that_is_locked_is_exit_code_4(
    run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[]")))
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 10)
    shop.publish()
    with shop.opened.connection(finance) as connection:
        connection.execute("pragma locking_mode=exclusive")
        connection.execute("begin exclusive")
        code, _, err = run(*words)
        connection.execute("rollback")

    assert code == 4
    assert "locked" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("-C", "DIR", "describe"), ("describe", "-C", "DIR"), ("pages", "list", "-C", "DIR")]
)
def test_the_folder_to_work_in_is_named_before_or_after_the_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.preterite]\napp = "nowhere:system"\npages = "nowhere:pages"\n')
    monkeypatch.chdir(tmp_path.parent)
    code, _, err = run(*(str(tmp_path) if word == "DIR" else word for word in words))

    assert code == 3
    assert f"There is no module 'nowhere', which 'nowhere:{'pages' if 'pages' in words else 'system'}' names" in err
    assert f"in {tmp_path} or among the installed packages" in err


@pytest.mark.parametrize("folder", ["nowhere", "a_file"])
def test_a_folder_to_work_in_that_is_none_is_exit_code_2_and_one_sentence(
    run: Run, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "a_file").touch()
    code, _, err = run("-C", str(tmp_path / folder), "status", "-A", APP)

    assert code == 2
    assert err.startswith(f"preterite: {tmp_path / folder} is not a directory to work in: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("-A", APP, "dead-letters", "list"), ("dead-letters", "-A", APP, "list"), ("dead-letters", "list", "--app", APP)],
)
def test_the_application_is_named_before_or_after_the_command(
    run: Run, shop: RunningShop, words: tuple[str, ...]
) -> None:
    assert shop.opened.name == "shop"
    assert run(*words)[:2] == (0, "no dead letters\n")


def test_an_application_without_an_attribute_is_exit_code_3(run: Run) -> None:
    assert run("-A", "shop.system", "status") == (
        3,
        "",
        "preterite: 'shop.system' names no system; write MODULE:ATTR, as in shop.system:system.\n",
    )


def test_no_application_at_all_says_how_to_name_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("status")

    assert code == 3
    assert '[tool.preterite] app = "shop.system:system"' in err


def test_the_project_may_name_the_application(run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.folder / "pyproject.toml").write_text(f'[tool.preterite]\napp = "{APP}"\n')
    monkeypatch.chdir(shop.folder)

    assert run("status")[1].startswith("shop: ")
    assert run("describe")[0] == 0


# dead letters


def test_dead_letters_are_listed_shown_redriven(run: Run, shop: RunningShop) -> None:
    name = letter(shop)
    listed = run("dead-letters", "list", "-A", APP)
    shown = run("dead-letters", "show", "-A", APP, name)
    as_json = json.loads(run("dead-letters", "show", "-A", APP, name, "--json")[1])
    redriven = run("dead-letters", "redrive", "-A", APP, name, "--at-once")
    again = run("dead-letters", "redrive", "-A", APP, name, "--at-once")

    assert listed[0] == 0
    assert re.search(rf"{name} +bill +sales\.ItemPurchased +RuntimeError +process_shop\.py:\d+", listed[1])
    assert "RuntimeError: no price at process_shop.py:" in shown[1]
    assert 'raise RuntimeError("no price")' in shown[1]
    assert '"what":"raises always"' in shown[1]
    assert (as_json["dead_letter"], as_json["error"]) == (name, "RuntimeError")
    assert redriven[:2] == (0, "finance: 1 redriven\n")
    assert again[:2] == (2, "")
    assert again[2] == (
        f"preterite: There is no dead letter {name}; nothing was changed. preterite dead-letters list shows those "
        "there are.\n"
    )


def test_what_is_no_dead_letter_among_those_that_are_is_named_and_the_others_are_redriven(
    run: Run, shop: RunningShop
) -> None:
    name = letter(shop)

    assert run("dead-letters", "redrive", "-A", APP, name, "finance/77", "sales/1", "--at-once")[:2] == (
        6,
        "finance: 1 redriven; finance/77 is not a dead letter\nsales: 0 redriven; sales/1 is not a dead letter\n",
    )


def test_a_dead_letter_is_discarded_with_a_reason_and_its_follower_goes_on(run: Run, shop: RunningShop) -> None:
    name = letter(shop)
    without = run("dead-letters", "discard", "-A", APP, name)
    done = run("dead-letters", "discard", "-A", APP, name, "--reason", "a test", "--as", "ops")
    shop.opened.settle(failures="park")
    with shop.opened.connection(finance) as connection:
        kept = connection.execute("select reason, discarded_by from preterite_discarded").fetchall()

    assert without[0] == 2
    assert "--reason" in without[2]
    assert done[:2] == (0, "finance: 1 discarded\n")
    assert kept == [("a test", "ops")]
    assert len(shop.billed()) == 1


def test_all_dead_letters_at_once(run: Run, shop: RunningShop) -> None:
    letter(shop)

    all_of_finance = run("dead-letters", "redrive", "-A", APP, "--all", "--component", "finance", "--at-once")
    assert all_of_finance[:2] == (0, "finance: 1 redriven\n")
    for words in (("plan",), ("redrive",), ("discard", "--reason", "none")):
        assert run("dead-letters", *words, "-A", APP, "--all")[:2] == (0, "no dead letters\n")
    assert run("dead-letters", "list", "-A", APP)[1] == "no dead letters\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dead-letters", "show", "-A", APP, "finance/77"), "There is no dead letter finance/77"),
        (("dead-letters", "show", "-A", APP, "77"), "'77' names no dead letter; write COMPONENT/NUMBER"),
        (("dead-letters", "show", "-A", APP, "finanse/1"), "Did you mean 'finance'?"),
        (("dead-letters", "redrive", "-A", APP), "Choose dead letters: by name, as in finance/12, or with --group"),
        (
            ("dead-letters", "redrive", "-A", APP, "finance/1", "--all"),
            "Name dead letters, or choose them with --group",
        ),
        (("dead-letters", "redrive", "-A", APP, "--oldest", "3"), "--oldest needs --component or --group"),
        (("dead-letters", "plan", "-A", APP, "--group", "gabcdef"), "There is no failure group 'gabcdef'"),
        (
            ("dead-letters", "edit", "-A", APP, "finance/1", "quantity", "--reason", "typing"),
            "'quantity' changes nothing",
        ),
        (
            ("dead-letters", "edit", "-A", APP, "finance/1", "--reason", "typing"),
            "required: FIELD=VALUE",
        ),
        (("dead-letters", "note", "-A", APP, "gabcdef"), "required: TEXT"),
        (("publish", "-A", APP, "sales"), "required: FILE"),
        (("publish", "-A", APP, "finance", __file__), "finance publishes no events. Nothing was published."),
        (("recover", "reset", "-A", APP, "sales", "finance"), "sales subscribes to no event of finance"),
        (("recover", "accept-loss", "-A", APP, "shipping", "finance"), "It subscribes to events of sales."),
        (("publish", "-A", APP, "sales", "nowhere.xml"), "nowhere.xml cannot be read: No such file or directory"),
        (
            ("run", "-A", APP, "--only", "marketing"),
            "There is no component 'marketing' here; known: sales, finance",
        ),
        (("retire", "-A", APP, "finance", "bill"), "finance.bill is still declared in the program"),
        (("retire", "-A", APP, "finance", "mail"), "finance has no active handler 'mail'; it has bill."),
    ],
)
def test_what_does_not_fit_is_exit_code_2_and_one_sentence(
    run: Run, shop: RunningShop, words: tuple[str, ...], says: str
) -> None:
    code, _, err = run(*words)

    assert shop.opened.name == "shop"
    assert code == 2
    assert says in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [("dead-letters", "list", "-A", APP), ("replay", "status", "-A", APP)])
def test_a_database_without_tables_in_the_place_of_a_components_is_named(
    run: Run, shop: RunningShop, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    monkeypatch.setenv("PRETERITE_FINANCE_URL", f"sqlite:///{empty}")
    code, _, err = run(*words)

    assert shop.opened.name == "shop"
    assert code == 6, "the other components are shown"
    assert f"finance is left out: sqlite:///{empty} holds no table of Preterite" in err
    assert "older version" not in err


@pytest.mark.parametrize("words", [("dead-letters", "list", "-A", APP), ("replay", "status", "-A", APP)])
def test_tables_of_an_older_version_are_said_in_one_sentence(
    run: Run, shop: RunningShop, words: tuple[str, ...]
) -> None:
    with shop.opened.connection(finance) as connection:
        connection.execute("delete from preterite_migration")
    code, _, err = run(*words)

    assert code == 6, "the other components are shown"
    assert err == (
        "finance is left out: The database of 'finance' has tables of an older version of Preterite; "
        "nothing was written. "
        "Run preterite migrate up, or preterite run.\n"
    )


# publish


def test_publish_reads_xml_and_json(run: Run, shop: RunningShop, tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(XML)
    fields = (
        '{"purchase_id": "57cbe59c-6881-4e5d-84a5-3264e2252ac3", "customer_id": "2ed3cd8e-b7c2-4557-9442-4f58939c201b"'
    )
    message = f'{{"type": "sales.ItemPurchased", "data": {fields}, "purchased_at": "2013-01-17T13:37:00Z"}}}}'
    (tmp_path / "two.json").write_text(f"[{message}, {message}]")

    assert run("publish", "-A", APP, "sales", str(tmp_path / "one.xml"))[:2] == (0, "published 1 event of sales\n")
    assert run("publish", "-A", APP, "sales", str(tmp_path / "two.json"))[:2] == (0, "published 2 events of sales\n")
    shop.opened.settle()
    assert len(shop.opened.published(process_shop.ItemPurchased)) == 3


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("<m><itempurchased/></m>", "missing required field `purchase_id`"),
        ('[{"type": "sales.Nothing", "data": {}}]', "No event is called 'sales.Nothing'"),
        (XML.replace("<messages>", "<!DOCTYPE m []><messages>"), "declares a document type"),
        (XML[:200], "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_bad_document_publishes_nothing_and_is_exit_code_1(
    run: Run, shop: RunningShop, tmp_path: Path, document: str, says: str
) -> None:
    (tmp_path / "document").write_text(document)
    code, _, err = run("publish", "-A", APP, "sales", str(tmp_path / "document"))

    assert code == 1
    assert says in err
    assert "Nothing was published" in err
    assert shop.opened.status()["sales"].outbox == 0


# describe


def test_describe_prints_publishers_and_subscribers_and_opens_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("describe", "-A", APP)
    as_json = json.loads(run("describe", "-A", APP, "--json")[1])

    assert code == 0
    assert "publishes sales.ItemPurchased (purchase_id: UUID, customer_id: UUID" in out
    assert "key customer_id; subscribers: finance, shipping" in out
    assert "handles   ItemPurchased with bill" in out
    assert as_json["components"][0]["publishes"][0]["subscribers"] == ["finance", "shipping"]
    assert list(tmp_path.iterdir()) == []


# exit codes and errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StoreUnavailable("locked"), 4),
        (errors.LogAhead("ahead"), 4),
        (errors.WrongDatabase("wrong"), 3),
        (errors.NotDurable("weak"), 3),
        (errors.NotMigrated("sales"), 3),
        (errors.ConfigurationError("what"), 3),
        (errors.SystemRefused("shop", ["a fault"]), 3),
        (errors.Undecodable("bytes"), 1),
        (errors.InvalidEvent("naive"), 1),
    ],
)
def test_every_kind_of_trouble_has_its_exit_code(error: errors.PreteriteError, code: int) -> None:
    assert exit_code_of(error) == code


def test_the_tree_at_the_head_of_the_errors_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    there = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]

    assert ["PreteriteError", *drawn] == there


def test_debug_shows_the_traceback(run: Run) -> None:
    assert "Traceback" in run("--debug", "status", "-A", "nowhere:system")[2]
    assert "Traceback" in run("status", "-A", "nowhere:system", "--debug")[2]


def test_it_is_also_a_module_and_knows_its_version() -> None:
    done = subprocess.run([sys.executable, "-m", "preterite", "--version"], capture_output=True, text=True, check=True)

    assert re.fullmatch(r"preterite \d+\.\d+\.\d+\n", done.stdout)


def test_the_database_of_another_system_is_refused_before_anything_runs(run: Run, shop: RunningShop) -> None:
    other = shop.folder / "other.py"
    other.write_text(
        "from preterite import Component, System\nsystem = System('bank', [Component('sales'), Component('finance')])"
    )
    done = subprocess.run(
        [sys.executable, "-m", "preterite", "run", "-A", "other:system"],
        cwd=shop.folder,
        env=dict(shop.environment),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "belongs to system 'shop' with 8 partitions; this is 'bank'" in done.stderr
    assert "Traceback" not in done.stderr


# tables


def test_tables_line_up() -> None:
    assert table(["name", "count"], [["a", 1], ["longer", 12_345]], right=(1,)) == (
        "name     count\na            1\nlonger  12,345"
    )


@pytest.mark.parametrize(("seconds", "says"), [(-1, "0 s"), (5, "5 s"), (90, "2 m"), (7200, "2 h"), (200_000, "2 d")])
def test_how_long_ago(seconds: float, says: str) -> None:
    assert ago(seconds) == says


def test_a_worker_imports_no_command_and_nothing_for_the_network() -> None:
    """A process for each component starts at every start of a system: what it does not need delays all of them."""
    code = "import preterite.cli.worker, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())

    assert {f"preterite.cli.{command.__name__.rpartition('.')[2]}" for command in COMMANDS} & imported == set()
    assert {"urllib.request", "importlib.metadata", "preterite.checks", "preterite.testing"} & imported == set()
