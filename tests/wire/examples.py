"""Wire examples: bytes as a terminal or the gateway sends them, and the message they are.

`origin` says where the bytes come from: the standard's layout, public captures, or made here.
The bytes have no trailer and no line end; the tests add them in all their forms.
"""

from dataclasses import dataclass

from sip2gw.protocol.dialect import MoneyLines, MoneyLinesResponse
from sip2gw.protocol.fields import (FeeDetail, PatronFlag, SettledFee, Summary,)
from sip2gw.protocol.message import Message
from sip2gw.protocol.messages import (AcsStatus, BlockPatron, Checkin, CheckinResponse, Checkout, CheckoutResponse, EndPatronSession, EndSessionResponse, FeePaid, FeePaidResponse, Hold, HoldResponse, ItemInformation, ItemInformationResponse, ItemStatusUpdate, ItemStatusUpdateResponse, Login, LoginResponse, PatronEnable, PatronEnableResponse, PatronInformation, PatronInformationResponse, PatronStatusRequest, PatronStatusResponse, Renew, RenewAll, RenewAllResponse, RenewResponse, RequestAcsResend, RequestScResend, ScStatus,)

DATE = "20260131    142500"
DUE = "20260221    235959"


@dataclass(frozen=True)
class Example:
    wire: bytes
    message: Message
    origin: str = "the standard's layout"


