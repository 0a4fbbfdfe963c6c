"""The rules of `preterite check`: what each requires, why, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from preterite.evolution.compatibility import REMEDIES

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """One rule; `level` is the part of the system that it is about."""

    id: str
    level: Literal["code", "data", "events", "contracts", "run time", "rights", "baseline"]
    severity: Severity
    summary: str
    why: str
    instead: str
    bad: str = ""
    good: str = ""
    is_caused_elsewhere: bool = False
    """Whether what has to change is not at the place of a finding, but where its key says; many places may show it."""


_RULES = (
    Rule(
        "imports-internals", "code", "error",
        "A component imports nothing from another component except its contracts.",
        "Imported code cannot be changed, replaced or deployed separately; once it is called, one component "
        "waits for the other and fails with it.",
        "Subscribe to the other component's events and store what you need, or compose both on a page by "
        "identifiers.",
        "from shop.finance.model import Invoice",
        "from shop.finance.contracts import InvoiceOverdue",
    ),
    Rule(
        "imports-indirectly", "code", "error",
        "A component does not import another component's internals through a shared module.",
        "A component that imports the shared module depends on everything that this module imports.",
        "Let shared modules take plain values and import no component; move the rest into the component that "
        "owns it.",
        "from shop.tools import invoice_of  # shop.tools imports shop.finance.model",
        "a function over plain values",
        is_caused_elsewhere=True,
    ),
    Rule(
        "names-internals", "code", "error",
        "A component does not name another component's modules or classes in strings.",
        "Dynamic imports, registries and relations by string couple components as imports do, and tools that "
        "check imports do not detect them.",
        "Keep the identifier in a column of your own without a relation; subscribe to the other component's events.",
        'relationship("Invoice"), import_module("shop.finance.model")',
        "invoice_id: Mapped[UUID]",
    ),
    Rule(
        "calls-contract-function", "code", "error",
        "Contracts contain events, not functions for other components.",
        "A function in the contracts is a call across the boundary: the caller runs the other component's logic "
        "in the version that is installed with the caller.",
        "Keep the function in its own component; publish an event when its result changes.",
        "from shop.finance.contracts import price_of",
        "from shop.finance.contracts import PriceChanged",
    ),
    Rule(
        "shares-state", "code", "error",
        "Components share no module with mutable state: no registries, caches, engines or sessions.",
        "Shared state is a shared table without a schema: one component writes it, another reads it. In "
        "separate processes it does not work at all.",
        "Give each component its own state; publish what the others need to know as an event.",
        "cache: dict[UUID, int] = {}  # filled by one component, read by another",
        "constants and pure functions",
    ),
    Rule(
        "module-not-understood", "code", "error",
        "Every module of a component can be parsed.",
        "A module that cannot be parsed may import and access anything; the check does not assume that it is harmless.",
        "Correct it, or move what is no code for this Python, such as a template, out of the package; or "
        "add it to the baseline with a reason.",
    ),
    Rule(
        "module-shared", "code", "note",
        "Each component is declared in a module of its own.",
        "If one module declares several components, the owner of a function is unknown; only the SQL in handlers "
        "is checked.",
        "Create a package for each component, with the module that declares it.",
    ),
    Rule(
        "cross-component-sql", "data", "error",
        "A component's SQL accesses only the component's own tables.",
        "A component that reads another's table depends on its columns, indexes and locks; one that writes it "
        "bypasses the owner's rules.",
        "Store what you need from the other component's events, or show both on one page by identifiers.",
        "SELECT email FROM customer  -- in Finance",
        "a table of Finance, filled by its handlers",
    ),
    Rule(
        "cross-component-sql-at-runtime", "data", "error",
        "The statements that ran accessed only the component's own tables.",
        "Statements that are built at run time, lazily loaded relations, and views are detected only here.",
        "As for cross-component-sql; the place is the line that ran the statement.",
    ),
    Rule(
        "sql-not-understood", "data", "error",
        "Every statement can be analysed.",
        "A statement that cannot be analysed may access any table; the check does not assume that it is "
        "harmless.",
        "Rewrite it so that the parser reads it, move the body of a function into plain SQL, or add it to the "
        "baseline with a reason.",
    ),
    Rule(
        "table-without-owner", "data", "warning",
        "Every table that a component uses is declared by one component.",
        "A table that no component declares has no owner, and a second writer is not detected.",
        'Declare it: Component("sales", tables=…).',
    ),
    Rule(
        "table-owned-twice", "data", "error",
        "A table has one owner.",
        "Two components that declare the same table of the same database both write it.",
        "Decide which component owns it; the other subscribes to the owner's events.",
    ),
    Rule(
        "cross-component-foreign-key", "data", "error",
        "No foreign key references another component's table.",
        "It couples deletes and locks: an insert locks the referenced row, and one component decides whether "
        "the other may delete.",
        "Keep the identifier without the constraint, and handle the event that reports the deletion.",
        "product_id REFERENCES product (id)  -- in Sales",
        "product_id UUID NOT NULL",
    ),
    Rule(
        "cross-component-view", "data", "error",
        "No view reads tables of another component.",
        "A view runs with its owner's rights and hides which tables it reads.",
        "Create a table of your own and fill it in your handlers.",
    ),
    Rule(
        "cross-component-trigger", "data", "error",
        "No trigger or function accesses tables of another component, or writes Preterite's own.",
        "It changes the other component's data inside a transaction that the other component does not control; events "
        "that it deletes from Preterite's tables are lost. On PostgreSQL nothing refuses that at run time.",
        "Publish an event in that transaction; the other component writes its own table when it handles it.",
    ),
    Rule(
        "cross-component-grant", "data", "error",
        "No component grants others rights on its tables.",
        "A granted right will be used.",
        "Revoke it, and publish what the other component needs to know.",
    ),
    Rule(
        "database-shared", "data", "error",
        "Every component has its own database.",
        "In a shared database nothing prevents access to the other component's tables, and both share locks, load "
        "and outages.",
        "Create a database for each component; as an intermediate step, a schema and a role for each.",
    ),
    Rule(
        "role-shared", "data", "error",
        "Every component logs in with its own role, which is not a superuser.",
        "With a shared role the database cannot refuse access.",
        "Run preterite provision, which creates a role for each component.",
    ),
    Rule(
        "event-not-past-tense", "events", "error",
        "The name of an event is a noun and a verb in the past tense.",
        "A name in the present tense is an order or a state: it makes the publisher depend on what the subscriber "
        "does.",
        "Name what has happened: ItemPurchased, not PurchaseItem or ItemPurchase.",
        "class ShipOrder(Event)",
        "class OrderShipped(Event)",
    ),
    Rule(
        "event-carries-data", "events", "error",
        "An event contains identifiers and instants, and nothing else without a stated reason.",
        "Data in an event is a copy that may be outdated when it arrives, and couples all subscribers to its format.",
        "Keep it in the owner's database, or state why it must be published: "
        'Annotated[int, Justified("only Sales knows how many")].',
        "price: Decimal",
        "product_id: UUID",
    ),
    Rule(
        "identifier-has-meaning", "events", "error",
        "An identifier carries no meaning.",
        "Other components will read, sort and parse a sequence, a date or a prefix in it; then its owner can no "
        "longer change it.",
        "Use a UUID.",
        "order_number: int, customer_id: str = 'DE-2024-0001'",
        "order_id: UUID",
    ),
    Rule(
        "personal-data", "events", "error",
        "No event contains personal data.",
        "Events are stored, replayed and logged in many places; what they contain cannot be deleted everywhere.",
        "Publish an identifier that only the owner can resolve.",
        "email: str",
        "customer_id: UUID",
    ),
    Rule(
        "event-without-key", "events", "warning",
        "An event has a key.",
        "Events without a key are not kept in order.",
        'Name the field that orders it: class ItemPurchased(Event, key="customer_id").',
    ),
    Rule(
        "event-without-subscriber", "events", "note",
        "Every event has a subscriber.",
        "An event without a subscriber may be needed later, or may be obsolete.",
        "Keep it if it is relevant to the business; otherwise stop publishing it.",
    ),
    Rule(
        "event-without-publisher", "events", "error",
        "Every event that is handled is published by a component of the system.",
        "A handler of an event without a publisher never runs.",
        "Add the event to its owner's publishes=[…], or remove the handler.",
    ),
    Rule(
        "event-inherits", "events", "error",
        "Events inherit only from Event.",
        "A field that is added to a base class changes the contracts of all its subclasses, and readers start to "
        "dispatch on types.",
        "Repeat the fields in each event.",
    ),
    Rule(
        "contract-field-required", "contracts", "error",
        "No required field is added.",
        "Late subscribers and replays read stored events, which lack the field.",
        REMEDIES["contract-field-required"],
        "shop_id: UUID  # new", "shop_id: UUID | None = None",
    ),
    Rule(
        "contract-field-removed", "contracts", "error",
        "No required field is removed.",
        "Older programs keep running for a while and read new events.",
        REMEDIES["contract-field-removed"],
    ),
    Rule(
        "contract-type", "contracts", "error",
        "No field changes its type, not even to a wider one.",
        "Older readers cannot read the new type, or newer readers cannot read the old one.",
        REMEDIES["contract-type"],
        "quantity: float  # was int", "amount: float | None = None  # beside quantity: int",
    ),
    Rule(
        "contract-values", "contracts", "error",
        "No value is added that readers do not know, and no stored value is removed.",
        "A handler cannot decode an event with an unknown value.",
        REMEDIES["contract-values"],
    ),
    Rule(
        "contract-limits", "contracts", "error",
        "No limit changes so that readers or stored events violate it.",
        "An event that was written under other limits is refused when it is read.",
        REMEDIES["contract-limits"],
    ),
    Rule(
        "contract-key", "contracts", "error",
        "The key of an event never changes.",
        "It decides order and partition; stored events are ordered by the old key.",
        REMEDIES["contract-key"],
    ),
    Rule(
        "contract-removed", "contracts", "error",
        "An event that is in a log is declared.",
        "Without the declaration stored events cannot be read.",
        REMEDIES["contract-removed"],
    ),
    Rule(
        "contract-upcast", "contracts", "error",
        "Every subscriber of an event can read its older versions.",
        "Older versions are in the log, and are read by every replay and every late subscriber.",
        REMEDIES["contract-upcast"],
    ),
    Rule(
        "contract-strict", "contracts", "error",
        "Readers ignore unknown fields.",
        "Otherwise no field could be added.",
        REMEDIES["contract-strict"],
    ),
    Rule(
        "statement-of-no-component", "run time", "note",
        "Every statement on a component's tables runs in that component's code.",
        "What shared modules, scripts and tests run belongs to no component, so that it cannot be checked. It is "
        "counted, so that it is known how much was not.",
        "Move code that runs statements into the component that owns the tables; ignore what only tests run.",
    ),
    Rule(
        "statement-not-recorded", "run time", "error",
        "Everything that runs is recorded.",
        "What could not be recorded was not checked. It ran all the same: recording changes nothing.",
        "Report it with the statement, or add it to the baseline with a reason.",
    ),
    Rule(
        "waits-while-handling", "run time", "error",
        "A component does not call another one while it handles an event.",
        "The call fails when the other component is unavailable, and the handler holds locks while it waits.",
        "Subscribe to the other component's events in advance, or compose both on a page.",
    ),
    Rule(
        "excess-rights", "rights", "error",
        "A component's role has no rights on another component's tables.",
        "Only the database enforces the boundary in every case.",
        "Run preterite provision, which revokes the rights of other roles; REVOKE what was granted manually.",
    ),
    Rule(
        "baseline-stale", "baseline", "error",
        "Every entry of the baseline matches a violation.",
        "A stale entry would hide the next violation with the same key.",
        "Remove the entry: preterite check --shrink.",
    ),
)  # fmt: skip

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _RULES}
