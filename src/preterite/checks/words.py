"""Whether a name says that something has happened: English past participles, by rule and by list."""

from __future__ import annotations

import difflib
import re

NOT_PAST = frozenset(
    """
    bed bleed breed creed deed embed exceed feed greed heed hundred inbred indeed kindred naked need proceed red
    reed sacred seed shed shred sled speed succeed supersede weed wicked
    """.split()
)
"""Words that end as participles do and are none."""
IRREGULAR = frozenset(
    """
    arisen awoken become begun bent bet bid bitten blown born borne bought bound broken brought built burnt burst
    cast caught chosen clung come cost crept cut dealt done drawn driven drunk dug dwelt eaten fallen fed felt
    fled flown forbidden foreseen forgiven forgotten fought found frozen given gone gotten ground grown had heard
    held hidden hit hung hurt kept known laid leapt learnt led left lent let lit lost made meant met mistaken mown
    outbid overdrawn overridden overrun oversold overtaken overthrown paid proven put quit read rebuilt redone
    remade repaid reread resold reset resent rewritten rid ridden risen run said sat seen sent set sewn shaken
    shone shot shown shrunk shut slain slept slit sold sought sown spelt spent spilt split spoken spoilt spread
    sprung stolen stood stricken stuck stung struck strung sunk swept sworn swum swung taken taught thought thrown
    told torn understood undergone undertaken undone unpaid unsold upheld upset went withdrawn withheld woken won
    worn wound woven written
    """.split()
)
STATES = frozenset(
    """
    overdue due over expired ready available unavailable full empty open late missed short
    """.split()
)
"""Words that are no participles and say all the same that something has come to pass: InvoiceOverdue."""
PARTICLES = frozenset(
    """
    again ahead apart as at away back before by down early for from home in into late of off on onto out over
    through to together twice under up upon via with within without
    """.split()
)
"""What may follow: ItemSentBack, PaymentReceivedByBank."""
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
"""Verbs that events are often named by, to suggest a name with."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def says_what_happened(name: str) -> bool:
    """Whether a class name is something, and what has happened to it."""
    words = [word.casefold() for word in _WORD.findall(re.sub(r"(V\d+|\d+)$", "", name))]
    return any(
        is_past(word) and all_after_is_allowed(words[place + 1 :]) for place, word in enumerate(words) if place > 0
    )


def is_past(word: str) -> bool:
    """Whether a word is a past participle, or a state that has come about."""
    if word in IRREGULAR or word in STATES:
        return True
    return word.endswith("ed") and len(word) > 3 and word not in NOT_PAST and not word.endswith("eed")


def all_after_is_allowed(words: list[str]) -> bool:
    """Whether what follows the participle only says where, when or by whom."""
    return not words or words[0] in PARTICLES


def suggestion(name: str) -> str:
    """A name that would say it, where one is near at hand."""
    words = _WORD.findall(name)
    if not words:
        return "ThingDone"
    near = difflib.get_close_matches(words[0].casefold(), list(VERBS), 1, 0.8)
    if near and len(words) > 1:
        return f"{''.join(words[1:])}{VERBS[near[0]].capitalize()}"
    near = difflib.get_close_matches(words[-1].casefold(), list(VERBS), 1, 0.8)
    if near and len(words) > 1:
        return f"{''.join(words[:-1])}{VERBS[near[0]].capitalize()}"
    return f"{''.join(words[:-1] or words)}Changed"
