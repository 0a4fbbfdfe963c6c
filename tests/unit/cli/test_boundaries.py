"""The commands about boundaries: check, explain, contracts, owner, and describe in all its formats."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.command_line import Run
from support.processes import RunningShop

from preterite.checks import baseline
from preterite.checks.rules import RULES

RETAIL, COUPLED, SHOP = "retail.system:system", "coupled.system:system", "support.process_shop:system"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with nothing in it."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_shop_violates_no_boundary(run: Run, folder: Path) -> None:
    code, out, err = run("check", "-A", RETAIL, "--format", "concise")

    assert code == 0
    assert [line for line in out.splitlines() if "error[" in line or "warning[" in line] == []
    assert err == "retail: 2 notes\n"


def test_a_violation_fails_with_its_place_the_reason_and_the_alternative(run: Run, folder: Path) -> None:
    code, out, err = run("check", "-A", COUPLED)

    assert code == 1
    assert "sales/actions.py:" in out
    assert "error[imports-internals] sales imports coupled.finance.model, which is internal to finance." in out
    assert "imports-internals:sales:coupled.finance.model:import" in out
    assert out.count("Why: Imported code cannot be changed") == 1, "a rule is explained once"
    assert "Instead: Subscribe to the other component's events" in out
    assert "errors" in err


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_formats_for_programs_are_valid(run: Run, folder: Path, form: str) -> None:
    code, out, _ = run("check", "-A", COUPLED, "--format", form)

    assert code == 1
    if form == "json":
        first = json.loads(out)[0]
        assert set(first) >= {"rule", "severity", "component", "object", "operation", "key", "file", "line"}
    elif form == "sarif":
        only = json.loads(out)["runs"][0]
        names = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
        assert all(names[one["ruleIndex"]] == one["ruleId"] for one in only["results"])
        assert all(one["partialFingerprints"]["key"] for one in only["results"])
    else:
        assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in out.splitlines())


def test_violations_in_the_baseline_do_not_fail_and_the_baseline_only_shrinks(run: Run, folder: Path) -> None:
    begun = run("check", "-A", COUPLED, "--accept", "before we started")
    with_list = run("check", "-A", COUPLED, "--format", "concise")
    again = run("check", "-A", COUPLED, "--accept", "once more")
    entries = baseline.read(folder / baseline.FILE)
    baseline.write(
        folder / baseline.FILE, [*entries, baseline.Entry("calls-contract-function:x:y:z", "gone", date(2026, 1, 1))]
    )
    stale = run("check", "-A", COUPLED, "--format", "concise")
    shrunk = run("check", "-A", COUPLED, "--shrink", "--format", "concise")

    assert begun[0] == 0
    assert all(entry.reason == "before we started" for entry in entries)
    assert with_list[0] == 0
    assert f"{len(entries)} in the baseline" in with_list[2]
    assert again[0] == 2
    assert "may only shrink" in again[2]
    assert stale[0] == 1
    assert "calls-contract-function:x:y:z is in the baseline, but no violation matches it" in stale[1]
    assert shrunk[0] == 0
    assert baseline.read(folder / baseline.FILE) == entries


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--shrink",), "There is no baseline "),
        (("--baseline", "other.toml"), "There is no baseline other.toml; nothing was written."),
        (("--accept", " "), "--accept needs a reason"),
        (("--rights",), "--rights logs in to PostgreSQL, and all components are on SQLite files"),
    ],
)
def test_what_cannot_be_checked_as_asked_is_exit_code_2_and_writes_nothing(
    run: Run, folder: Path, words: tuple[str, ...], says: str
) -> None:
    code, out, err = run("check", "-A", RETAIL, *words)

    assert (code, out) == (2, "")
    assert says in err
    assert not (folder / baseline.FILE).exists()


def test_where_there_is_nothing_to_accept_no_baseline_is_written(run: Run, folder: Path) -> None:
    code, _, err = run("check", "-A", RETAIL, "--accept", "before we started")

    assert code == 0
    assert err == f"there are no errors to accept; {folder / baseline.FILE} was not written\n"
    assert not (folder / baseline.FILE).exists()


def test_a_baseline_entry_without_a_reason_is_refused(run: Run, folder: Path) -> None:
    (folder / baseline.FILE).write_text('[[violation]]\nkey = "a:b:c:d"\nreason = " "\nsince = 2026-11-25\n')
    code, _, err = run("check", "-A", RETAIL)

    assert code == 3
    assert "the entry a:b:c:d has no reason" in err


def test_warnings_fail_with_strict(run: Run, folder: Path) -> None:
    run("check", "-A", COUPLED, "--accept", "before")

    assert run("check", "-A", COUPLED, "--format", "concise")[0] == 0
    assert run("check", "-A", COUPLED, "--format", "concise", "--strict")[0] == 1


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained(run: Run, rule: str) -> None:
    code, out, _ = run("explain", rule)

    assert code == 0
    assert out.startswith(f"{rule} (")
    assert "Why: " in out
    assert "Instead: " in out


def test_a_rule_that_does_not_exist_is_refused(run: Run) -> None:
    code, _, err = run("explain", "be-nice")

    assert (code, "There is no rule 'be-nice'" in err) == (2, True)
    assert all(rule in run("explain")[1] for rule in RULES)


# contracts


def test_contracts_are_printed_locked_and_compared(run: Run, folder: Path) -> None:
    shown = run("contracts", "show", "-A", RETAIL)
    fresh = run("contracts", "diff", "-A", RETAIL)
    locked = run("contracts", "lock", "-A", RETAIL)
    same = run("contracts", "diff", "-A", RETAIL)

    assert "sales.ItemPurchased version 1, key customerIdentifier" in shown[1]
    assert (fresh[0], "sales.ItemPurchased version 1: new" in fresh[1]) == (0, True)
    assert fresh[2].startswith(f"There is no {folder / 'contracts.lock'} yet; preterite contracts lock writes it.\n")
    assert re.fullmatch(r"\d+ contracts are new", fresh[2].splitlines()[1])
    assert locked[0] == 0
    assert (same[0], same[1], same[2]) == (0, "", "no contract changed\n")


def test_an_incompatible_change_is_refused_and_check_reports_it_too(run: Run, folder: Path) -> None:
    run("contracts", "lock", "-A", RETAIL)
    file = folder / "contracts.lock"
    document = json.loads(file.read_text())
    shape = document["events"]["sales.ItemPurchased"]["1"][0]
    shape["fields"]["shop"] = "uuid"  # was published once, and is removed
    shape["fields"]["quantity"] = "str"
    file.write_text(json.dumps(document))
    diff, lock = run("contracts", "diff", "-A", RETAIL), run("contracts", "lock", "-A", RETAIL)
    checked = run("check", "-A", RETAIL, "--format", "concise")

    assert (diff[0], lock[0]) == (1, 1)
    assert "[contract-field-removed] breaks old readers: shop was removed" in diff[1]
    assert "[contract-type]" in diff[1]
    assert diff[2] == "1 contract changed, incompatibly\n"
    assert json.loads(file.read_text()) == document, "nothing was written"
    assert checked[0] == 1
    assert "error[contract-type]" in checked[1]


def test_a_removed_event_is_refused_until_it_is_retired(run: Run, folder: Path) -> None:
    run("contracts", "lock", "-A", RETAIL)
    file = folder / "contracts.lock"
    document = json.loads(file.read_text())
    document["events"]["sales.ItemMislaid"] = document["events"]["sales.ItemPurchased"]
    file.write_text(json.dumps(document))

    assert "contract-removed" in run("contracts", "diff", "-A", RETAIL)[1]
    assert run("contracts", "lock", "-A", RETAIL, "--retire", "sales.ItemMislaid")[0] == 0
    assert json.loads(file.read_text())["retired"] == ["sales.ItemMislaid"]
    assert run("contracts", "diff", "-A", RETAIL)[0] == 0
    assert run("contracts", "lock", "-A", RETAIL, "--retire", "sales.ItemPurchased")[0] == 2


def test_the_file_of_another_system_is_refused(run: Run, folder: Path) -> None:
    run("contracts", "lock", "-A", RETAIL)
    code, _, err = run("contracts", "diff", "-A", COUPLED)

    assert (code, "belongs to the system 'retail'" in err) == (2, True)


# owner


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("purchase", "purchase: a table of sales"),
        ("purchase.quantity", "purchase.quantity: a column of sales"),
        ("ItemPurchased", "sales.ItemPurchased: an event of sales; subscribers: marketing, finance, shipping"),
        ("purchaseDate", "ItemPurchased.purchased_at: a field of an event of sales"),
        ("ItemPurchased.customer_id", "ItemPurchased.customer_id: the key of an event of sales"),
        ("block", "block: a handler of sales, for InvoiceOverdue"),
        ("retail/finance/billing.py", "retail/finance/billing.py: a module of finance"),
        ("retail.sales.contracts", "retail.sales.contracts: a module of sales, which other components may import"),
    ],
)
def test_the_owner_is_printed(run: Run, folder: Path, what: str, answer: str) -> None:
    code, out, _ = run("owner", "-A", RETAIL, what)

    assert code == 0
    assert answer in out


def test_a_name_without_an_owner_is_reported(run: Run, folder: Path) -> None:
    code, out, _ = run("owner", "-A", RETAIL, "moon")

    assert (code, out) == (1, "no component of retail owns 'moon'\n")
    assert run("owner", "-A", COUPLED, "bill.pence")[1] == "bill.pence: a column of finance\n"


# describe


def test_diagrams_and_pages_contain_publishers_events_and_subscribers(run: Run, folder: Path) -> None:
    svg, mermaid, html = (run("describe", "-A", RETAIL, "--format", form)[1] for form in ("svg", "mermaid", "html"))
    titles = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]

    assert "sales publishes ItemPurchased to finance" in titles
    assert "    sales -- ItemPurchased --> finance\n" in mermaid
    assert "Subscribers: marketing (" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", ""), "the page is self-contained"


def test_an_asyncapi_document_contains_every_event_with_its_publisher_and_subscribers(run: Run, folder: Path) -> None:
    document = json.loads(run("describe", "-A", RETAIL, "--format", "asyncapi")[1])
    operation = document["operations"]["finance.consumes.ItemPurchased"]
    schemas = document["components"]["schemas"]

    assert document["asyncapi"] == "3.0.0"
    assert operation["action"] == "receive"
    assert document["operations"]["sales.publishes.ItemPurchased"]["action"] == "send"
    assert schemas["sales.ItemPurchased"]["properties"]["purchaseIdentifier"]["format"] == "uuid"
    assert json.loads(run("describe", "-A", RETAIL, "--format", "schemas")[1])["sales.ItemPurchased"]


def test_observed_events_are_counted(run: Run, shop: RunningShop) -> None:
    shop.publish("", shop.opened.randomness.uuid())
    shop.opened.settle()
    text = run("describe", "-A", SHOP, "--observed")[1]
    found = json.loads(run("describe", "-A", SHOP, "--observed", "--json")[1])["observed"]

    assert "subscribers: finance, shipping; 1 in the log" in text
    assert found["sales.ItemPurchased"] == 1
    assert "Events in the whole log: 1." in run("describe", "-A", SHOP, "--observed", "--format", "html")[1]
