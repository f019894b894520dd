"""The links of a local blob folder: pictures over plain HTTP, as a browser or a CDN asks for them."""

import httpx
import pytest

from tests.neighbours.gateway import running_gateway

MUG = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A mug"}


@pytest.fixture(scope="module")
def link(gateway):
    with gateway.client() as client:
        return client.post("/api/v1/agents/images", json=MUG).json()["data"]["url"]


def test_the_link_has_the_documented_form(gateway, link):
    org, date, name = link.removeprefix(f"{gateway.url}/files/images/").split("/")

    assert org == "acme"
    assert len(date) == 10
    assert len(name) == 36 + len(".png")


def test_a_picture_is_cached_for_ever_and_sniffed_by_nobody(link):
    answer = httpx.get(link)

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]
    assert "sandbox" in answer.headers["content-security-policy"]
    assert httpx.get(link, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_head_tells_what_get_would_send(link):
    head, get = httpx.head(link), httpx.get(link)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=100-", 206, 100, None),
        ("bytes=-10", 206, -10, None),
        ("bytes=5-5", 206, 5, 6),
        ("bytes=0-999999999", 200, 0, None),
        ("bytes=9-5", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_a_range_is_a_part_of_the_whole(link, asked, status, start, end):
    whole = httpx.get(link).content

    part = httpx.get(link, headers={"Range": asked})

    assert (part.status_code, part.content) == (status, whole[start:end])
    if status == 206:
        first, _, rest = part.headers["content-range"].removeprefix("bytes ").partition("-")
        assert rest.endswith(f"/{len(whole)}")
        assert whole[int(first) :].startswith(part.content)


def test_a_range_beyond_the_end_is_416(link):
    assert httpx.get(link, headers={"Range": "bytes=999999999-"}).status_code == 416


@pytest.mark.parametrize(
    "path", ["", "x.png", "../../secrets.json", "%2e%2e/%2e%2e/secrets.json", "acme/none.png", ".."]
)
def test_nothing_else_is_served(gateway, path):
    answer = httpx.get(f"{gateway.url}/files/images/{path}")

    assert answer.status_code == 404
    assert httpx.get(f"{gateway.url}/files/secrets.json").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("below", ["", "/", "/{date}", "/{date}/", "/{date}//", "/%2E/{date}"])
def test_a_folder_is_answered_like_one_of_an_org_that_there_is_not(gateway, link, method, below):
    date = link.split("/")[-2]

    there, nowhere = (
        httpx.request(method, f"{gateway.url}/files/images/{org}{below.format(date=date)}")
        for org in ("acme", "nobody")
    )

    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert told(there) == told(nowhere)


def told(answer):
    """Status, headers and body, without what is each answer's own."""
    own = ("date", "x-request-id", "content-length")
    body = answer.json() if answer.content else {}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, body.get("error")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "name",
    ["%00", "a%00.png", "%2e%2e%2f%2e%2e%2fredis.conf", "..%2fx.png", "a" * 300, "/".join(["a" * 200] * 6), "a" * 5000,
     "%ED%A0%80.png", "%FF.png", "%C3%A4.png", "%0d%0ax.png", ".hidden.png", "acme//x.png", "x.png/y.png", "%5Cx.png"],
)  # fmt: skip
def test_a_name_that_no_picture_can_have_is_404(gateway, link, method, name):
    for folder in ("files/images", "files/previews", link.rpartition("/")[0].removeprefix(f"{gateway.url}/")):
        assert httpx.request(method, f"{gateway.url}/{folder}/{name}").status_code == 404


def test_a_private_folder_opens_by_the_signed_link_alone(redis_url, simulator):
    with running_gateway(redis_url, simulator, AZURE_STORAGE_PUBLIC="0") as gateway, gateway.client() as client:
        signed = client.post("/api/v1/agents/images", json=MUG).json()["data"]["url"]

        assert httpx.get(signed).status_code == 200
        assert httpx.get(signed.partition("?")[0]).status_code == 404
        assert httpx.get(signed[:-1] + ("0" if signed[-1] != "0" else "1")).status_code == 404
        plain, signature = signed.partition("?")[0], signed.partition("&sig=")[2]
        for until in ("", "-1", "1", "9" * 13, "9" * 5000, "1e12", "%D9%A3", "%00"):
            assert httpx.get(f"{plain}?se={until}&sig={signature}").status_code == 404
