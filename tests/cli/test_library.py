"""`import`, `export`, `check`, `patron`, `payment`, `door` on a store of their own."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from orders import saying, settling

from sip2gw.backend.base import PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.cli.library.progress import Lines, in_words
from sip2gw.config import load_config
from sip2gw.model import AccessRow, PaymentLine

from .conftest import LIBRARY, Run


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_import_says_what_it_did_on_stderr(sip2gw: Run, config: Path) -> None:
    result = sip2gw("import", "-", "--config", config, stdin=LIBRARY.encode())
    assert (result.status, result.out) == (0, "")
    assert "2 patron" in result.err


def test_importing_the_same_again_changes_nothing(sip2gw: Run, library: Path) -> None:
    result = sip2gw("import", library.with_name("library.jsonl"), "--config", library)
    assert "changed 0 rows" in result.err


def test_c52_errors_name_file_and_line_and_nothing_is_changed(sip2gw: Run, library: Path) -> None:
    bad = library.with_name("bad.jsonl")
    bad.write_text('{"kind": "badge", "code": "NEW", "name": "New"}\n{"kind": "badge"}\n')
    result = sip2gw("import", bad, "--config", library)
    assert result.status == 1
    assert f"{bad}:2: " in result.err
    assert '"NEW"' not in sip2gw("export", "--config", library).out


def test_errors_show_what_a_file_holds_without_doing_it_to_the_terminal(
    sip2gw: Run, config: Path, tmp_path: Path
) -> None:
    """ESC sets colours and titles, 0x9b is CSI in one character, a line feed fakes a line."""
    bad = tmp_path / "bad.jsonl"
    name = json.dumps("\x1b]0;owned\x07\x9b2J\nsip2gw: all is well\u202e")
    bad.write_text(f'{{"kind": "badge", "code": "A", "name": "A", {name}: 1}}\n')
    result = sip2gw("import", bad, "--config", config)
    assert result.status == 1
    assert "\\x1b]0;owned\\x07\\x9b2J\\x0asip2gw" in result.err
    assert [c for c in result.err if c != "\n" and not c.isprintable()] == []
    assert len(result.err.splitlines()) == 2, "the error, and that nothing was changed"


def test_a_dry_run_changes_nothing(sip2gw: Run, config: Path) -> None:
    result = sip2gw("import", "-", "--dry-run", "--config", config, stdin=LIBRARY.encode())
    assert (result.status, result.out) == (0, "")
    assert "Nothing was changed" in result.err
    assert not config.with_name("library.db").exists()


def test_a_dry_run_knows_what_is_there(sip2gw: Run, library: Path) -> None:
    """P1 and the fee are known; nobody is called P9."""
    fee = '{"kind": "fee", "id": "F9", "patron": "%s", "amount": "1.00", "created": "2026-01-10"}'
    before = store_bytes(library.parent)
    for patron, status in (("P1", 0), ("P9", 1)):
        lines = (fee % patron).encode()
        result = sip2gw("import", "-", "--dry-run", "--config", library, stdin=lines)
        assert result.status == status, result.err
        assert store_bytes(library.parent) == before


def store_bytes(directory: Path) -> dict[str, bytes]:
    """What is in the store's file and in those beside it."""
    return {path.name: path.read_bytes() for path in directory.glob("library.db*")}


def test_a_missing_file_is_a_failure(sip2gw: Run, config: Path) -> None:
    result = sip2gw("import", "nowhere.jsonl", "--config", config)
    assert result.status == 1
    assert result.err == "sip2gw: nowhere.jsonl: No such file or directory; correct the name\n"


def test_export_can_be_imported_again(sip2gw: Run, library: Path) -> None:
    copy = library.with_name("copy.jsonl")
    assert sip2gw("export", copy, "--config", library).status == 0
    assert copy.stat().st_mode & 0o077 == 0
    result = sip2gw("import", copy, "--config", library)
    assert (result.status, "changed 0 rows" in result.err) == (0, True)


def test_export_into_a_directory_that_is_not_there(sip2gw: Run, library: Path) -> None:
    result = sip2gw("export", library.with_name("no") / "copy.jsonl", "--config", library)
    assert result.status == 1
    assert "Traceback" not in result.err


