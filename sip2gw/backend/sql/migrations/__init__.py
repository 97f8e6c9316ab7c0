"""The statements of the migrations, by what they are about; `sql.schema` puts them in order.

Those that were released are never changed (`tests/support/released.py`).
"""
