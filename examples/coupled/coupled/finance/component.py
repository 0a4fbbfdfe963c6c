"""The component Finance."""

from preterite import Component

from coupled.finance.contracts import InvoiceOverdue, InvoiceSentToCustomer, PaymentState

TABLES = """
CREATE TABLE bill (purchase TEXT PRIMARY KEY, customer TEXT, pence INTEGER);
CREATE TABLE invoice (id TEXT PRIMARY KEY, customer TEXT, pence INTEGER);
CREATE TABLE line (id TEXT PRIMARY KEY, invoice TEXT, parcel TEXT);
ALTER TABLE line ADD CONSTRAINT of_parcel FOREIGN KEY (parcel) REFERENCES parcel (id);
GRANT SELECT ON bill TO sales;
CREATE INDEX of_customer ON bill (customer);
"""
finance = Component(  # violation: cross-component-foreign-key cross-component-grant database-shared
    "finance", publishes=[InvoiceOverdue, InvoiceSentToCustomer, PaymentState], tables=TABLES
)
