"""What the workers of one gateway share: the parent's truth, and the workers' side (B87, C131)."""
