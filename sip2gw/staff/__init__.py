"""What every surface for staff shares: who is meant, what is refused and why, what JSON says.

Commands parse options and print; what they ask and tell is here, keys as in C21.
"""
