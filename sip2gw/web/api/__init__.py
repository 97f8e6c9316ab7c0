"""REST under `/api/v1`: what the commands do, for programs (B83, B84).

`gate` is there from the start: it knows tokens and limits, and imports the rest with the first
request. `desk` is what a resource works with, `resource` how one is declared, and `resources` has
them all.
"""
