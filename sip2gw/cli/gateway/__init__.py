"""Commands about the gateway itself: run it, instruct it, ask what it would answer."""
