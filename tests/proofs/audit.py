"""What the library's own commands say after the faults, against what the terminals were told.

Nothing here knows how a store works: it reads `payment list`, `payment reconcile`, `review list`
and `export --all` of the running gateway's store, as staff would.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from proofs import clerk
from proofs.report import Report
from proofs.witnesses import Copy, Errand, Told, Where

OPEN = "unknown"
"""The state of what nobody knows yet."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Books:
    """What the commands say at one moment."""

    payments: list[Row]
    reconcile: list[Row]
    review: list[Row]
    owed: Counter[str]
    """Minor units by patron."""
    borrowers: dict[str, str]
    """By copy."""


async def read_books(config: Path, report: Report) -> Books:
    """Ask the commands; one that fails is a failure of the proof."""
    questions = (
        ("payment", "list", "--json"),
        ("payment", "reconcile", "--json"),
        ("review", "list", "--json"),
        ("export", "--all"),
    )
    answers = await clerk.ask(config, *questions)
    for words, said in zip(questions, answers, strict=True):
        finds_something = "reconcile" in words  # which it says with 1
        good = said.status == 0 or (finds_something and said.status == 1)
        report.expect(good, f"{' '.join(words)}: {said.complaints}")
    payments, reconcile, review, exported = (said.records for said in answers)
    owed: Counter[str] = Counter()
    borrowers = {}
    for record in exported:
        if record["kind"] == "fee":
            left = Decimal(record["amount"]) - Decimal(record.get("paid") or 0)
            owed[record["patron"]] += int(left * 100)
        elif record["kind"] == "loan":
            borrowers[record["item"]] = record["patron"]
    return Books(payments, reconcile, review, owed, borrowers)


def judge_payments(errands: list[Errand], books: Books, report: Report) -> None:
    """Each yes is there once, each no is not, each 'not sure' is with staff."""
    booked: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in books.payments:
        if row["status"] not in ("unknown", "refused"):
            booked[row["terminal"], row["bk"]].append(row)
    listed = {(row["terminal"], row["bk"]): row for row in books.reconcile if "problem" not in row}
    for row in books.reconcile:
        report.expect("problem" not in row, f"the ledger: {row}")
        report.expect(row.get("state") != OPEN, f"still unknown after the faults: {row}")
    payments = [errand for errand in errands if errand.code == "37"]
    for errand in payments:
        rows = booked.pop((errand.terminal, errand.subject), [])
        entry = listed.get((errand.terminal, errand.subject))
        _judge_payment(errand, rows, entry, report)
    report.expect(not booked, f"booked and never asked for: {list(booked)[:3]}")


def _judge_payment(errand: Errand, rows: list[Row], entry: Row | None, report: Report) -> None:
    heard = errand.heard
    report.expect(len(rows) <= 1, f"{errand.name} is there {len(rows)} times")
    answers = {one.answer for one in errand.tries if one.told is Told.YES}
    report.expect(len(answers) <= 1, f"{errand.name}: different answers {answers}")
    if errand.accepted:
        report.expect(bool(rows), f"{errand.name} was told yes and is not there")
    elif Told.LOST not in heard and heard and heard[-1] is Told.NO:
        report.expect(not rows, f"{errand.name} was told no and is there: {rows}")
        report.expect(
            entry is None or Told.UNSURE in heard, f"{errand.name} was told no, listed as {entry}"
        )
    for row in rows:
        report.expect(
            row["payer"] == errand.patron and Decimal(row["amount"]) * 100 == errand.amount,
            f"{errand.name} was booked otherwise: {row}",
        )
    if Told.UNSURE in heard:
        report.expect(entry is not None, f"{errand.name} is not in reconcile, booked: {rows}")
    if entry is not None and entry.get("state") in ("booked", "refused"):
        settled = entry["state"] == "booked"
        again = errand.accepted and not settled  # fenced, and its retry was booked afresh
        report.expect(
            settled is bool(rows) or again, f"{errand.name}: reconcile says {entry}, booked {rows}"
        )


def judge_balances(
    errands: Iterable[Errand], books: Books, debts: dict[str, int], report: Report
) -> None:
    """What is owed is what was owed less what is booked, to the cent."""
    paid: Counter[str] = Counter()
    for row in books.payments:
        if row["status"] == "booked":
            paid[row["payer"]] += int(Decimal(row["amount"]) * 100)
    for patron, debt in debts.items():
        owed = books.owed[patron]
        report.expect(
            owed == debt - paid[patron], f"{patron} owes {owed}: {debt} less {paid[patron]} paid"
        )
    acknowledged: Counter[str] = Counter()
    for errand in errands:
        if errand.accepted:
            acknowledged[errand.patron] += errand.amount
    for patron, amount in acknowledged.items():
        report.expect(amount <= paid[patron], f"{patron} paid {amount}, booked {paid[patron]}")


def judge_copies(copies: list[Copy], errands: list[Errand], books: Books, report: Report) -> None:
    """Each copy is where the terminals were told; each 'not sure' is in review."""
    for copy in copies:
        borrower = books.borrowers.get(copy.id, "")
        name = copy.past
        if copy.where is Where.HOME:
            report.expect(not borrower, f"{name} is lent to {borrower}")
        elif copy.where is Where.LENT:
            report.expect(borrower == copy.borrower, f"{name} is lent to {borrower or 'nobody'}")
        else:
            possible = ("", copy.errands[-1].patron)
            report.expect(borrower in possible, f"{name} is lent to {borrower}")
    listed = Counter(
        (row["terminal"], row["message"], row["item"])
        for row in books.review
        if row["kind"] == "unknown"
    )
    unsure = Counter(
        (errand.terminal, errand.code, errand.subject)
        for errand in errands
        if errand.code != "37" and Told.UNSURE in errand.heard
    )
    for key, number in unsure.items():
        report.expect(listed[key] >= number, f"{key}: {number} unsure, {listed[key]} in review")


def judge_share(errands: list[Errand], unsure_max: float, report: Report) -> None:
    """No more than that share of payments, and of loans and returns, were ever 'not sure'."""
    for what, chosen in (
        ("payments", [errand for errand in errands if errand.code == "37"]),
        ("circulation", [errand for errand in errands if errand.code != "37"]),
    ):
        unsure = sum(Told.UNSURE in errand.heard for errand in chosen)
        report.numbers |= {
            what: len(chosen),
            f"{what}_yes": sum(errand.accepted for errand in chosen),
            f"{what}_unsure": unsure,
        }
        report.expect(
            unsure <= unsure_max * len(chosen),
            f"{unsure} of {len(chosen)} {what} are 'not sure', more than {unsure_max:.0%}",
        )


def same_books(before: Books, after: Books, report: Report) -> None:
    """Nothing appears later, nothing goes."""
    for what in ("payments", "owed", "borrowers"):
        first, then = getattr(before, what), getattr(after, what)
        report.expect(first == then, f"{what} changed with the restart")
