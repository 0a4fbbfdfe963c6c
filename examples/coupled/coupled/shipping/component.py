"""The component Shipping."""

from preterite import Component

from coupled.shipping.contracts import DeliverParcel, ItemShipped, ParcelLost

TABLES = """
CREATE TABLE parcel (id TEXT PRIMARY KEY, purchase TEXT);
CREATE TABLE stock (product TEXT PRIMARY KEY, pieces INTEGER);
CREATE TABLE bill (id TEXT PRIMARY KEY, carrier TEXT);
CREATE TRIGGER moved AFTER UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION note_stock();
CREATE FUNCTION note_stock() RETURNS trigger AS $$ BEGIN UPDATE product SET name = name; RETURN new; END $$ LANGUAGE plpgsql;
CREATE FUNCTION pieces() RETURNS bigint AS $$ SELECT count(*) FROM product $$ LANGUAGE sql;
"""
shipping = Component(  # violation: sql-not-understood cross-component-trigger table-owned-twice database-shared 2 role-shared
    "shipping", publishes=[ItemShipped, ParcelLost, DeliverParcel], tables=TABLES
)
