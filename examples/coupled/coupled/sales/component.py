"""The component Sales."""

from preterite import Component

from coupled.sales.contracts import BasketChanging, CustomerRegistered, ItemPurchased, OrderPlaced

TABLES = """
CREATE TABLE purchase (id TEXT PRIMARY KEY, product TEXT REFERENCES product (id), customer TEXT);
CREATE TABLE note (id TEXT PRIMARY KEY, purchase TEXT REFERENCES purchase (id));
CREATE TABLE blocked (customer TEXT PRIMARY KEY);
CREATE VIEW owed AS SELECT p.customer, b.pence FROM purchase p JOIN bill b ON b.purchase = p.id;
CREATE TRIGGER billed AFTER INSERT ON purchase BEGIN
    INSERT INTO bill VALUES (new.id, new.customer, 0);
END;
"""
sales = Component(  # violation: cross-component-foreign-key cross-component-view cross-component-trigger
    "sales", publishes=[ItemPurchased, OrderPlaced, BasketChanging, CustomerRegistered], tables=TABLES
)
