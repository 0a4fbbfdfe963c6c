"""The component Marketing."""

from preterite import Component
from retail.marketing.model import Base

marketing = Component("marketing", tables=Base.metadata)
