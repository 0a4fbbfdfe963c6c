"""The tokens of SQL as each database defines them: statements in a text, parameters, comments, and fingerprints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from preterite.checks.sql.tables import Dialect

_NUMBER = r"(?<=\d)(?<![\w$.]\d)(?P<number>\d*(?:\.\d+)?)(?![\w.])"
_DRIVERS = r"(?<=%)(?<!%%)(?P<named>\(\w+\)[sbt]|[sbt]\b)"
_LEXERS: Mapping[Dialect, str] = {
    "postgres": r"""['"$%:?/\-0-9](?:(?<=')(?:(?<=[eE]')(?<![\w$][eE]')(?P<escaped>(?:[^'\\]+|\\.|'')*+')"""
    r"""|(?P<text>[^']*(?:''[^']*)*+'))"""
    r"""|(?<=")(?P<name>[^"]*(?:""[^"]*)*+")|(?<=-)(?P<line>-[^\n]*)|(?<=/)(?P<comment>\*.*?\*/)"""
    r"""|(?<=\$)(?<![\w$]\$)(?:(?P<number_of>\d+)|(?P<body>(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$))"""
    rf"""|{_DRIVERS}|(?<=:)(?<![:\w]:)(?P<bound>[^\W\d]\w*)|(?<=\?)(?P<question>)|{_NUMBER})""",
    "sqlite": r"""['"`\[$@\#%:?/\-0-9](?:(?<=')(?P<text>[^']*(?:''[^']*)*+')"""
    r"""|(?<=")(?P<name>[^"]*(?:""[^"]*)*+")|(?<=`)(?P<ticked>[^`]*(?:``[^`]*)*+`)|(?<=\[)(?P<bracketed>[^\]]{0,128}\])"""
    r"""|(?<=-)(?P<line>-[^\n]*)|(?<=/)(?P<comment>\*.*?(?:\*/|\Z))"""
    rf"""|{_DRIVERS}|(?<=[:@$\#])(?<![\w$:@\#].)(?P<bound>\w+)|(?<=\?)(?P<question>\d*)|{_NUMBER})""",
}
"""Every token that is neither a word nor an operator; each begins with one of a few characters, which is fast. Names in
brackets have at most 128 characters, so that brackets which are never closed are not looked for again and again."""
_NAMES = ("name", "ticked", "bracketed")
_COMMENTS = ("line", "comment")
_PARAMETERS = ("named", "number_of", "bound", "question")
_TOKENS = {one: re.compile(lexer, re.DOTALL) for one, lexer in _LEXERS.items()}
_ENDS = {one: re.compile(rf"{lexer}|(?P<end>;)|(?P<word>\w+)", re.DOTALL) for one, lexer in _LEXERS.items()}
_WORDS = {one: re.compile(rf"{lexer}|(?P<bracket>[()])|(?P<word>\w+)", re.DOTALL) for one, lexer in _LEXERS.items()}
_VALUES = {"parameter": "?", "text": "''", "code": "$$$$", "whole": "1", "number": "1.5"}
"""What stands for a value in a fingerprint, by its kind. A database that parses a damaged statement may take a text for
a name, and a number for none, so values of different kinds never share a fingerprint."""
_BITS_BEFORE = re.compile(r"(?<!\w)[xXbB]\Z")
_HEXADECIMAL = re.compile(r"'[01]*'|'(?:[0-9a-fA-F]{2})*'")
_WHOLE_DIGITS_MAX = 9
"""Whole numbers of so many digits fit in 32 bits everywhere; longer ones are parsed as other numbers are."""
_VALUE = r"(?:\?|''|\$\$\$\$|1\.5|1)"
_LISTS = re.compile(rf"\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_ROWS = re.compile(rf"(\({_VALUE}(?:,{_VALUE})*\))(?:\s*,\s*\1)+")
_QUERY = re.compile(
    r"(?>\s+|--[^\n]*\n|/\*.*?\*/|\()*+(?:select|insert|update|delete|with|values|merge|replace)\b",
    re.IGNORECASE | re.DOTALL,
)
_NESTED_COMMENT = re.compile(r"/\*(?:(?!\*/).)*/\*", re.DOTALL)
_CHAIN_LINKS = {
    one: re.compile(rf"{lexer}|(?P<open>[(\[])|(?P<close>[)\]])|(?P<part>[,;])|(?P<link>\w+|[^\s\w])", re.DOTALL)
    for one, lexer in _LEXERS.items()
}
_CREATES_TRIGGER = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp\s+|temporary\s+|constraint\s+)?trigger", re.IGNORECASE
)
_COPY_FROM_STDIN = re.compile(r"copy\b.*\bfrom\s+stdin\b.*;\s*$", re.IGNORECASE)


def fingerprint(text: str, dialect: Dialect) -> str:
    """A query without values, comments and spacing: the same for queries whose values differ, but not their kinds.

    The text itself of everything else: a literal may be a name there, or code.
    """
    if _QUERY.match(text) is None or ("/*" in text and _NESTED_COMMENT.search(text)):
        return text
    shape = " ".join(_TOKENS[dialect].sub(_shaped, text).split())
    if ";" in shape[:-1]:
        return text
    return _ROWS.sub(r"\1", _LISTS.sub(_kinds_in_list, shape)) if "(" in shape else shape


def _kinds_in_list(found: re.Match[str]) -> str:
    return f"({','.join(sorted({value.strip() for value in found[1].split(',')}))})"


def _shaped(found: re.Match[str]) -> str:
    kind, text = found.lastgroup, found[0]
    if kind in _COMMENTS:
        return " "
    if kind in _NAMES:
        # Spaces and lists inside a name are part of it.
        is_plain = text.split() == [text] and "(" not in text
        return text if is_plain else f'"{text.encode("utf-8", "surrogatepass").hex()}"'
    if kind == "text" and _BITS_BEFORE.search(found.string, max(found.start() - 2, 0), found.start()):
        # A parser may refuse digits of bits that are none.
        return "''" if _HEXADECIMAL.fullmatch(text) else text
    return _VALUES[_kind_of_value(kind, text)]


def _kind_of_value(kind: str | None, text: str) -> str:
    if kind in _PARAMETERS:
        return "parameter"
    if kind == "text":
        return "text"
    if kind != "number":
        return "code"
    return "whole" if text.isdigit() and len(text) <= _WHOLE_DIGITS_MAX else "number"


def without_comments(text: str, dialect: Dialect) -> str:
    """The text without its comments."""
    if "--" not in text and "/*" not in text:
        return text
    return _TOKENS[dialect].sub(lambda found: " " if found.lastgroup in _COMMENTS else found[0], text)


def with_values(text: str, dialect: Dialect, value: str = "NULL") -> str:
    """The text with a value in place of the parameters of every driver."""
    return _TOKENS[dialect].sub(lambda found: f" {value} " if found.lastgroup in _PARAMETERS else found[0], text)


def words(text: str, dialect: Dialect) -> Iterator[str]:
    """The words, quoted names and parentheses of a text in lower case, outside of literals and comments."""
    for token in _WORDS[dialect].finditer(text):
        if token.lastgroup in ("word", "bracket", *_NAMES):
            yield token[0].casefold()


def longest_chain(text: str, dialect: Dialect) -> int:
    """How many tokens may be nested in each other: those between commas, with those of the parentheses around."""
    longest, levels = 0, [0]
    for token in _CHAIN_LINKS[dialect].finditer(text):
        kind = token.lastgroup
        if kind == "open":
            levels.append(levels[-1] + 1)
        elif kind == "close" and len(levels) > 1:
            levels.pop()
        elif kind == "part":
            levels[-1] = levels[-2] if len(levels) > 1 else 0
        elif kind not in _COMMENTS:
            levels[-1] += 1
            longest = max(longest, levels[-1])
    return longest


def statements(text: str, dialect: Dialect) -> Iterator[str]:
    """The single statements of a text; the body of a trigger or function is not split."""
    start, depth, before = 0, 0, ""
    for token in _ENDS[dialect].finditer(text):
        if token.lastgroup == "end" and not depth:
            if without_comments(text[start : token.start()], dialect).strip():
                yield text[start : token.start()]
            start = token.end()
        elif token.lastgroup == "word":
            word = token[0].casefold()
            if depth:
                depth += (word in ("begin", "case")) - (word == "end")
            elif word == "begin":
                depth = int(_CREATES_TRIGGER.match(without_comments(text[start : token.start()], dialect)) is not None)
            elif word == "atomic" and before == "begin":
                depth = 1
            before = word
    if without_comments(text[start:], dialect).strip():
        yield text[start:]


def without_psql(text: str) -> str:
    """A script for psql without its commands and without the rows after COPY … FROM STDIN, as pg_dump writes them."""
    kept: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        if not line.startswith("\\"):
            kept.append(line)
        if _COPY_FROM_STDIN.match(line):
            for row in lines:
                if row.rstrip("\r") == "\\.":
                    break
    return "\n".join(kept)
