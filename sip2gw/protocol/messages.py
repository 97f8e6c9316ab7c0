"""Every message as a typed value. The order of the attributes is the order on the wire.

Each attribute has a default: in a response the negative or empty one, so that a handler sets
only what it knows and forgetting something never grants anything. An identified field that was
absent is None where absence matters (an absent AD is not an empty one).
"""

from __future__ import annotations

from typing import ClassVar

from sip2gw.protocol import fields as f
from sip2gw.protocol.message import Message as Message
from sip2gw.protocol.message import Request as Request
from sip2gw.protocol.message import Response as Response

_NOT_ENCRYPTED = "0"
ALWAYS_SUPPORTED = frozenset({"93", "97", "99"})
"""Served to everybody, before login too (C25, C26)."""


# Session --------------------------------------------------------------------------------------


class LoginResponse(Response):
    """Whether the terminal may go on.  Spec: SIP2 2.00, message 94."""

    code: ClassVar[str] = "94"

    ok: f.Ok = False


class Login(Request):
    """A terminal names itself.  Spec: SIP2 2.00, message 93."""

    code: ClassVar[str] = "93"
    response: ClassVar[type[Response]] = LoginResponse

    uid_algorithm: f.UidAlgorithm = _NOT_ENCRYPTED
    pwd_algorithm: f.PwdAlgorithm = _NOT_ENCRYPTED
    login_user_id: f.LoginUserId = ""
    login_password: f.LoginPassword = ""
    location_code: f.LocationCode = None


class AcsStatus(Response):
    """What the gateway can do for this terminal.  Spec: SIP2 2.00, message 98 (B13, B17)."""

    code: ClassVar[str] = "98"

    online: f.Online = False
    checkin_ok: f.CheckinOk = False
    checkout_ok: f.CheckoutOk = False
    renewal_policy: f.RenewalPolicy = False
    status_update_ok: f.StatusUpdateOk = False
    offline_ok: f.OfflineOk = False
    timeout_period_ds: f.TimeoutPeriod = 0
    retries_allowed: f.RetriesAllowed = 0
    transaction_date: f.AnswerDate = ""
    protocol_version: f.ProtocolVersion = "2.00"
    institution_id: f.InstitutionId = ""
    library_name: f.LibraryName = None
    supported_messages: f.SupportedMessages = ALWAYS_SUPPORTED
    terminal_location: f.TerminalLocation = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class ScStatus(Request):
    """A terminal reports its state and asks for ours.  Spec: SIP2 2.00, message 99."""

    code: ClassVar[str] = "99"
    response: ClassVar[type[Response]] = AcsStatus

    status_code: f.StatusCode = "0"
    max_print_width: f.MaxPrintWidth = "000"
    protocol_version: f.ProtocolVersion = "2.00"


class RequestScResend(Response):
    """We ask the terminal to send its message again.  Spec: SIP2 2.00, message 96."""

    code: ClassVar[str] = "96"


class RequestAcsResend(Request):
    """The terminal asks us to send our answer again.  Spec: SIP2 2.00, message 97."""

    code: ClassVar[str] = "97"
    response: ClassVar[type[Response]] = RequestScResend


# Patron ---------------------------------------------------------------------------------------


class PatronStatusResponse(Response):
    """What a patron may do and owes.  Spec: SIP2 2.00, message 24 (B18)."""

    code: ClassVar[str] = "24"

    patron_status: f.PatronStatus = f.UNKNOWN_CARD_FLAGS
    language: f.Language = "000"
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    personal_name: f.PersonalName = ""
    valid_patron: f.ValidPatron = False
    valid_patron_password: f.ValidPatronPassword = False
    currency_type: f.CurrencyType = None
    fee_amount: f.FeeAmount = None
    badges: f.Badges = ()
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class PatronStatusRequest(Request):
    """A terminal asks what a patron may do.  Spec: SIP2 2.00, message 23."""

    code: ClassVar[str] = "23"
    response: ClassVar[type[Response]] = PatronStatusResponse

    language: f.Language = "000"
    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.RequiredTerminalPassword = None
    patron_password: f.RequiredPatronPassword = None


