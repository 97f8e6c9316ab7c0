"""The short form of `python tests/proofs backup` (B90, C87).

It takes some seconds: what is restored must come from a process that paid while another saved.
"""

from proofs import backup


async def test_a_backup_under_payments_is_restored_and_answers_the_same(tmp_path):
    report = await backup.prove(tmp_path, rounds=1, seconds=0.2, others=0, count=30, seed=1)
    assert report.failures == []
    first, last = report.numbers["in_backups"]
    assert 0 < first < last == report.numbers["payments"]
    assert report.numbers["answers"] > 40
