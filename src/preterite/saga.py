"""Sagas: a decision that takes time. Its state is kept between the events that start, join and end it.

    @shipping.saga
    class PackingWindow(Saga, by="purchase_id"):
        purchase_id: UUID
        customer_id: UUID | None = None

        @started_by(ItemPurchased)
        def open(self, event: ItemPurchased, unit_of_work: UnitOfWork) -> None: ...

        @joined_by(PurchaseCancelled, missing="ignore")
        def cancel(self, event: PurchaseCancelled) -> None:
            self.complete()

        @timeout(Pack)
        def pack(self, command: Pack, session: Session) -> None: ...

One instance lives for each value of the field named by `by`; it begins with nothing but that. A command that it
schedules is its own timeout, and is cancelled when it completes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, cast, dataclass_transform

import msgspec

from preterite.contracts import Command, Event, Message, reads_back
from preterite.errors import UsageError
from preterite.printing.arguments import declares
from preterite.printing.keys import field_key_fault, key_text
from preterite.printing.text import clause

Missing = Literal["park", "ignore"]
Function = TypeVar("Function", bound=Callable[..., Any])
_REACTION = "__preterite_reaction__"


@dataclass(frozen=True)
class SagaContract:
    """What a saga class declares about itself."""

    by: str
    name: str
    version: int


@dataclass(frozen=True)
class Reaction:
    """What makes a saga's function run, and how its instance is found."""

    kind: Literal["starts", "joins", "times out"]
    message_type: type[Message]
    by: str | None = None
    missing: Missing = "park"
    ended: Missing | None = None


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class SagaMeta(msgspec.StructMeta):
    """Makes a saga's state keyword-only, and keeps its class keywords."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        by: str = "",
        name: str | None = None,
        version: int = 1,
    ) -> SagaMeta:
        cls = super().__new__(mcls, class_name, bases, namespace, kw_only=True, dict=True)
        type.__setattr__(cls, "__saga__", SagaContract(by, name or class_name, version))
        return cast(SagaMeta, cls)


class Saga(msgspec.Struct, metaclass=SagaMeta):
    """The state of a long-running decision: identifiers and times, as typed fields.

    Fields but the one named by `by` have defaults. A field added later takes its default in instances that are
    older; where that is not enough, raise `version` and write `upcast`.
    """

    __saga__: ClassVar[SagaContract]

    def complete(self) -> None:
        """End this instance with this transaction, and all its timeouts with it."""
        vars(self)["completed"] = True

    @property
    def completed(self) -> bool:
        """Whether this instance ends with this transaction."""
        return vars(self).get("completed", False)

    @classmethod
    def upcast(cls, version: int, state: dict[str, Any]) -> dict[str, Any]:
        """The state as the present version has it, from that of an older one, as JSON values; override where needed."""
        return state


@declares("(ItemPurchased)")
def started_by(message_type: type[Event] | type[Command], *, by: str | None = None) -> Callable[[Function], Function]:
    """Run the decorated function for this event, or command of its own component, in a new instance if there is none.

    `by` names the message's field that finds the instance; where left out it is called as in the saga.
    """
    return _mark(Reaction("starts", message_type, by))


@declares("(ItemPurchased)")
def joined_by(
    message_type: type[Event] | type[Command],
    *,
    by: str | None = None,
    missing: Missing = "park",
    ended: Missing | None = None,
) -> Callable[[Function], Function]:
    """Run the decorated function for this event, or command of its own component, in the instance there is.

    Where there is none the message is parked with that reason, and runs once there is one; with `missing="ignore"` it
    is skipped and counted. `ended` says the same of a message that comes after its instance has ended, which is
    remembered for seven days; where left out, `missing` holds for it, too.
    """
    return _mark(Reaction("joins", message_type, by, missing, ended))


@declares("(PackPurchase)")
def timeout(command_type: type[Command]) -> Callable[[Function], Function]:
    """Run the decorated function when this command, which the instance scheduled, is due."""
    return _mark(Reaction("times out", command_type))


def _mark(reaction: Reaction) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        setattr(function, _REACTION, reaction)
        return function

    return mark


def reactions(saga: type[Saga]) -> dict[str, tuple[Callable[..., Any], Reaction]]:
    """The functions of a saga that are run by messages, in the order of declaration."""
    members = {name: value for cls in reversed(saga.__mro__) for name, value in vars(cls).items()}
    return {name: (value, getattr(value, _REACTION)) for name, value in members.items() if hasattr(value, _REACTION)}


def saga_faults(saga: type[Saga]) -> list[str]:
    """What is wrong with a saga's declaration, a sentence each."""
    name, by = saga.__saga__.name, saga.__saga__.by
    fields = msgspec.structs.fields(saga)
    if by not in saga.__struct_fields__:
        return [
            f"saga {name} is found by {by!r}, which is no field of it; write by= with the field that identifies it."
        ]
    faults = [
        f"saga {name}: field {field.name!r} needs a default; an instance begins with nothing but its {by!r}."
        for field in fields
        if field.required and field.name != by
    ]
    found = reactions(saga)
    if not any(reaction.kind == "starts" for _, reaction in found.values()):
        faults.append(f"nothing starts saga {name}; mark one of its functions with @started_by(Event).")
    faults += [
        f"saga {name} is found by {reaction.by or by!r}, which {reaction.message_type.__name__} does not carry; "
        "name the event's own field with by=."
        for _, reaction in found.values()
        if reaction.kind != "times out" and (reaction.by or by) not in reaction.message_type.__struct_fields__
    ]
    carrying = [r for _, r in found.values() if (r.by or by) in r.message_type.__struct_fields__]
    places = {(saga, by), *((one.message_type, one.by or by) for one in carrying if one.kind != "times out")}
    unfit = [(owner.__name__, field, field_key_fault(owner, field)) for owner, field in places]
    return faults + [
        f"{owner}.{field}, by which saga {name} is found, cannot be a key: {fault}."
        for owner, field, fault in sorted(unfit, key=str)
        if fault is not None
    ]


def correlation(saga: type[Saga], reaction: Reaction, message: Message) -> tuple[Any, str | None]:
    """The value by which this message finds its instance, and its text as a key; no text where it is None."""
    value = getattr(message, reaction.by or saga.__saga__.by)
    return value, None if value is None else key_text(value)


def encoded(saga: Saga) -> bytes:
    """The state as JSON; raises `UsageError` if it would not read back the same."""
    state = msgspec.json.encode(saga)
    try:
        same = reads_back(saga, msgspec.json.decode(state, type=type(saga)))
    except msgspec.ValidationError as error:
        raise UsageError(f"The state of saga {saga.__saga__.name} does not fit its fields: {clause(error)}.") from None
    if not same:
        raise UsageError(f"The state of saga {saga.__saga__.name} does not read back as it is; check its field types.")
    return state


def decoded(saga: type[Saga], version: int, state: bytes) -> Saga:
    """The instance in this state; raises `UsageError` where this program's saga cannot hold it."""
    contract = saga.__saga__
    if version > contract.version:
        raise UsageError(
            f"An instance of saga {contract.name} has version {version}; this program knows {contract.version}. "
            "It waits for newer code."
        )
    try:
        if version == contract.version:
            return msgspec.json.decode(state, type=saga)
        older: Mapping[str, Any] = msgspec.json.decode(state)
        return msgspec.convert(saga.upcast(version, dict(older)), saga)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"The state of saga {contract.name}, version {version}, cannot be read: {clause(error)}."
        ) from None
