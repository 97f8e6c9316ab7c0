"""The short form of `python tests/proofs doors` (B26, B39, C87)."""

from proofs import doors

from sip2gw.policy.reasons import Reason


async def test_a_door_gives_every_reason_and_fw_b_lifts_the_money_block(tmp_path):
    assert {attempt.reason for attempt in doors.ATTEMPTS} == set(Reason)
    report = await doors.play(tmp_path, doors.in_process)
    assert report.failures == []
