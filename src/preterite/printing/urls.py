"""URLs of databases as they may be shown: rebuilt from parts that are certainly no secret, or not shown at all.

A password with an unescaped `@`, `/`, `#` or `?` in it makes a URL that is read in another way than it was meant. So
nothing is shown of a URL that can be read in two ways, nor anything that stands where a secret may stand.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

UNREADABLE = "(a URL that cannot be read, and is not shown)"
"""What is shown instead of a URL that can be read in two ways, or in none."""
EXAMPLE = "postgresql://user:password@host:5432/database"
"""How this package's own messages say what the URL of a PostgreSQL database looks like; it holds no secret."""
URL_CHARACTERS_MAX = 4_096
"""Length of a URL beyond which it is not shown."""
POSTGRES_SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")
"""The schemes of a PostgreSQL database's URL."""

_PLAIN = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
_HOST = re.compile(rf"(?:{_PLAIN}|\[[0-9A-Fa-f:.]+\]|%2[Ff][A-Za-z0-9_.%\-]*)(?::\d{{1,5}})?")
_HOSTS = re.compile(rf"(?:{_HOST.pattern})(?:,{_HOST.pattern})*")
_NAME = re.compile(_PLAIN)
_SQLITE = re.compile(r"(sqlite(?:\+[a-z]+)?):///([^?#]+)", re.DOTALL)
_IN_TEXT = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]*://|(?i:[a-z0-9+]*(?:sql|postgres)[a-z0-9+]*):/)"
    r"[^\s'\"]*(?:(?:(?!://)[^\n'\"])*@[^\s'\"]*)?"
)
_ENDS_SENTENCE = re.compile(r"[.,;:)\]}>]*\Z")
_ASSIGNED = re.compile(r"(?i)\b((?:ssl)?password|passwd|pwd|secret|token)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)")
_WEB = re.compile(r"(?i)https?://[^\s/?#@]*(?:[/?#]|\Z)")


class Parts(NamedTuple):
    """A PostgreSQL URL that can be read in one way only; `…` stands for a name that may not be shown."""

    user: str
    hosts: str
    database: str


def shown(url: str) -> str:
    """The URL of a database or log without its secrets, for people; never a part of what cannot be read."""
    if url == "memory:":
        return url
    file = _SQLITE.match(url)
    if file is not None and len(url) <= URL_CHARACTERS_MAX and "@/" not in url:
        return f"{file[1]}:///{file[2]}"
    parts = read(url)
    if parts is None:
        return UNREADABLE
    return f"postgresql://{f'{parts.user}@' if parts.user else ''}{parts.hosts}/{parts.database}"


def read(url: str) -> Parts | None:
    """The parts of a PostgreSQL URL that may be shown; nothing if it can be read in two ways, or in none."""
    if len(url) > URL_CHARACTERS_MAX or re.search(r"[\s\x00-\x1f\x7f#]", url) or url.count("@") > 1:
        return None
    try:
        split = urlsplit(url)
    except ValueError:
        return None
    if split.scheme not in POSTGRES_SCHEMES or "@" in split.path or "@" in split.query:
        return None
    login, _, hosts = split.netloc.rpartition("@")
    if hosts and not _HOSTS.fullmatch(hosts):
        return None
    return Parts(name(unquote(login.partition(":")[0])), hosts, name(unquote(split.path.removeprefix("/"))))


def name(text: str) -> str:
    """The name of a user or a database, or `…` if it may be something else."""
    return text if not text or _NAME.fullmatch(text) else "…"


def without_secrets(text: str) -> str:
    """A text with every URL in it as `shown` shows it, and without what is assigned to a password.

    A net under all output, for texts that others wrote; what this package writes itself uses `shown`, and `EXAMPLE`.
    """
    return EXAMPLE.join(map(_cleaned, text.split(EXAMPLE)))


def _cleaned(text: str) -> str:
    if ":/" in text:
        text = _IN_TEXT.sub(lambda found: _harmless(found[0]), text)
    return _ASSIGNED.sub(r"\1\2…", text)


def _harmless(url: str) -> str:
    if _WEB.match(url):
        return url
    end = _ENDS_SENTENCE.search(url)
    bare = url[: end.start()] if end else url
    return shown(bare) + url[len(bare) :]
