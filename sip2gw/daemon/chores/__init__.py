"""What the gateway does by itself beside serving terminals, each from time to time."""
