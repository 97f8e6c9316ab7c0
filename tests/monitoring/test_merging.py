"""The numbers of several workers are one page, on which no counter ever goes back (B67, B87)."""

from sip2gw.monitoring.merging import lasting, merged
from sip2gw.monitoring.metrics import FamilyMaker, Metrics


def numbers(**values):
    """A process in which these have these values."""
    metrics = Metrics()
    metrics.configure({"kiosk-1": "kiosk", "door-1": "door"}, ["kiosk", "door"], "EUR", 2)
    for name, value in values.items():
        setattr(metrics, name, value)
    return metrics


def families(metrics):
    return FamilyMaker(metrics).families()


def sample(of, name, *labels, suffix=""):
    (family,) = [family for family in of if family.name == f"sip2gw_{name}"]
    (value,) = [value for s, found, value in family.samples if (s, found) == (suffix, labels)]
    return value


def test_what_each_has_for_itself_adds_up():
    one, two = (
        numbers(unknown_fields=2, outcome_unknown=1),
        numbers(unknown_fields=3, outcome_unknown=2),
    )
    one.logins["ok"], two.logins["ok"] = 10, 20
    one.connections["kiosk"], two.connections["kiosk"], two.connections["door"] = 1, 2, 4
    one.request_seconds["63"].observe(0.001)
    two.request_seconds["63"].observe(0.002)
    two.request_seconds["23"].observe(0.002)
    page = merged(families(one), families(two))
    assert sample(page, "unknown_fields", suffix="_total") == 5
    assert sample(page, "outcome_unknown") == 3  # each knows its own
    assert sample(page, "logins", "ok", suffix="_total") == 30
    assert sample(page, "connections", "kiosk") == 3
    assert sample(page, "connections", "door") == 4
    assert sample(page, "request_seconds", "63", suffix="_count") == 2
    assert sample(page, "request_seconds", "63", "0.001", suffix="_bucket") == 1
    assert sample(page, "request_seconds", "63", "+Inf", suffix="_bucket") == 2
    assert sample(page, "request_seconds", "23", suffix="_count") == 1
    assert round(sample(page, "request_seconds", "63", suffix="_sum"), 6) == 0.003


def test_what_each_sees_of_the_same_is_the_same():
    one = numbers(backend_up=False, patrons=90, disk_free_bytes=5, workers=2)
    two = numbers(backend_up=True, reload_ok=False)
    page = merged(families(one), families(two))
    assert sample(page, "backend_up") == 0
    assert sample(page, "store_patrons") == 90  # only one counts them
    assert sample(page, "config_last_reload_successful") == 0
    assert sample(page, "terminals_configured", "kiosk") == 1
    assert sample(page, "workers") == 2
    (build,) = [family for family in page if family.name == "sip2gw_build"]
    assert [value for _, _, value in build.samples] == [1]


def test_a_terminal_was_heard_when_any_heard_it_last():
    one, two = numbers(last_message={"kiosk-1": 100.0}), numbers(last_message={"kiosk-1": 200.0})
    page = merged(families(one), families(two))
    assert sample(page, "terminal_last_message_timestamp_seconds", "kiosk-1") == 200
    assert sample(page, "terminal_last_message_timestamp_seconds", "door-1") == 0


def test_of_one_that_has_ended_counts_and_moments_stay_and_states_go():
    ended = numbers(last_message={"kiosk-1": 300.0}, unknown_fields=4, patrons=100)
    ended.connections["kiosk"] = 7
    ended.request_seconds["63"].observe(0.001)
    page = merged(families(numbers(patrons=90)), lasting(families(ended)))
    assert sample(page, "unknown_fields", suffix="_total") == 4
    assert sample(page, "request_seconds", "63", suffix="_count") == 1
    assert sample(page, "terminal_last_message_timestamp_seconds", "kiosk-1") == 300
    assert sample(page, "store_patrons") == 90
    (connections,) = [family for family in page if family.name == "sip2gw_connections"]
    assert connections.samples == []


def test_one_process_alone_is_as_it_is():
    alone = families(numbers(unknown_fields=4))
    assert merged(alone) == alone