def test_a_failed_export_leaves_the_old_file(
    sip2gw: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = library.with_name("copy.jsonl")
    copy.write_text("old")
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    assert sip2gw("export", copy, "--config", library).status == 1
    assert copy.read_text() == "old"
    assert [file.name for file in library.parent.glob(".copy*")] == []


def test_export_to_a_device(sip2gw: Run, library: Path) -> None:
    assert sip2gw("export", "/dev/null", "--config", library).status == 0


def test_check_says_that_all_is_well(sip2gw: Run, library: Path) -> None:
    result = sip2gw("check", "--config", library)
    assert (result.status, result.out) == (0, "")
    assert "ledger are in order" in result.err


def test_check_makes_no_store(sip2gw: Run, config: Path) -> None:
    assert sip2gw("check", "--config", config).status == 0
    assert not config.with_name("library.db").exists()


def test_check_names_what_is_wrong_with_the_store(
    sip2gw: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sip2gw.backend.sqlite.store.Store.self_check", lambda store: ["fee X is wrong"]
    )
    result = sip2gw("check", "--config", library)
    assert (result.status, "sip2gw: store: fee X is wrong" in result.err) == (1, True)


def test_check_schema_needs_no_configuration(sip2gw: Run) -> None:
    result = sip2gw("check", "--schema")
    assert result.status == 0
    assert "institution" in json.loads(result.out)["properties"]


@pytest.mark.parametrize("number", ["P2", "OLD2"])
def test_patron_show_finds_by_id_and_by_card(sip2gw: Run, library: Path, number: str) -> None:
    (told,) = records(sip2gw("patron", "show", number, "--json", "--config", library).out)
    assert told["id"] == "P2"
    assert told["owed"] == "12.50"
    assert told["badges"][0]["code"] == "ONBE"
    assert {"number": "OLD2", "state": "replaced"}.items() <= told["cards"][0].items()


def test_b16_patron_show_shows_no_pin_and_no_hash(sip2gw: Run, config: Path) -> None:
    patron = {"kind": "patron", "id": "P9", "name": "Nine", "pin": "8642"}
    sip2gw("import", "-", "--config", config, stdin=json.dumps(patron).encode())
    for options in ((), ("--json",)):
        result = sip2gw("patron", "show", "P9", *options, "--config", config)
        assert "8642" not in result.out
        assert "argon2" not in result.out
        assert "has_pin" in result.out


def test_patron_show_for_people(sip2gw: Run, library: Path) -> None:
    out = sip2gw("patron", "show", "P1", "--config", library).out
    assert "may_pay_for  type head_of_family, from P1, to P2, confirmed yes" in out


def test_an_unknown_patron_is_a_failure(sip2gw: Run, library: Path) -> None:
    result = sip2gw("patron", "show", "P\n3", "--config", library)
    assert result.status == 1
    assert result.err.startswith("sip2gw: no patron has the id or card P\\x0a3; `patron find`")


async def _live(config: Path) -> None:
    """A payment for a child and a refusal at a door."""
    store = open_backend(load_config(config), "command").store
    line = PaymentLine("F2", "P2", "head_of_family", 1250)
    now = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    order = PaymentOrder(
        "cash-1",
        "bk:7",
        "x",
        "P1",
        1250,
        "EUR",
        "01",
        "7",
        now,
        datetime(2026, 4, 1, tzinfo=UTC),
        settling(line),
        saying(),
    )
    await store.book_payment(order)
    checks = "terminal=ok calendar=refused"
    store.log_access(AccessRow(now, "MAIN", "door-1", "refused", "closed", "normal", checks, "P2"))
    await store.close()


def test_c21_payment_list(sip2gw: Run, library: Path) -> None:
    asyncio.run(_live(library))
    (told,) = records(sip2gw("payment", "list", "--json", "--config", library).out)
    assert told.pop("id")
    assert told == {
        "time": "2026-03-01T10:30:00+01:00",
        "terminal": "cash-1",
        "payer": "P1",
        "debtors": ["P2"],
        "relation": "head_of_family",
        "amount": "12.50",
        "currency": "EUR",
        "payment_type": "01",
        "bk": "7",
        "status": "booked",
        "lines": [{"fee": "F2", "debtor": "P2", "amount": "12.50"}],
    }
    assert "cash-1" in sip2gw("payment", "list", "--config", library).out


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--patron", "P2"), 1),
        (("--patron", "OLD2"), 1),
        (("--terminal", "cash-2"), 0),
        (("--since", "2026-03-01", "--until", "2026-03-01"), 1),
        (("--since", "2026-03-01T10:31"), 0),
        (("--until", "2026-02-28"), 0),
    ],
)
def test_payment_list_filters(
    sip2gw: Run, library: Path, options: tuple[str, ...], count: int
) -> None:
    asyncio.run(_live(library))
    result = sip2gw("payment", "list", "--json", *options, "--config", library)
    assert len(records(result.out)) == count


