"""Identifiers for what the file names: they carry no meaning, and only the replay knows both sides."""

from __future__ import annotations

from uuid import UUID, uuid5

NAMESPACE = UUID("7a0c7d5e-3a55-4b8e-9d0c-2f3d0d6a1c11")


def line_id(number: int) -> UUID:
    """The purchase that a line becomes."""
    return uuid5(NAMESPACE, f"line/{number}")


def product_id(code: str) -> UUID:
    """The product of a stock code."""
    return uuid5(NAMESPACE, f"product/{code}")


def customer_id(number: int) -> UUID:
    """The customer of a number."""
    return uuid5(NAMESPACE, f"customer/{number}")
