"""The daily quotas of an API key, beside those of its org."""

import json
import subprocess
import sys

import httpx
import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.batch_calls import BATCHES

KEYS = "/api/v1/keys"
ALL = "admin:image-gen write:image-gen read:image-gen"
WAIT = {"Prefer": "wait=30"}


def holder(gateway, secret):
    return httpx.Client(base_url=gateway.url, headers={"x-api-key": secret}, timeout=60, trust_env=False)


def made(gateway, org, **limits):
    """A caller by a new key of the org."""
    with gateway.client(org, scope=ALL) as admin:
        answer = admin.post(KEYS, json={"name": "CI", "rateLimits": limits})
        assert answer.status_code == 201, answer.text
        key = answer.json()["data"]
        assert {name: key["rateLimits"][name] for name in limits} == limits
        return holder(gateway, key["key"])


def limits(client):
    return client.get("/api/v1/limits").json()["data"]


def refused(answer, quota, whose="key"):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "QUOTA_EXCEEDED"), answer.text
    assert (error["details"]["quota"], error["details"]["quotaOf"]) == (quota, whose)
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400
    return error["message"]


def test_a_key_makes_no_more_pictures_a_day_than_it_may_and_what_was_not_made_is_given_back(gateway):
    with made(gateway, "counted", imagesPerDay=3) as client, made(gateway, "counted") as sibling:
        two = client.post(JOBS, json={**MUG, "n": 2}, headers=WAIT)
        failed = client.post(JOBS, json={**MUG, "prompt": "[refuse] Never"}, headers=WAIT)
        shown = limits(client)
        too_many = client.post(JOBS, json={**MUG, "n": 2})
        others = [client.post(JOBS, json=MUG, headers=WAIT), sibling.post(JOBS, json={**MUG, "n": 4}, headers=WAIT)]
        of_the_org = limits(sibling)

    assert (two.json()["data"]["status"], failed.json()["data"]["status"]) == ("succeeded", "failed")
    assert (shown["keyRateLimits"], shown["keyUsedToday"]) == ({"imagesPerDay": 3}, {"images": 2, "cost": 0.334})
    assert "API key" in refused(too_many, "imagesPerDay")
    assert [answer.json()["data"]["status"] for answer in others] == ["succeeded", "succeeded"]
    assert (of_the_org["keyUsedToday"]["images"], of_the_org["usedToday"]["images"]) == (4, 7)


def test_a_key_spends_no_more_a_day_than_it_may(gateway):
    with made(gateway, "thrifty", costPerDay=0.334) as client:
        job = client.post(JOBS, json={**MUG, "n": 2}, headers=WAIT).json()["data"]
        beyond = client.post(JOBS, json={**MUG, "quality": "low"})

    assert (job["status"], job["billing"]["actualCost"]) == ("succeeded", 0.334)
    refused(beyond, "costPerDay")


def test_the_synchronous_face_and_batches_count_like_any_job(gateway):
    with made(gateway, "various", imagesPerDay=3) as client:
        picture = client.post("/api/v1/agents/images", json=MUG)
        items = [{"prompt": f"Mug {number}"} for number in range(4)]
        batch = client.post(BATCHES, json={"defaults": MUG, "items": items}).json()["data"]
        after = limits(client)["keyUsedToday"]["images"]

    errors = [item["error"] for item in batch["items"] if "error" in item]
    assert (picture.status_code, batch["counts"]["rejected"], after) == (200, 2, 3)
    assert {(e["code"], e["details"]["quotaOf"]) for e in errors} == {("QUOTA_EXCEEDED", "key")}


def test_the_orgs_own_quota_holds_for_its_keys_too(gateway):
    with gateway.client("strict", scope=ALL) as admin:
        admin.patch("/api/v1/orgs/strict", json={"imagesPerDay": 1})
    with made(gateway, "strict", imagesPerDay=5) as client:
        answer = client.post(JOBS, json={**MUG, "n": 2})
        after = limits(client)

    refused(answer, "imagesPerDay", "org")
    assert after["keyUsedToday"]["images"] == after["usedToday"]["images"] == 0


def test_an_operator_gives_a_key_its_quotas_from_the_command_line(gateway):
    told = ["create", "--org", "cli", "--name", "CI", "--images-per-day", "0", "--cost-per-day", "2.5", "--json"]
    command = [sys.executable, "-m", "app.cli", "keys", *told]
    key = json.loads(subprocess.run(command, env=gateway.environment, capture_output=True, check=True).stdout)
    with holder(gateway, key["key"]) as client:
        answer = client.post(JOBS, json=MUG)

    assert (key["rateLimits"]["imagesPerDay"], key["rateLimits"]["costPerDay"]) == (0, 2.5)
    refused(answer, "imagesPerDay")


@pytest.mark.parametrize(
    ("field", "value"), [("imagesPerDay", -1), ("imagesPerDay", 1.5), ("costPerDay", -0.1), ("costPerDay", "much")]
)
def test_a_quota_that_cannot_be_is_refused_by_its_name(gateway, field, value):
    with gateway.client(scope=ALL) as admin:
        answer = admin.post(KEYS, json={"name": "CI", "rateLimits": {field: value}})

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, f"rateLimits.{field}")
