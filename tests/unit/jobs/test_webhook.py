"""What is posted, how it is signed, and when it is tried again: rules without a network."""

import base64
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from standardwebhooks import Webhook as Receiver

from jobs.encryption import SealBroken, Sealer
from jobs.errors import InvalidInput
from jobs.model.job import Event, Webhook
from jobs.settings import Settings
from jobs.webhooks.delivery import EVENTS, Delivery, DeliveryAttempt, address, after_attempt, deliveries, wanted
from jobs.webhooks.endpoint import read_secret
from jobs.webhooks.signing import Signer
from tests.jobs import new_job

SCHEDULE = Settings.model_fields["webhook_schedule"].default
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NEW = Delivery(
    id="dlv_x", org="o", job_id="job_x", event_id="evt_x", type="t", url="https://r.example/", body="{}", created_ms=0,
    next_ms=0,
)  # fmt: skip
WANTED = Webhook(url="https://r.example/", events=("image.job.failed",))
JOB = new_job(id="job_x", webhook=WANTED)


def event(kind, **data):
    shown = {"id": "job_x", "status": "failed", "urls": {"self": "u"}, **data}
    return Event(id="evt_x", type=kind, timestamp="t", sequence=2, job_id="job_x", data=shown)


def answered(status, at=0):
    return DeliveryAttempt(at_ms=at, took_ms=0, status=status)


def pauses(status):
    """Seconds between the attempts of a delivery that is answered alike each time."""
    delivery, found = NEW, []
    while delivery.state == "pending":
        now = delivery.next_ms
        delivery = after_attempt(delivery, answered(status, now), SCHEDULE, spread=1.0, retry_after=None)
        found.append(((delivery.next_ms or now) - now) // 1000)
    return found, delivery.state


def test_the_schedule_is_the_one_that_is_promised_and_ends_after_about_75_hours():
    found, state = pauses(500)

    assert found == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, 0]
    assert (state, sum(found) // 3600) == ("dead", 75)


@pytest.mark.parametrize(
    ("status", "ends"),
    [(200, "delivered"), (202, "delivered"), (204, "delivered"), (299, "delivered"), (410, "dead")]
    + [(status, "pending") for status in (None, 199, 300, 301, 302, 304, 307, 400, 404, 429, 500, 503, 599)],
)
def test_one_attempt_ends_a_delivery_or_leaves_it_to_the_next(status, ends):
    assert after_attempt(NEW, answered(status), SCHEDULE, spread=1.0, retry_after=None).state == ends


@pytest.mark.parametrize(("status", "seconds"), [(503, 600), (429, 600), (500, 5), (404, 5)])
def test_only_those_who_are_busy_may_ask_for_patience(status, seconds):
    assert after_attempt(NEW, answered(status), SCHEDULE, spread=1.0, retry_after=600.0).next_ms == seconds * 1000


def test_nobody_can_ask_for_more_than_a_day():
    assert after_attempt(NEW, answered(503), SCHEDULE, spread=1.0, retry_after=1e9).next_ms == 86_400_000


def test_an_event_that_nobody_asked_for_is_not_posted():
    assert deliveries(JOB, event("image.job.succeeded")) == ()
    assert deliveries(replace(JOB, webhook=None), event("image.job.failed")) == ()
    assert [d.event_id for d in deliveries(JOB, event("image.job.failed"))] == ["evt_x"]


def test_a_job_that_would_say_more_than_20_kilobytes_is_told_thinly():
    (small,) = deliveries(JOB, event("image.job.failed", metadata={"a": "b"}))
    (large,) = deliveries(JOB, event("image.job.failed", metadata={"a": "b" * 21_000}))

    assert '"metadata"' in small.body
    assert '"metadata"' not in large.body
    assert len(large.body) < 1_000


@given(st.binary(min_size=24, max_size=64), st.text(max_size=200), st.integers(0, 2**31))
def test_whatever_is_signed_verifies_with_the_receivers_library(key, body, offset):
    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(dt.datetime.now(dt.UTC).timestamp()) - offset % 60
    delivery = replace(NEW, body=body)

    headers = Signer(bytes(32)).headers(delivery, [secret], now)

    signed = Receiver(secret).sign(delivery.event_id, dt.datetime.fromtimestamp(now, dt.UTC), body)
    assert headers["webhook-signature"] == signed


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_AAAA", "whsec_" + "A" * 200, SECRET[6:], "WHSEC_" + SECRET[6:], SECRET[:-2] + "ä="],
)
def test_what_is_no_secret_is_none(secret):
    assert read_secret(secret) is None


def test_an_event_named_twice_is_posted_once():
    assert wanted(replace(WANTED, events=("image.job.failed", "image.job.failed"))).events == ("image.job.failed",)
    assert wanted(replace(WANTED, events=EVENTS)).events == EVENTS
    with pytest.raises(InvalidInput, match=r"image\.job\.succeeded"):
        wanted(replace(WANTED, events=("image.job.done",)))


@given(st.text(max_size=100))
def test_what_was_sealed_opens_with_its_key_and_with_no_other(secret):
    sealer = Sealer(bytes(32))

    sealed = sealer.seal(secret)

    assert sealer.open(sealed) == secret
    assert sealer.seal(secret) != sealed
    for other, text in ((Sealer(bytes(31) + b"x"), sealed), (sealer, sealed[:-4]), (sealer, "no base64"), (sealer, "")):
        with pytest.raises(SealBroken):
            other.open(text)


@pytest.mark.parametrize(
    ("url", "whose"),
    [
        ("https://R.example/a?b", "https://r.example"),
        ("https://r.example:8443?x", "https://r.example:8443"),
        ("http://r.example/x/https://other", "http://r.example"),
    ],
)
def test_a_receiver_has_one_queue_whatever_its_paths(url, whose):
    assert address(url) == whose


def test_the_vector_that_standard_webhooks_libraries_are_tested_with_comes_out():
    delivery = replace(NEW, event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", body='{"test": 2432232314}')

    headers = Signer(bytes(32)).headers(delivery, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1614265330)

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs_and_their_signatures_stand_in_one_header():
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    now = int(dt.datetime.now(dt.UTC).timestamp())

    both = Signer(bytes(32)).headers(NEW, [SECRET, other], now)

    assert both["webhook-signature"].count(" ") == 1
    for secret in (SECRET, other):
        Receiver(secret).verify(NEW.body, both)
