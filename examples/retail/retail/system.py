"""The system: its five components."""

from preterite import System
from retail.catalog.handlers import catalog
from retail.finance.handlers import finance
from retail.marketing.handlers import marketing
from retail.sales.handlers import sales
from retail.shipping.handlers import shipping

system = System("retail", [catalog, marketing, sales, finance, shipping], demo=True)