class PatronInformationResponse(Response):
    """All about a patron, with the lists asked for.  Spec: SIP2 2.00, message 64 (B18, B28)."""

    code: ClassVar[str] = "64"

    patron_status: f.PatronStatus = f.UNKNOWN_CARD_FLAGS
    language: f.Language = "000"
    transaction_date: f.AnswerDate = ""
    hold_items_count: f.HoldItemsCount = 0
    overdue_items_count: f.OverdueItemsCount = 0
    charged_items_count: f.ChargedItemsCount = 0
    fine_items_count: f.FineItemsCount = 0
    recall_items_count: f.RecallItemsCount = 0
    unavailable_holds_count: f.UnavailableHoldsCount = 0
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    personal_name: f.PersonalName = ""
    hold_items_limit: f.HoldItemsLimit = None
    overdue_items_limit: f.OverdueItemsLimit = None
    charged_items_limit: f.ChargedItemsLimit = None
    valid_patron: f.ValidPatron = False
    valid_patron_password: f.ValidPatronPassword = False
    currency_type: f.CurrencyType = None
    fee_amount: f.FeeAmount = None
    fee_limit: f.FeeLimit = None
    hold_items: f.HoldItems = ()
    overdue_items: f.OverdueItems = ()
    charged_items: f.ChargedItems = ()
    fine_items: f.FineItems = ()
    recall_items: f.RecallItems = ()
    unavailable_hold_items: f.UnavailableHoldItems = ()
    home_address: f.HomeAddress = None
    email: f.Email = None
    home_phone: f.HomePhone = None
    birth_date: f.BirthDate = None
    patron_class: f.PatronClass = None
    badges: f.Badges = ()
    payable_accounts: f.PayableAccounts = ()
    payable_fees: f.PayableFees = ()
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()
    fee_details: f.FeeDetails = ()


class PatronInformation(Request):
    """A terminal asks all about a patron.  Spec: SIP2 2.00, message 63; FW is Wise's (B26)."""

    code: ClassVar[str] = "63"
    response: ClassVar[type[Response]] = PatronInformationResponse

    language: f.Language = "000"
    transaction_date: f.TransactionDate = ""
    summary: f.SummaryFlags = frozenset()
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.TerminalPassword = None
    patron_password: f.PatronPassword = None
    start_item: f.StartItem = None
    end_item: f.EndItem = None
    fetch_reason: f.FetchReason = None


class BlockPatron(Request):
    """A terminal asks to block a card.  Spec: SIP2 2.00, message 01 (B31)."""

    code: ClassVar[str] = "01"
    response: ClassVar[type[Response]] = PatronStatusResponse

    card_retained: f.CardRetained = False
    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    blocked_card_message: f.BlockedCardMessage = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.RequiredTerminalPassword = None


class PatronEnableResponse(Response):
    """The patron after the block was lifted, or not.  Spec: SIP2 2.00, message 26."""

    code: ClassVar[str] = "26"

    patron_status: f.PatronStatus = f.UNKNOWN_CARD_FLAGS
    language: f.Language = "000"
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    personal_name: f.PersonalName = ""
    valid_patron: f.ValidPatron = False
    valid_patron_password: f.ValidPatronPassword = False
    badges: f.Badges = ()
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class PatronEnable(Request):
    """A terminal asks to lift a block that a 01 set.  Spec: SIP2 2.00, message 25 (C41)."""

    code: ClassVar[str] = "25"
    response: ClassVar[type[Response]] = PatronEnableResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.TerminalPassword = None
    patron_password: f.PatronPassword = None


class EndSessionResponse(Response):
    """The patron's session has ended, always.  Spec: SIP2 2.00, message 36 (B31)."""

    code: ClassVar[str] = "36"

    end_session: f.EndSession = True
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class EndPatronSession(Request):
    """The patron leaves the terminal.  Spec: SIP2 2.00, message 35."""

    code: ClassVar[str] = "35"
    response: ClassVar[type[Response]] = EndSessionResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.TerminalPassword = None
    patron_password: f.PatronPassword = None


class FeePaidResponse(Response):
    """Whether a payment was booked.  Spec: SIP2 2.00, message 38 (B43, B46)."""

    code: ClassVar[str] = "38"

    payment_accepted: f.PaymentAccepted = False
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    transaction_id: f.TransactionId = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()
    settled_fees: f.SettledFees = ()


