"""A lending library for the gateway tests, and its requests as wire text.

On the library of `harness`: copies FREE1-3, one for reference, one that costs 1.50, one of another
branch; Hugo (1020) may have two items. kiosk-2 is strict about second checkouts; sorter-1 takes
everything back, sorter-east stands in the branch EAST. Ivo (1011) has authorised Hugo to renew for
him, and helper-1 lets him.
"""

from harness import CONFIG, LIBRARY, STAMP, person

EARLIER = "20260310    110000"
"""An hour before the clock of the tests: what happened off line (C106)."""
BLANK = " " * 18
DUE = "20260331    235959"

DESK_CONFIG = (
    CONFIG
    + """
[branches.EAST]
[profiles.strict]
kind = "selfcheck"
second_checkout = "refuse"
[profiles.sorter]
kind = "sorter"
checked_in_ok = true
[profiles.helper]
kind = "selfcheck"
pin_required = true
renewals_of_authorisers = true
[terminals.kiosk-2]
profile = "strict"
branch = "MAIN"
password = "pw"
[terminals.kiosk-3]
profile = "kiosk"
branch = "MAIN"
password = "pw"
[terminals.helper-1]
profile = "helper"
branch = "MAIN"
password = "pw"
[terminals.sorter-1]
profile = "sorter"
branch = "MAIN"
password = "pw"
[terminals.sorter-east]
profile = "sorter"
branch = "EAST"
password = "pw"
"""
)


def copy(item_id, title_id=None, **changes):
    return {
        "kind": "item",
        "id": item_id,
        "title": f"The {item_id}",
        "title_id": title_id,
        "owner_branch": "MAIN",
        "current_branch": "MAIN",
        **changes,
    }


def lent(item_id, patron, due="2026-03-20", **changes):
    return {
        "kind": "loan",
        "item": item_id,
        "patron": patron,
        "checked_out": "2026-02-20",
        "due": due,
        **changes,
    }


def waits(hold_id, patron, **changes):
    return {"kind": "hold", "id": hold_id, "patron": patron, "placed": "2026-03-01", **changes}


DESK_LIBRARY = [
    *LIBRARY,
    {
        "kind": "membership",
        "code": "202",
        "description": "Two",
        "type": 4,
        "max_items": 2,
        "max_holds": 1,
    },
    {
        "kind": "membership",
        "code": "203",
        "description": "None",
        "type": 4,
        "holds_permitted": False,
    },
    person("1021", "Ina None", membership="203"),
    person("1020", "Hugo Two", membership="202"),
    {
        "kind": "relationship",
        "type": "authorisation",
        "from": "1011",
        "to": "1020",
        "functions": ["renew"],
    },
    copy("IVO1"),
    lent("IVO1", "1011"),
    copy("IVO2", max_renewals=0),
    lent("IVO2", "1011"),
    copy("FREE1", "TF", media_type="001", properties="red", security_marker="02"),
    copy("FREE2", "TF2", magnetic=True, security_marker="01"),
    copy("FREE3"),
    copy("REF1", for_loan=False),
    copy("PAID1", checkout_fee="1.50"),
    copy("HELD1", "TH"),
    waits("HT1", "1002", title_id="TH"),
    copy("READY1"),
    waits("HR1", "1002", item="READY1", ready=True, pickup_branch="MAIN"),
    copy("EAST1", owner_branch="EAST", call_number="F 12", material="DVD"),
    copy("LATE1", overdue_fee_per_day="0.20"),
    lent("LATE1", "1009", due="2026-03-07"),
    copy("LENT1"),
    lent("LENT1", "1002"),
    copy("QUEUED1", "TQ"),
    lent("QUEUED1", "1009"),
    waits("HQ1", "1002", title_id="TQ", pickup_branch="MAIN"),
    copy("QUEUED2", "TQ2"),
    lent("QUEUED2", "1009"),
    waits("HQ2", "1002", title_id="TQ2", pickup_branch="EAST"),
]


def ask_11(item, card, pin=None, *, flags="NN", due=BLANK, stamp=STAMP, extra=""):
    """`flags`: SC renewal policy and no block."""
    ad = "" if pin is None else f"AD{pin}|"
    return f"11{flags}{stamp}{due}AOHUB|AA{card}|AB{item}|AC|{ad}{extra}"


def ask_09(item, *, no_block="N", stamp=STAMP, returned=STAMP, extra=""):
    return f"09{no_block}{stamp}{returned}APMAIN|AOHUB|AB{item}|AC|{extra}"


def ask_17(item):
    return f"17{STAMP}AOHUB|AB{item}|"


def ask_29(item, card, pin=None, *, flags="NN", due=BLANK, stamp=STAMP, extra=""):
    """`flags`: third party allowed and no block; `item` is a field, like ABX or AJX."""
    ad = "" if pin is None else f"AD{pin}|"
    return f"29{flags}{stamp}{due}AOHUB|AA{card}|{ad}{item}|{extra}"


def ask_65(card, pin=None, *, extra=""):
    ad = "" if pin is None else f"AD{pin}|"
    return f"65{STAMP}AOHUB|AA{card}|{ad}{extra}"


def ask_15(item, card, pin=None, *, mode="+", stamp=STAMP, extra=""):
    """`item` is a field, like ABX or AJX; `extra` may hold BW, BS, BY."""
    ad = "" if pin is None else f"AD{pin}|"
    return f"15{mode}{stamp}{extra}AOHUB|AA{card}|{ad}{item}|"


def ask_19(item, properties):
    return f"19{STAMP}AOHUB|AB{item}|AC|CH{properties}|"
