"""What is owed and may be paid, how a payment is decided, and what a till should hold."""
