"""Folders for databases and URLs that only their owner can enter, and that no other user can put in place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from preterite.errors import ConfigurationError

DEFAULT_FOLDER = ".preterite"
"""The folder of databases and URLs where nothing else is configured, under the current one."""
_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, whatever the umask; a folder that is there keeps its rights.

    Raises `ConfigurationError` for the default folder if it is a link, belongs to another user or may be written by
    others: they could replace the databases and URLs in it.
    """
    lineage = (folder, *folder.parents)
    for one in lineage:
        if DEFAULT_FOLDER in one.parts and os.path.lexists(one) and not _is_private(one):
            raise ConfigurationError(
                f"{one} is a link, belongs to another user, or may be written by others; nothing was written. "
                f"Make it a folder of your own: chmod go-w {one}"
            )
    for one in reversed([one for one in lineage if not os.path.lexists(one)]):
        one.mkdir(mode=0o700, exist_ok=True)


def refuse_link(file: Path) -> None:
    """Raise `ConfigurationError` for a file in the default folder that is a link."""
    if DEFAULT_FOLDER in file.parent.parts and file.is_symlink():
        raise ConfigurationError(
            f"{file} is a link; nothing was written. Remove it, or name the file itself in the URL."
        )


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & _WRITTEN_BY_OTHERS:
        return False
    return found.st_uid == os.geteuid() or os.geteuid() == 0
