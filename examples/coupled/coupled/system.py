"""The whole shop."""

from preterite import System

from coupled.catalog.handlers import catalog
from coupled.finance.handlers import finance
from coupled.marketing.handlers import marketing
from coupled.sales.handlers import sales
from coupled.shipping.handlers import shipping

system = System("coupled", [catalog, sales, finance, shipping, marketing])
