"""The events of Shipping."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from preterite import Event, Justified


class ItemShipped(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    shipped_at: datetime
    weight: Annotated[int, Justified("the carrier bills by it")] = 0  # fine: states a reason


class ParcelLost(Event, key="parcel_id"):  # violation: event-without-subscriber; fine: an irregular verb
    parcel_id: UUID
    lost_at: datetime
    delay: timedelta | None = None  # violation: event-carries-data


class DeliverParcel(Event, key="parcel_id"):  # violation: event-not-past-tense event-without-subscriber
    parcel_id: UUID
    phone: str  # violation: personal-data
    deliver_at: datetime
