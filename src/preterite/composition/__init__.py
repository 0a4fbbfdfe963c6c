"""Pages composed from parts of several components; a part is called with sets of identifiers, and nothing else.

    finance_parts = Parts(finance)

    @finance_parts.part(fallback="Prices are not available.")
    def prices(products: Ids[ProductId], session: Session, request: PageRequest) -> dict[ProductId, int]:
        ...

    home = Page("home", "/", parts=[popular, names, prices])

    with Composer(shop, [home]) as composer:
        composed = composer.compose(home)
        composed.slots["prices"].row(product_id)

If a part fails or is late, its slot shows its fallback; the rest of the page does not change.
HTTP is not needed: `preterite.composition.web` is one way to show a composed page.
"""

from preterite.composition.composer import Composer
from preterite.composition.forms import Form, Section, Submission, ValidationError
from preterite.composition.pages import Page, PagesRefused
from preterite.composition.parts import AsOf, Ids, NotFound, PageRequest, Part, PartResult, Parts
from preterite.composition.slots import ComposedPage, Slot, State

__all__ = [
    "AsOf",
    "ComposedPage",
    "Composer",
    "Form",
    "Ids",
    "NotFound",
    "Page",
    "PageRequest",
    "PagesRefused",
    "Part",
    "PartResult",
    "Parts",
    "Section",
    "Slot",
    "State",
    "Submission",
    "ValidationError",
]
