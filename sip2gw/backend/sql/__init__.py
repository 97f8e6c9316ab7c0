"""What both databases have in common: tables, statements, and what is written with them."""
