"""The API described by itself."""

import re

import httpx


def test_the_description_names_every_path_with_bodies_and_examples(gateway):
    description = httpx.get(f"{gateway.url}/openapi.json").json()

    assert description["openapi"] == "3.1.0"
    assert {"/api/v1/agents/images", "/api/v1/jobs", "/api/v1/jobs/{job_id}", "/healthz"} <= set(description["paths"])
    body = description["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"]["provider"] == "gemini"
    name = body["schema"]["$ref"].rpartition("/")[2]
    assert {"provider", "model", "prompt"} <= set(description["components"]["schemas"][name]["required"])


def test_every_reference_leads_somewhere(gateway):
    answer = httpx.get(f"{gateway.url}/openapi.json")

    schemas = answer.json()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", answer.text)) <= set(schemas)


def test_the_page_asks_nobody_but_us(gateway):
    page = httpx.get(f"{gateway.url}/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert httpx.get(f"{gateway.url}{path}").status_code == 200


def test_the_examples_of_the_description_work(gateway):
    description = httpx.get(f"{gateway.url}/openapi.json").json()
    with gateway.client() as client:
        for path in ("/api/v1/agents/images", "/api/v1/jobs"):
            example = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
            assert client.post(path, json=example).status_code in {200, 202}


def test_health_needs_no_credential(gateway):
    assert httpx.get(f"{gateway.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{gateway.url}/readyz").json() == {"status": "ready"}
