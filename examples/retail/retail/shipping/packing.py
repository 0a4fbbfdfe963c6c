"""A purchase is packed at ten in the evening of its day, unless it is cancelled before: Shipping's packing window."""

from __future__ import annotations

from datetime import UTC, datetime, time
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from preterite import Command, Saga, UnitOfWork, joined_by, started_by, timeout
from retail.db import table_of
from retail.sales.contracts import ItemPurchased, PurchaseCancelled
from retail.shipping.component import shipping
from retail.shipping.contracts import ItemShipped
from retail.shipping.model import Address, Shipment

PACKED_AT = time(22)

_address, _shipment = table_of(Address), table_of(Shipment)
_COUNTRY = select(_address.c.country).where(_address.c.customer_id == _shipment.c.customer_id)
_SEND = (
    update(_shipment)
    .where(_shipment.c.purchase_id == bindparam("of"))
    .values(country=_COUNTRY.scalar_subquery(), shipped_at=bindparam("at"))
    .returning(_shipment.c.country)
)
"""Send it to the customer's country, which is returned."""


class AddressMissing(Exception):
    """The customer has no address."""


class Pack(Command):
    """Pack what was purchased, and send it."""

    customer_id: UUID
    at: datetime


@shipping.saga
class PackingWindow(Saga, by="purchase_id"):
    """One for each purchase, until it is packed or cancelled."""

    purchase_id: UUID

    @started_by(ItemPurchased)
    def open(self, event: ItemPurchased, session: Session, unit_of_work: UnitOfWork) -> None:
        """It can be cancelled until this evening."""
        at = datetime.combine(event.purchased_at.astimezone(UTC), PACKED_AT, tzinfo=UTC)
        session.add(
            Shipment(
                purchase_id=self.purchase_id,
                customer_id=event.customer_id,
                product_id=event.product_id,
                quantity=event.quantity,
                packed_at=at,
            )
        )
        unit_of_work.schedule(Pack(customer_id=event.customer_id, at=at), at=at)

    @joined_by(PurchaseCancelled)
    def cancel(self, event: PurchaseCancelled, session: Session) -> None:
        """Nothing is packed."""
        session.execute(delete(Shipment).where(Shipment.purchase_id == self.purchase_id))
        self.complete()

    @timeout(Pack)
    def pack(self, command: Pack, session: Session, unit_of_work: UnitOfWork) -> None:
        """Send it to the customer's country, and publish that it is shipped."""
        if session.scalar(_SEND, {"of": self.purchase_id, "at": command.at}) is None:
            raise AddressMissing(f"Customer {command.customer_id} has no address; add one and redrive.")
        unit_of_work.publish(
            ItemShipped(purchase_id=self.purchase_id, customer_id=command.customer_id, shipped_at=command.at)
        )
        self.complete()
