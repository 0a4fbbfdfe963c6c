"""The component Sales."""

from preterite import Component
from retail.sales.contracts import ItemPurchased
from retail.sales.model import Base

sales = Component("sales", publishes=[ItemPurchased], tables=Base.metadata)
