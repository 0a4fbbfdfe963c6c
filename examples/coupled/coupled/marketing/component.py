"""The component Marketing."""

from preterite import Component

from coupled.marketing.contracts import CampaignBegun

TABLES = """
CREATE TABLE popular (product TEXT PRIMARY KEY, times INTEGER);
CREATE MATERIALIZED VIEW top_customers AS SELECT customer, count(*) FROM purchase GROUP BY customer;
"""
marketing = Component("marketing", publishes=[CampaignBegun], tables=TABLES)  # violation: cross-component-view role-shared
