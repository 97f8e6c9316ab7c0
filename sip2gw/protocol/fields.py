"""Every field of SIP2: the only place with a tag or a width.

An annotation joins the type that handlers see with the place on the wire. A tag that some
messages demand and others do not has two annotations made from the same declaration: a *required*
field without a value is sent empty, any other is left out.
Spec: SIP2 2.00, field definitions; vendor and own extensions are marked.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Annotated, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.protocol.timestamps import Timestamp
from sip2gw.protocol.values import (
    ACCEPTED,
    COUNT,
    FLAG,
    FLAG_OR_UNKNOWN,
    LANGUAGE,
    LIMIT,
    OK,
    TEXT,
    TIMESTAMP,
    Codec,
    flags,
    letters,
    may_deny,
)

VALUE_BYTES_MAX = 255
"""Limit of one identified field's value, in bytes of the encoded text (B4)."""

SCREEN_TAG = "AF"
"""Where the screen texts stand that a wire format may rewrite."""

NUL, LF = 0x00, 0x0A
"""Bytes by number: asked for bytes in bytes, Python 3.11 first makes an error, for 0.3 µs."""

COMMAND_WIDTH = 2
TAG_WIDTH = 2


class Fixed(Struct, frozen=True):
    """A place in the fixed block: no tag, always exactly `width` characters (B9)."""

    width: int
    codec: Codec
    label: str


class Tagged(Struct, frozen=True):
    """An identified field: a two-letter tag, the value and the delimiter."""

    tag: str
    codec: Codec
    label: str
    width: int = 0
    """Exact width of the value, 0 when it is free."""
    sensitive: bool = False
    """Never in a log, repr or description (B16)."""
    repeated: bool = False
    """May stand several times; the value is a tuple."""
    splits: bool = False
    """A text that continues in a further field of the same tag when it is too long (B4)."""
    trimmed: bool = False
    """Blanks around the value never count (B95)."""
    is_required: bool = False

    def required(self) -> Tagged:
        """The same field where the message demands it."""
        return replace(self, is_required=True)


class Group(Struct, frozen=True):
    """Identified fields that come together, once for each thing that they describe.

    The value is a tuple of `kind`, whose attributes are the values of `members` in their order. All
    members are sent, even empty ones, so that readers that collect a tag's values stay in step.
    """

    kind: Callable[..., tuple[str, ...]]
    members: tuple[Tagged, ...]


class PatronFlag(IntEnum):
    """Positions of the patron status.  Spec: SIP2 2.00, patron status."""

    CHARGE_DENIED = 0
    RENEWAL_DENIED = 1
    RECALL_DENIED = 2
    HOLD_DENIED = 3
    CARD_LOST = 4
    TOO_MANY_CHARGED = 5
    TOO_MANY_OVERDUE = 6
    TOO_MANY_RENEWALS = 7
    TOO_MANY_CLAIMS = 8
    TOO_MANY_LOST = 9
    EXCESSIVE_FINES = 10
    EXCESSIVE_FEES = 11
    RECALL_OVERDUE = 12
    TOO_MANY_BILLED = 13


class Summary(IntEnum):
    """Positions of the summary in a 63; 7-9 are undefined and ignored.  Spec: SIP2 2.00.

    Position 6 is Gossip's; it is ignored too where that dialect is not spoken.
    """

    HOLDS = 0
    OVERDUE = 1
    CHARGED = 2
    FINES = 3
    RECALLS = 4
    UNAVAILABLE_HOLDS = 5
    FEE_DETAILS = 6


class SupportedMessage(StrEnum):
    """The slots of BX in their order, each by the code of its request.  Spec: SIP2 2.00, BX."""

    PATRON_STATUS_REQUEST = "23"
    CHECKOUT = "11"
    CHECKIN = "09"
    BLOCK_PATRON = "01"
    STATUS = "99"
    RESEND = "97"
    LOGIN = "93"
    PATRON_INFORMATION = "63"
    END_PATRON_SESSION = "35"
    FEE_PAID = "37"
    ITEM_INFORMATION = "17"
    ITEM_STATUS_UPDATE = "19"
    PATRON_ENABLE = "25"
    HOLD = "15"
    RENEW = "29"
    RENEW_ALL = "65"


