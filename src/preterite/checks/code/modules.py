"""What a module contains: strings, names that it defines and imports, state. Modules are parsed, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from preterite.checks.code.literals import SQL_CALLS, StringLiteral, combined, filled, joined

USER_MODEL = "AUTH_USER_MODEL"
"""The setting of Django that names the model of users."""
_ABSTRACT_USERS = frozenset({"AbstractBaseUser", "AbstractUser"})
DEPENDENCIES = "dependencies"
"""The name under which migrations of Django list the apps whose migrations they need."""
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


class ImportedName(NamedTuple):
    """A name that is imported from another module."""

    module: str
    name: str
    line: int


@dataclass
class ModuleSource:
    """What one module contains."""

    module: str
    file: Path
    strings: list[StringLiteral] = field(default_factory=list[StringLiteral])
    functions: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Module-level functions, and the names that each of them uses."""
    mapped: set[str] = field(default_factory=set[str])
    """Classes that are mapped to tables."""
    models: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Models of Django, each with the label of its app, if it names one."""
    users: list[str] = field(default_factory=list[str])
    """Those that Django's abstract users are the base of."""
    user_model: str | None = None
    """The model of users, if this module sets it."""
    app: tuple[str | None, str] | None = None
    """The app of Django that this module configures: its package, if it names one, and its label."""
    imported: list[ImportedName] = field(default_factory=list[ImportedName])
    state: dict[str, int] = field(default_factory=dict[str, int])
    """Module-level names that hold something mutable, an engine, a session or a connection; and their lines."""
    stateful: set[str] = field(default_factory=set[str])
    """Those that hold engines, sessions or connections: state even if they are never changed."""
    changed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Names that this module changes, each with the module that defines it."""


def read(module: str, file: Path) -> ModuleSource:
    """Parse a module, in the encoding that it declares."""
    tree = ast.parse(file.read_bytes(), str(file))
    source = ModuleSource(module, file)
    _Visitor(source, file.name == "__init__.py").visit(tree)
    return source


class _Visitor(ast.NodeVisitor):
    def __init__(self, source: ModuleSource, is_package: bool) -> None:
        self.source = source
        self._is_package = is_package
        self._depth = 0
        self._call: list[str | None] = [None]
        self._aliases: dict[str, tuple[str, str]] = {}
        self._modules: dict[str, str] = {}
        self._constants: dict[str, StringLiteral] = {}

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            self._define(statement)
        self._body(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if self._depth == 0:
            names = frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
            self.source.functions[node.name] = names
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
            self.source.mapped.add(node.name)
        self._define_for_django(node)
        for part in [*node.decorator_list, *node.bases, *(one.value for one in node.keywords)]:
            self.visit(part)
        self._depth += 1
        self._body(node.body)
        self._depth -= 1

    def _define_for_django(self, node: ast.ClassDef) -> None:
        """Record a model of Django, or the configuration of an app."""
        bases = [_last_name(one) or "" for one in node.bases]
        label = _text_of(node, "label")
        if any(one.endswith("Config") for one in bases) and label is not None:
            self.source.app = (_text_of(node, "name"), label)
        elif self._depth == 0 and self._may_be_model(bases):
            meta = next((one for one in node.body if isinstance(one, ast.ClassDef) and one.name == "Meta"), None)
            self.source.models[node.name] = None if meta is None else _text_of(meta, "app_label")
            if _ABSTRACT_USERS.intersection(bases):
                self.source.users.append(node.name)

    def _may_be_model(self, bases: list[str]) -> bool:
        """Whether a class may be a model: by its base, or in a module of models, whatever its base is called."""
        if "models" in self.source.module.split("."):
            return bool(bases)
        return any(one in _ABSTRACT_USERS or (one.endswith("Model") and one != "BaseModel") for one in bases)

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self._modules[one.asname or one.name.partition(".")[0]] = (
                one.name if one.asname else one.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._absolute(node)
        for one in node.names:
            self.source.imported.append(ImportedName(module, one.name, node.lineno))
            self._aliases[one.asname or one.name] = (module, one.name)

    def visit_Global(self, node: ast.Global) -> None:
        self.source.changed.update((self.source.module, name) for name in node.names)

    def visit_Call(self, node: ast.Call) -> None:
        called = _last_name(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATIONS:
            self._change(node.func.value)
        if self._combine(node):
            return
        self.visit(node.func)
        if called == "get_user_model":
            self.source.strings.append(StringLiteral(USER_MODEL, node.lineno, called, True))
        if called == "get_model" and len(node.args) == 2 and all(isinstance(one, ast.Constant) for one in node.args):
            app, model = (str(one.value) for one in node.args if isinstance(one, ast.Constant))
            self.source.strings.append(StringLiteral(f"{app}.{model}", node.lineno, called, True))
        for argument in node.args:
            if isinstance(argument, ast.Name) and called in SQL_CALLS and argument.id in self._constants:
                constant = self._constants[argument.id]
                self.source.strings.append(constant._replace(call=called))
                continue
            self._visit_argument(called, argument)
        for keyword in node.keywords:
            self._visit_argument(called, keyword.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self._change(target.value)
            if isinstance(target, ast.Attribute):
                self._change_attribute(target)
            if isinstance(target, ast.Name) and target.id in (DEPENDENCIES, "run_before"):
                self._depend(node.value)
        self.generic_visit(node)

    def _depend(self, node: ast.expr) -> None:
        """Record the apps in the dependencies of a migration of Django: the first of each pair."""
        for pair in node.elts if isinstance(node, ast.List | ast.Tuple) else ():
            first = pair.elts[0] if isinstance(pair, ast.Tuple) and pair.elts else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.source.strings.append(StringLiteral(first.value, first.lineno, DEPENDENCIES, True))

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
        if node.attr == USER_MODEL:
            self.source.strings.append(StringLiteral(USER_MODEL, node.lineno, self._call[-1], True))
        dotted = _dotted(node)
        if dotted is not None:
            first, _, rest = dotted.partition(".")
            if first in self._modules and rest:
                module, _, name = f"{self._modules[first]}.{rest}".rpartition(".")
                self.source.imported.append(ImportedName(module, name, node.lineno))
            elif first in self._aliases and rest:
                module, _, name = f"{'.'.join(self._aliases[first])}.{rest}".rpartition(".")
                self.source.imported.append(ImportedName(module, name, node.lineno))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _last_name(node.value) == "Mapped":
            self._visit_argument("relationship", node.slice)
            return
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            # The brackets in a text for psycopg's `SQL` are filled by its `format`.
            text = filled(node.value) if self._call[-1] == "SQL" else node.value
            self.source.strings.append(StringLiteral(text, node.lineno, self._call[-1], text == node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.source.strings.append(joined(node, self._call[-1]))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self._visit_argument(None, part.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not self._combine(node):
            self.generic_visit(node)

    def _combine(self, node: ast.Call | ast.BinOp) -> bool:
        """Record a statement of SQL that is put together from texts and values; False if it is none."""
        made = combined(node, self._call[-1], self._constants)
        if made is None or not made[0].looks_like_sql:
            return False
        literal, values = made
        self.source.strings.append(literal)
        for value in values:
            self._visit_argument(None, value)
        return True

    def _body(self, body: list[ast.stmt]) -> None:
        """Visit statements, except docstrings."""
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self.visit(statement)

    def _visit_argument(self, call: str | None, node: ast.AST) -> None:
        self._call.append(call)
        self.visit(node)
        self._call.pop()

    def _define(self, statement: ast.stmt) -> None:
        """Record the value of a module-level name."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            return
        if not isinstance(target, ast.Name):
            return
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self._constants[target.id] = StringLiteral(value.value, value.lineno, None, True)
            if target.id == USER_MODEL:
                self.source.user_model = value.value
        elif isinstance(value, ast.JoinedStr):
            self._constants[target.id] = joined(value, None)
        called = _last_name(value.func) if isinstance(value, ast.Call) else None
        if called in STATEFUL_CALLS:
            self.source.stateful.add(target.id)
        if isinstance(value, ast.Dict | ast.List | ast.Set) or called in MUTABLE_CALLS or called in STATEFUL_CALLS:
            self.source.state[target.id] = statement.lineno
        elif isinstance(value, ast.Constant):
            self.source.state[target.id] = statement.lineno  # state only if a function declares it global

    def _change(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            self.source.changed.add(self._aliases.get(node.id, (self.source.module, node.id)))
        elif isinstance(node, ast.Attribute):
            self._change_attribute(node)

    def _change_attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node)
        if dotted is None:
            return
        first, _, rest = dotted.partition(".")
        if first in self._modules and rest:
            module, _, name = f"{self._modules[first]}.{rest}".rpartition(".")
            self.source.changed.add((module, name))
        elif first in self._aliases and rest:
            module, _, name = f"{'.'.join(self._aliases[first])}.{rest}".rpartition(".")
            self.source.changed.add((module, name))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.source.module.split(".")
        keep = len(package) - node.level + (1 if self._is_package else 0)
        return ".".join([*package[:keep], *([node.module] if node.module else [])])


def _text_of(node: ast.ClassDef, name: str) -> str | None:
    """The text that the body of a class assigns to a name."""
    assigned = {
        target.id: one.value.value
        for one in node.body
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    found = assigned.get(name)
    return found if isinstance(found, str) else None


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
    """The modules of a package, given its folder."""
    for file in sorted(one for one in root.rglob("*.py") if one.is_file()):
        parts = [package, *file.relative_to(root).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file
