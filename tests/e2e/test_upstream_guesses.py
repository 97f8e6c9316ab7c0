"""The short form of `python tests/proofs upstream-guesses` (B74, C99, C151)."""

from proofs.upstream_guesses import Size, prove


async def test_nobody_guesses_a_pin_that_a_library_system_judges(tmp_path):
    size = Size(tries=600, victims=6, times=16)
    report = await prove(tmp_path, "sqlite:library.db", 1, size, seed=3)
    assert report.failures == []
    assert report.numbers["locked"] >= 3
