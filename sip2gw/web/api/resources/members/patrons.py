"""`/patrons`: what the store knows of patrons; PINs, blocks, doubles (B49, B91, C41, C51)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX
from sip2gw.model import BlockType
from sip2gw.staff.members import patrons
from sip2gw.staff.members.merging import (
    FoundPatronJson,
    MergeStepJson,
    found_json,
    found_patrons,
    merged,
    step_json,
)
from sip2gw.staff.members.patrons import BlockJson, PatronJson, UnblockedJson, block_json
from sip2gw.staff.members.privacy import ForgottenJson, forget_patron, report_json
from sip2gw.web.api.naming import Day, Number, PatronId, Words
from sip2gw.web.api.paging import Cursor, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("patrons")


class NewPin(BaseModel):
    """A PIN; it comes in a body only, and is told to nobody again."""

    model_config = ConfigDict(extra="forbid")

    pin: Annotated[SecretStr, Field(min_length=1, max_length=PIN_CHARACTERS_MAX, examples=["2468"])]


class NewBlock(BaseModel):
    """A block to be set."""

    model_config = ConfigDict(extra="forbid")

    type: BlockType = BlockType.GENERAL
    note: Annotated[Words, Field(description="Reason, for staff.")] = ""
    until: Annotated[
        Day | None, Field(description="Last day of the block; null: until you lift it.")
    ] = None


class SetBlockJson(BlockJson):
    """A block that has been set."""

    patron: str


class ReportJson(TypedDict):
    """All that is kept of a patron."""

    entries: list[dict[str, Any]]


class Former(BaseModel):
    """Whose record ends."""

    model_config = ConfigDict(extra="forbid")

    former: Number
    dry_run: Annotated[bool, Field(description="Only tell what would happen.")] = False


class MergedJson(TypedDict):
    """Two records that are one, or would be."""

    former: str
    lasting: str
    steps: list[MergeStepJson]
    dry_run: bool


@resources.get("/patrons", "patron find")
def find_patrons(
    asked: Asks,
    find: Annotated[
        str,
        Query(
            min_length=1,
            max_length=200,
            description="Card number, id, pseudonym of the log, or words of the name.",
        ),
    ],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[FoundPatronJson]:
    """Find patrons by card, id, pseudonym or name, in order of their names.

    Every word must be in the name, as a whole or in part. Capitals and accents do not matter.
    """
    found = found_patrons(asked.store, find)
    return page(found, limit, cursor, key=lambda one: (one.name, one.id), told=found_json)


@resources.get("/patrons/{patron_id}", "patron show")
def show_patron(asked: Asks, patron_id: PatronId) -> PatronJson:
    """Show a patron: membership, cards, badges, blocks, money, loans, holds, relationships.

    Of the PIN only whether there is one.
    """
    return _shown(asked, patron_id)


def _shown(asked: Asks, patron_id: str) -> PatronJson:
    currency = asked.config.institution.currency
    return asked.run(patrons.shown_patron_json(asked.store, patron_id, currency, asked.zone))


@resources.put("/patrons/{patron_id}/pin", "patron set-pin", status=204)
def set_pin(asked: Asks, patron_id: PatronId, new: NewPin) -> None:
    """Give a patron a new PIN. This also unlocks it on all cards.

    409 in front of a library system: it has the PINs.
    """
    patrons.insist_on_own_pins(asked.config, patron_id)
    record = asked.run(patrons.find_patron(asked.store, patron_id))
    asked.run(patrons.set_pin(asked.store, record.id, new.pin.get_secret_value()))


@resources.post("/patrons/{patron_id}/blocks", "patron block", status=201)
def block_patron(asked: Asks, patron_id: PatronId, new: NewBlock) -> SetBlockJson:
    """Block a patron from self-service. This replaces a staff block of the same type."""
    whose, made = asked.run(patrons.block(asked.store, patron_id, new.type, new.note, new.until))
    return {"patron": whose, **block_json(made)}


@resources.delete("/patrons/{patron_id}/blocks", "patron unblock")
def unblock_patron(asked: Asks, patron_id: PatronId) -> UnblockedJson:
    """Lift the blocks set by staff or a terminal. Imported blocks end only by an import.

    In front of a library system this also forgets the wrong PINs of the number, and so ends the
    lock of its PIN, even if the store does not know the patron. 409 if there is nothing to lift.
    """
    return asked.run(patrons.unblock(asked.store, asked.config, patron_id))


@resources.get("/patrons/{patron_id}/report", "patron report")
def report_patron(asked: Asks, patron_id: PatronId) -> ReportJson:
    """Tell all that the store keeps of a patron, for the person who asks for it.

    That is the record and everything that names the patron or a card of theirs, also in notes about
    others, but not the PIN's hash. Each entry says its `kind`. It comes as a whole: this reading is
    in it, too, so pages would not fit together.
    """
    rows = asked.store.personal_data(patron_id)
    return {"entries": list(report_json(rows, asked.config.institution.currency, asked.zone))}


@resources.delete("/patrons/{patron_id}", "patron forget")
def forget(
    asked: Asks,
    patron_id: PatronId,
    force: Annotated[
        bool, Query(description="Even if something is owed, on loan, left or unknown.")
    ] = False,
) -> ForgottenJson:
    """Remove a patron from the store for good. There is no way back.

    The ledger keeps amounts, times and terminals, under a random name that nobody can trace back.
    Remove the patron from your library system first, or the next import brings them back.
    """
    currency = asked.config.institution.currency
    return asked.run(forget_patron(asked.store, currency, patron_id, force=force))


@resources.post("/patrons/{lasting}/merge", "patron merge", is_once=True)
def merge_patrons(asked: Asks, lasting: PatronId, other: Former) -> MergedJson:
    """Join the record `former` with this one, of the same person; it cannot be undone.

    Cards, loans, holds, fees, badges, blocks and relationships of `former` become those of this
    patron, in one step or not at all. PIN, membership and limits are this patron's. Payments stay
    under the id that paid. What cannot move is listed with the reason.
    """
    if other.dry_run:
        plan = asked.store.plan_merge(other.former, lasting)
    else:
        who = asked.caller.token.name
        plan = asked.run(merged(asked.store, other.former, lasting, who, asked.now))
    return {
        "former": plan.former_id,
        "lasting": plan.lasting_id,
        "steps": list(map(step_json, plan.steps)),
        "dry_run": other.dry_run,
    }
