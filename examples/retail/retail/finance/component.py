"""The component Finance."""

from preterite import Component
from retail.finance.contracts import InvoiceIssued, InvoiceOverdue, OverdueInvoicesPaid
from retail.finance.model import Base

finance = Component("finance", publishes=[InvoiceIssued, InvoiceOverdue, OverdueInvoicesPaid], tables=Base.metadata)