class FeePaid(Request):
    """A terminal has taken money.  Spec: SIP2 2.00, message 37; ZD is our own (B52)."""

    code: ClassVar[str] = "37"
    response: ClassVar[type[Response]] = FeePaidResponse

    transaction_date: f.TransactionDate = ""
    fee_type: f.FixedFeeType = "01"
    payment_type: f.PaymentType = "00"
    currency_type: f.FixedCurrencyType = ""
    fee_amount: f.PaidAmount = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.TerminalPassword = None
    patron_password: f.PatronPassword = None
    fee_identifier: f.FeeIdentifier = None
    transaction_id: f.TransactionId = None
    debtor: f.Debtor = None


# Items ----------------------------------------------------------------------------------------


class LoanResponse(Response):
    """What the answers to a loan and to its renewal, which have the same form, say."""

    ok: f.Ok = False
    renewal_ok: f.RenewalOk = False
    magnetic_media: f.MagneticMedia = None
    desensitize: f.Desensitize = False
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    item_identifier: f.ItemIdentifier = ""
    title_identifier: f.TitleIdentifier = ""
    due_date: f.DueDate = ""
    fee_type: f.FeeType = None
    security_inhibit: f.SecurityInhibit = None
    currency_type: f.CurrencyType = None
    fee_amount: f.FeeAmount = None
    media_type: f.MediaType = None
    item_properties: f.ItemProperties = None
    transaction_id: f.TransactionId = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class CheckoutResponse(LoanResponse):
    """Whether an item was charged, and until when.  Spec: SIP2 2.00, message 12 (B56)."""

    code: ClassVar[str] = "12"


class Checkout(Request):
    """A terminal asks to charge an item to a patron.  Spec: SIP2 2.00, message 11."""

    code: ClassVar[str] = "11"
    response: ClassVar[type[Response]] = CheckoutResponse

    sc_renewal_policy: f.ScRenewalPolicy = False
    no_block: f.NoBlock = False
    transaction_date: f.TransactionDate = ""
    nb_due_date: f.NbDueDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    item_identifier: f.ItemIdentifier = ""
    terminal_password: f.RequiredTerminalPassword = None
    item_properties: f.ItemProperties = None
    patron_password: f.PatronPassword = None
    fee_acknowledged: f.FeeAcknowledged = False
    cancel: f.Cancel = False


class CheckinResponse(Response):
    """Whether an item was taken back, and where it goes.  Spec: SIP2 2.00, message 10 (B59)."""

    code: ClassVar[str] = "10"

    ok: f.Ok = False
    resensitize: f.Resensitize = False
    magnetic_media: f.MagneticMedia = None
    alert: f.Alert = False
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    item_identifier: f.ItemIdentifier = ""
    permanent_location: f.PermanentLocation = ""
    title_identifier: f.OptionalTitleIdentifier = None
    sort_bin: f.SortBin = None
    patron_identifier: f.OptionalPatronIdentifier = None
    media_type: f.MediaType = None
    item_properties: f.ItemProperties = None
    collection_code: f.CollectionCode = None
    call_number: f.CallNumber = None
    destination_location: f.DestinationLocation = None
    alert_type: f.AlertType = None
    hold_patron_identifier: f.HoldPatronIdentifier = None
    hold_patron_name: f.HoldPatronName = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class Checkin(Request):
    """A terminal takes an item back.  Spec: SIP2 2.00, message 09."""

    code: ClassVar[str] = "09"
    response: ClassVar[type[Response]] = CheckinResponse

    no_block: f.NoBlock = False
    transaction_date: f.TransactionDate = ""
    return_date: f.ReturnDate = ""
    current_location: f.CurrentLocation = ""
    institution_id: f.InstitutionId = ""
    item_identifier: f.ItemIdentifier = ""
    terminal_password: f.RequiredTerminalPassword = None
    item_properties: f.ItemProperties = None
    cancel: f.Cancel = False


class RenewResponse(LoanResponse):
    """Whether a loan was extended.  Spec: SIP2 2.00, message 30 (B60)."""

    code: ClassVar[str] = "30"


class Renew(Request):
    """A terminal asks to extend one loan.  Spec: SIP2 2.00, message 29 (B54)."""

    code: ClassVar[str] = "29"
    response: ClassVar[type[Response]] = RenewResponse

    third_party_allowed: f.ThirdPartyAllowed = False
    no_block: f.NoBlock = False
    transaction_date: f.TransactionDate = ""
    nb_due_date: f.NbDueDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    patron_password: f.PatronPassword = None
    item_identifier: f.OptionalItemIdentifier = None
    title_identifier: f.OptionalTitleIdentifier = None
    terminal_password: f.TerminalPassword = None
    item_properties: f.ItemProperties = None
    fee_acknowledged: f.FeeAcknowledged = False


