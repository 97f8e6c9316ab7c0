"""The short form of `python tests/proofs memory` (C137): what lines can make the process keep."""

from proofs.memory import memory


async def test_lines_that_do_their_worst_take_no_more_than_is_stated(tmp_path):
    report = await memory(tmp_path, lines=400)
    assert not report.failures, report.numbers