UNKNOWN_CARD_FLAGS = frozenset(
    {
        PatronFlag.CHARGE_DENIED,
        PatronFlag.RENEWAL_DENIED,
        PatronFlag.RECALL_DENIED,
        PatronFlag.HOLD_DENIED,
    }
)
"""The patron status of an unknown card and of every failure form (B18, C27)."""

_PATRON_STATUS = flags("14 flags, Y or blank", PatronFlag, may_deny)
_SUMMARY = flags("10 flags, Y or blank", Summary)
_SUPPORTED = letters("16 letters, Y or N", SupportedMessage)

# Fixed blocks ---------------------------------------------------------------------------------

Language = Annotated[str, Fixed(3, LANGUAGE, "language")]
TransactionDate = Annotated[str, Fixed(18, TIMESTAMP, "transaction date")]
AnswerDate = Annotated[Timestamp, Fixed(18, TIMESTAMP, "transaction date")]
NbDueDate = Annotated[str, Fixed(18, TIMESTAMP, "no block due date")]
ReturnDate = Annotated[str, Fixed(18, TIMESTAMP, "return date")]

UidAlgorithm = Annotated[str, Fixed(1, TEXT, "user id algorithm")]
PwdAlgorithm = Annotated[str, Fixed(1, TEXT, "password algorithm")]
StatusCode = Annotated[str, Fixed(1, TEXT, "status code")]
MaxPrintWidth = Annotated[str, Fixed(3, TEXT, "max print width")]
ProtocolVersion = Annotated[str, Fixed(4, TEXT, "protocol version")]
Online = Annotated[bool, Fixed(1, FLAG, "on-line status")]
CheckinOk = Annotated[bool, Fixed(1, FLAG, "checkin ok")]
CheckoutOk = Annotated[bool, Fixed(1, FLAG, "checkout ok")]
RenewalPolicy = Annotated[bool, Fixed(1, FLAG, "renewal policy")]
StatusUpdateOk = Annotated[bool, Fixed(1, FLAG, "status update ok")]
OfflineOk = Annotated[bool, Fixed(1, FLAG, "off-line ok")]
TimeoutPeriod = Annotated[int, Fixed(3, COUNT, "timeout period, tenths of a second")]
RetriesAllowed = Annotated[int, Fixed(3, COUNT, "retries allowed")]

PatronStatus = Annotated[frozenset[PatronFlag], Fixed(14, _PATRON_STATUS, "patron status")]
SummaryFlags = Annotated[frozenset[Summary], Fixed(10, _SUMMARY, "summary")]
HoldItemsCount = Annotated[int, Fixed(4, COUNT, "hold items count")]
OverdueItemsCount = Annotated[int, Fixed(4, COUNT, "overdue items count")]
ChargedItemsCount = Annotated[int, Fixed(4, COUNT, "charged items count")]
FineItemsCount = Annotated[int, Fixed(4, COUNT, "fine items count")]
RecallItemsCount = Annotated[int, Fixed(4, COUNT, "recall items count")]
UnavailableHoldsCount = Annotated[int, Fixed(4, COUNT, "unavailable holds count")]
CardRetained = Annotated[bool, Fixed(1, FLAG, "card retained")]
EndSession = Annotated[bool, Fixed(1, FLAG, "end session")]

