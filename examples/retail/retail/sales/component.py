"""The component Sales."""

from preterite import Component
from retail.sales.contracts import ItemPurchased, PurchaseCancelled
from retail.sales.model import Base

sales = Component("sales", publishes=[ItemPurchased, PurchaseCancelled], tables=Base.metadata)
