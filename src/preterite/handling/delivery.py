"""A record made ready to be handled: decoded, and matched with what a component does with it."""

from __future__ import annotations

import msgspec

from preterite import envelope as envelopes
from preterite.contracts import Message, name_fault
from preterite.envelope import Envelope
from preterite.errors import Undecodable
from preterite.handling.failure import ends_the_process, failure_of, name_of, storable, text_of
from preterite.log.contract import Record
from preterite.printing.raised import is_a
from preterite.store.rows import Failure
from preterite.topology import Subscription, Subscriptions


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A record made ready: decoded and matched with what this component subscribes to, or the reason why it is not."""

    record: Record
    envelope: Envelope | None
    subscription: Subscription | None
    event: Message | None
    fault: Failure | None
    unknown: bool = False

    @property
    def key(self) -> str | None:
        """The key that orders this delivery within its stream."""
        return self.envelope.subject if self.envelope is not None else None


def decode(subscriptions: Subscriptions, record: Record) -> Delivery:
    """Decode a record and match it with what this component subscribes to; never raises."""
    if record.kind == "void":
        return Delivery(
            record, None, None, None, Failure("Void", storable(record.body.decode(errors="replace")), "", "")
        )
    try:
        envelope = envelopes.from_bytes(record.body)
    except Undecodable as error:
        return Delivery(record, None, None, None, failure_of(error))
    subscription = subscriptions.find(record.kind, envelope.type)
    if subscription is None:
        return _without_handler(subscriptions, record, envelope)
    refused = _refused(subscription, record, envelope)
    if refused is not None:
        # Without a key: it blocks no event that its publisher has published.
        return Delivery(record, None, None, None, failure_of(Undecodable(f"{envelope.type}: {refused}")))
    try:
        event = subscription.decoded(envelope)
    except BaseException as error:
        if ends_the_process(error):
            raise
        # What is written is not what it says it is, or the reader's own upcast could not make anything of it.
        return Delivery(
            record,
            envelope,
            subscription,
            None,
            failure_of(Undecodable(f"{envelope.type} version {envelope.version}: {_said(error)}")),
        )
    return Delivery(record, envelope, subscription, event, None)


def _without_handler(subscriptions: Subscriptions, record: Record, envelope: Envelope) -> Delivery:
    """What nothing here handles: passed, and counted by its name where no component declares it; or set aside."""
    if record.kind == "command":
        missing = Failure("NoHandler", storable(f"nothing here handles {envelope.type}"), "", "")
        return Delivery(record, envelope, None, None, missing)
    unknown = envelope.type not in subscriptions.declared
    fault = name_fault(envelope.type) if unknown else None
    if fault is not None:
        return Delivery(record, None, None, None, failure_of(Undecodable(f"The name of its type {fault}")))
    return Delivery(record, envelope, None, None, None, unknown=unknown)


def _refused(subscription: Subscription, record: Record, envelope: Envelope) -> str | None:
    """Why a record is not taken for the event that it says it is, before anything of it is decoded."""
    publisher = record.stream.publisher
    if record.kind == "event" and publisher != subscription.publisher:
        # A role that may append to one stream speaks for the component of that stream, and for no other.
        return f"only {subscription.publisher} publishes it, and it stands in a stream of {publisher}"
    fault = name_fault(envelope.subject or "")
    return None if fault is None else f"its key {fault}"


def _said(error: BaseException) -> str:
    known = is_a(error, (msgspec.DecodeError, UnicodeDecodeError))
    return str(error) if known else f"its upcast raised {name_of(error)}: {text_of(error)}"
