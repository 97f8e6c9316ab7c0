"""All resources, one module for each heading of the description."""
