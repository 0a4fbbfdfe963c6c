"""Whether the name of an event is in the past tense: English past forms and participles, by rule and by list."""

from __future__ import annotations

import difflib
import re

NOT_PARTICIPLES = frozenset(
    """
    bed bleed breed creed deed embed exceed feed greed heed hundred inbred indeed kindred moped naked need proceed red
    reed sacred seed shed shred sled speed succeed supersede watershed weed wicked
    """.split()
)
"""Words that end like participles and are not."""
SAME_FORMS = frozenset(
    """
    bet bid burst cast cost cut hit hurt let outbid overrun put quit read rerun reset rid run set shut slit split spread
    thrust unset upset become come overcome
    """.split()
)
"""Past forms that are the present or a noun too: PriceSet is an event, OrderSetItem may be anything."""
IRREGULAR = SAME_FORMS | frozenset(
    """
    arisen arose ate awoke awoken beat beaten became began begun bent bit bitten blew blown bore born borne bought
    bound broke broken brought built burnt came caught chose chosen clung crept dealt done drank drawn drew driven
    drove drunk dug dwelt eaten fallen fed fell felt fled flew flown forbade forbidden foresaw foreseen forgave
    forgiven forgot forgotten fought found froze frozen gave given gone got gotten grew ground grown had heard held
    hid hidden hung kept knew known laid leapt learnt led left lent lit lost made meant met misled mistaken mistook
    mown oversaw overdrawn overdrew overpaid overridden overrode oversold overtaken overthrew overthrown overtook
    paid prepaid proven ran rang rebuilt redid redone remade repaid resold resent retook rewritten rewrote ridden
    risen rode rose said sang sank sat saw seen sent sewn shaken shone shook shot shown shrank shrunk slain slept
    sold sought sown spelt spent spilt spoilt spoke spoken sprang sprung stole stolen stood stricken strode strove
    struck strung stuck stung sung sunk swam swept swore sworn swum swung taken taught thought threw thrown told
    took tore torn underpaid undertaken undertook underwent understood undergone undid undone unpaid unsold upheld
    went withdrawn withdrew withheld woke woken won wore worn wound woven wrote written
    """.split()
)
STATES = frozenset(
    """
    overdue due over expired ready available unavailable full empty open late missed short
    """.split()
)
"""Words that are not participles and still name something that has happened: InvoiceOverdue."""
PARTICLES = frozenset(
    """
    again ahead and apart as at away back before between by down during early for from in into late of off on onto
    or out over per since through to together twice under until up upon via with within without
    """.split()
)
"""Words that may follow every past form: ItemSentBack, PaymentReceivedByBank."""
NEGATIONS = frozenset(
    """
    almost barely cannot cant didnt doesnt dont hardly hasnt havent isnt nearly never no non not wasnt werent wont
    """.split()
)
"""Words that negate the past form that follows."""
NOTHING = frozenset("neither nobody none nothing".split())
"""Words that negate every past form after them."""
MODALS = frozenset("can could may might must ought shall should will would".split())
"""Words that make the past form that follows a possibility or an intention."""
UNREAL = frozenset("be being have undo redo".split())
"""Words before a past form after which it states nothing that has happened: WillBeShipped, UndoWrittenOff."""
AUXILIARIES = frozenset("already are been finally fully got has is just newly now partially was were yet".split())
"""Words that may stand between a negation and what it negates, and before every past form."""
DETERMINERS = frozenset("all another any current each every first last latest new next previous some".split())
"""Words that are no subject: NextScheduledPayment."""
ADJECTIVES = frozenset(
    """
    advanced associated combined dedicated desired detailed distributed estimated expected fixed limited nested planned
    preferred related required suggested unified
    """.split()
)
"""Participles that describe the noun that follows: OrderExpectedDate, UserPreferredLanguage."""
RECORDS = frozenset(
    """
    command data domain dto event events handler integration listener model notification notifications payload query
    queue record state status summary topic view
    """.split()
)
"""Nouns that name what is stored or sent about an event: OrderPlacedNotification."""
MESSAGES = frozenset("alert email list mail message messages report reports response".split())
"""Nouns that name what is sent about an event, or what people send: OrderShippedEmail, CustomerSentEmail."""
MESSAGE_VERBS = frozenset(
    """
    accepted answered closed declined dismissed forwarded got opened posted read received rejected sent signed submitted
    wrote
    """.split()
)
ONGOING = frozenset({("in", "flight"), ("in", "process"), ("in", "progress"), ("in", "review"), ("in", "transit")})
"""Ends of names for what has not ended yet."""
HOOKS = frozenset("post pre".split())
"""Last words of names for what runs before or after something."""
_AGENT = re.compile(r"(?:[^aeiou]er|[^t]or|tor|ee|ant|ist|user|person|people|guest|client)s?$")
_NOT_AGENTS = frozenset(
    """
    account basket container counter error filter folder ledger letter meter number offer order paper parameter payment
    plant quarter register sensor server transfer voucher warrant
    """.split()
)
VERBS = {
    "approve": "approved",
    "bill": "billed",
    "block": "blocked",
    "cancel": "cancelled",
    "change": "changed",
    "close": "closed",
    "create": "created",
    "delete": "deleted",
    "deliver": "delivered",
    "issue": "issued",
    "order": "ordered",
    "pack": "packed",
    "pay": "paid",
    "place": "placed",
    "purchase": "purchased",
    "register": "registered",
    "reject": "rejected",
    "release": "released",
    "return": "returned",
    "send": "sent",
    "ship": "shipped",
    "submit": "submitted",
    "update": "updated",
}
"""Frequent verbs in the names of events, for suggestions."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def is_past_tense(name: str) -> bool:
    """Whether a class name is a noun followed by a verb in the past tense, or by a state that results from an event.

    An object may follow the verb, as in MemberLeftGroup. What only will, must or did not happen is not past.
    """
    return _is_past(_words(name))


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(re.sub(r"(V\d+|\d+)$", "", name))]


def _is_past(words: list[str]) -> bool:
    if not words or words[-1] in HOOKS or tuple(words[-2:]) in ONGOING:
        return False
    if words[-3:-1] == ["out", "of"] and _has_subject(words[:-3]):
        return not _is_unreal(words[:-3])
    return any(
        is_participle(word)
        and _has_subject(words[:place])
        and not _is_unreal(words[:place])
        and _may_follow(words, place)
        for place, word in enumerate(words)
    )


def is_participle(word: str) -> bool:
    """Whether a word is a past form, or a state that results from an event."""
    if word in IRREGULAR or word in STATES:
        return True
    return word.endswith("ed") and len(word) > 3 and word not in NOT_PARTICIPLES and not word.endswith("eed")


def _has_subject(before: list[str]) -> bool:
    return any(word not in NEGATIONS | MODALS | UNREAL | AUXILIARIES | DETERMINERS for word in before)


def _is_unreal(before: list[str]) -> bool:
    """Whether the words before a past form negate it, or make it a possibility, an intention or an order."""
    if NOTHING.intersection(before) or before[0] == "no":
        return True
    nearest = next((word for word in reversed(before) if word not in AUXILIARIES), "")
    return nearest in NEGATIONS | UNREAL | MODALS or nearest == "to"


def _may_follow(words: list[str], place: int) -> bool:
    """Whether the words after a past form are its object, or add where, when or by whom."""
    word, after = words[place], words[place + 1 :]
    if not after:
        return True
    if after[-1] in RECORDS or after[0] in NEGATIONS:
        return False
    if after[-1] in MESSAGES and not (word in MESSAGE_VERBS and _is_agent(words[place - 1])):
        return False
    if after[0] in PARTICLES:
        return True
    if word in STATES or word in ADJECTIVES:
        return False
    return word not in SAME_FORMS or _is_agent(words[place - 1])


def _is_agent(word: str) -> bool:
    """Whether a noun names a person or a role that acts, so that an object may follow: MemberSentMessage."""
    return _AGENT.search(word) is not None and word not in _NOT_AGENTS


def suggestion(name: str) -> str:
    """A name in the past tense, made from a name that is not."""
    words = _WORD.findall(name)
    if not words:
        return "ThingDone"
    return _without_unreal(words) or _without_ending(words) or _turned(words) or _with_verb(words)


def _without_ending(words: list[str]) -> str:
    """Without the nouns for messages at its end: OrderShippedEvent is OrderShipped."""
    kept = list(words)
    while len(kept) > 1 and kept[-1].casefold() in RECORDS | MESSAGES | HOOKS:
        kept.pop()
    name = "".join(kept)
    return name if len(kept) < len(words) and is_past_tense(name) else ""


def _turned(words: list[str]) -> str:
    """With a participle that stands first at the end: ShippedOrder is OrderShipped."""
    kept = [word for word in words[1:] if word.casefold() not in RECORDS | MESSAGES | HOOKS]
    first = words[0].casefold()
    if not kept or first in STATES or not is_participle(first):
        return ""
    name = f"{''.join(kept)}{first.capitalize()}"
    return name if is_past_tense(name) else ""


def _without_unreal(words: list[str]) -> str:
    """Without modals; what did not happen becomes a word of its own, as Unpaid."""
    lower = [word.casefold() for word in words]
    unreal = NEGATIONS | MODALS | UNREAL | NOTHING
    if not unreal.intersection(lower):
        return ""
    kept = [word for word in words if word.casefold() not in unreal | AUXILIARIES | {"did", "had", "to"}]
    if (NEGATIONS | NOTHING).intersection(lower) and kept and is_participle(kept[-1].casefold()):
        kept[-1] = f"Un{kept[-1].casefold()}"
    if len(kept) == 1:
        kept.insert(0, "Order")
    name = "".join(kept)
    return name if is_past_tense(name) else ""


def _with_verb(words: list[str]) -> str:
    near = difflib.get_close_matches(words[0].casefold(), list(VERBS), 1, 0.8)
    if near and len(words) > 1:
        return _past("".join(words[1:]), VERBS[near[0]])
    near = difflib.get_close_matches(words[-1].casefold(), list(VERBS), 1, 0.8)
    if near and len(words) > 1:
        return _past("".join(words[:-1]), VERBS[near[0]])
    return _past("".join(words[:-1] or words), "changed")


def _past(subject: str, verb: str) -> str:
    name = f"{subject}{verb.capitalize()}"
    return name if is_past_tense(name) else f"Thing{verb.capitalize()}"
