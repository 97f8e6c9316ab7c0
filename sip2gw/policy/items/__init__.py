"""What may be done with an item: pure decisions."""
