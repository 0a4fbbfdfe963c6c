"""The events that Shipping publishes: the only module of Shipping that other components import."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class ItemShipped(Event, key="customer_id"):
    """A purchase was shipped."""

    purchase_id: UUID
    customer_id: UUID
    shipped_at: datetime