Ok = Annotated[bool, Fixed(1, OK, "ok")]
RenewalOk = Annotated[bool, Fixed(1, FLAG, "renewal ok")]
MagneticMedia = Annotated[bool | None, Fixed(1, FLAG_OR_UNKNOWN, "magnetic media")]
Desensitize = Annotated[bool, Fixed(1, FLAG, "desensitize")]
Resensitize = Annotated[bool, Fixed(1, FLAG, "resensitize")]
Alert = Annotated[bool, Fixed(1, FLAG, "alert")]
Available = Annotated[bool, Fixed(1, FLAG, "available")]
ScRenewalPolicy = Annotated[bool, Fixed(1, FLAG, "SC renewal policy")]
NoBlock = Annotated[bool, Fixed(1, FLAG, "no block")]
ThirdPartyAllowed = Annotated[bool, Fixed(1, FLAG, "third party allowed")]
RenewedCount = Annotated[int, Fixed(4, COUNT, "renewed count")]
UnrenewedCount = Annotated[int, Fixed(4, COUNT, "unrenewed count")]
CirculationStatus = Annotated[str, Fixed(2, TEXT, "circulation status")]
SecurityMarker = Annotated[str, Fixed(2, TEXT, "security marker")]
HoldMode = Annotated[str, Fixed(1, TEXT, "hold mode")]

FixedFeeType = Annotated[str, Fixed(2, TEXT, "fee type")]
PaymentType = Annotated[str, Fixed(2, TEXT, "payment type")]
FixedCurrencyType = Annotated[str, Fixed(3, TEXT, "currency type")]
PaymentAccepted = Annotated[bool, Fixed(1, ACCEPTED, "payment accepted")]

# Who and where --------------------------------------------------------------------------------

_AA = Tagged("AA", TEXT, "patron identifier", trimmed=True)
_AB = Tagged("AB", TEXT, "item identifier", trimmed=True)
_AC = Tagged("AC", TEXT, "terminal password", sensitive=True)
_AD = Tagged("AD", TEXT, "patron password", sensitive=True)
_AH = Tagged("AH", TEXT, "due date")
_AJ = Tagged("AJ", TEXT, "title identifier")
_AP = Tagged("AP", TEXT, "current location")
_AQ = Tagged("AQ", TEXT, "permanent location")
_CH = Tagged("CH", TEXT, "item properties")

InstitutionId = Annotated[str, Tagged("AO", TEXT, "institution id").required()]
PatronIdentifier = Annotated[str, _AA.required()]
OptionalPatronIdentifier = Annotated[str | None, _AA]
ItemIdentifier = Annotated[str, _AB.required()]
OptionalItemIdentifier = Annotated[str | None, _AB]
TerminalPassword = Annotated[str | None, _AC]
RequiredTerminalPassword = Annotated[str | None, _AC.required()]
PatronPassword = Annotated[str | None, _AD]
RequiredPatronPassword = Annotated[str | None, _AD.required()]
LoginUserId = Annotated[str, Tagged("CN", TEXT, "login user id", sensitive=True).required()]
LoginPassword = Annotated[str, Tagged("CO", TEXT, "login password", sensitive=True).required()]
LocationCode = Annotated[str | None, Tagged("CP", TEXT, "location code")]
LibraryName = Annotated[str | None, Tagged("AM", TEXT, "library name")]
TerminalLocation = Annotated[str | None, Tagged("AN", TEXT, "terminal location")]
SupportedMessages = Annotated[
    frozenset[str], Tagged("BX", _SUPPORTED, "supported messages", width=16).required()
]

# The patron -----------------------------------------------------------------------------------

