"""Facts that two rings say, because neither may import the other, are the same in both."""

from sip2gw.backend.base import PaymentOutcome
from sip2gw.monitoring import metrics, telemetry
from sip2gw.protocol import describe
from sip2gw.serving.gateway import UNKNOWN


def test_the_metric_has_each_outcome_of_a_payment():
    assert set(metrics.PAYMENT_OUTCOMES) == {*PaymentOutcome, UNKNOWN}


def test_what_is_hidden_looks_the_same_in_the_log_and_in_a_description():
    assert telemetry.MASK == describe.MASK
