"""The component Catalog."""

from preterite import Component

from coupled.catalog.contracts import (
    CreateProduct,
    PriceSet,
    ProductFeed,
    ProductsMerged,
    ProductWithdrawn,
    ShelfRelabelledAgain,
)

TABLES = """
CREATE TABLE product (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE category (id TEXT PRIMARY KEY, parent TEXT REFERENCES category (id)); -- its own
CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT); -- Sales has one of the same name, in its own database
CREATE VIEW listed AS SELECT p.id FROM product p JOIN category c ON c.id = p.name;
CREATE TRIGGER counted AFTER INSERT ON product BEGIN
    INSERT INTO note VALUES (new.id, 'new');
END;
"""
catalog = Component(
    "catalog",
    publishes=[ProductWithdrawn, CreateProduct, ProductFeed, PriceSet, ProductsMerged, ShelfRelabelledAgain],
    tables=TABLES,
)