def test_c21_c76_door_log_shows_a_pseudonym(sip2gw: Run, library: Path) -> None:
    asyncio.run(_live(library))
    result = sip2gw("door", "log", "--json", "--config", library)
    (told,) = records(result.out)
    assert len(told.pop("patron")) == 12
    assert told == {
        "time": "2026-03-01T10:30:00+01:00",
        "branch": "MAIN",
        "terminal": "door-1",
        "decision": "refused",
        "reason": "closed",
        "mode": "normal",
        "checks": {"terminal": "ok", "calendar": "refused"},
    }
    assert "P2" not in result.out


@pytest.mark.parametrize(
    ("options", "count"),
    [(("--reason", "closed"), 1), (("--branch", "ANNEX"), 0), (("--until", "2026-02-28"), 0)],
)
def test_door_log_filters(sip2gw: Run, library: Path, options: tuple[str, ...], count: int) -> None:
    asyncio.run(_live(library))
    result = sip2gw("door", "log", *options, "--config", library)
    assert result.out.count("door-1") == count


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_wrong_usage(sip2gw: Run, library: Path, option: str) -> None:
    result = sip2gw("door", "log", option, "tomorrow", "--config", library)
    assert result.status == 2
    assert f"{option} tomorrow" in result.err


# Tables, and PINs that take their time


@pytest.fixture
def table(library: Path) -> Path:
    """Two readers as a spreadsheet writes them, and `readers.toml` beside."""
    file = library.with_name("readers.csv")
    file.write_bytes("Kaart;Naam;Code\r\nR1;Zoë Peeters;1111\r\nR2;Tom Claes;\r\n".encode("cp1252"))
    library.with_name("readers.toml").write_text(
        'file = { encoding = "cp1252" }\nid = "Kaart"\nname = "Naam"\npin = "Code"\n'
    )
    return file


def of_readers(table: Path) -> tuple[object, ...]:
    return ("--csv", table, "--kind", "patron", "--map", table.with_suffix(".toml"))


def test_a_table_comes_in_with_its_map(sip2gw: Run, library: Path, table: Path) -> None:
    result = sip2gw("import", *of_readers(table), "--config", library)
    assert result.status == 0, result.err
    assert result.err.splitlines() == [
        "Read 2 patrons; changed 4 rows.",
        "All records are in use. 1 PIN to hash or compare; who has none yet is refused where a"
        " PIN is asked.",
        "1 PIN done.",
    ]
    shown = {
        it["id"]: it for it in records(sip2gw("export", "--config", library).out) if "id" in it
    }
    assert (shown["R1"]["name"], "pin_hash" in shown["R1"]) == ("Zoë Peeters", True)
    assert "pin_hash" not in shown["R2"]


def test_after_a_hundred_errors_an_import_says_that_there_may_be_more(
    sip2gw: Run, library: Path
) -> None:
    for wrong, told in ((99, "99 errors"), (150, "these are the first 100 errors")):
        lines = b'{"kind": "badge"}\n' * wrong
        result = sip2gw("import", "-", "--config", library, stdin=lines)
        *errors, last = result.err.splitlines()
        assert (result.status, len(errors)) == (1, min(wrong, 100))
        assert last == f"Nothing was changed: {told}."


