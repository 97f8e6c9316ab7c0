"""The parts that every interface for staff shares: find a patron, refuse with a reason, write JSON.

Commands only parse options and print. The operations and their JSON are here, with the keys of C21.
"""
