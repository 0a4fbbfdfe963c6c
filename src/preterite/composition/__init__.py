"""Pages composed at the edge: each component fills its own parts, asked with sets of identifiers and nothing else.

    finance_parts = Parts(finance)

    @finance_parts.part(fallback="Prices cannot be told right now.")
    def prices(products: Ids[ProductId], session: Session, ask: Ask) -> dict[ProductId, int]:
        ...

    home = Page("home", "/", parts=[popular, names, prices])

    with Composer(shop, [home]) as composer:
        composed = composer.compose(home)
        composed.slots["prices"].row(product_id)

What one component cannot tell just now, its own sentence stands for; the rest of the page is as it would be.
No HTTP is needed: `preterite.composition.web` is one way to show what was composed.
"""

from preterite.composition.composer import Composer
from preterite.composition.forms import Form, Invalid, Section, Submission
from preterite.composition.pages import Page, PagesRefused
from preterite.composition.parts import Ask, AsOf, Ids, NotThere, Part, Parts, Slice
from preterite.composition.slots import Composed, Slot, State

__all__ = [
    "AsOf",
    "Ask",
    "Composed",
    "Composer",
    "Form",
    "Ids",
    "Invalid",
    "NotThere",
    "Page",
    "PagesRefused",
    "Part",
    "Parts",
    "Section",
    "Slice",
    "Slot",
    "State",
    "Submission",
]
