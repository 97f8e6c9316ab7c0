"""Programs that prove the big promises at full size; `tests/e2e` runs their short forms."""