class RenewAllResponse(Response):
    """What was renewed and what not.  Spec: SIP2 2.00, message 66 (B60)."""

    code: ClassVar[str] = "66"

    ok: f.Ok = False
    renewed_count: f.RenewedCount = 0
    unrenewed_count: f.UnrenewedCount = 0
    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    renewed_items: f.RenewedItems = ()
    unrenewed_items: f.UnrenewedItems = ()
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class RenewAll(Request):
    """A terminal asks to extend all loans of a patron.  Spec: SIP2 2.00, message 65."""

    code: ClassVar[str] = "65"
    response: ClassVar[type[Response]] = RenewAllResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    patron_password: f.PatronPassword = None
    terminal_password: f.TerminalPassword = None
    fee_acknowledged: f.FeeAcknowledged = False


class ItemInformationResponse(Response):
    """All about an item.  Spec: SIP2 2.00, message 18 (B60, C27)."""

    code: ClassVar[str] = "18"

    circulation_status: f.CirculationStatus = "01"
    security_marker: f.SecurityMarker = "00"
    fee_type: f.FixedFeeType = "01"
    transaction_date: f.AnswerDate = ""
    hold_queue_length: f.HoldQueueLength = None
    due_date: f.OptionalDueDate = None
    recall_date: f.RecallDate = None
    hold_pickup_date: f.HoldPickupDate = None
    item_identifier: f.ItemIdentifier = ""
    title_identifier: f.TitleIdentifier = ""
    owner: f.Owner = None
    currency_type: f.CurrencyType = None
    fee_amount: f.FeeAmount = None
    media_type: f.MediaType = None
    permanent_location: f.OptionalPermanentLocation = None
    current_location: f.OptionalCurrentLocation = None
    item_properties: f.ItemProperties = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class ItemInformation(Request):
    """A terminal asks all about an item.  Spec: SIP2 2.00, message 17."""

    code: ClassVar[str] = "17"
    response: ClassVar[type[Response]] = ItemInformationResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    item_identifier: f.ItemIdentifier = ""
    terminal_password: f.TerminalPassword = None


class ItemStatusUpdateResponse(Response):
    """Whether the properties were stored.  Spec: SIP2 2.00, message 20 (B60)."""

    code: ClassVar[str] = "20"

    ok: f.Ok = False
    transaction_date: f.AnswerDate = ""
    item_identifier: f.ItemIdentifier = ""
    title_identifier: f.OptionalTitleIdentifier = None
    item_properties: f.ItemProperties = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class ItemStatusUpdate(Request):
    """A terminal sends properties of an item.  Spec: SIP2 2.00, message 19."""

    code: ClassVar[str] = "19"
    response: ClassVar[type[Response]] = ItemStatusUpdateResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    item_identifier: f.ItemIdentifier = ""
    terminal_password: f.TerminalPassword = None
    item_properties: f.RequiredItemProperties = ""


class HoldResponse(Response):
    """Whether a hold was placed, changed or removed.  Spec: SIP2 2.00, message 16 (B60)."""

    code: ClassVar[str] = "16"

    ok: f.Ok = False
    available: f.Available = False
    transaction_date: f.AnswerDate = ""
    expiration_date: f.ExpirationDate = None
    queue_position: f.QueuePosition = None
    pickup_location: f.PickupLocation = None
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    item_identifier: f.OptionalItemIdentifier = None
    title_identifier: f.OptionalTitleIdentifier = None
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class Hold(Request):
    """A terminal asks to place (`+`), change (`*`) or remove (`-`) a hold.

    Spec: SIP2 2.00, message 15.
    """

    code: ClassVar[str] = "15"
    response: ClassVar[type[Response]] = HoldResponse

    hold_mode: f.HoldMode = "+"
    transaction_date: f.TransactionDate = ""
    expiration_date: f.ExpirationDate = None
    pickup_location: f.PickupLocation = None
    hold_type: f.HoldType = None
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    patron_password: f.PatronPassword = None
    item_identifier: f.OptionalItemIdentifier = None
    title_identifier: f.OptionalTitleIdentifier = None
    terminal_password: f.TerminalPassword = None
    fee_acknowledged: f.FeeAcknowledged = False
