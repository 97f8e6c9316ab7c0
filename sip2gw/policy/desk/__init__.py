"""What staff are told, and what they may do with it: pure decisions."""
