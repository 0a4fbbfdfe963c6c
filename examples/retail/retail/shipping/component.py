"""The component Shipping."""

from preterite import Component
from retail.shipping.contracts import ItemShipped
from retail.shipping.model import Base

shipping = Component("shipping", publishes=[ItemShipped], tables=Base.metadata)
