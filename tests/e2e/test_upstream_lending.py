"""The short form of `python tests/proofs upstream-lending` (B79, C98, C127)."""

import pytest
from hostile_library import Deed, Heard
from proofs import upstream_lending
from proofs.report import Report


async def test_nothing_goes_up_twice_and_every_answer_is_true(tmp_path):
    report = await upstream_lending.prove(
        tmp_path, kiosks=6, requests=120, kills=2, seed=3, share=0.06
    )
    assert report.failures == []
    assert report.numbers["yes"]
    assert report.numbers["not_sure"]


DATE = "20260310    000001"


def heard(patron, item, at, code="11"):
    frame = f"{code}NN{DATE}{DATE}AOHUB|AA{patron}|AB{item}|"
    return Heard(frame.encode(), 1, at)


@pytest.mark.parametrize(
    ("between", "is_allowed"),
    [
        ([], False),
        ([heard("P1", "I1", 1.5)], False),
        ([heard("P2", "I2", 1.5)], False),
        ([heard("P2", "I1", 1.5, "17")], False),
        ([heard("P2", "I1", 0.5), heard("P2", "I1", 2.5)], False),
        ([heard("P2", "I1", 1.5)], True),
        ([heard("P1", "I2", 1.5)], True),
    ],
    ids=["nothing", "itself", "others", "a question", "before and after", "the item", "the patron"],
)
def test_what_excuses_that_something_goes_up_twice(between, is_allowed):
    """Nothing of what came between was understood, so it was not done."""
    first, again = heard("P1", "I1", 1.0), heard("P1", "I1", 2.0)
    deeds = [Deed(b"11", b"P1", b"I1", DATE.encode(), True, one.at) for one in (first, again)]
    report = Report("judged")
    upstream_lending.judge(deeds, [first, *between, again], {}, report)
    assert report.failures == [
        f"{(b'11', b'P1', b'I1', DATE.encode())} went up twice" for _ in range(not is_allowed)
    ]
