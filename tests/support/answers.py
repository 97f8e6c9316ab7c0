"""docs/reference/pins.md: what each message answers to each kind of wrong card or PIN.

    python tests/support/answers.py

asks a gateway everything again and writes the page. `tests/gateway/test_answers.py` holds the
answers against the rules.
"""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from harness import CONFIG, STAMP, debt, person, running

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pins.md"

MAIN, SECOND, BLOCKED, LOST, REPLACED = "20010", "20011", "20012", "20013", "20014"
LOCKED, UNKNOWN = "20020", "29990"
RIGHT, WRONG = "1234", "9999"

LIBRARY = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 4},
    {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"},
    person(
        MAIN,
        "Mia Main",
        pin=RIGHT,
        language="fr",
        email="mia@example.org",
        cards=[
            {"number": SECOND, "state": "active"},
            {"number": BLOCKED, "state": "blocked"},
            {"number": LOST, "state": "lost"},
            {"number": REPLACED, "state": "replaced"},
        ],
    ),
    person(LOCKED, "Lou Locked", pin=RIGHT, language="fr"),
    debt("F1", MAIN, "7.00", description="Overdue"),
    debt("F2", LOCKED, "7.00", description="Overdue"),
    *({"kind": "item", "id": f"I{n}", "title": "A title", "owner_branch": "MAIN"} for n in (1, 2)),
]

SITUATIONS = {
    "wrong PIN": (MAIN, WRONG),
    "wrong PIN, second card": (SECOND, WRONG),
    "wrong PIN, blocked card": (BLOCKED, WRONG),
    "wrong PIN, lost card": (LOST, WRONG),
    "locked PIN, wrong": (LOCKED, WRONG),
    "locked PIN, right": (LOCKED, RIGHT),
    "no PIN": (MAIN, None),
    "no PIN, second card": (SECOND, None),
    "empty PIN": (MAIN, ""),
    "unknown card": (UNKNOWN, WRONG),
    "unknown card, no PIN": (UNKNOWN, None),
    "replaced card": (REPLACED, RIGHT),
}

_MESSAGES = '["01", "11", "15", "23", "25", "29", "35", "37", "63", "65", "99"]'
_PROFILES = {
    "hall": f'kind = "payment"\npin_required = true\nmessages = {_MESSAGES}',
    "gate": 'kind = "door"\ndoor = { require_badges = ["ONBE"] }',
}
_HIDING = "wrong_pin_hides_card = true"
PLACES = ("hall", "hall-hiding", "gate", "gate-hiding")
HIDING = ("hall-hiding", "gate-hiding")

ANSWERS_CONFIG = CONFIG.replace("[security]", "[security]\npin_failures_max = 100") + "".join(
    f"[profiles.{name}{suffix}]\n{keys}\n{more}\n"
    f'[terminals.{name}{suffix}]\nprofile = "{name}{suffix}"\nbranch = "MAIN"\npassword = "pw"\n'
    for name, keys in _PROFILES.items()
    for suffix, more in (("", ""), ("-hiding", _HIDING))
)


def requests(card, pin):
    """Each message about `card`, by its name."""
    ad = "" if pin is None else f"AD{pin}|"
    who = f"AOHUB|AA{card}|"
    blank = " " * 10
    return {
        "01 block patron": f"01N{STAMP}AOHUB|AL|AA{card}|AC|",
        "11 checkout": f"11YN{STAMP}{' ' * 18}{who}ABI1|AC|{ad}",
        "15 hold": f"15+{STAMP}{who}{ad}ABI2|AC|",
        "23 patron status": f"23001{STAMP}{who}AC|{ad}",
        "25 patron enable": f"25{STAMP}{who}AC|{ad}",
        "29 renew": f"29NN{STAMP}{' ' * 18}{who}{ad}ABI1|AC|",
        "35 end session": f"35{STAMP}{who}AC|{ad}",
        "37 fee paid": f"37{STAMP}0100EUR{who}AC|{ad}BV1.00|BKR{card}{pin}|",
        "63 patron information": f"63001{STAMP}{blank}{who}AC|{ad}",
        "65 renew all": f"65{STAMP}{who}{ad}AC|",
    }


AT_DOORS = ("23 patron status", "63 patron information")


async def answers(directory):
    """(place, message, situation) → the answer, with the scanned number as CARD."""
    async with running(directory, config=ANSWERS_CONFIG, records=LIBRARY) as gateway:
        now = gateway.clock.now()
        await gateway.store.record_pin_failure(LOCKED, now, 1, now + timedelta(minutes=15))
        return await ask_everything(gateway)


async def ask_everything(gateway):
    """The same of a running gateway, in which the PIN of `LOCKED` is locked."""
    found = {}
    for place in PLACES:
        for situation, (card, pin) in SITUATIONS.items():
            for message, request in requests(card, pin).items():
                if place.startswith("gate") and message not in AT_DOORS:
                    continue
                terminal = await gateway.terminal(place)  # a PIN shown before counts for nothing
                answer = await terminal.ask(request)
                found[place, message, situation] = answer.replace(f"R{card}{pin}", "KEY").replace(
                    card, "CARD"
                )
    return found


_HEAD = """# What wrong cards and PINs are told

Made by `python tests/support/answers.py`, which asks a gateway; a test holds the answers against
the rules (B18-B21, C99, C112, C115). `CARD` is the number as it was scanned. The patron owes 7.00,
speaks French and has a second, a blocked, a lost and a replaced card; PINs are required.

- A locked PIN is answered like a wrong one, whether it is right or not.
- Whoever shows no good PIN sees no name, no money, no badge, and not the number of the main card.
- A terminal with `wrong_pin_hides_card` answers a wrong, a locked and a missing PIN, and a replaced
  card, like an unknown card. Checkout and renewal need no PIN (C20).
- The time of a failing answer tells nothing either: see [security](../how-to/security.md).
"""


def page_of(found):
    """The page: for each place and message the situations that get the same answer."""
    parts = [_HEAD]
    for place in PLACES:
        hiding = place in HIDING
        kind = "A door" if place.startswith("gate") else "A kiosk"
        with_hiding = " with `wrong_pin_hides_card`" if hiding else ""
        parts.append(f"\n## {kind}{with_hiding}\n")
        for message in dict.fromkeys(key[1] for key in found if key[0] == place):
            by_answer: dict[str, list[str]] = {}
            for situation in SITUATIONS:
                by_answer.setdefault(found[place, message, situation], []).append(situation)
            parts.append(f"\n**{message}**\n\n| situation | answer |\n|---|---|\n")
            for answer, situations in by_answer.items():
                shown = answer.replace("|", "\\|")
                parts.append(f"| {'; '.join(situations)} | `{shown}` |\n")
    return "".join(parts)


async def _renew():
    with tempfile.TemporaryDirectory() as directory:
        PAGE.write_text(page_of(await answers(Path(directory))))


if __name__ == "__main__":
    asyncio.run(_renew())
