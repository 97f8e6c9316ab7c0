"""What staff ask of a store, the same on both databases."""
