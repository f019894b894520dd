"""`/api/v1/keys` and `darkroom keys`: who may ask, and for how much."""

import json
import os
import re
import subprocess
import sys
import time

import httpx
import pytest

from jobs.access.tokens import digest
from tests.neighbours.gateway import running_gateway

KEYS = "/api/v1/keys"
ASK = "/api/v1/agents/images"
FOX = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "A red fox"}
MUG = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A mug"}
ALL = "admin:image-gen write:image-gen read:image-gen"
WINDOWS = re.compile(r'"minute";r=(?P<minute>\d+);t=(?P<soon>\d+), "day";r=(?P<day>\d+);t=(?P<late>\d+)')


@pytest.fixture
def admin(gateway):
    with gateway.client(scope=ALL) as client:
        yield client


def _made(client, **fields):
    answer = client.post(KEYS, json={"name": "CI", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def _holder(gateway, secret):
    return httpx.Client(base_url=gateway.url, headers={"x-api-key": secret}, timeout=60, trust_env=False)


def _refused(answer, status, code, field=None):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"].get("field")) == (status, code, field), answer.text


def test_a_new_key_makes_pictures_for_its_org_and_is_shown_once(gateway, admin):
    answer = admin.post(KEYS, json={"name": "Nightly run", "metadata": {"team": "a"}})
    made = answer.json()["data"]
    kept = admin.get(answer.headers["location"])

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert made["key"].startswith("aigw_sk_")
    assert made["scopes"] == {"capabilities": ["images"], "providerIds": [], "modelIds": []}
    assert "key" not in kept.json()["data"]
    assert made["key"] not in kept.text + admin.get(KEYS).text
    with _holder(gateway, made["key"]) as holder:
        picture = holder.post(ASK, json=FOX)
        job = holder.get(f"/api/v1/jobs/{picture.headers['x-job-id']}").json()["data"]
    assert picture.status_code == 200
    assert job["orgId"] == "acme"
    assert admin.get(f"{KEYS}/{made['id']}").json()["data"]["lastUsedAt"] is not None


def test_keys_are_listed_newest_first_by_pages(gateway):
    with gateway.client("lister", scope=ALL) as client:
        made = []
        for n in range(5):
            made.append(_made(client, name=f"k{n}")["id"])
            time.sleep(0.002)
        first = client.get(f"{KEYS}?limit=3").json()["data"]
        rest = client.get(KEYS, params={"limit": 3, "cursor": first["cursor"]}).json()["data"]

        assert [k["id"] for k in first["keys"] + rest["keys"]] == made[::-1]
        assert rest["cursor"] is None
        _refused(client.get(f"{KEYS}?cursor=job_x"), 400, "INVALID_INPUT", "cursor")
        _refused(client.get(f"{KEYS}?page=2"), 400, "INVALID_INPUT", "page")


def test_a_revoked_key_ends_at_once(gateway, admin):
    made = _made(admin)
    with _holder(gateway, made["key"]) as holder:
        assert holder.get("/api/v1/jobs").status_code == 200

        assert admin.delete(f"{KEYS}/{made['id']}").status_code == 204

        _refused(holder.get("/api/v1/jobs"), 401, "UNAUTHORIZED")
        assert admin.delete(f"{KEYS}/{made['id']}").status_code == 204
        assert admin.get(f"{KEYS}/{made['id']}").json()["data"]["status"] == "revoked"
        _refused(admin.post(f"{KEYS}/{made['id']}/rotate"), 410, "GONE")


def test_a_rotated_key_keeps_its_old_secret_only_for_the_overlap(gateway, admin):
    made = _made(admin)
    kept = admin.post(f"{KEYS}/{made['id']}/rotate", json={"overlapSeconds": 60}).json()["data"]
    with _holder(gateway, made["key"]) as old, _holder(gateway, kept["key"]) as new:
        assert (old.get("/api/v1/jobs").status_code, new.get("/api/v1/jobs").status_code) == (200, 200)
        last = admin.post(f"{KEYS}/{made['id']}/rotate").json()["data"]
        assert (old.get("/api/v1/jobs").status_code, new.get("/api/v1/jobs").status_code) == (401, 401)
    with _holder(gateway, last["key"]) as holder:
        assert holder.get("/api/v1/jobs").status_code == 200
    assert "previousValidUntil" in kept
    assert "previousValidUntil" not in last
    _refused(
        admin.post(f"{KEYS}/{made['id']}/rotate", json={"overlapSeconds": 604_801}),
        400,
        "INVALID_INPUT",
        "overlapSeconds",
    )


def test_another_orgs_key_is_not_found_by_any_verb(gateway, admin):
    theirs = f"{KEYS}/{_made(admin)['id']}"
    with gateway.client("rival", scope=ALL) as rival:
        for answer in (rival.get(theirs), rival.delete(theirs), rival.post(f"{theirs}/rotate")):
            _refused(answer, 404, "NOT_FOUND")
        assert theirs.rpartition("/")[2] not in rival.get(KEYS).text
    assert admin.get(theirs).json()["data"]["status"] == "active"
    for made_up in ("key_0", "job_" + "0" * 30, "key_" + "0" * 30):
        _refused(admin.get(f"{KEYS}/{made_up}"), 404, "NOT_FOUND")


def test_a_key_without_the_admin_capability_reaches_no_key(gateway, admin):
    made = _made(admin)
    with _holder(gateway, made["key"]) as holder:
        own = f"{KEYS}/{made['id']}"
        for answer in (
            holder.post(KEYS, json={"name": "more", "scopes": {"capabilities": ["admin"]}}),
            holder.get(KEYS),
            holder.get(own),
            holder.post(f"{own}/rotate"),
            holder.delete(own),
        ):
            _refused(answer, 403, "FORBIDDEN")
            assert answer.json()["error"]["details"]["scope"] == "admin:image-gen"


def test_nobody_makes_or_takes_a_key_that_can_do_more_than_himself(gateway, admin):
    strong = _made(admin)
    held = {"capabilities": ["admin", "images"], "providerIds": ["gemini"]}
    limited = _made(admin, scopes=held)
    only_admin = _made(admin, scopes={"capabilities": ["admin"]})
    rationed = _made(admin, scopes={"capabilities": ["admin", "images"]}, rateLimits={"imagesPerDay": 5})

    with _holder(gateway, only_admin["key"]) as holder:
        _refused(holder.post(KEYS, json={"name": "x"}), 403, "FORBIDDEN", "scopes.capabilities")
        _refused(holder.post(f"{KEYS}/{strong['id']}/rotate"), 403, "FORBIDDEN", "scopes.capabilities")
        assert _made(holder, scopes={"capabilities": ["admin"]})["createdBy"] == only_admin["id"]
    with _holder(gateway, limited["key"]) as holder:
        _refused(holder.post(KEYS, json={"name": "x"}), 403, "FORBIDDEN", "scopes.providerIds")
        _refused(holder.post(f"{KEYS}/{strong['id']}/rotate"), 403, "FORBIDDEN", "scopes.providerIds")
        assert _made(holder, scopes=held)["status"] == "active"
        assert holder.post(f"{KEYS}/{limited['id']}/rotate").status_code == 200
    with _holder(gateway, rationed["key"]) as holder:
        _refused(holder.post(KEYS, json={"name": "x"}), 403, "FORBIDDEN", "rateLimits.imagesPerDay")
        _refused(holder.post(f"{KEYS}/{strong['id']}/rotate"), 403, "FORBIDDEN", "rateLimits.imagesPerDay")
        assert _made(holder, rateLimits={"imagesPerDay": 5})["status"] == "active"
    with _holder(gateway, strong["key"]) as holder:
        assert holder.get("/api/v1/jobs").status_code == 200


def test_a_key_that_reads_cannot_write(gateway, admin):
    made = _made(admin, scopes={"capabilities": ["usage:read"]})
    with _holder(gateway, made["key"]) as holder:
        assert holder.get("/api/v1/jobs").status_code == 200
        _refused(holder.post(ASK, json=FOX), 403, "FORBIDDEN")


@pytest.mark.parametrize("path", [ASK, "/api/v1/jobs"])
def test_a_key_for_some_providers_or_models_makes_no_job_of_others(gateway, admin, shared_simulator, path):
    by_provider = _made(admin, subject="by-provider", scopes={"providerIds": ["gemini"]})
    by_model = _made(admin, scopes={"modelIds": ["gpt-image-2"]})
    before = len(shared_simulator.bench.calls())

    with _holder(gateway, by_provider["key"]) as holder:
        known = {j["id"] for j in holder.get("/api/v1/jobs?limit=100").json()["data"]["jobs"]}
        _refused(holder.post(path, json=MUG), 403, "FORBIDDEN", "provider")
        _refused(holder.post(path, json={**MUG, "provider": "nobody"}), *_unknown(path))
        assert {j["id"] for j in holder.get("/api/v1/jobs?limit=100").json()["data"]["jobs"]} == known
        assert len(shared_simulator.bench.calls()) == before
        assert holder.post(path, json=FOX, headers={"Prefer": "wait=30"}).status_code == 200
    with _holder(gateway, by_model["key"]) as holder:
        _refused(holder.post(path, json=FOX), 403, "FORBIDDEN", "model")
        _refused(holder.post(path, json={**MUG, "model": "GPT-image-2"}), 403, "FORBIDDEN", "model")
        assert holder.post(path, json=MUG, headers={"Prefer": "wait=30"}).status_code == 200


def _unknown(path):
    return (400, "INVALID_INPUT", "provider") if path == ASK else (403, "FORBIDDEN", "provider")


def test_a_key_beyond_its_rate_is_429_with_when_to_come_back(gateway, admin):
    made = _made(admin, rateLimits={"requestsPerMinute": 3, "requestsPerDay": 1000})
    with _holder(gateway, made["key"]) as holder:
        answers = [holder.get("/api/v1/jobs") for _ in range(4)]
        problem = holder.get("/api/v1/jobs", headers={"Accept": "application/problem+json"})

    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert {a.headers["x-ratelimit-limit"] for a in answers} == {"3"}
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert answers[3].headers["retry-after"] == answers[3].headers["x-ratelimit-reset"]
    _refused(answers[3], 429, "RATE_LIMITED")
    assert answers[3].json()["error"]["details"]["reason"] == "key_limit"
    assert (problem.status_code, problem.json()["code"]) == (429, "RATE_LIMITED")


def test_every_window_of_a_key_is_told_as_the_draft_has_it_also_with_the_refusal(gateway, admin):
    both = _made(admin, rateLimits={"requestsPerMinute": 2, "requestsPerDay": 1000})["key"]
    daily = _made(admin, rateLimits={"requestsPerDay": 5})["key"]
    with _holder(gateway, both) as holder, _holder(gateway, daily) as other:
        answers = [holder.get("/api/v1/jobs") for _ in range(3)]
        alone = other.get("/api/v1/jobs")
    told = [WINDOWS.fullmatch(a.headers["ratelimit"]) for a in answers]

    assert {a.headers["ratelimit-policy"] for a in answers} == {'"minute";q=2;w=60, "day";q=1000;w=86400'}
    assert [(t["minute"], t["day"]) for t in told] == [("1", "999"), ("0", "998"), ("0", "998")]
    assert all(0 < int(t["soon"]) <= 60 and 0 < int(t["late"]) <= 86_400 for t in told)
    assert (answers[2].status_code, answers[2].headers["retry-after"]) == (429, told[2]["soon"])
    assert alone.headers["ratelimit-policy"] == '"day";q=5;w=86400'
    assert alone.headers["ratelimit"].startswith('"day";r=4;t=')


def test_a_page_of_another_origin_may_read_what_is_left(redis_url, simulator):
    origin = {"Origin": "https://studio.example.com"}
    allowed = {"DARKROOM_CORS_ORIGINS": origin["Origin"]}
    with running_gateway(redis_url, simulator, workers=0, **allowed) as gateway, gateway.client() as client:
        answer = client.get("/api/v1/jobs", headers=origin)

    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "retry-after"} <= exposed


def test_who_has_no_limit_hears_of_none(gateway, admin):
    with _holder(gateway, _made(admin)["key"]) as holder:
        answer = holder.get("/api/v1/jobs")

    assert not [name for name in answer.headers if "ratelimit" in name]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("name", {}),
        ("name", {"name": ""}),
        ("name", {"name": 7}),
        ("role", {"name": "x", "role": "owner"}),
        ("scopes.chat", {"name": "x", "scopes": {"chat": True}}),
        ("scopes.capabilities[0]", {"name": "x", "scopes": {"capabilities": ["chat"]}}),
        ("scopes.capabilities", {"name": "x", "scopes": {"capabilities": "images"}}),
        ("scopes.providerIds[0]", {"name": "x", "scopes": {"providerIds": ["nobody"]}}),
        ("rateLimits.requestsPerMinute", {"name": "x", "rateLimits": {"requestsPerMinute": 0}}),
        ("rateLimits.requestsPerMinute", {"name": "x", "rateLimits": {"requestsPerMinute": 1.5}}),
        ("rateLimits.tokensPerDay", {"name": "x", "rateLimits": {"tokensPerDay": 5}}),
        ("expiresAt", {"name": "x", "expiresAt": "2001-01-01T00:00:00Z"}),
        ("expiresAt", {"name": "x", "expiresAt": "2099-01-01T00:00:00"}),
        ("expiresAt", {"name": "x", "expiresAt": "9999-12-31T23:59:59-14:00"}),
        ("expiresAt", {"name": "x", "expiresAt": "tomorrow"}),
        ("metadata.a", {"name": "x", "metadata": {"a": "x" * 513}}),
    ],
)
def test_a_body_that_does_not_fit_is_400_naming_the_field(admin, field, body):
    _refused(admin.post(KEYS, json=body), 400, "INVALID_INPUT", field)


