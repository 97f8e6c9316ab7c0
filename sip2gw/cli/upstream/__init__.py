"""`upstream …`: the library system behind the gateway, asked and explained (B80)."""
