"""What `check` warns of: settings that are valid, but probably not what the library wants (B70)."""
