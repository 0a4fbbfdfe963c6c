"""The pages and forms: which parts each has. What a slot shows is its component's decision."""

from __future__ import annotations

from typing import Any

from preterite.composition import Form, Page, Part
from retail.catalog import parts as catalog
from retail.finance import back_office
from retail.finance import parts as finance
from retail.identifiers import CustomerId, InvoiceId, ProductId, PurchaseId
from retail.marketing import parts as marketing
from retail.sales import parts as sales
from retail.shipping import parts as shipping


def _shop(name: str, path: str, *parts: Part, **takes: Any) -> Page:
    """A page for customers; it also shows whether they may purchase."""
    notices = (sales.blocked_since.of("customer"), finance.owed.of("blocked_since"))
    return Page(name, path, {"customer": CustomerId, **takes}, (*parts, *notices), f"{name}.html")


def _office(name: str, path: str, *parts: Part, **takes: Any) -> Page:
    """A page of the back office."""
    return Page(f"office-{name}", f"/office{path}", takes, parts, f"office-{name}.html")


home = _shop("home", "/", marketing.popular, catalog.newest, catalog.names, finance.prices, catalog.categories)
products = _shop(
    "products",
    "/products",
    catalog.listing,
    catalog.names,
    finance.prices,
    catalog.categories,
)
popular_products = _shop(
    "popular-products",
    "/products/popular",
    catalog.candidates.at("listing"),
    marketing.by_popularity,
    catalog.names,
    finance.prices,
    catalog.categories,
)
product = _shop(
    "product",
    "/products/{product}",
    catalog.details.of("product"),
    marketing.also_bought.of("product"),
    catalog.names.of("also_bought"),
    finance.prices.of("product", "also_bought"),
    finance.terms,
    shipping.addresses.of("customer"),
    product=ProductId,
)
purchase = _shop(
    "purchase",
    "/purchases/{purchase_id}",
    sales.purchase,
    catalog.names,
    finance.billed,
    shipping.deliveries,
    purchase_id=PurchaseId,
)
purchases = _shop("purchases", "/purchases", sales.purchases, catalog.names, finance.billed, shipping.deliveries)
invoices = _shop("invoices", "/invoices", finance.invoices)
invoice = _shop(
    "invoice",
    "/invoices/{invoice_id}",
    finance.invoice,
    catalog.names_then,
    shipping.deliveries,
    shipping.addresses.of("customer"),
    invoice_id=InvoiceId,
)
personas = _shop("personas", "/personas")
tour = _shop("tour", "/tour")
timeline = Page("timeline", "/timeline", {"products": ProductId}, (catalog.names,), "timeline.html")

office_operations = _office("operations", "")
office_prices = _office("prices", "/prices", catalog.listing, catalog.names, finance.prices)
office_price = _office(
    "price", "/prices/{product}", finance.price_history, catalog.names, finance.terms, product=ProductId
)
office_terms = _office("terms", "/terms", finance.all_terms, shipping.addresses)
office_months = _office("months", "/months", finance.months)
office_invoices = _office("invoices", "/invoices", finance.overdue, finance.due, finance.payments, shipping.addresses)
office_packing = _office("packing", "/packing", shipping.to_pack, shipping.shipped, catalog.names)
office_catalog = _office("catalog", "/catalog", catalog.listing, catalog.names, catalog.categories)
office_new_product = _office("new-product", "/catalog/new")
office_product = _office(
    "product", "/catalog/{product}", catalog.details, catalog.namings, finance.prices, product=ProductId
)
office_popular = _office("popular", "/popular", marketing.popular, catalog.names)
office_also_bought = _office(
    "also-bought",
    "/popular/{product}",
    marketing.also_bought.of("product"),
    marketing.popularity.of("product"),
    catalog.names,
    product=ProductId,
)
office_sales = _office("sales", "/sales", sales.latest_purchases, sales.blocked, catalog.names, shipping.addresses)

pages = (
    home,
    products,
    popular_products,
    product,
    purchases,
    purchase,
    invoices,
    invoice,
    personas,
    tour,
    timeline,
    office_operations,
    office_prices,
    office_price,
    office_terms,
    office_months,
    office_invoices,
    office_packing,
    office_catalog,
    office_new_product,
    office_product,
    office_popular,
    office_also_bought,
    office_sales,
)

purchasing = Form("purchase", [sales.new_purchase, shipping.new_address])
cancelling = Form("cancel", [sales.cancellation])
paying = Form("pay", [back_office.payment])
pricing = Form("price", [back_office.new_price])
agreeing = Form("agreement", [back_office.new_agreement])
discounting = Form("bulk discount", [back_office.new_tier])
closing = Form("close a month", [back_office.closing])
receiving = Form("payment received", [back_office.received_payment])
listing = Form("new product", [catalog.new_product, back_office.new_price])
renaming = Form("new name", [catalog.new_name])
moving = Form("new category", [catalog.new_category])
offering = Form("offered", [catalog.offered])

forms = (
    purchasing,
    cancelling,
    paying,
    pricing,
    agreeing,
    discounting,
    closing,
    receiving,
    listing,
    renaming,
    moving,
    offering,
)
