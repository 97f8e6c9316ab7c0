"""What is kept of patrons, their memberships, badges and notices."""