def test_tables_and_json_lines_are_one_import(sip2gw: Run, library: Path, table: Path) -> None:
    """A fee refers to a reader of another file; nothing is left when one of them is wrong."""
    fees = table.with_name("fees.csv")
    fees.with_suffix(".toml").write_text(
        'id = "nr"\npatron = "card"\namount = "due"\ncreated = "day"\n'
    )
    more = library.with_name("more.jsonl")
    more.write_text('{"kind": "badge", "code": "MORE", "name": "More"}\n')
    given = (*of_readers(table), "--csv", fees, "--kind", "fee", "--map", fees.with_suffix(".toml"))
    for due, status in (("free", 1), ("2.50", 0)):
        fees.write_text(f"nr,card,due,day\nX1,R1,{due},2026-01-31\n")
        result = sip2gw("import", more, *given, "--config", library)
        assert result.status == status, result.err
        exported = sip2gw("export", "--config", library).out
        assert [word in exported for word in ("MORE", '"R1"', '"X1"')] == [status == 0] * 3
    assert "Read 1 badge, 2 patrons, 1 fee" in result.err


def test_a_table_from_standard_input_rehearsed(sip2gw: Run, library: Path, table: Path) -> None:
    given = ("--csv", "-", *of_readers(table)[2:], "--dry-run", "--config", library)
    result = sip2gw("import", *given, stdin=b"Kaart;Naam;Code\nR1;Ann;1\nR2;;\n")
    assert (result.status, result.err) == (
        1,
        '-:3: column "Naam" (`name`): must not be empty\nNothing was changed: 1 error.\n',
    )
    result = sip2gw("import", *given, stdin=b"Kaart;Naam;Code\nR1;Ann;1\n")
    assert (result.status, result.err) == (0, "No errors in 1 patron. Nothing was changed.\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda given: (),
            "name a FILE with JSON Lines, or give --csv FILE --kind KIND --map FILE",
        ),
        (
            lambda given: given[:4],
            "--csv, --kind and --map belong together; give all three for each",
        ),
        (
            lambda given: (*given[:3], "reader", *given[4:]),
            "--kind reader: no such kind; there are",
        ),
    ],
)
def test_a_table_without_all_three_is_wrong_usage(
    sip2gw: Run, library: Path, table: Path, change: Any, said: str
) -> None:
    result = sip2gw("import", *change(of_readers(table)), "--config", library)
    assert result.status == 2
    assert said in result.err


def test_a_wrong_map_is_named(sip2gw: Run, library: Path, table: Path) -> None:
    map_ = table.with_suffix(".toml")
    map_.write_text('id = "Kaart"\nnaam = "Naam"\n')
    result = sip2gw("import", *of_readers(table), "--config", library)
    assert (result.status, result.err) == (
        2,
        f"sip2gw: {map_}: `naam` is no key of a patron; did you mean `name`?\n",
    )


def test_ctrl_c_while_pins_are_hashed_says_what_is_done_and_how_to_go_on(
    sip2gw: Run, library: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sip2gw.backend.loading.importing.store_pins", stop)
    result = sip2gw("import", *of_readers(table), "--config", library)
    assert result.status == 130
    assert result.err.splitlines()[-1] == (
        "sip2gw: interrupted: all records are in the store, and 0 of 1 PINs were done; import the"
        " same files again to go on"
    )
    assert '"R1"' in sip2gw("export", "--config", library).out
    monkeypatch.undo()
    result = sip2gw("import", *of_readers(table), "--config", library)
    assert "changed 0 rows" in result.err
    assert result.err.endswith("1 PIN done.\n")


def test_a_log_has_a_line_a_minute_with_the_time_that_is_left() -> None:
    """50,000 PINs at 30 a second."""
    said: list[str] = []
    moments = iter([0.0, 30.0, 60.0, 61.0, 120.0, 1600.0])
    lines = Lines(said.append, lambda: next(moments))
    lines.tell("read", 1, 2)
    for done in (1, 901, 1801, 1831, 3601, 48001):
        lines.tell("hash", done, 50_000)
    assert said == [
        "1801 of 50000 PINs are hashed; about 27 min left.",
        "3601 of 50000 PINs are hashed; about 26 min left.",
        "48001 of 50000 PINs are hashed; about 1 min left.",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "1 min"), (3600, "1 h"), (5460, "1 h 31 min"), (3599, "1 h")]
)
def test_a_span_is_told_in_minutes(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
