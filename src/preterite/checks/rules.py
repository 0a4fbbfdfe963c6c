"""The rules of a partition: each in one sentence, why it is one, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from preterite.evolution.compatibility import WAYS

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """One rule; `level` says where it is looked for."""

    id: str
    level: Literal["code", "data", "events", "contracts", "run time", "rights", "list"]
    severity: Severity
    says: str
    why: str
    instead: str
    bad: str = ""
    good: str = ""


_RULES = (
    Rule(
        "imports-internals", "code", "error",
        "A component imports nothing of another but its contracts.",
        "What is imported cannot be changed, replaced or moved without the other; sooner or later it is "
        "called, and then one component waits for another and fails with it.",
        "Hear the other's events and keep what you need of them, or compose the two on the page, by "
        "identifiers.",
        "from shop.finance.model import Invoice",
        "from shop.finance.contracts import InvoiceOverdue",
    ),
    Rule(
        "imports-through", "code", "error",
        "A component does not reach another's internals through a module that both share.",
        "A shared module that imports a component is a back door: whoever imports it depends on all that it "
        "knows.",
        "Let shared modules take plain values and know no component; move the rest into the component that "
        "owns it.",
        "from shop.tools import invoice_of  # shop.tools imports shop.finance.model",
        "a function over plain values",
    ),
    Rule(
        "names-internals", "code", "error",
        "A component does not name another's modules or classes in strings.",
        "Dynamic imports, registries and relations by string couple as imports do, and no tool for imports "
        "sees them.",
        "Keep the identifier in a column of your own, without a relation; hear the other's events.",
        'relationship("Invoice"), import_module("shop.finance.model")',
        "invoice_id: Mapped[UUID]",
    ),
    Rule(
        "calls-function", "code", "error",
        "Contracts hold events, not functions that others call.",
        "A function in the contracts is a call across the boundary: its caller runs the other's rules with the"
        " other's bugs, at the version that happens to be installed.",
        "Keep the function at home; tell what has happened by an event.",
        "from shop.finance.contracts import price_of",
        "from shop.finance.contracts import PriceChanged",
    ),
    Rule(
        "shares-state", "code", "error",
        "Components share no module that holds state: no registries, caches, engines, sessions.",
        "What one writes there the other reads: a table that two components share, without even a schema. In "
        "processes of their own it is gone.",
        "Give each component its own; what the other must know travels as an event.",
        "cache: dict[UUID, int] = {}  # filled by one component, read by another",
        "constants and pure functions",
    ),
    Rule(
        "code-untold", "code", "note",
        "Each component's code can be told from every other's.",
        "Where one module declares several components, nobody can see whose a function is; of their SQL only that in "
        "handlers is looked at.",
        "A package for each component, with the module that declares it.",
    ),
    Rule(
        "touches-foreign-table", "data", "error",
        "A component's SQL touches its own tables only.",
        "Whoever reads a table of another depends on its columns, its indexes and its locks; whoever writes it"
        " takes the decision away from the component that is the authority for it.",
        "Keep what you need, as another component's events have told it; or ask nobody: show it beside yours, "
        "by identifiers.",
        "SELECT email FROM customer  -- in Finance",
        "a table of Finance's own, filled by what it hears",
    ),
    Rule(
        "touched-foreign-table", "data", "error",
        "What ran touched tables of its own component only.",
        "Statements that are put together at run time, relations that load by themselves, and views are seen "
        "only here.",
        "As for touches-foreign-table; the place is the line that ran the statement.",
    ),
    Rule(
        "sql-not-understood", "data", "error",
        "Every statement is understood: nothing may hide in what the parser passes through.",
        "A statement that is not understood might touch anything; to take it for harmless would make the check"
        " worthless.",
        "Write it so that the parser reads it, move a function's body into plain SQL, or accept it with a "
        "reason.",
    ),
    Rule(
        "table-without-owner", "data", "warning",
        "Every table that a component uses is declared as one component's own.",
        "A table that nobody has declared has no authority, and nobody notices a second writer.",
        'Declare it: Component("sales", tables=…).',
    ),
    Rule(
        "table-owned-twice", "data", "error",
        "A table has one owner.",
        "Two components that declare the same table of the same database both write it.",
        "Decide whose it is; the other hears of it by events.",
    ),
    Rule(
        "foreign-key-crosses", "data", "error",
        "No foreign key leads from one component's table to another's.",
        "It couples deletes and locks: inserting a row locks the other's, and one component decides whether "
        "the other may delete.",
        "Keep the identifier without the constraint, and handle the event that says the other thing is gone.",
        "product_id REFERENCES product (id)  -- in Sales",
        "product_id UUID NOT NULL",
    ),
    Rule(
        "view-crosses", "data", "error",
        "No view reads tables of another component.",
        "It runs with its owner's rights and hides from everybody whose tables it reads.",
        "A table of your own, filled by what you hear.",
    ),
    Rule(
        "trigger-crosses", "data", "error",
        "No trigger or function touches tables of another component.",
        "It writes for the other in the middle of a transaction that knows nothing of it.",
        "Publish an event in that transaction; the other writes its own table when it hears it.",
    ),
    Rule(
        "grant-crosses", "data", "error",
        "No component grants others rights on its tables.",
        "A right that is granted is used.",
        "Take it back, and publish what the other has to know.",
    ),
    Rule(
        "database-shared", "data", "error",
        "Every component has a database of its own.",
        "On one database nothing but discipline keeps one from the other's tables, and they share locks, load "
        "and outages.",
        "A database for each; on the way there a schema and a role for each.",
    ),
    Rule(
        "role-shared", "data", "error",
        "Every component logs in under a role of its own, which is no superuser.",
        "With the same role the database can refuse nothing.",
        "preterite provision makes a role for each.",
    ),
    Rule(
        "event-not-past", "events", "error",
        "An event is named by what has happened: a noun and a verb in the past tense.",
        "A name in the present is an order or a state: it makes the publisher depend on what the other does "
        "with it.",
        "Name the fact: ItemPurchased, not PurchaseItem or ItemPurchase.",
        "class ShipOrder(Event)",
        "class OrderShipped(Event)",
    ),
    Rule(
        "event-carries", "events", "error",
        "An event carries identifiers and instants, and nothing else without a stated reason.",
        "Data in an event is a copy that is old when it arrives, and a table that all share, in motion.",
        'Leave it at home; or say why it must travel: Annotated[int, Fact("only Sales knows how many")].',
        "price: Decimal",
        "product_id: UUID",
    ),
    Rule(
        "identifier-has-meaning", "events", "error",
        "An identifier means nothing but itself.",
        "A number that counts, a date or a prefix in it will be read, sorted and parsed by others; then its "
        "owner can never change it.",
        "UUID.",
        "order_number: int, customer_id: str = 'DE-2024-0001'",
        "order_id: UUID",
    ),
    Rule(
        "personal-data", "events", "error",
        "No event carries personal data.",
        "Events are kept, replayed and logged everywhere; nobody can take back what stands in them.",
        "An identifier that only the owner can resolve.",
        "email: str",
        "customer_id: UUID",
    ),
    Rule(
        "event-without-key", "events", "warning",
        "An event names the key that orders it.",
        "Without one there is no order between the events of one thing.",
        'class ItemPurchased(Event, key="customer_id").',
    ),
    Rule(
        "event-unheard", "events", "note",
        "Somebody hears every event.",
        "An event that nobody hears may be a fact for those to come, or dead weight.",
        "Leave it if it is a fact of the business; else stop publishing it.",
    ),
    Rule(
        "event-unpublished", "events", "error",
        "Every event that is handled is published by a component of the system.",
        "A handler that waits for what nobody says never runs.",
        "Name the event in its owner's publishes=[…], or remove the handler.",
    ),
    Rule(
        "event-inherits", "events", "error",
        "Events inherit from nothing but Event.",
        "A field that a base class gains changes the contracts of all that inherit, and readers begin to "
        "dispatch on types.",
        "Write the fields out.",
    ),
    Rule(
        "contract-field-required", "contracts", "error",
        "No field comes that must be there: what was written before lacks it.",
        "Stored events are read again, by late subscribers and replays; one that lacks the field could not be.",
        WAYS["contract-field-required"],
        "shop_id: UUID  # new", "shop_id: UUID | None = None",
    ),
    Rule(
        "contract-field-gone", "contracts", "error",
        "No field goes that readers count on.",
        "Programs that are older go on running for a while, and read what is written now.",
        WAYS["contract-field-gone"],
    ),
    Rule(
        "contract-type", "contracts", "error",
        "No field changes its type, not even to a wider one.",
        "One side reads what the other cannot write: older readers the new, or newer readers the old.",
        WAYS["contract-type"],
        "quantity: float  # was int", "amount: float | None = None  # beside quantity: int",
    ),
    Rule(
        "contract-values", "contracts", "error",
        "No value comes that readers do not know, and none goes that is stored.",
        "A reader that meets an unknown value can only set the event aside.",
        WAYS["contract-values"],
    ),
    Rule(
        "contract-limits", "contracts", "error",
        "No limit changes that readers rely on or that stored events do not keep.",
        "What was written under other limits is refused when it is read.",
        WAYS["contract-limits"],
    ),
    Rule(
        "contract-key", "contracts", "error",
        "The key of an event never changes.",
        "It decides order and place; what was written lies by the old one.",
        WAYS["contract-key"],
    ),
    Rule(
        "contract-gone", "contracts", "error",
        "An event that is in a log is declared.",
        "What is stored could be read by nobody.",
        WAYS["contract-gone"],
    ),
    Rule(
        "contract-upcast", "contracts", "error",
        "Whoever hears an event can read its older versions.",
        "They are in the log, and come with every replay and every late start.",
        WAYS["contract-upcast"],
    ),
    Rule(
        "contract-strict", "contracts", "error",
        "Readers ignore fields that they do not know.",
        "Otherwise no field could ever be added.",
        WAYS["contract-strict"],
    ),
    Rule(
        "waits-while-handling", "run time", "error",
        "A component waits for no other while it handles an event.",
        "A call to another component inside a handler fails when the other is away, and holds locks while it "
        "waits.",
        "Hear what the other has to tell before it is needed; or compose where it is shown.",
    ),
    Rule(
        "rights-reach", "rights", "error",
        "A component's role is refused at every other component's tables.",
        "Only the database's refusal cannot be forgotten.",
        "preterite provision takes the rights back; REVOKE what was granted by hand.",
    ),
    Rule(
        "accepted-no-more", "list", "error",
        "What is accepted still happens.",
        "The list may only shrink; an entry that matches nothing would hide the next crossing of its kind.",
        "Remove the entry: preterite check --shrink.",
    ),
)  # fmt: skip

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _RULES}
