"""What one reads with: a session, or on pages, where it is faster, a plain connection of SQLAlchemy."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session

Reading: TypeAlias = Session | Connection
