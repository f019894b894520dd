"""The history of the image face: in Redis, or in Cosmos DB, which may be away when a picture is made."""

import base64
import io
import re

import httpx
import pytest
from PIL import Image

from tests.neighbours import wait_until
from tests.neighbours.cosmos import KEY, cosmos_to_start
from tests.neighbours.front_end import SECRET, header, running_front_end
from tests.neighbours.gateway import running_gateway
from tests.neighbours.redis_server import running_redis

IMAGE, UPLOAD, HISTORY = "/api/image", "/api/upload", "/api/history"
ALICE = "Alice@example.com"
OFTEN = ",".join(["0", *["3"] * 30])
"""Seconds before each attempt: few enough while Cosmos DB is away that its breaker stays shut."""


def picture():
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "PNG")
    return out.getvalue()


SENT = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"


@pytest.fixture(scope="module")
def front_end():
    with running_front_end("authjs") as running:
        yield running


@pytest.fixture(scope="module")
def redis():
    with running_redis() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(redis, shared_simulator):
    with running_gateway(redis.url, shared_simulator, AUTH_SECRET=SECRET) as running:
        yield running


def page_of(gateway, front_end, email):
    cookies = {"Cookie": header(front_end.sign_in(email))}
    return httpx.Client(base_url=gateway.url, headers=cookies, timeout=150, trust_env=False)


def make(page, prompt, *images):
    return page.post(IMAGE, json={"images": [*images, SENT], "prompt": prompt}).raise_for_status().json()


def generations(page, query=""):
    return page.get(f"{HISTORY}{query}").raise_for_status().json()


def test_each_person_has_the_history_of_her_own_pages_newest_first(gateway, front_end):
    with page_of(gateway, front_end, ALICE) as page, page_of(gateway, front_end, "bob@example.com") as other:
        url = page.post(UPLOAD, files={"file": ("a.png", picture())}).json()["url"]
        made = [make(page, f"Picture {n}", url) for n in range(3)]
        page.post(IMAGE, json={"images": [url], "prompt": "[refuse] none"})
        wait_until(lambda: len(generations(page)["generations"]) == 3, what="the history")
        told = generations(page)
        first = generations(page, "?limit=2")
        rest = generations(page, f"?limit=2&cursor={first['cursor']}")
        nobodys = generations(other)
        webhooks = page.get("/api/v1/webhook-deliveries").json()["data"]["deliveries"]

    assert [g["prompt"] for g in told["generations"]] == ["Picture 2", "Picture 1", "Picture 0"]
    assert [g["outputImageUrl"] for g in told["generations"]] == [m["imageUrl"] for m in reversed(made)]
    newest = told["generations"][0]
    assert set(newest) == {"id", "userId", "prompt", "inputImages", "outputImageUrl", "createdAt"}
    assert (newest["userId"], newest["inputImages"][0]) == (ALICE, url)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", newest["inputImages"][1])
    assert re.fullmatch(r"gen-\d{13}-[0-9a-z]{12}", newest["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", newest["createdAt"])
    assert first["generations"] + rest["generations"] == told["generations"]
    assert (rest["cursor"], nobodys["generations"], webhooks) == (None, [], [])


def test_what_is_erased_is_in_no_history(gateway, front_end):
    with page_of(gateway, front_end, "dora@example.com") as page:
        jobs = [
            page.post(IMAGE, json={"images": [SENT], "prompt": f"Erased {n}"}).headers["x-job-id"] for n in range(3)
        ]
        wait_until(lambda: len(generations(page)["generations"]) == 3, what="the history")
        erased = page.delete(f"/api/v1/jobs/{jobs[1]}")

        assert erased.status_code == 204
        assert [g["prompt"] for g in generations(page)["generations"]] == ["Erased 2", "Erased 0"]
        assert gateway.redis_keys_holding("Erased 1") == []


def test_another_org_with_a_subject_of_that_name_has_a_history_of_its_own(gateway, front_end):
    with page_of(gateway, front_end, "carol@example.com") as page, gateway.client(sub="carol@example.com") as other:
        make(page, "Carol's")
        make(other, "Somebody else's")
        wait_until(lambda: generations(page)["generations"] and generations(other)["generations"], what="both")

        assert [g["prompt"] for g in generations(page)["generations"]] == ["Carol's"]
        assert [(g["userId"], g["prompt"]) for g in generations(other)["generations"]] == [
            ("acme/carol@example.com", "Somebody else's")
        ]


@pytest.mark.parametrize(("query", "status"), [("?cursor=x", 400), ("?limit=0", 400), ("?page=2", 400)])
def test_a_wrong_query_is_told(gateway, front_end, query, status):
    with page_of(gateway, front_end, ALICE) as page:
        refused = page.get(f"{HISTORY}{query}")

    assert (refused.status_code, list(refused.json())) == (status, ["error"])
    assert httpx.get(f"{gateway.url}{HISTORY}").json() == {"error": "Unauthorized"}


def test_pictures_made_while_cosmos_db_is_away_are_in_it_once_it_is_back(front_end, redis, shared_simulator):
    with cosmos_to_start() as cosmos:
        settings = {
            "AUTH_SECRET": SECRET,
            "COSMOS_ENDPOINT": cosmos.url,
            "COSMOS_KEY": KEY,
            "DARKROOM_REDIS_PREFIX": "{cosmos}:",
            "DARKROOM_WEBHOOK_SCHEDULE": OFTEN,
        }
        with (
            running_gateway(redis.url, shared_simulator, **settings) as gateway,
            page_of(gateway, front_end, ALICE) as page,
        ):
            early = make(page, "Made in its absence")
            away = page.get(HISTORY)
            container = cosmos.start()
            late = make(page, "Made in its presence")
            wait_until(lambda: len(kept(container)) == 2, 120, "both in Cosmos DB")
            told = generations(page)
            first = generations(page, "?limit=1")
            rest = generations(page, f"?limit=1&cursor={first['cursor']}")
            documents = {made["prompt"]: made for made in kept(container)}
            erased = [page.delete(f"/api/v1/jobs/{job}").status_code for job in jobs_of(page)]

        left = kept(container)
    assert (erased, left) == ([204, 204], [])
    assert (away.status_code, away.json()) == (503, {"error": "the history cannot be reached just now"})
    assert documents["Made in its absence"]["outputImageUrl"] == early["imageUrl"]
    assert documents["Made in its presence"]["outputImageUrl"] == late["imageUrl"]
    assert {d["userId"] for d in documents.values()} == {ALICE}
    assert "base64" not in str(documents)
    assert [g["prompt"] for g in told["generations"]] == ["Made in its presence", "Made in its absence"]
    assert first["generations"] + rest["generations"] == told["generations"]


def jobs_of(page):
    return [job["id"] for job in page.get("/api/v1/jobs").json()["data"]["jobs"]]


def kept(container):
    """What the official client reads in the container."""
    return list(container.query_items("SELECT * FROM c WHERE c.userId = @u", [{"name": "@u", "value": ALICE}],
                                      partition_key=ALICE))  # fmt: skip
