"""Statements that are put together from texts and values are checked as far as their text is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from preterite import Component, System
from preterite.checks.code.codebase import Codebase
from preterite.checks.code.modules import read
from preterite.checks.partition import Partition
from preterite.checks.sql.access import check_table_access


def found(tmp_path: Path, code: str) -> list[str]:
    """The findings about this code of Finance; Sales owns the table purchase."""
    file = tmp_path / "finance.py"
    file.write_text(code)
    sales, finance = (Component(name, tables=f"create table {table} (id int)") for name, table in OWNED)
    sales.module, finance.module = "sales", "finance"
    partition = Partition(
        System("shop", [sales, finance]), {name: f"postgresql://{name}@h/{name}" for name, _ in OWNED}
    )
    return [one.key for one in check_table_access(partition, Codebase({"finance": read("finance", file)}, None))]


OWNED = (("sales", "purchase"), ("finance", "bill"))
READS = ["cross-component-sql:finance:sales.purchase:read"]


@pytest.mark.parametrize(
    "code",
    [
        'run("select * from purchase where id in ({})".format(ids))',
        'cursor.execute("select * from purchase where id = {id} and note = {{}}".format(id=1))',
        'cursor.execute("select * from purchase where id in (%s) and note like \'a%%\'" % ", ".join(ids))',
        'cursor.execute("select %(columns)s from purchase where n = %%s" % {"columns": "a, b"})',
        'query = "select * from bill " + "where id in (select id from purchase)"',
        'cursor.execute("select * from bill where id in (" + ids + ") and 1 in (select id from purchase)")',
        'cursor.execute(f"select {a} from bill " + "join purchase on true where " + " and ".join(parts))',
        'cursor.execute("select * from {0}.purchase join {0}.{1} on true".format(schema, table))',
        'cursor.execute(sql.SQL("select {} from purchase where {} = any(%s)").format(sql.Identifier(name), where))',
        'HEAD = "select id from purchase where "\ncursor.execute(HEAD + "id = %s")',
        'migrations.RunSQL([("update bill set id = (select 1 from purchase)", None)], migrations.RunSQL.noop)',
        'annotate(total=RawSQL("(select count(*) from purchase)", []))',
    ],
)
def test_the_tables_in_the_text_are_found(code: str, tmp_path: Path) -> None:
    assert found(tmp_path, code) == READS


@pytest.mark.parametrize(
    "code",
    [
        'cursor.execute("select * from {}".format(table))',
        'cursor.execute("select * from %s where id = %%s" % table)',
        'cursor.execute("alter table {0} alter column {1} type int using {1}::int".format(table, column))',
        'cursor.execute("drop table " + table)',
        'cursor.execute(f"select * from version_{name}")',
        'cursor.execute("select * from bill limit %d offset %d" % (1, 2))',
        'cursor.execute("select * from bill where at > now() - interval \'%s days\'" % days)',
        'label = "Copy {} from the purchase".format(name) + "!"',
        'total = 1 + 2 % 3',
    ],
)  # fmt: skip
def test_values_in_the_text_are_no_tables(code: str, tmp_path: Path) -> None:
    assert found(tmp_path, code) == []


def test_a_statement_in_a_value_of_another_is_found(tmp_path: Path) -> None:
    code = 'cursor.execute("select * from bill where {}".format(where("select id from purchase")))'

    assert found(tmp_path, code) == READS
