"""What Catalog does when it hears something: it hears nothing."""

from retail.catalog.component import catalog

__all__ = ["catalog"]
