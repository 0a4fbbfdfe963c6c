"""Partition a business system through events: components own their databases and tell each other what has happened."""

from preterite.component import Component
from preterite.contracts import Event, Fact, OwnKey
from preterite.envelope import Envelope
from preterite.errors import PreteriteError
from preterite.opened import OpenSystem
from preterite.recoverability import Recoverability
from preterite.system import System
from preterite.unit_of_work import UnitOfWork

__all__ = [
    "Component",
    "Envelope",
    "Event",
    "Fact",
    "OpenSystem",
    "OwnKey",
    "PreteriteError",
    "Recoverability",
    "System",
    "UnitOfWork",
]
