"""What a module says: strings and statements, names that it defines and imports, state that it holds. Not run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SQL_CALLS = frozenset(
    {
        "execute",
        "executemany",
        "executescript",
        "exec_driver_sql",
        "text",
        "raw",
        "mogrify",
        "read_sql",
        "fetch",
        "fetchrow",
        "fetchval",
        "copy",
        "SQL",
    }
)
RELATION_CALLS = frozenset(
    {"relationship", "ForeignKey", "OneToOneField", "ManyToManyField", "get_model", "get_class", "backref"}
)
TABLE_CALLS = frozenset({"Table", "table"})
MUTABLE_CALLS = frozenset({"dict", "list", "set", "defaultdict", "deque", "Counter", "OrderedDict"})
STATEFUL_CALLS = frozenset(
    {
        "create_engine",
        "create_async_engine",
        "sessionmaker",
        "async_sessionmaker",
        "scoped_session",
        "connect",
        "Session",
        "ConnectionPool",
    }
)
MUTATIONS = frozenset(
    {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear",
     "appendleft"}
)  # fmt: skip
_SQL = re.compile(
    r"\s*(--[^\n]*\s*|/\*.*?\*/\s*)*(select\b.+\bfrom\b|insert\s+(or\s+\w+\s+)?into\b|update\s+[\w.\"]+\s+(as\s+\w+\s+)?set\b|"
    r"delete\s+from\b|with\s+(recursive\s+)?[\w\"]+\s*(\([^)]*\)\s*)?as\s+(materialized\s+|not\s+materialized\s+)?\(|"
    r"create\s+(or\s+replace\s+)?(temp\s+|temporary\s+|unique\s+|materialized\s+)?(table|view|index|trigger|function)\b|"
    r"alter\s+table\b|drop\s+(table|view)\b|truncate\b\s+\w|merge\s+into\b|copy\s+\S+\s.*\b(from|to)\b|lock\s+table\b|"
    r"declare\s+\w+\s.*\bcursor\b|grant\s+\w+.*\bon\b|refresh\s+materialized\b|replace\s+into\b)",
    re.IGNORECASE | re.DOTALL,
)


_EXECUTED = re.compile(
    r"\s*(--[^\n]*\s*|/\*.*?\*/\s*)*(select|insert|update|delete|with|values|create|alter|drop|truncate|merge|copy|lock|declare|"
    r"grant|revoke|refresh|replace|do|call|execute|explain|set|table)\b\s*\S",
    re.IGNORECASE | re.DOTALL,
)


class Text(NamedTuple):
    """A string, where it stands, and what it is given to."""

    value: str
    line: int
    call: str | None
    whole: bool
    """Whether all of it is known; parts of f-strings are not."""

    @property
    def is_executed(self) -> bool:
        """Whether it is certainly SQL."""
        return self.call in SQL_CALLS

    @property
    def looks_like_sql(self) -> bool:
        """Whether it begins as a statement does."""
        return (_EXECUTED if self.is_executed else _SQL).match(self.value) is not None


class Used(NamedTuple):
    """A name of another module that is imported here."""

    module: str
    name: str
    line: int


@dataclass
class Facts:
    """What one module says."""

    module: str
    file: Path
    texts: list[Text] = field(default_factory=list[Text])
    functions: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Functions at the top, and the names that each of them uses."""
    mapped: set[str] = field(default_factory=set[str])
    """Classes that stand for tables."""
    used: list[Used] = field(default_factory=list[Used])
    state: dict[str, int] = field(default_factory=dict[str, int])
    """Names at the top that hold something that can be changed, or an open thing, and their lines."""
    stateful: set[str] = field(default_factory=set[str])
    """Those that are engines, sessions, connections: state without being changed."""
    changed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """What is changed here: (module that defines it, name)."""


