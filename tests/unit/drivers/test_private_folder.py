"""Folders for databases and URLs: for their owner only, whatever the umask and whatever was put in their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from preterite import store as stores
from preterite.drivers.private_folder import make_private_folder
from preterite.errors import ConfigurationError


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_folders_and_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    stores.connect(f"sqlite:///{tmp_path}/.preterite/shop/sales.sqlite").connect().close()
    made = [tmp_path / ".preterite", *(tmp_path / ".preterite").rglob("*")]

    assert {one.stat().st_mode & 0o077 for one in made} == {0}


@pytest.mark.parametrize("planted", ["a link", "a folder that all may write", "a link inside", "a file that is a link"])
def test_what_others_put_in_its_place_is_refused(tmp_path: Path, planted: str) -> None:
    folder, elsewhere = tmp_path / ".preterite", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if planted == "a link":
        folder.symlink_to(elsewhere)
    elif planted == "a folder that all may write":
        folder.mkdir(mode=0o777)
    else:
        make_private_folder(folder)
        if planted == "a link inside":
            (folder / "shop").symlink_to(elsewhere)
        else:
            make_private_folder(folder / "shop")
            (folder / "shop" / "sales.sqlite").symlink_to(elsewhere / "sales.sqlite")

    with pytest.raises(ConfigurationError, match="nothing was written"):
        stores.connect(f"sqlite:///{folder}/shop/sales.sqlite").connect()
    assert list(elsewhere.iterdir()) == []
