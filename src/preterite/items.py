"""A record made ready to be handled: decoded, and matched with what a component does with it."""

from __future__ import annotations

import msgspec

from preterite import envelope as envelopes
from preterite.contracts import Message
from preterite.envelope import Envelope
from preterite.errors import Undecodable
from preterite.failures import failure_of
from preterite.log import Record
from preterite.rows import Failure
from preterite.topology import Subscription, Subscriptions


class Item(msgspec.Struct, frozen=True, gc=False):
    """A record made ready: decoded and matched with what this component hears, or the reason why it is not."""

    record: Record
    envelope: Envelope | None
    subscription: Subscription | None
    event: Message | None
    fault: Failure | None
    unknown: bool = False

    @property
    def key(self) -> str | None:
        """The key that orders this item within its stream."""
        return self.envelope.subject if self.envelope is not None else None


def opened(subscriptions: Subscriptions, record: Record) -> Item:
    """Decode a record and match it with what this component hears; never raises."""
    if record.kind == "void":
        return Item(record, None, None, None, Failure("Void", record.body.decode(errors="replace"), "", ""))
    try:
        envelope = envelopes.from_bytes(record.body)
    except Undecodable as error:
        return Item(record, None, None, None, failure_of(error))
    subscription = subscriptions.find(record.kind, envelope.type)
    if subscription is None and record.kind == "command":
        return Item(record, envelope, None, None, Failure("NoHandler", f"nothing here handles {envelope.type}", "", ""))
    if subscription is None:
        return Item(record, envelope, None, None, None, unknown=envelope.type not in subscriptions.declared)
    try:
        event = subscription.decoded(envelope)
    except Exception as error:
        # What is written is not what it says it is, or the reader's own upcast could not make anything of it.
        return Item(
            record,
            envelope,
            subscription,
            None,
            failure_of(Undecodable(f"{envelope.type} version {envelope.version}: {_said(error)}")),
        )
    return Item(record, envelope, subscription, event, None)


def _said(error: Exception) -> str:
    known = isinstance(error, (msgspec.DecodeError, UnicodeDecodeError))
    return str(error) if known else f"its upcast raised {type(error).__name__}: {error}"
