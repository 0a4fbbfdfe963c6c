"""Kinds of identifiers: the parts of a page are joined by them. Components share nothing else."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

from preterite.composition import AsOf

ProductId = NewType("ProductId", UUID)
CustomerId = NewType("CustomerId", UUID)
PurchaseId = NewType("PurchaseId", UUID)
BlockedId = NewType("BlockedId", UUID)
"""A customer who may not purchase."""
InvoiceId = NewType("InvoiceId", UUID)
ProductThen = NewType("ProductThen", AsOf)
"""A product at the moment of a purchase."""
Candidate = NewType("Candidate", UUID)
"""A product of a list whose order another component decides."""
