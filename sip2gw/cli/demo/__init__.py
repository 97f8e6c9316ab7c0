"""`sip2gw demo`: one gateway with a library, or two, one of which plays the library system."""
