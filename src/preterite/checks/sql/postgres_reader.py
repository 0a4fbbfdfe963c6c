"""Statements in PostgreSQL's own grammar.

The tree is walked without recursion. Names of common table expressions are subtracted where they are visible.
Statements that call code which is not SQL raise `NotUnderstood`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preterite.checks.sql.lexing import longest_chain, with_values, without_psql
from preterite.checks.sql.postgres_nodes import (
    constant,
    is_message,
    message_of,
    object_kind,
    relation_name,
    relations,
    strings,
    text_of,
)
from preterite.checks.sql.postgres_texts import NAMING, RUNNING, named_by, run_by
from preterite.checks.sql.tables import (
    Kind,
    NotAccepted,
    NotUnderstood,
    Statement,
    TableAccess,
    TableName,
    named,
    path_in_text,
)
from preterite.drivers.extras import needing

DEPTH_MAX = 20
"""How deep the bodies of functions may be nested in each other."""
CHAINED_MAX = 4_000
"""Tokens that may be nested in each other, as in 1 + 1 + …: the parser recurses in C."""
_VALUES = ("NULL", "'1'")
"""What parameters are replaced by, until the grammar accepts it."""
_RELATIONS = ("TABLE", "VIEW", "MATVIEW", "SEQUENCE", "FOREIGN_TABLE")
_ON_RELATIONS = ("TRIGGER", "RULE", "POLICY", "TABCONSTRAINT", "COLUMN")
"""Objects that are named by their table and a name inside it."""
_OF_ONE_RELATION = """
    InsertStmt UpdateStmt DeleteStmt MergeStmt CreateStmt IndexStmt CreateTrigStmt VacuumRelation ClusterStmt
    RefreshMatViewStmt
"""
_WRITTEN: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_ONE_RELATION.split(), ("relation",)),
    "IntoClause": ("rel",),
    "ViewStmt": ("view",),
    "CreatePolicyStmt": ("table",),
    "AlterPolicyStmt": ("table",),
    "TruncateStmt": ("relations",),
    "LockStmt": ("relations",),
    "CreateSeqStmt": ("sequence",),
    "AlterSeqStmt": ("sequence",),
    "CreateStatsStmt": ("relations",),
    "PartitionCmd": ("name",),
    "ImportForeignSchemaStmt": ("table_list",),
}
"""The fields of each node that name what it writes or changes."""
_SKIPPED: Mapping[str, tuple[str, ...]] = {
    "LockingClause": ("locked_rels",),
    "CompositeTypeStmt": ("typevar",),
    "AlterObjectDependsStmt": ("relation",),
    "TypeName": ("names",),
}
"""Fields that name aliases, types and indexes."""
_ROLES = ("role", "session_authorization")
"""Settings that decide whose rights a connection has."""
Scope = frozenset[str]


def read(text: str) -> list[tuple[str, Statement | NotUnderstood]]:
    """Each statement of a text, as it is written there; raises `NotAccepted` if the grammar refuses the text."""
    if "\0" in text:
        raise NotUnderstood("it contains a NUL character")
    if len(text) > CHAINED_MAX and longest_chain(text, "postgres") > CHAINED_MAX:
        raise NotAccepted(f"more than {CHAINED_MAX:,} of its tokens may be nested in each other")
    reason = ""
    for one in _attempts(text):
        try:
            tree = _parse(one)
        except ImportError:
            raise
        except Exception as error:
            reason = reason or str(error).partition("\n")[0]
            continue
        whole = one.encode()
        return [(_written(whole, raw), _analysed(raw.stmt)) for raw in tree.stmts]
    raise NotAccepted(f"PostgreSQL's grammar does not accept it: {reason}")


def _parse(text: str) -> Any:
    """The tree of a text; the parser reads a file when it is imported."""
    with needing("preterite check"):
        import postgast

    return postgast.parse(text)


def _written(whole: bytes, raw: Any) -> str:
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(whole)
    return whole[raw.stmt_location : end].decode().strip()


def _analysed(node: Any) -> Statement | NotUnderstood:
    try:
        return _statement(node, 0)
    except NotUnderstood as error:
        return error


def _attempts(text: str) -> Iterator[str]:
    """The text, without psql's commands, and with values in place of parameters."""
    yield text
    if text.startswith("\\") or "\n\\" in text:
        yield without_psql(text)
    for value in _VALUES:
        changed = with_values(text, "postgres", value)
        if changed == text:
            return
        yield changed


@dataclass
class _Walk:
    """What has been found in one statement, and what is still to be visited."""

    depth: int
    waiting: list[tuple[Any, Scope]]
    reads: set[TableName] = field(default_factory=set[TableName])
    writes: set[TableName] = field(default_factory=set[TableName])
    referenced: list[TableName] = field(default_factory=list[TableName])
    by_literal: bool = False
    search_path: tuple[str, ...] | None = None
    role: str | None = None

    def access(self) -> TableAccess:
        return TableAccess(
            frozenset(self.reads),
            frozenset(self.writes),
            self.search_path,
            role=self.role,
            depends_on_literals=self.by_literal,
        )


