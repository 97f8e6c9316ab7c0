"""The pages in docs/messages: what in them is generated, and their examples played on a gateway.

    python tests/support/pages.py

plays every example again and writes into the pages what the gateway answers, and the tables of
fields as they are declared. An example is a fenced block:

    ```sip2 kiosk-1
    # on_hold: somebody else waits for it
    → 11NN…
    ← 120N…
    ```

`kiosk-1` is logged in first; without a login the block is what an unknown terminal says. A comment
that begins with a reason and a colon claims that the gateway gives this reason in its log.
"(no answer)" in the place of an answer says that the gateway keeps silent. The library is that of
`desk`, and a page's blocks follow one another on it.
"""

import asyncio
import re
import tempfile
from itertools import pairwise
from pathlib import Path

from desk import DESK_CONFIG, DESK_LIBRARY, copy, lent, waits
from harness import debt, person, running
from reference.messages import field_tables

from sip2gw.protocol.registry import REQUESTS

DIRECTORY = Path(__file__).parents[2] / "docs" / "messages"
SILENCE = "(no answer)"
ASK_WHETHER_ALIVE, ALIVE = "9900302.00", "98"

PROFILES = {
    "wise-1": 'kind = "payment"\ndialect = "wise"',
    "gossip-1": 'kind = "payment"\ndialect = "gossip"',
    "whole-1": 'kind = "payment"\nsingle_fee_payment = false\nsubtotal_payment = false',
    "parts-1": 'kind = "payment"\npartial_payment = false',
    "returns-1": 'kind = "sorter"',
    "hiding-1": 'kind = "selfcheck"\nwrong_pin_hides_card = true',
    "waiver-1": 'kind = "payment"\nwrite_off_payment_type = "09"',
    "choosy-1": """kind = "selfcheck"
blocked_material_types = ["GAME*"]
lend_with_attachment = false
overdues_block_checkout = true
lost_block_checkout = 1
in_house_material_types = ["NEWSPAPER"]
due_date_format = "library"
""",
    "asking-1": 'kind = "selfcheck"\nconfirm_previously_borrowed = true',
    "choosy-2": """kind = "sorter"
checked_in_ok = true
refuse_checkin = ["in_transit", "note", "reference", "reserved"]
refuse_checkin_material_types = ["GAME*"]
""",
    "bins-1": """kind = "sorter"
checked_in_ok = true
cv_on_success = true
send_ct = "always"
show_checkin_message = true
template_da = "{first_word}"
sort_bins = [
  { field = "alert_type", value = "01", bin = "3" },
  { field = "destination", comparator = "ne", value = "", bin = "2" },
  { field = "item", comparator = "ne", value = "", bin = "9" },
]
""",
    "chatty-1": """kind = "selfcheck"
template_ae = "{first_word}"
template_av = "{description}: {amount}"
show_owed_amount = true
custom_patron_fields = [{ field = "XU", template = "{membership_until}" }]
custom_item_fields = [{ field = "XT", template = "{title_id}" }]
rewrite_screen_texts = [{ find = "Please pay first.", replace = "Please go to the till." }]
""",
}
CONFIG = (
    DESK_CONFIG
    + "".join(
        f'[profiles.{name}]\n{profile}\n[terminals.{name}]\nprofile = "{name}"\nbranch = "MAIN"\n'
        'password = "pw"\n'
        for name, profile in PROFILES.items()
    )
    + "[privacy]\nloan_history_days = 365\n"
)
LIBRARY = [
    *DESK_LIBRARY,
    person("1030", "Jan Invoice"),
    debt("J1", "1030", "4.00", status="I", description="Lost"),
    copy("LAST1", max_renewals=1),
    lent("LAST1", "1009", renewals=1),
    copy("MUSIC1", "TM", checkout_fee="0.75"),
    lent("MUSIC1", "1009"),
    person("1031", "Mo Lost"),
    copy("GONE1", status="lost"),
    lent("GONE1", "1031"),
    copy("GAME1", material="GAMES"),
    copy("MAP1", attachment="a map"),
    copy("NEWS1", material="NEWSPAPER"),
    copy("NOTE1", "TN", note="look at it"),
    copy("MOVING1", status="in_transit"),
    {
        "kind": "membership",
        "code": "204",
        "description": "Youth",
        "type": 4,
        "hold_limit": "1.00",
        "materials": [
            {"material": "GAME*", "allowed": False},
            {"material": "FILM", "max_items": 1, "loan_days": 7},
        ],
    },
    person("1032", "Pim Young", membership="204", birth_date="2014-05-01"),
    debt("P1", "1032", "1.50"),
    copy("FILM1", material="FILM"),
    copy("FILM2", material="FILM"),
    copy("FILM16", material="FILM", minimum_age=16),
    copy("GAME2", material="GAMES"),
    lent("GAME2", "1032"),
    waits("HQ3", "1020", title_id="TM", pickup_branch="MAIN"),
]

