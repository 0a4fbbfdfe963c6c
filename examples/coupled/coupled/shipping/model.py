"""The tables of Shipping."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from coupled.database import Base


class Parcel(Base):
    """A parcel."""

    __tablename__ = "parcel"

    id: Mapped[str] = mapped_column(primary_key=True)
    purchase: Mapped[str]  # fine: an identifier, without a relation
