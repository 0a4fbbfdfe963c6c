"""The parts of pages that Shipping fills, and the sections of forms that it takes."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ids, PageRequest, PartResult, Parts, ValidationError
from retail.identifiers import CustomerId, ProductId, PurchaseId
from retail.shipping import actions, reports
from retail.shipping.component import shipping
from retail.shipping.reports import Delivery, Shipped

SHOWN = 50
COUNTRY_LENGTH_MAX = 60

parts = Parts(shipping)


@parts.part(fallback="Delivery states are unavailable.", unknown="not known to Shipping yet")
def deliveries(purchases: Ids[PurchaseId], connection: Connection) -> Mapping[PurchaseId, Delivery]:
    """How far purchases are on their way."""
    return reports.deliveries(connection, purchases)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Addresses are unavailable.", unknown="no address yet")
def addresses(customers: Ids[CustomerId], connection: Connection) -> Mapping[CustomerId, str]:
    """Where customers live."""
    return reports.countries(connection, customers)  # pyright: ignore[reportReturnType]


@parts.part(provides=[ProductId], required=True, fallback="Shipping is unavailable.")
def to_pack(connection: Connection) -> PartResult:
    """What is to be packed, the first first."""
    found = reports.to_pack(connection, SHOWN)
    return PartResult(found, provides={ProductId: [ProductId(one.product_id) for one in found]})


@parts.part(fallback="Sent items are unavailable.")
def shipped(connection: Connection) -> list[Shipped]:
    """What was sent, the last first."""
    return reports.shipped(connection, SHOWN)


def read_country(fields: Mapping[str, str], request: PageRequest) -> str | None:
    """A country; nothing where the form does not ask for one."""
    if "country" in fields and not 1 < len(fields["country"]) <= COUNTRY_LENGTH_MAX:
        raise ValidationError(country="Enter the country to send it to.")
    return fields["country"] or None


@parts.section("country", read=read_country, fallback="Shipping has not saved the address yet.")
def new_address(_purchase: PurchaseId, country: str, session: Session, request: PageRequest) -> None:
    """Keep where the viewer's purchases go."""
    if request.viewer is not None:
        actions.keep_addresses(session, {request.viewer: country})
