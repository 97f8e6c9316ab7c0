"""How a gateway gets its sockets, and follows the one that served before it (B89)."""
