"""What Shipping fills on pages, and takes from forms."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from preterite.composition import Ask, Ids, Invalid, Parts, Slice
from retail.identifiers import CustomerId, ProductId, PurchaseId
from retail.shipping import actions, reports
from retail.shipping.component import shipping
from retail.shipping.reports import Delivery, Shipped

SHOWN = 50
COUNTRY_LENGTH_MAX = 60

parts = Parts(shipping)


@parts.part(fallback="Where things are cannot be told right now.", unknown="not heard of yet")
def deliveries(purchases: Ids[PurchaseId], connection: Connection) -> Mapping[PurchaseId, Delivery]:
    """How far purchases are on their way."""
    return reports.deliveries(connection, purchases)  # pyright: ignore[reportReturnType]


@parts.part(fallback="Where it goes cannot be told right now.", unknown="no address yet")
def addresses(customers: Ids[CustomerId], connection: Connection) -> Mapping[CustomerId, str]:
    """Where customers live."""
    return reports.countries(connection, customers)  # pyright: ignore[reportReturnType]


@parts.part(gives=[ProductId], required=True, fallback="Shipping cannot be reached right now.")
def to_pack(connection: Connection) -> Slice:
    """What is to be packed, the first first."""
    found = reports.to_pack(connection, SHOWN)
    return Slice(found, gives={ProductId: [ProductId(one.product_id) for one in found]})


@parts.part(fallback="What was sent cannot be told right now.")
def shipped(connection: Connection) -> list[Shipped]:
    """What was sent, the last first."""
    return reports.shipped(connection, SHOWN)


def read_country(fields: Mapping[str, str], ask: Ask) -> str | None:
    """A country; nothing where the form does not ask for one."""
    if "country" in fields and not 1 < len(fields["country"]) <= COUNTRY_LENGTH_MAX:
        raise Invalid(country="Write the country to which it goes.")
    return fields["country"] or None


@parts.section("country", read=read_country, fallback="Shipping could not note the address yet.")
def new_address(_purchase: PurchaseId, country: str, session: Session, ask: Ask) -> None:
    """Keep where the viewer's purchases go."""
    if ask.viewer is not None:
        actions.keep_addresses(session, {ask.viewer: country})
