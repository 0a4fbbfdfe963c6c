"""What Shipping tells the others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from preterite import Event, Fact


class ItemShipped(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    shipped_at: datetime
    weight: Annotated[int, Fact("the carrier bills by it")] = 0  # fine: says why


class ParcelLost(Event, key="parcel_id"):  # crosses: event-unheard; fine: irregular
    parcel_id: UUID
    lost_at: datetime
    delay: timedelta | None = None  # crosses: event-carries


class DeliverParcel(Event, key="parcel_id"):  # crosses: event-not-past event-unheard
    parcel_id: UUID
    phone: str  # crosses: personal-data
    deliver_at: datetime