PersonalName = Annotated[str, Tagged("AE", TEXT, "personal name").required()]
ValidPatron = Annotated[bool | None, Tagged("BL", FLAG, "valid patron", width=1)]
ValidPatronPassword = Annotated[bool | None, Tagged("CQ", FLAG, "valid patron password", width=1)]
HoldItemsLimit = Annotated[int | None, Tagged("BZ", LIMIT, "hold items limit", width=4)]
OverdueItemsLimit = Annotated[int | None, Tagged("CA", LIMIT, "overdue items limit", width=4)]
ChargedItemsLimit = Annotated[int | None, Tagged("CB", LIMIT, "charged items limit", width=4)]
HoldItems = Annotated[tuple[str, ...], Tagged("AS", TEXT, "hold item", repeated=True)]
OverdueItems = Annotated[tuple[str, ...], Tagged("AT", TEXT, "overdue item", repeated=True)]
ChargedItems = Annotated[tuple[str, ...], Tagged("AU", TEXT, "charged item", repeated=True)]
FineItems = Annotated[tuple[str, ...], Tagged("AV", TEXT, "fine item", repeated=True, splits=True)]
RecallItems = Annotated[tuple[str, ...], Tagged("BU", TEXT, "recall item", repeated=True)]
UnavailableHoldItems = Annotated[
    tuple[str, ...], Tagged("CD", TEXT, "unavailable hold item", repeated=True)
]
HomeAddress = Annotated[str | None, Tagged("BD", TEXT, "home address")]
Email = Annotated[str | None, Tagged("BE", TEXT, "e-mail address")]
HomePhone = Annotated[str | None, Tagged("BF", TEXT, "home phone number")]
BirthDate = Annotated[str | None, Tagged("PB", TEXT, "birth date (extension)")]
PatronClass = Annotated[str | None, Tagged("PC", TEXT, "patron class (extension)")]
Badges = Annotated[tuple[str, ...], Tagged("GL", TEXT, "badge (Wise extension)", repeated=True)]
StartItem = Annotated[str | None, Tagged("BP", TEXT, "start item")]
EndItem = Annotated[str | None, Tagged("BQ", TEXT, "end item")]
FetchReason = Annotated[str | None, Tagged("FW", TEXT, "fetch reason (Wise extension)")]
BlockedCardMessage = Annotated[str, Tagged("AL", TEXT, "blocked card message").required()]

# Money ----------------------------------------------------------------------------------------

_BV = Tagged("BV", TEXT, "fee amount")

CurrencyType = Annotated[str | None, Tagged("BH", TEXT, "currency type", width=3)]
FeeAmount = Annotated[str | None, _BV]
PaidAmount = Annotated[str, _BV.required()]
FeeLimit = Annotated[str | None, Tagged("CC", TEXT, "fee limit")]
FeeType = Annotated[str | None, Tagged("BT", TEXT, "fee type", width=2)]
FeeIdentifier = Annotated[str | None, Tagged("CG", TEXT, "fee identifier")]
TransactionId = Annotated[str | None, Tagged("BK", TEXT, "transaction id")]
FeeAcknowledged = Annotated[bool, Tagged("BO", FLAG, "fee acknowledged", width=1)]
Debtor = Annotated[str | None, Tagged("ZD", TEXT, "debtor's card (own extension)")]
PayableAccounts = Annotated[
    tuple[str, ...], Tagged("ZR", TEXT, "payable account (own extension)", repeated=True)
]
PayableFees = Annotated[
    tuple[str, ...], Tagged("ZF", TEXT, "payable fee (own extension)", repeated=True)
]

# Money in vendors' words; FA, FB and FC are Wise's in a 41 and Gossip's in a 64 or 38 ------------

SwitchFA = Annotated[bool, Tagged("FA", FLAG, "switch FA (Wise extension)", width=1)]
SwitchFB = Annotated[bool, Tagged("FB", FLAG, "switch FB (Wise extension)", width=1)]
SwitchFC = Annotated[bool, Tagged("FC", FLAG, "switch FC (Wise extension)", width=1)]
MoneyLines = Annotated[
    tuple[str, ...], Tagged("YZ", TEXT, "money line (Wise extension)", repeated=True)
]


class FeeDetail(NamedTuple):
    """One fee in Gossip's fields; every value as it is sent."""

    id: str
    owed: str
    """With a dot."""
    item_id: str
    created: str
    """`dd.MM.yyyy`."""
    title: str
    type: str
    type_text: str


class SettledFee(NamedTuple):
    """One fee in Gossip's fields after a payment: what is left of it, and what was paid."""

    id: str
    owed: str
    item_id: str
    created: str
    title: str
    type: str
    type_text: str
    paid: str


