"""Whether a PIN or a password is right, and what guessing costs."""
