"""What Catalog tells the others: nothing. Whoever shows a product asks for its name by identifier."""
