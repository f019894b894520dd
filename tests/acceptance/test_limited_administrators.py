"""Keys that administer their org and are limited themselves: they give, take and change no more than they have."""

import time
from contextlib import contextmanager

import httpx
import pytest

from tests.acceptance.conftest import JOBS

KEYS = "/api/v1/keys"
ALL = "admin:image-gen write:image-gen read:image-gen"
FULL = {"capabilities": ["admin", "images"]}
FUTURE, LATER = "2098-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
LIMITED = {
    "capabilities": ({"scopes": {"capabilities": ["admin"]}}, "scopes.capabilities"),
    "provider": ({"scopes": {**FULL, "providerIds": ["gemini"]}}, "scopes.providerIds"),
    "model": ({"scopes": {**FULL, "modelIds": ["gpt-image-2"]}}, "scopes.modelIds"),
    "images": ({"scopes": FULL, "rateLimits": {"imagesPerDay": 5}}, "rateLimits.imagesPerDay"),
    "cost": ({"scopes": FULL, "rateLimits": {"costPerDay": 0.5}}, "rateLimits.costPerDay"),
    "a minute": ({"scopes": FULL, "rateLimits": {"requestsPerMinute": 1000}}, "rateLimits.requestsPerMinute"),
    "a day": ({"scopes": FULL, "rateLimits": {"requestsPerDay": 100_000}}, "rateLimits.requestsPerDay"),
}
EVERY = pytest.mark.parametrize(("told", "field"), LIMITED.values(), ids=LIMITED)
OF_THE_ORG = pytest.mark.parametrize(
    ("told", "field"), [case for name, case in LIMITED.items() if name != "capabilities"], ids=list(LIMITED)[1:]
)


@pytest.fixture
def admin(gateway):
    with gateway.client("limited", scope=ALL) as client:
        yield client


def made(client, **told):
    answer = client.post(KEYS, json={"name": "CI", **told})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


@contextmanager
def holding(gateway, key):
    with httpx.Client(base_url=gateway.url, headers={"x-api-key": key["key"]}, timeout=60, trust_env=False) as client:
        yield client


def works(gateway, key):
    with holding(gateway, key) as client:
        return client.get("/api/v1/limits").status_code == 200


def refused(answer, field):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["field"]) == (403, "FORBIDDEN", field), answer.text


@EVERY
def test_it_makes_no_key_that_may_do_more_than_itself(gateway, admin, told, field):
    with holding(gateway, made(admin, **told)) as holder:
        refused(holder.post(KEYS, json={"name": "wide", "scopes": FULL}), field)

        assert made(holder, **told)["status"] == "active"


@EVERY
def test_it_takes_no_key_that_may_do_more_than_itself(gateway, admin, told, field):
    wide, equal = made(admin, scopes=FULL), made(admin, **told)
    with holding(gateway, made(admin, **told)) as holder:
        refused(holder.post(f"{KEYS}/{wide['id']}/rotate", json={"overlapSeconds": 0}), field)

        assert holder.post(f"{KEYS}/{equal['id']}/rotate").status_code == 200
    assert works(gateway, wide)
    assert not works(gateway, equal)


@EVERY
def test_it_ends_no_key_that_may_do_more_than_itself(gateway, admin, told, field):
    wide, equal, own = made(admin, scopes=FULL), made(admin, **told), made(admin, **told)
    with holding(gateway, own) as holder:
        refused(holder.delete(f"{KEYS}/{wide['id']}"), field)

        assert holder.delete(f"{KEYS}/{equal['id']}").status_code == 204
        assert holder.delete(f"{KEYS}/{own['id']}").status_code == 204
    assert works(gateway, wide)
    assert not works(gateway, equal)
    assert not works(gateway, own)


@OF_THE_ORG
@pytest.mark.parametrize("change", [{"imagesPerDay": 3}, {"costPerDay": None}, {"weight": 9}, {"maxRunning": 0}, {}])
def test_it_changes_nothing_that_is_the_whole_orgs(gateway, admin, told, field, change):
    before = admin.get("/api/v1/orgs/limited").json()["data"]["limits"]
    with holding(gateway, made(admin, **told)) as holder:
        refused(holder.patch("/api/v1/orgs/limited", json=change), field)

        assert holder.get("/api/v1/orgs/limited").status_code == 200
    assert admin.get("/api/v1/orgs/limited").json()["data"]["limits"] == before


def test_a_key_that_ends_makes_and_takes_none_that_outlasts_it_and_may_end_any(gateway, admin):
    wide = made(admin, scopes=FULL)
    with holding(gateway, made(admin, scopes=FULL, expiresAt=FUTURE)) as holder:
        refused(holder.post(KEYS, json={"name": "later", "expiresAt": LATER}), "expiresAt")
        refused(holder.post(f"{KEYS}/{wide['id']}/rotate"), "expiresAt")
        unsaid, sooner = made(holder), made(holder, expiresAt="2097-01-01T00:00:00Z")
        assert holder.patch("/api/v1/orgs/limited", json={"weight": 1}).status_code == 200
        assert holder.delete(f"{KEYS}/{wide['id']}").status_code == 204

    assert (unsaid["expiresAt"][:10], sooner["expiresAt"][:10]) == ("2098-01-01", "2097-01-01")
    assert not works(gateway, wide)


@pytest.mark.parametrize("whole", [{"scopes": FULL}, None], ids=["key", "token"])
def test_who_has_everything_may_do_everything(gateway, admin, whole):
    with holding(gateway, made(admin, **whole)) if whole else gateway.client("limited", scope=ALL) as holder:
        for told, _ in LIMITED.values():
            key = made(holder, **told)
            assert holder.post(f"{KEYS}/{key['id']}/rotate").status_code == 200
            assert holder.delete(f"{KEYS}/{key['id']}").status_code == 204
        assert holder.patch("/api/v1/orgs/limited", json={"imagesPerDay": 100}).status_code == 200
        assert holder.patch("/api/v1/orgs/limited", json={"imagesPerDay": None}).status_code == 200


def test_a_token_that_only_administers_ends_no_key_that_makes_pictures(gateway, admin):
    pictures, administers = made(admin), made(admin, scopes={"capabilities": ["admin"]})
    with gateway.client("limited", scope="admin:image-gen", exp=int(time.time()) + 60) as holder:
        refused(holder.delete(f"{KEYS}/{pictures['id']}"), "scopes.capabilities")
        assert holder.delete(f"{KEYS}/{administers['id']}").status_code == 204
        assert holder.get(JOBS).status_code == 403
    assert works(gateway, pictures)
