"""Commands about payments at terminals."""
