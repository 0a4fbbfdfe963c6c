"""The component Catalog."""

from preterite import Component
from retail.catalog.model import Base

catalog = Component("catalog", tables=Base.metadata)
