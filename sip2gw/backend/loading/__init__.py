"""Import and export: the library data format in and out of both databases."""
