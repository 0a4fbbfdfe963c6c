"""Finance is the authority for prices, discounts, invoices and payments."""
