"""The handlers of Catalog: none; it subscribes to nothing."""

from retail.catalog.component import catalog

__all__ = ["catalog"]
