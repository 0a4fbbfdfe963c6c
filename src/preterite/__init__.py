"""Components of a business own their databases and publish durable events to each other."""

from preterite.component import Component, ReplayStatus
from preterite.contracts import Command, Event, Justified, OwnKey, Tick
from preterite.envelope import Envelope
from preterite.errors import PreteriteError
from preterite.open_system import OpenSystem
from preterite.publishing.unit_of_work import UnitOfWork
from preterite.recoverability import Recoverability
from preterite.saga import Saga, joined_by, started_by, timeout
from preterite.system import System

__all__ = [
    "Command",
    "Component",
    "Envelope",
    "Event",
    "Justified",
    "OpenSystem",
    "OwnKey",
    "PreteriteError",
    "Recoverability",
    "ReplayStatus",
    "Saga",
    "System",
    "Tick",
    "UnitOfWork",
    "joined_by",
    "started_by",
    "timeout",
]