_BLOCK = re.compile(r"^```sip2(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLES = re.compile(r"(<!-- fields of (\d\d) -->\n).*?(<!-- end -->)", re.DOTALL)
_NOT_COUNTED = ("93", "97")
"""Not in the log, or as the login that each block begins with."""
_UNHEARD = (SILENCE, "← 96")
_CLAIM = re.compile(r"# ([a-z_]+): ")


def pages():
    """The pages by the code of their request."""
    return {path.name[:2]: path for path in sorted(DIRECTORY.glob("[0-9][0-9]-*.md"))}


def with_tables(text):
    """`text` with the tables of fields as the declarations have them."""
    return _TABLES.sub(lambda found: found[1] + field_tables(REQUESTS[found[2]]) + found[3], text)


def exchanges(text):
    """Every (request, answer) of a page's examples."""
    return re.findall(r"^→ (.*)\n(?:← )?(.*)$", text, re.MULTILINE)


def claims(text):
    """The reason claimed for each logged exchange of the examples, or an empty text."""
    found = []
    for _, block in _BLOCK.findall(text):
        claimed = ""
        for line, after in pairwise([*block.splitlines(), ""]):
            claim = _CLAIM.match(line)
            if claim:
                claimed = claim[1]
            elif line.startswith("→ "):
                if line[2:4] not in _NOT_COUNTED and not after.startswith(_UNHEARD):
                    found.append((line[2:4], claimed))
                claimed = ""
    return found


async def played(text, directory):
    """`text` with the answers that a gateway gives, and (code, reason) of each logged exchange."""
    async with running(directory, config=CONFIG, records=LIBRARY) as gateway:
        parts, position = [], 0
        for block in _BLOCK.finditer(text):
            parts += [text[position : block.start(2)], await _play(gateway, *block.groups())]
            position = block.end(2)
        lines = [line for line in gateway.logged() if line["event"] == "request"]
    reasons = [
        (line["message"], line.get("reason", ""))
        for line, after in pairwise([*lines, {"connection": 0}])
        if line["message"] not in _NOT_COUNTED and line["connection"] == after["connection"]
    ]
    return "".join([*parts, text[position:]]), reasons


async def _play(gateway, login, block):
    """The block with the answers given now. Each ends with a 99, so that nothing is left unread."""
    terminal = await (gateway.terminal(login) if login else gateway.connect())
    lines = block.splitlines()
    said = []
    for line, after in pairwise([*lines, ""]):
        if line.startswith("→ "):
            await terminal.send(line[2:])
            said += [line, SILENCE if after == SILENCE else f"← {await terminal.read()}"]
        elif line.startswith("#"):
            said.append(line)
        else:
            assert line.startswith("← ") or line == SILENCE, line
    assert (await terminal.ask(ASK_WHETHER_ALIVE)).startswith(ALIVE), "one answer too many"
    terminal.close()
    return "".join(f"{line}\n" for line in said)


async def _renew():
    for path in pages().values():
        with tempfile.TemporaryDirectory() as directory:
            text, _ = await played(with_tables(path.read_text()), Path(directory))
        path.write_text(text)


if __name__ == "__main__":
    asyncio.run(_renew())
