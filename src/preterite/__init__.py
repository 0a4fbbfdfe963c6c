"""Partition a business system through events: components own their databases and tell each other what has happened."""

from preterite.component import Component
from preterite.contracts import Command, Event, Fact, OwnKey, Tick
from preterite.envelope import Envelope
from preterite.errors import PreteriteError
from preterite.opened import OpenSystem
from preterite.recoverability import Recoverability
from preterite.saga import Saga, joined_by, started_by, timeout
from preterite.system import System
from preterite.unit_of_work import UnitOfWork

__all__ = [
    "Command",
    "Component",
    "Envelope",
    "Event",
    "Fact",
    "OpenSystem",
    "OwnKey",
    "PreteriteError",
    "Recoverability",
    "Saga",
    "System",
    "Tick",
    "UnitOfWork",
    "joined_by",
    "started_by",
    "timeout",
]