def _statement(node: Any, depth: int) -> Statement:
    """One statement, from the tree of its grammar."""
    inner = message_of(node)
    walk = _Walk(depth, [(inner, frozenset())])
    while walk.waiting:
        one, scope = walk.waiting.pop()
        _visit(one, scope, walk)
    kind = inner.DESCRIPTOR.name
    declares, name, grantees = _declared(inner, kind, walk)
    references = tuple((table, target) for table in sorted(walk.writes, key=str) for target in walk.referenced)
    return Statement(walk.access(), declares, name, references, grantees)


def _declared(node: Any, kind: str, walk: _Walk) -> tuple[Kind, str, tuple[str, ...]]:
    written = next(iter(sorted(map(str, walk.writes))), "")
    if kind in ("CreateStmt", "CreateSeqStmt", "CreateForeignTableStmt"):
        return "table", written, ()
    if kind == "ViewStmt":
        return "view", written, ()
    if kind == "CreateTableAsStmt":
        return ("view" if object_kind(node, "objtype") == "MATVIEW" else "table"), written, ()
    if kind == "CreateTrigStmt":
        return "trigger", node.trigname, ()
    if kind == "RuleStmt":
        return "trigger", node.rulename, ()
    if kind == "CreateFunctionStmt":
        return "trigger", strings(node.funcname)[-1], ()
    if kind == "GrantStmt" and node.is_grant and walk.writes:
        return "grant", written, tuple(one.role_spec.rolename or "public" for one in node.grantees)
    return "", "", ()


def _visit(node: Any, scope: Scope, walk: _Walk) -> None:
    kind = node.DESCRIPTOR.name
    if kind == "RangeVar":
        if node.schemaname or node.relname not in scope:
            walk.reads.add(relation_name(node))
        return
    special = _SPECIAL.get(kind)
    if special is not None and not special(node, scope, walk):
        return
    written = _WRITTEN.get(kind, ())
    for one in written:
        for place in relations(node, one):
            walk.writes.add(relation_name(place))
    _visit_fields(node, _visible(node, scope, walk), (*written, *_SKIPPED.get(kind, ()), "with_clause"), walk)


def _visit_fields(node: Any, scope: Scope, skipped: tuple[str, ...], walk: _Walk) -> None:
    for one, value in node.ListFields():
        if one.message_type is None or one.name in skipped:
            continue
        for part in (value,) if is_message(value) else value:
            inner = message_of(part) if part.DESCRIPTOR.name != "Node" or part.WhichOneof("node") else None
            if inner is not None:
                walk.waiting.append((inner, scope))


def _visible(node: Any, scope: Scope, walk: _Walk) -> Scope:
    """The names that are visible in a statement; its common table expressions wait to be visited."""
    if "with_clause" not in node.DESCRIPTOR.fields_by_name or not node.HasField("with_clause"):
        return scope
    every = [message_of(one) for one in node.with_clause.ctes]
    whole = scope | {one.ctename for one in every}
    before = whole if node.with_clause.recursive else scope
    for one in every:
        walk.waiting.append((one, before))
        before = before | {one.ctename}
    return whole


def _dropped(node: Any, scope: Scope, walk: _Walk) -> bool:
    kind = object_kind(node, "remove_type")
    for one in node.objects:
        _note_written(kind, strings(one.list.items) if one.HasField("list") else [], walk)
    return False


def _note_written(kind: str, names: Sequence[str], walk: _Walk) -> None:
    """An object of this kind and name is changed: a table, or what stands on one and is named behind it."""
    if kind in _RELATIONS and names:
        walk.writes.add(named(names))
    elif kind in _ON_RELATIONS and len(names) > 1:
        walk.writes.add(named(names[:-1]))


def _altered(node: Any, scope: Scope, walk: _Walk) -> bool:
    if object_kind(node, "objtype") not in _RELATIONS:
        return False
    walk.writes.add(relation_name(node.relation))
    _visit_fields(node, scope, ("relation",), walk)
    return False


def _renamed(node: Any, scope: Scope, walk: _Walk) -> bool:
    kind = object_kind(node, "rename_type")
    if kind in (*_RELATIONS, "TRIGGER", "RULE", "POLICY", "TABCONSTRAINT") or (
        kind == "COLUMN" and object_kind(node, "relation_type") in _RELATIONS
    ):
        walk.writes.add(relation_name(node.relation))
    return False


def _moved(node: Any, scope: Scope, walk: _Walk) -> bool:
    if object_kind(node, "object_type") in _RELATIONS:
        walk.writes.add(relation_name(node.relation))
    return False


def _described(node: Any, scope: Scope, walk: _Walk) -> bool:
    """COMMENT and SECURITY LABEL."""
    kind = object_kind(node, "objtype")
    _note_written(kind, strings(node.object.list.items) if node.object.WhichOneof("node") == "list" else [], walk)
    return False