def read(module: str, file: Path) -> Facts:
    """The facts of a module."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    facts = Facts(module, file)
    _Reading(facts, file.name == "__init__.py").visit(tree)
    return facts


class _Reading(ast.NodeVisitor):
    def __init__(self, facts: Facts, is_package: bool) -> None:
        self.facts = facts
        self._is_package = is_package
        self._depth = 0
        self._call: list[str | None] = [None]
        self._aliases: dict[str, tuple[str, str]] = {}
        self._modules: dict[str, str] = {}
        self._constants: dict[str, Text] = {}

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            self._define(statement)
        self._body(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if self._depth == 0:
            names = frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
            self.facts.functions[node.name] = names
        for part in [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]:
            self.visit(part)
        self._depth += 1
        self._body(node.body)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(
            isinstance(one, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__tablename__" for t in one.targets)
            for one in node.body
        ):
            self.facts.mapped.add(node.name)
        for part in [*node.decorator_list, *node.bases, *(one.value for one in node.keywords)]:
            self.visit(part)
        self._depth += 1
        self._body(node.body)
        self._depth -= 1

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self._modules[one.asname or one.name.partition(".")[0]] = (
                one.name if one.asname else one.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._absolute(node)
        for one in node.names:
            self.facts.used.append(Used(module, one.name, node.lineno))
            self._aliases[one.asname or one.name] = (module, one.name)

    def visit_Global(self, node: ast.Global) -> None:
        self.facts.changed.update((self.facts.module, name) for name in node.names)

    def visit_Call(self, node: ast.Call) -> None:
        called = _last_name(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATIONS:
            self._change(node.func.value)
        self.visit(node.func)
        for argument in node.args:
            if isinstance(argument, ast.Name) and called in SQL_CALLS and argument.id in self._constants:
                constant = self._constants[argument.id]
                self.facts.texts.append(constant._replace(call=called))
                continue
            self._given_to(called, argument)
        for keyword in node.keywords:
            self._given_to(called, keyword.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self._change(target.value)
            if isinstance(target, ast.Attribute):
                self._change_attribute(target)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target.value if isinstance(node.target, ast.Subscript) else node.target
        self._change(target)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self._change(target.value)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node)
        if dotted is not None:
            first, _, rest = dotted.partition(".")
            if first in self._modules and rest:
                module, _, name = f"{self._modules[first]}.{rest}".rpartition(".")
                self.facts.used.append(Used(module, name, node.lineno))
            elif first in self._aliases and rest:
                module, _, name = f"{'.'.join(self._aliases[first])}.{rest}".rpartition(".")
                self.facts.used.append(Used(module, name, node.lineno))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _last_name(node.value) == "Mapped":
            self._given_to("relationship", node.slice)
            return
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.facts.texts.append(Text(node.value, node.lineno, self._call[-1], True))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.facts.texts.append(_joined(node, self._call[-1]))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self._given_to(None, part.value)

    def _body(self, body: list[ast.stmt]) -> None:
        """Statements, but for strings that only say something to people."""
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self.visit(statement)

    def _given_to(self, call: str | None, node: ast.AST) -> None:
        self._call.append(call)
        self.visit(node)
        self._call.pop()

    def _define(self, statement: ast.stmt) -> None:
        """Note what a name at the top stands for."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            return
        if not isinstance(target, ast.Name):
            return
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self._constants[target.id] = Text(value.value, value.lineno, None, True)
        elif isinstance(value, ast.JoinedStr):
            self._constants[target.id] = _joined(value, None)
        called = _last_name(value.func) if isinstance(value, ast.Call) else None
        if called in STATEFUL_CALLS:
            self.facts.stateful.add(target.id)
        if isinstance(value, ast.Dict | ast.List | ast.Set) or called in MUTABLE_CALLS or called in STATEFUL_CALLS:
            self.facts.state[target.id] = statement.lineno
        elif isinstance(value, ast.Constant):
            self.facts.state[target.id] = statement.lineno  # state only if somebody declares it global

    def _change(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            self.facts.changed.add(self._aliases.get(node.id, (self.facts.module, node.id)))
        elif isinstance(node, ast.Attribute):
            self._change_attribute(node)

    def _change_attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node)
        if dotted is None:
            return
        first, _, rest = dotted.partition(".")
        if first in self._modules and rest:
            module, _, name = f"{self._modules[first]}.{rest}".rpartition(".")
            self.facts.changed.add((module, name))
        elif first in self._aliases and rest:
            module, _, name = f"{'.'.join(self._aliases[first])}.{rest}".rpartition(".")
            self.facts.changed.add((module, name))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.facts.module.split(".")
        keep = len(package) - node.level + (1 if self._is_package else 0)
        return ".".join([*package[:keep], *([node.module] if node.module else [])])


def _joined(node: ast.JoinedStr, call: str | None) -> Text:
    """An f-string with a word where a value would stand."""
    parts = [part.value if isinstance(part, ast.Constant) else "placeholder" for part in node.values]
    return Text("".join(str(part) for part in parts), node.lineno, call, False)


def _last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def files(root: Path, package: str) -> Iterator[tuple[str, Path]]:
    """The modules of a package that lies in a folder."""
    for file in sorted(root.rglob("*.py")):
        parts = [package, *file.relative_to(root).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file
