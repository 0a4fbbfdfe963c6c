"""Writes postgresql.jsonl.gz: statements with the tables that PostgreSQL's grammar finds in queries and DML.

Run it with an interpreter that has pglast (GPL, so no dependency of this project): python oracle.py STATEMENTS.jsonl.gz
"""

import gzip
import json
import sys
from pathlib import Path

import pglast
from pglast import ast

DML = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
WRITING = DML[1:]


def name(relation):
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else relation.relname


def walk(node, scope, reads, writes):
    """Collect tables; `scope` are the names of common table expressions that are visible."""
    if isinstance(node, tuple | list):
        for one in node:
            walk(one, scope, reads, writes)
        return
    if not isinstance(node, ast.Node) or isinstance(node, ast.LockingClause):
        return
    if isinstance(node, ast.RangeVar):
        if node.schemaname is not None or node.relname not in scope:
            reads.add(name(node))
        return
    skipped = {"withClause"}
    ctes = getattr(node, "withClause", None)
    if ctes is not None:
        names = {one.ctename for one in ctes.ctes}
        before = scope | names if ctes.recursive else scope
        for one in ctes.ctes:
            walk(one.ctequery, before, reads, writes)
            before = before | {one.ctename}
        scope = scope | names
    if isinstance(node, WRITING):
        writes.add(name(node.relation))
        skipped.add("relation")
    if isinstance(node, ast.IntoClause):
        writes.add(name(node.rel))
        skipped.add("rel")
    for slot in node.__slots__:
        if slot not in skipped:
            walk(getattr(node, slot, None), scope, reads, writes)


def tables(text):
    """The tables that a text reads and writes; None if it contains anything but queries and DML."""
    reads, writes = set(), set()
    for raw in pglast.parse_sql(text):
        inner = raw.stmt
        while isinstance(inner, ast.ExplainStmt | ast.PrepareStmt | ast.DeclareCursorStmt) or (
            isinstance(inner, ast.CopyStmt) and inner.query is not None
        ):
            inner = inner.query
        if isinstance(inner, ast.ViewStmt):
            writes.add(name(inner.view))
            inner = inner.query
        if isinstance(inner, (ast.CreateTableAsStmt, *DML)):
            walk(inner, frozenset(), reads, writes)
        elif isinstance(inner, ast.CopyStmt):
            (writes if inner.is_from else reads).add(name(inner.relation))
            walk(inner.whereClause, frozenset(), reads, writes)
        else:
            return None
    return [sorted(reads), sorted(writes)]


def main():
    """Write the file beside this one."""
    with gzip.open(sys.argv[1], "rt") as source, open(Path(__file__).parent / "postgresql.jsonl.gz", "wb") as file:
        lines = [json.dumps([text, tables(text)]) for text in map(json.loads, source)]
        file.write(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
