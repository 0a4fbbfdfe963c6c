"""The commands about boundaries: check, explain, contracts, who, and describe in all its formats."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import Run
from processes import RunningShop

from preterite.checks import accepted
from preterite.checks.rules import RULES

RETAIL, COUPLED, SHOP = "retail.system:system", "coupled.system:system", "process_shop:system"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with nothing in it."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_shop_crosses_nothing(run: Run, folder: Path) -> None:
    code, out, err = run("check", RETAIL, "--format", "concise")

    assert code == 0
    assert [line for line in out.splitlines() if "error[" in line or "warning[" in line] == []
    assert err == "retail: 2 notes\n"


def test_what_crosses_fails_with_its_place_its_reason_and_what_to_do(run: Run, folder: Path) -> None:
    code, out, err = run("check", COUPLED)

    assert code == 1
    assert "sales/actions.py:" in out
    assert "error[imports-internals] sales imports coupled.finance.model, which is inside finance." in out
    assert "imports-internals:sales:coupled.finance.model:import" in out
    assert out.count("Why: What is imported cannot be changed") == 1, "a rule is explained once"
    assert "Instead: Hear the other's events" in out
    assert "errors" in err


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_programs_get_what_they_read(run: Run, folder: Path, form: str) -> None:
    code, out, _ = run("check", COUPLED, "--format", form)

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


def test_what_is_accepted_fails_no_more_and_the_list_only_shrinks(run: Run, folder: Path) -> None:
    begun = run("check", COUPLED, "--accept", "as it was when we began")
    with_list = run("check", COUPLED, "--format", "concise")
    again = run("check", COUPLED, "--accept", "once more")
    entries = accepted.read(folder / accepted.FILE)
    accepted.write(folder / accepted.FILE, [*entries, accepted.Entry("calls-function:x:y:z", "gone", date(2026, 1, 1))])
    stale = run("check", COUPLED, "--format", "concise")
    shrunk = run("check", COUPLED, "--shrink", "--format", "concise")

    assert begun[0] == 0
    assert all(entry.reason == "as it was when we began" for entry in entries)
    assert with_list[0] == 0
    assert f"{len(entries)} accepted" in with_list[2]
    assert again[0] == 2
    assert "may only shrink" in again[2]
    assert stale[0] == 1
    assert "calls-function:x:y:z is accepted and happens no more" in stale[1]
    assert shrunk[0] == 0
    assert accepted.read(folder / accepted.FILE) == entries


def test_a_list_without_a_reason_is_refused_in_one_sentence(run: Run, folder: Path) -> None:
    (folder / accepted.FILE).write_text('[[accepted]]\nkey = "a:b:c:d"\nreason = " "\nsince = 2026-11-25\n')
    code, _, err = run("check", RETAIL)

    assert code == 3
    assert "accepts a:b:c:d without a reason" in err


def test_warnings_fail_if_they_are_to(run: Run, folder: Path) -> None:
    run("check", COUPLED, "--accept", "as it was")

    assert run("check", COUPLED, "--format", "concise")[0] == 0
    assert run("check", COUPLED, "--format", "concise", "--strict")[0] == 1


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


def test_contracts_are_shown_locked_and_compared(run: Run, folder: Path) -> None:
    shown = run("contracts", "show", RETAIL)
    fresh = run("contracts", "diff", RETAIL)
    locked = run("contracts", "lock", RETAIL)
    same = run("contracts", "diff", RETAIL)

    assert "sales.ItemPurchased version 1, key customerIdentifier" in shown[1]
    assert (fresh[0], "sales.ItemPurchased version 1: new" in fresh[1]) == (0, True)
    assert locked[0] == 0
    assert (same[0], same[1], same[2]) == (0, "", "no contract has changed\n")


def test_a_change_that_breaks_somebody_is_refused_and_check_says_so_too(run: Run, folder: Path) -> None:
    run("contracts", "lock", RETAIL)
    file = folder / "contracts.lock"
    document = json.loads(file.read_text())
    shape = document["events"]["sales.ItemPurchased"]["1"][0]
    shape["fields"]["shop"] = "uuid"  # was published once, and is gone
    shape["fields"]["quantity"] = "str"
    file.write_text(json.dumps(document))
    diff, lock = run("contracts", "diff", RETAIL), run("contracts", "lock", RETAIL)
    checked = run("check", RETAIL, "--format", "concise")

    assert (diff[0], lock[0]) == (1, 1)
    assert "[contract-field-gone] breaks old readers: shop is gone" in diff[1]
    assert "[contract-type]" in diff[1]
    assert json.loads(file.read_text()) == document, "nothing was written"
    assert checked[0] == 1
    assert "error[contract-type]" in checked[1]


def test_an_event_that_is_gone_is_refused_until_it_is_retired(run: Run, folder: Path) -> None:
    run("contracts", "lock", RETAIL)
    file = folder / "contracts.lock"
    document = json.loads(file.read_text())
    document["events"]["sales.ItemMislaid"] = document["events"]["sales.ItemPurchased"]
    file.write_text(json.dumps(document))

    assert "contract-gone" in run("contracts", "diff", RETAIL)[1]
    assert run("contracts", "lock", RETAIL, "--retire", "sales.ItemMislaid")[0] == 0
    assert json.loads(file.read_text())["retired"] == ["sales.ItemMislaid"]
    assert run("contracts", "diff", RETAIL)[0] == 0
    assert run("contracts", "lock", RETAIL, "--retire", "sales.ItemPurchased")[0] == 2


def test_the_file_of_another_system_is_not_compared_with(run: Run, folder: Path) -> None:
    run("contracts", "lock", RETAIL)
    code, _, err = run("contracts", "diff", COUPLED)

    assert (code, "is of system 'retail'" in err) == (2, True)


# who


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("purchase", "purchase: a table of sales"),
        ("purchase.quantity", "purchase.quantity: a column of sales"),
        ("ItemPurchased", "sales.ItemPurchased: an event of sales, heard by marketing, finance, shipping"),
        ("purchaseDate", "ItemPurchased.purchased_at: a field of sales's event"),
        ("ItemPurchased.customer_id", "a field of sales's event, its key"),
        ("block", "block: a handler of sales, for InvoiceOverdue"),
        ("retail/finance/billing.py", "retail/finance/billing.py: a module of finance"),
        ("retail.sales.contracts", "retail.sales.contracts: a module of sales, and others may import it"),
    ],
)
def test_who_owns_what(run: Run, folder: Path, what: str, answer: str) -> None:
    code, out, _ = run("who", RETAIL, what)

    assert code == 0
    assert answer in out


def test_what_nobody_owns_is_said(run: Run, folder: Path) -> None:
    code, out, _ = run("who", RETAIL, "moon")

    assert (code, out) == (1, "nobody in retail owns anything called moon\n")
    assert run("who", COUPLED, "bill.pence")[1] == "bill.pence: a column of finance\n"


# describe


def test_pictures_and_pages_show_who_tells_whom_what(run: Run, folder: Path) -> None:
    svg, mermaid, html = (run("describe", RETAIL, "--format", form)[1] for form in ("svg", "mermaid", "html"))
    titles = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]

    assert "sales tells finance: ItemPurchased" in titles
    assert "    sales -- ItemPurchased --> finance\n" in mermaid
    assert "Heard by marketing (" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", ""), "the page needs nothing else"


def test_an_asyncapi_document_names_every_event_and_who_sends_and_receives_it(run: Run, folder: Path) -> None:
    document = json.loads(run("describe", RETAIL, "--format", "asyncapi")[1])
    operation = document["operations"]["finance.hears.ItemPurchased"]
    schemas = document["components"]["schemas"]

    assert document["asyncapi"] == "3.0.0"
    assert operation["action"] == "receive"
    assert document["operations"]["sales.publishes.ItemPurchased"]["action"] == "send"
    assert schemas["sales.ItemPurchased"]["properties"]["purchaseIdentifier"]["format"] == "uuid"
    assert json.loads(run("describe", RETAIL, "--format", "schemas")[1])["sales.ItemPurchased"]


def test_what_really_flowed_is_marked(run: Run, shop: RunningShop) -> None:
    shop.publish("", shop.opened.randomness.uuid())
    shop.opened.settle()
    text = run("describe", SHOP, "--observed")[1]
    found = json.loads(run("describe", SHOP, "--observed", "--json")[1])["observed"]

    assert "heard by finance, shipping; seen 1" in text
    assert found["sales.ItemPurchased"] == 1
    assert "Observed in all that the log holds: 1 events." in run("describe", SHOP, "--observed", "--format", "html")[1]
