"""Commands about patrons: their data, badges, families and memberships."""
