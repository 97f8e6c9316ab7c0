"""What people have to follow up: entries for review, and messages of customer support."""
