"""`preterite pages`, and what `preterite owner` knows of parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.command_line import Run

PAGES = "paper_pages:pages"
RETAIL = "retail.system:system"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a module of pages, which names them."""
    (tmp_path / "pyproject.toml").write_text(f'[tool.preterite]\npages = "{PAGES}"\n')
    (tmp_path / "paper_pages.py").write_text(
        "from support.paper_shop import order_page\n\npages = [order_page]\nnone = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    return tmp_path


def test_pages_are_listed_with_their_owners(run: Run, folder: Path) -> None:
    code, out, _ = run("pages", "list")

    assert code == 0
    assert out.splitlines()[1].split() == ["order", "/orders/{order}", "2", "3", "ledger,", "library"]
    assert run("pages", "list", "--pages", PAGES)[1] == out


def test_a_page_is_shown_in_the_order_in_which_its_parts_are_asked(run: Run, folder: Path) -> None:
    code, out, _ = run("pages", "show", "order")

    assert code == 0
    lines = [line.split() for line in out.splitlines()[3:]]
    assert [(line[0], line[1]) for line in lines] == [("1", "lines"), ("1", "shelf"), ("2", "names")]
    assert "OrderId of order" in out
    assert "BookId of lines" in out
    assert run("pages", "show", "--pages", PAGES, "order")[1] == out


def test_who_owns_a_part_and_where_it_stands(run: Run, folder: Path) -> None:
    assert run("owner", "-A", RETAIL, "names")[1] == "library.names: a part of library, on order\n"
    assert run("owner", "-A", RETAIL, "ledger.lines")[1] == "ledger.lines: a part of ledger, on order\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("show", "ordr"),
            2,
            "There is no page 'ordr'; preterite pages list shows those there are. Did you mean 'order'?",
        ),
        (("show", "--pages", PAGES, "order", "more"), 2, "unrecognized arguments: more"),
        (("list", "--pages", "paper_pages:none"), 3, "paper_pages has no sequence of pages called 'none'"),
        (("list", "--pages", "nowhere:pages"), 3, "There is no module 'nowhere'"),
        (("list", "--pages", "nowhere"), 3, "'nowhere' names no pages; write MODULE:ATTR, as in shop.pages:pages."),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
    run: Run, folder: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    found, _, err = run("pages", *words)

    assert (found, says in err) == (code, True)


def test_where_no_pages_are_named_it_says_how_to(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text("")
    code, _, err = run("pages", "list")

    assert code == 3
    assert '[tool.preterite] pages = "shop.pages:pages"' in err
