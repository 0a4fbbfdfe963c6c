"""Documents made from the declarations: who tells whom what, for people and for machines."""