_FEE_DETAIL = (
    Tagged("CG", TEXT, "fee identifier"),
    Tagged("FA", TEXT, "amount owed (Gossip extension)"),
    Tagged("FB", TEXT, "item identifier of the fee (Gossip extension)"),
    Tagged("FC", TEXT, "date of the fee (Gossip extension)"),
    Tagged("FD", TEXT, "title of the fee (Gossip extension)"),
    Tagged("FE", TEXT, "cost type (Gossip extension)"),
    Tagged("FF", TEXT, "cost type text (Gossip extension)"),
)
FeeDetails = Annotated[tuple[FeeDetail, ...], Group(FeeDetail, _FEE_DETAIL)]
SettledFees = Annotated[
    tuple[SettledFee, ...],
    Group(SettledFee, (*_FEE_DETAIL, Tagged("FG", TEXT, "amount paid (Gossip extension)"))),
]

# Items and holds ------------------------------------------------------------------------------

TitleIdentifier = Annotated[str, _AJ.required()]
OptionalTitleIdentifier = Annotated[str | None, _AJ]
DueDate = Annotated[str, _AH.required()]
OptionalDueDate = Annotated[str | None, _AH]
CurrentLocation = Annotated[str, _AP.required()]
OptionalCurrentLocation = Annotated[str | None, _AP]
PermanentLocation = Annotated[str, _AQ.required()]
OptionalPermanentLocation = Annotated[str | None, _AQ]
ItemProperties = Annotated[str | None, _CH]
RequiredItemProperties = Annotated[str, _CH.required()]
Cancel = Annotated[bool, Tagged("BI", FLAG, "cancel", width=1)]
SecurityInhibit = Annotated[bool | None, Tagged("CI", FLAG, "security inhibit", width=1)]
MediaType = Annotated[str | None, Tagged("CK", TEXT, "media type", width=3)]
SortBin = Annotated[str | None, Tagged("CL", TEXT, "sort bin")]
HoldQueueLength = Annotated[str | None, Tagged("CF", TEXT, "hold queue length")]
RecallDate = Annotated[Timestamp | None, Tagged("CJ", TIMESTAMP, "recall date", width=18)]
HoldPickupDate = Annotated[Timestamp | None, Tagged("CM", TIMESTAMP, "hold pickup date", width=18)]
Owner = Annotated[str | None, Tagged("BG", TEXT, "owner")]
ExpirationDate = Annotated[Timestamp | None, Tagged("BW", TIMESTAMP, "expiration date", width=18)]
PickupLocation = Annotated[str | None, Tagged("BS", TEXT, "pickup location")]
HoldType = Annotated[str | None, Tagged("BY", TEXT, "hold type", width=1)]
QueuePosition = Annotated[str | None, Tagged("BR", TEXT, "queue position")]
RenewedItems = Annotated[tuple[str, ...], Tagged("BM", TEXT, "renewed item", repeated=True)]
UnrenewedItems = Annotated[tuple[str, ...], Tagged("BN", TEXT, "unrenewed item", repeated=True)]
CollectionCode = Annotated[str | None, Tagged("CR", TEXT, "collection code (3M extension)")]
CallNumber = Annotated[str | None, Tagged("CS", TEXT, "call number (3M extension)")]
DestinationLocation = Annotated[
    str | None, Tagged("CT", TEXT, "destination location (3M extension)")
]
AlertType = Annotated[str | None, Tagged("CV", TEXT, "alert type (3M extension)", width=2)]
HoldPatronIdentifier = Annotated[
    str | None, Tagged("CY", TEXT, "hold patron identifier (3M extension)")
]
HoldPatronName = Annotated[str | None, Tagged("DA", TEXT, "hold patron name (3M extension)")]

# For the eye ----------------------------------------------------------------------------------

ScreenMessage = Annotated[
    tuple[str, ...], Tagged(SCREEN_TAG, TEXT, "screen message", repeated=True, splits=True)
]
PrintLine = Annotated[tuple[str, ...], Tagged("AG", TEXT, "print line", repeated=True, splits=True)]
