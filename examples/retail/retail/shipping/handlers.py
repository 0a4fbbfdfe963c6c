"""The handlers of Shipping: one saga, which packs each purchase in the evening."""

from retail.shipping.component import shipping
from retail.shipping.packing import PackingWindow

__all__ = ["PackingWindow", "shipping"]
