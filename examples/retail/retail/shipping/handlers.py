"""What Shipping does when Sales tells it something: it packs in the evening, and says so."""

from retail.shipping.component import shipping
from retail.shipping.packing import PackingWindow

__all__ = ["PackingWindow", "shipping"]