EXAMPLES = [
    Example(
        b"9300CNOV|COOV|CPWES|",
        Login(login_user_id="OV", login_password="OV", location_code="WES"),
        "golden checksum vector of rule B6",
    ),
    Example(b"941", LoginResponse(ok=True), "golden checksum vector of rule B6"),
    Example(
        b"9900302.00",
        ScStatus(status_code="0", max_print_width="030"),
        "golden checksum vector of rule B6",
    ),
    Example(
        b"98YYYNYN030003" + DATE.encode() + b"2.00AOHUB|AMHub Library|BXYNNNNYYYYNNNNNNN|",
        AcsStatus(
            online=True,
            checkin_ok=True,
            checkout_ok=True,
            status_update_ok=True,
            timeout_period_ds=30,
            retries_allowed=3,
            transaction_date=DATE,
            institution_id="HUB",
            library_name="Hub Library",
            supported_messages=frozenset({"23", "97", "93", "63", "35"}),
        ),
    ),
    Example(b"97", RequestAcsResend(), "golden checksum vector of rule B6"),
    Example(b"96", RequestScResend(), "golden checksum vector of rule B6"),
    Example(
        b"23001" + DATE.encode() + b"AOHUB|AA2100|ACterm|AD1234|",
        PatronStatusRequest(
            language="001",
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            terminal_password="term",
            patron_password="1234",
        ),
    ),
    Example(
        b"24  Y       Y   001" + DATE.encode() + b"AOHUB|AA2100|AEAnna|BLY|CQN|BHEUR|BV2.50|"
        b"GLONBE|GLWIFI|AFHello|AFagain|AGprint|",
        PatronStatusResponse(
            patron_status=frozenset({PatronFlag.RECALL_DENIED, PatronFlag.EXCESSIVE_FINES}),
            language="001",
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            personal_name="Anna",
            valid_patron=True,
            valid_patron_password=False,
            currency_type="EUR",
            fee_amount="2.50",
            badges=("ONBE", "WIFI"),
            screen_message=("Hello", "again"),
            print_line=("print",),
        ),
        "made here; GL as Wise sends it",
    ),
    Example(
        b"63005" + DATE.encode() + b"   Y      AOHUB|AA2100|AC|AD|BP1|BQ5|FWB|",
        PatronInformation(
            language="005",
            transaction_date=DATE,
            summary=frozenset({Summary.FINES}),
            institution_id="HUB",
            patron_identifier="2100",
            terminal_password="",
            patron_password="",
            start_item="1",
            end_item="5",
            fetch_reason="B",
        ),
        "made here; FW as Wise sends it",
    ),
    Example(
        b"64              005"
        + DATE.encode()
        + b"000100020003000400050006AOHUB|AA2100|AEAnna|BZ0010|CA0011|CB9999|BLY|CQY|BHEUR|"
        b"BV7.00|CC10.00|ASi1|ATi2|AUi3|AVf1|AVf2|BUi4|CDi5|BDStreet 1|BEa@b.c|BF012|PB20000229|"
        b"PCadult|GLONBE|ZR2101~Bo~head_of_family~3.00|ZFf2~2101~3.00~04~2026-01-01~late|AFHi|AGp|",
        PatronInformationResponse(
            patron_status=frozenset(),
            language="005",
            transaction_date=DATE,
            hold_items_count=1,
            overdue_items_count=2,
            charged_items_count=3,
            fine_items_count=4,
            recall_items_count=5,
            unavailable_holds_count=6,
            institution_id="HUB",
            patron_identifier="2100",
            personal_name="Anna",
            hold_items_limit=10,
            overdue_items_limit=11,
            charged_items_limit=9999,
            valid_patron=True,
            valid_patron_password=True,
            currency_type="EUR",
            fee_amount="7.00",
            fee_limit="10.00",
            hold_items=("i1",),
            overdue_items=("i2",),
            charged_items=("i3",),
            fine_items=("f1", "f2"),
            recall_items=("i4",),
            unavailable_hold_items=("i5",),
            home_address="Street 1",
            email="a@b.c",
            home_phone="012",
            birth_date="20000229",
            patron_class="adult",
            badges=("ONBE",),
            payable_accounts=("2101~Bo~head_of_family~3.00",),
            payable_fees=("f2~2101~3.00~04~2026-01-01~late",),
            screen_message=("Hi",),
            print_line=("p",),
        ),
        "made here; GL is Wise's, ZR and ZF are our own",
    ),
    Example(
        b"01Y" + DATE.encode() + b"AOHUB|ALswallowed|AA2100|AC|",
        BlockPatron(
            card_retained=True,
            transaction_date=DATE,
            institution_id="HUB",
            blocked_card_message="swallowed",
            patron_identifier="2100",
            terminal_password="",
        ),
    ),
    Example(
        b"25" + DATE.encode() + b"AOHUB|AA2100|AD1234|",
        PatronEnable(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1234",
        ),
    ),
    Example(
        b"26YYYY          000" + DATE.encode() + b"AOHUB|AA2100|AE|BLN|CQN|AFno|",
        PatronEnableResponse(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            screen_message=("no",),
        ),
    ),
    Example(
        b"35" + DATE.encode() + b"AOHUB|AA2100|AC|AD|",
        EndPatronSession(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            terminal_password="",
            patron_password="",
        ),
    ),
    Example(
        b"36Y" + DATE.encode() + b"AOHUB|AA2100|AFbye|",
        EndSessionResponse(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            screen_message=("bye",),
        ),
    ),
    Example(
        b"37" + DATE.encode() + b"0402EURBV2.50|AOHUB|AA2100|AD1234|CGf1|BK77|ZD2101|",
        FeePaid(
            transaction_date=DATE,
            fee_type="04",
            payment_type="02",
            currency_type="EUR",
            fee_amount="2.50",
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1234",
            fee_identifier="f1",
            transaction_id="77",
            debtor="2101",
        ),
        "made here; ZD is our own",
    ),
    Example(
        b"38Y" + DATE.encode() + b"AOHUB|AA2100|BK77|AFthanks|",
        FeePaidResponse(
            payment_accepted=True,
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            transaction_id="77",
            screen_message=("thanks",),
        ),
    ),
    Example(
        b"11YN" + DATE.encode() + DUE.encode() + b"AOHUB|AA2100|AB900|AC|CHcd|AD1|BOY|BIN|",
        Checkout(
            sc_renewal_policy=True,
            transaction_date=DATE,
            nb_due_date=DUE,
            institution_id="HUB",
            patron_identifier="2100",
            item_identifier="900",
            terminal_password="",
            item_properties="cd",
            patron_password="1",
            fee_acknowledged=True,
        ),
    ),
    Example(
        b"121NUY" + DATE.encode() + b"AOHUB|AA2100|AB900|AJTitle|AH21-02-2026|BT06|CIN|BHEUR|"
        b"BV0.50|CK001|CHcd|BK5|AFok|",
        CheckoutResponse(
            ok=True,
            desensitize=True,
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            item_identifier="900",
            title_identifier="Title",
            due_date="21-02-2026",
            fee_type="06",
            security_inhibit=False,
            currency_type="EUR",
            fee_amount="0.50",
            media_type="001",
            item_properties="cd",
            transaction_id="5",
            screen_message=("ok",),
        ),
    ),
    Example(
        b"09N" + DATE.encode() + DATE.encode() + b"APMAIN|AOHUB|AB900|AC|CHcd|BIY|",
        Checkin(
            transaction_date=DATE,
            return_date=DATE,
            current_location="MAIN",
            institution_id="HUB",
            item_identifier="900",
            terminal_password="",
            item_properties="cd",
            cancel=True,
        ),
    ),
    Example(
        b"101YNY" + DATE.encode() + b"AOHUB|AB900|AQMAIN|AJTitle|CL2|AA2100|CK001|CHcd|CRfic|"
        b"CS82|CTEAST|CV02|CY2200|DACleo|AFhold|",
        CheckinResponse(
            ok=True,
            resensitize=True,
            magnetic_media=False,
            alert=True,
            transaction_date=DATE,
            institution_id="HUB",
            item_identifier="900",
            permanent_location="MAIN",
            title_identifier="Title",
            sort_bin="2",
            patron_identifier="2100",
            media_type="001",
            item_properties="cd",
            collection_code="fic",
            call_number="82",
            destination_location="EAST",
            alert_type="02",
            hold_patron_identifier="2200",
            hold_patron_name="Cleo",
            screen_message=("hold",),
        ),
        "made here; CR CS CT CV CY DA are 3M's extensions",
    ),
    Example(
        b"29YN" + DATE.encode() + DUE.encode() + b"AOHUB|AA2100|AD1|AB900|AJTitle|AC|CHcd|BON|",
        Renew(
            third_party_allowed=True,
            transaction_date=DATE,
            nb_due_date=DUE,
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1",
            item_identifier="900",
            title_identifier="Title",
            terminal_password="",
            item_properties="cd",
        ),
    ),
    Example(
        b"301YYN" + DATE.encode() + b"AOHUB|AA2100|AB900|AJTitle|AH21-02-2026|",
        RenewResponse(
            ok=True,
            renewal_ok=True,
            magnetic_media=True,
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            item_identifier="900",
            title_identifier="Title",
            due_date="21-02-2026",
        ),
    ),
    Example(
        b"65" + DATE.encode() + b"AOHUB|AA2100|AD1|AC|BOY|",
        RenewAll(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1",
            terminal_password="",
            fee_acknowledged=True,
        ),
    ),
    Example(
        b"66100020001" + DATE.encode() + b"AOHUB|BM900|BM901|BN902|AFdone|",
        RenewAllResponse(
            ok=True,
            renewed_count=2,
            unrenewed_count=1,
            transaction_date=DATE,
            institution_id="HUB",
            renewed_items=("900", "901"),
            unrenewed_items=("902",),
            screen_message=("done",),
        ),
    ),
    Example(
        b"17" + DATE.encode() + b"AOHUB|AB900|AC|",
        ItemInformation(
            transaction_date=DATE,
            institution_id="HUB",
            item_identifier="900",
            terminal_password="",
        ),
    ),
    Example(
        b"18040201" + DATE.encode() + b"CF3|AH21-02-2026|CJ" + DATE.encode() + b"|CM"
        b"" + DUE.encode() + b"|AB900|AJTitle|BGHUB|BHEUR|BV1.00|CK001|AQMAIN|APEAST|CHcd|",
        ItemInformationResponse(
            circulation_status="04",
            security_marker="02",
            transaction_date=DATE,
            hold_queue_length="3",
            due_date="21-02-2026",
            recall_date=DATE,
            hold_pickup_date=DUE,
            item_identifier="900",
            title_identifier="Title",
            owner="HUB",
            currency_type="EUR",
            fee_amount="1.00",
            media_type="001",
            permanent_location="MAIN",
            current_location="EAST",
            item_properties="cd",
        ),
    ),
    Example(
        b"19" + DATE.encode() + b"AOHUB|AB900|CHcd missing|",
        ItemStatusUpdate(
            transaction_date=DATE,
            institution_id="HUB",
            item_identifier="900",
            item_properties="cd missing",
        ),
    ),
    Example(
        b"201" + DATE.encode() + b"AB900|AJTitle|CHcd|",
        ItemStatusUpdateResponse(
            ok=True,
            transaction_date=DATE,
            item_identifier="900",
            title_identifier="Title",
            item_properties="cd",
        ),
    ),
    Example(
        b"15+" + DATE.encode() + b"BW" + DUE.encode() + b"|BSMAIN|BY2|AOHUB|AA2100|AD1|AB900|"
        b"AJTitle|AC|BON|",
        Hold(
            transaction_date=DATE,
            expiration_date=DUE,
            pickup_location="MAIN",
            hold_type="2",
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1",
            item_identifier="900",
            title_identifier="Title",
            terminal_password="",
        ),
    ),
    Example(
        b"161N" + DATE.encode() + b"BW" + DUE.encode() + b"|BR1|BSMAIN|AOHUB|AA2100|AB900|AJTitle|",
        HoldResponse(
            ok=True,
            transaction_date=DATE,
            expiration_date=DUE,
            queue_position="1",
            pickup_location="MAIN",
            institution_id="HUB",
            patron_identifier="2100",
            item_identifier="900",
            title_identifier="Title",
        ),
    ),
    Example(
        b"41" + DATE.encode() + b"AOHUB|AA2100|AC|AD1234|FAN|FBY|FCN|",
        MoneyLines(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            terminal_password="",
            patron_password="1234",
            switch_fb=True,
        ),
        "made here after what is known of Wise's dialog 41/42",
    ),
    Example(
        b"42" + DATE.encode() + b"AOHUB|AA2100|"
        b"YZ01-02-2026~Late~Reinaert~01-02-2026~2.50~I~~F1~2~|"
        b"YZ03-02-2026~~Other~03-02-2026~0.30~R~~F2~2~01-06-2026|AFHi|",
        MoneyLinesResponse(
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            money_lines=(
                "01-02-2026~Late~Reinaert~01-02-2026~2.50~I~~F1~2~",
                "03-02-2026~~Other~03-02-2026~0.30~R~~F2~2~01-06-2026",
            ),
            screen_message=("Hi",),
        ),
        "made here after what is known of Wise's dialog 41/42",
    ),
    Example(
        b"63003" + DATE.encode() + b"      Y   AOHUB|AA2100|AD1234|BP1|BQ5|",
        PatronInformation(
            language="003",
            transaction_date=DATE,
            summary=frozenset({Summary.FEE_DETAILS}),
            institution_id="HUB",
            patron_identifier="2100",
            patron_password="1234",
            start_item="1",
            end_item="5",
        ),
        "made here as clients of Gossip ask",
    ),
    Example(
        b"64              003" + DATE.encode() + b"000000000000000200000000AOHUB|AA2100|AEAnna|"
        b"BLY|CQY|BHEUR|BV2.70|CGF1|FA2.50|FBI1|FC01.02.2026|FDReinaert|FE04|FFLate|"
        b"CGF2|FA0.20|FB|FC02.02.2026|FDCopies|FE01|FFOther|",
        PatronInformationResponse(
            patron_status=frozenset(),
            language="003",
            transaction_date=DATE,
            fine_items_count=2,
            institution_id="HUB",
            patron_identifier="2100",
            personal_name="Anna",
            valid_patron=True,
            valid_patron_password=True,
            currency_type="EUR",
            fee_amount="2.70",
            fee_details=(
                FeeDetail("F1", "2.50", "I1", "01.02.2026", "Reinaert", "04", "Late"),
                FeeDetail("F2", "0.20", "", "02.02.2026", "Copies", "01", "Other"),
            ),
        ),
        "made here as clients of Gossip read it",
    ),
    Example(
        b"38Y" + DATE.encode() + b"AOHUB|AA2100|BK77|AFthanks|"
        b"CGF1|FA0.50|FBI1|FC01.02.2026|FDReinaert|FE04|FFLate|FG2.00|",
        FeePaidResponse(
            payment_accepted=True,
            transaction_date=DATE,
            institution_id="HUB",
            patron_identifier="2100",
            transaction_id="77",
            screen_message=("thanks",),
            settled_fees=(
                SettledFee("F1", "0.50", "I1", "01.02.2026", "Reinaert", "04", "Late", "2.00"),
            ),
        ),
        "made here as clients of Gossip read it",
    ),
]
