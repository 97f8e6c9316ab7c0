"""The short form of `python tests/proofs uptime` (B87-B89, B94, C131, C132, C134)."""

from postgres import running_server
from proofs import uptime


async def test_a_day_with_failing_workers_drops_only_what_it_must(tmp_path):
    with running_server() as server:
        report = await uptime.prove(
            tmp_path,
            server.url(server.make_database()),
            workers=2,
            terminals=40,
            per_s=80,
            minutes=0,
            events={"certificate": 1, "kill": 1, "restart": 1},
            seed=1,
        )
    assert report.failures == []
    assert report.numbers["payments"] > 10
    assert report.numbers["lost"] > 30
