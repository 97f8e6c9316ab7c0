"""What becomes of patrons, their memberships, badges and notices: pure decisions."""