def test_the_description_tells_of_keys_and_their_example_works(gateway, admin):
    description = httpx.get(f"{gateway.url}/openapi.json").json()
    paths = description["paths"]

    create = paths[KEYS]["post"]
    body = create["requestBody"]["content"]["application/json"]
    assert admin.post(KEYS, json=body["example"]).status_code == 201
    rotate = paths[f"{KEYS}/{{key_id}}/rotate"]["post"]
    assert rotate["requestBody"]["required"] is False
    assert rotate["parameters"][0]["schema"]["pattern"] == "^key_[0-9a-z]{30}$"
    assert "204" in paths[f"{KEYS}/{{key_id}}"]["delete"]["responses"]
    assert {"202", "304"} & set(create["responses"]) == set()
    assert {s["name"] for s in description["components"]["securitySchemes"].values() if "name" in s} == {
        "api-key",
        "x-api-key",
        "authjs.session-token",
    }


def _darkroom(gateway, *told, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "keys", *told],
        env={**gateway.environment, "NO_COLOR": "1", "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def test_an_operator_makes_lists_rotates_and_revokes_by_hand(gateway):
    made = _darkroom(gateway, "create", "--org", "byhand", "--name", "CI", "--provider", "gemini", "--rpm", "90")
    secret = made.stdout.strip()
    with _holder(gateway, secret) as holder:
        assert holder.get("/api/v1/jobs").headers["x-ratelimit-limit"] == "90"
        _refused(holder.post(ASK, json=MUG), 403, "FORBIDDEN", "provider")

    (listed,) = json.loads(_darkroom(gateway, "list", "--org", "byhand", "--json").stdout)
    assert (listed["name"], listed["status"], listed["createdBy"]) == ("CI", "active", "operator")
    assert "CI" in _darkroom(gateway, "list", "--org", "byhand").stdout
    new = json.loads(_darkroom(gateway, "rotate", listed["id"], "--json").stdout)["key"]
    with _holder(gateway, secret) as old, _holder(gateway, new) as holder:
        assert (old.get("/api/v1/jobs").status_code, holder.get("/api/v1/jobs").status_code) == (401, 200)
        _darkroom(gateway, "revoke", listed["id"])
        assert holder.get("/api/v1/jobs").status_code == 401


def test_an_operators_admin_key_opens_the_face(gateway):
    told = ["--org", "byhand", "--name", "root", "--capability", "admin", "--capability", "images"]
    secret = _darkroom(gateway, "create", *told, "--expires", "2099-01-01T00:00:00Z").stdout.strip()

    with _holder(gateway, secret) as holder:
        assert _made(holder)["orgId"] == "byhand"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["create", "--org", "a/b", "--name", "x"], "--org"),
        (["create", "--org", "a", "--name", "x", "--capability", "chat"], "scopes.capabilities"),
        (["create", "--org", "a", "--name", "x", "--expires", "soon"], "--expires"),
        (["revoke", "key_0"], "no such key"),
        (["rotate", "key_0"], "no such key"),
    ],
)
def test_what_an_operator_mistypes_is_one_line_and_status_1(gateway, told, said):
    done = _darkroom(gateway, *told, status=1)

    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_no_secret_is_anywhere_in_redis(gateway, admin):
    secret = _made(admin)["key"]
    with _holder(gateway, secret) as holder:
        assert holder.post(ASK, json=FOX).status_code == 200

    assert gateway.redis_keys_holding(digest(secret))
    assert gateway.redis_keys_holding(secret) == []
