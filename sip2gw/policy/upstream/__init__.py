"""What the answers of a library system behind the gateway mean (B72, C121, C150)."""
