"""Valid dialogues: every request in several shapes, as the material that the fuzzers spoil."""

import random

from harness import STAMP, ask_23, ask_37, ask_63

from sip2gw.protocol.checksum import seal

NOTHING = " " * 10
CARDS = ("1001", "1002", "1004", "1005", "1006", "1007", "1010", "1001B", "1001R", "4711", "")

REQUESTS: dict[str, tuple[str, ...]] = {
    "01": (f"01N{STAMP}AOHUB|ALlost|AA1009|AC|", f"01Y{STAMP}AOHUB|AL|AA1009|ACpw|"),
    "09": (
        f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABBOOK1|AC|",
        f"09Y{STAMP}{STAMP}APMAIN|AOHUB|ABBOOK1|AC|CHgood|BIN|",
    ),
    "11": (
        f"11YN{STAMP}{STAMP}AOHUB|AA1001|ABBOOK1|AC|",
        f"11NY{STAMP}{STAMP}AOHUB|AA1001|ABBOOK4|AC|CH|AD1001|BOY|BIN|",
    ),
    "15": (
        f"15+{STAMP}AOHUB|AA1001|ABBOOK1|",
        f"15-{STAMP}BW20260401    000000|BSMAIN|BY2|AOHUB|AA1001|AD1001|AJTI9|AC|BON|",
    ),
    "17": (f"17{STAMP}AOHUB|ABBOOK1|AC|", f"17{STAMP}AOHUB|ABnothing|"),
    "19": (f"19{STAMP}AOHUB|ABBOOK1|CHgood|",),
    "23": (
        *(ask_23(card, card) for card in CARDS),
        ask_23("1004"),
        ask_23("1004", ""),
        ask_23("1005", "0000", language="005"),
    ),
    "25": (f"25{STAMP}AOHUB|AA1009|AC|AD1009|",),
    "29": (f"29NN{STAMP}{STAMP}AOHUB|AA1001|AD1001|ABBOOK1|AJ|AC|CH|BON|",),
    "35": (f"35{STAMP}AOHUB|AA1001|AC|AD1001|",),
    "37": (
        ask_37("1004", "0.01", pin="1004", fee="D2", bk="K1"),
        ask_37("1004", "0.01", pin="1004"),
        ask_37("1001", "0.01", pin="1001", fee="T1"),
        ask_37("1006", "0.02", pin="1006", extra="ZD1005|"),
        ask_37("1004", "99.00", pin="1004", kind="01"),
    ),
    "41": (
        f"41{STAMP}AOHUB|AA1004|AC|AD1004|FAN|FBY|FCN|",
        f"41{STAMP}AOHUB|AA1001|AD1001|FAY|",
        f"41{STAMP}AOHUB|AA1006|AC|AD1006|FCY|",
        f"41{STAMP}AOHUB|AA4711|AC|FBY|",
        f"41{STAMP}AOHUB|AA1004|AD1004|",
    ),
    "63": (
        *(ask_63(card, card, summary=summary) for card in CARDS for summary in (NOTHING, "Y" * 10)),
        ask_63("1001", "1001", summary="  Y       ", extra="BP1|BQ2|"),
        ask_63("1001", "1001", summary="      Y   ", extra="BP1|BQ5|"),
        ask_63("1004", "1004", summary="   Y      ", extra="FWB|", language="002"),
        ask_63("1004", "1004", extra="XXunknown|YYfield|AOagain|"),
    ),
    "65": (f"65{STAMP}AOHUB|AA1001|AD1001|AC|BON|",),
    "93": (
        "9300CNt-kiosk|COpw|",
        "9300CNt-wise|COpw|",
        "9300CNt-cash|COpw|CPMAIN|",
        "9300CNnobody|COpw|",
    ),
    "97": ("97",),
    "99": ("9900802.00", "9910402.00", "9900301.00"),
}
"""By command; the texts are in the words of the small library of the test harness."""

BODIES = {code: tuple(text.encode("cp850") for text in texts) for code, texts in REQUESTS.items()}
ALL_BODIES = tuple(body for bodies in BODIES.values() for body in bodies)


def any_body(chance: random.Random) -> bytes:
    """A request of any kind; another login now and then only, as it may end the session."""
    code = chance.choice(tuple(BODIES))
    if code == "93" and chance.random() < 0.5:
        code = "63"
    return chance.choice(BODIES[code])


def login(terminal: str) -> bytes:
    """The 93 of a terminal of the harness."""
    return f"9300CN{terminal}|COpw|".encode("ascii")


def sealed(body: bytes, sequence: int) -> bytes:
    """`body` with AY and AZ; a 97 carries no AY."""
    return seal(body, b"" if body[:2] == b"97" else b"%d" % (sequence % 10), True)