def _granted(node: Any, scope: Scope, walk: _Walk) -> bool:
    if object_kind(node, "objtype") in _RELATIONS:
        walk.writes.update(
            relation_name(one.range_var) for one in node.objects if one.WhichOneof("node") == "range_var"
        )
    return False


def _reindexed(node: Any, scope: Scope, walk: _Walk) -> bool:
    if node.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[node.kind].name == "REINDEX_OBJECT_TABLE":
        walk.writes.add(relation_name(node.relation))
    return False


def _copied(node: Any, scope: Scope, walk: _Walk) -> bool:
    if node.HasField("relation"):
        (walk.writes if node.is_from else walk.reads).add(relation_name(node.relation))
    _visit_fields(node, scope, ("relation",), walk)
    return False


def _constrained(node: Any, scope: Scope, walk: _Walk) -> bool:
    if node.HasField("pktable"):
        walk.referenced.append(relation_name(node.pktable))
    return True


def _owned(node: Any, scope: Scope, walk: _Walk) -> bool:
    """A sequence, which may belong to the column of a table."""
    for one in node.options:
        if one.def_elem.defname == "owned_by":
            names = strings(one.def_elem.arg.list.items)
            walk.reads.update([named(names[:-1])] if len(names) > 1 else [])
    return True


def _set(node: Any, scope: Scope, walk: _Walk) -> bool:
    values = [text_of(message_of(one)) for one in node.args]
    if node.name == "search_path":
        walk.search_path, walk.by_literal = tuple(values), True
    elif node.name in _ROLES and values:
        walk.role, walk.by_literal = values[0], True
    return False


def _called(node: Any, scope: Scope, walk: _Walk) -> bool:
    """A function whose argument names a relation, is a statement, or sets the search path or the role."""
    called = strings(node.funcname)[-1]
    if called in NAMING:
        walk.by_literal = True
        name = named_by(called, node.args)
        walk.reads.update([] if name is None else [name])
    elif called in RUNNING:
        walk.by_literal = True
        _run(run_by(called, node.args), called, walk)
    elif called == "set_config" and len(node.args) > 1:
        setting, value = constant(node.args[0]), constant(node.args[1])
        if setting == "search_path":
            walk.search_path, walk.by_literal = tuple(path_in_text(value)), True
        elif setting in _ROLES:
            walk.role, walk.by_literal = value, True
    return True


def _run(texts: Sequence[str], by: str, walk: _Walk) -> None:
    """What is accessed by the one of these texts that is a statement: others may be addresses or options."""
    if walk.depth >= DEPTH_MAX:
        raise NotUnderstood("statements are nested too deeply")
    for text in (attempt for one in texts for attempt in _attempts(one)):
        try:
            body = _parse(text)
        except ImportError:
            raise
        except Exception:  # noqa: S112 - what is no statement is an address or an option
            continue
        for raw in body.stmts:
            found = _statement(raw.stmt, walk.depth + 1).access
            walk.reads |= found.reads
            walk.writes |= found.writes
        return
    raise NotUnderstood(f"none of the texts that {by} gets is a statement")


def _routine(node: Any, scope: Scope, walk: _Walk) -> bool:
    """A function in SQL accesses what its body accesses."""
    if node.HasField("sql_body"):
        return True
    options = {one.def_elem.defname: one.def_elem.arg for one in node.options}
    language = text_of(message_of(options["language"])).casefold() if "language" in options else ""
    if language != "sql" or "as" not in options:
        raise NotUnderstood("a function in a language other than SQL is not analysed")
    walk.by_literal = True
    _run(strings(options["as"].list.items)[:1], "the function", walk)
    return False


def _opaque(node: Any, scope: Scope, walk: _Walk) -> bool:
    word = {"DoStmt": "DO", "CallStmt": "CALL"}[node.DESCRIPTOR.name]
    raise NotUnderstood(f"the code that {word} runs is not analysed")


def _ruled(node: Any, scope: Scope, walk: _Walk) -> bool:
    walk.writes.add(relation_name(node.relation))
    _visit_fields(node, scope | {"old", "new"}, ("relation",), walk)
    return False


_SPECIAL: Mapping[str, Callable[[Any, Scope, _Walk], bool]] = {
    "DropStmt": _dropped,
    "AlterTableStmt": _altered,
    "RenameStmt": _renamed,
    "AlterObjectSchemaStmt": _moved,
    "CommentStmt": _described,
    "SecLabelStmt": _described,
    "GrantStmt": _granted,
    "ReindexStmt": _reindexed,
    "CopyStmt": _copied,
    "Constraint": _constrained,
    "VariableSetStmt": _set,
    "CreateSeqStmt": _owned,
    "AlterSeqStmt": _owned,
    "FuncCall": _called,
    "CreateFunctionStmt": _routine,
    "DoStmt": _opaque,
    "CallStmt": _opaque,
    "RuleStmt": _ruled,
    "AlterExtensionContentsStmt": lambda node, scope, walk: False,
}
"""Nodes that need more than their fields visited; False if that was all."""
