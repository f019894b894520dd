"""One contract for both blob stores: a folder, and Azure's own emulator."""

import asyncio
import uuid

import httpx
import pytest

from jobs.blobs.azure import AzureBlobs
from jobs.blobs.local import LocalBlobs
from jobs.blobs.store import BlobExists, BlobMissing, BlobStoreDown
from tests.neighbours import free_port
from tests.neighbours.azurite import KEY
from tests.neighbours.blob_proxy import running_blob_proxy
from tests.neighbours.scripted_provider import response, running_far_end

pytestmark = pytest.mark.anyio
PNG = "image/png"


@pytest.fixture(params=["local", "azure"])
async def blobs(request, tmp_path):
    if request.param == "local":
        store = LocalBlobs(tmp_path, "files", "http://127.0.0.1:1", public=True, signing_key=b"k" * 32)
    else:
        azurite = request.getfixturevalue("azurite")
        store = AzureBlobs(
            f"c-{uuid.uuid4().hex}", public=True, connection_string=azurite.connection_string, account_url=None
        )
    await store.open()
    yield store
    await store.close()


async def test_what_is_put_can_be_read_whole_and_in_parts(blobs):
    data = bytes(range(256)) * 4096

    await blobs.put("images/o/a.png", data, PNG)

    assert await blobs.read("images/o/a.png") == data
    info = await blobs.info("images/o/a.png")
    assert (info.size, info.media_type) == (len(data), PNG)
    assert info.etag.startswith('"')
    assert b"".join([p async for p in blobs.stream("images/o/a.png")]) == data
    assert b"".join([p async for p in blobs.stream("images/o/a.png", 300, 7)]) == data[300:307]


async def test_an_empty_blob_and_a_large_one_are_kept_as_they_are(blobs):
    large = b"x" * 10_000_000

    await blobs.put("images/o/empty.png", b"", PNG)
    await blobs.put("images/o/large.png", large, PNG)

    assert await blobs.read("images/o/empty.png") == b""
    assert await blobs.read("images/o/large.png") == large


async def test_of_many_who_put_one_name_exactly_one_wins(blobs):
    async def put(number):
        try:
            await blobs.put("images/o/race.png", str(number).encode(), PNG)
        except BlobExists:
            return None
        return number

    won = [n for n in await asyncio.gather(*(put(n) for n in range(20))) if n is not None]

    assert len(won) == 1
    assert await blobs.read("images/o/race.png") == str(won[0]).encode()


async def test_what_is_missing_is_missing_by_every_verb(blobs):
    for look in (blobs.info, blobs.read):
        with pytest.raises(BlobMissing):
            await look("images/o/none.png")
    with pytest.raises(BlobMissing):
        [p async for p in blobs.stream("images/o/none.png")]
    assert await blobs.delete("images/o/none.png") is False


async def test_deleted_and_listed(blobs):
    for name in ("images/a/1.png", "images/a/2.png", "images/b/1.png"):
        await blobs.put(name, b"x", PNG)

    assert await blobs.delete("images/a/2.png") is True

    assert [n async for n in blobs.names("images/a/")] == ["images/a/1.png"]


async def test_a_link_is_known_again_and_strangers_are_not(blobs):
    link = blobs.link("images/o/a.png")

    assert blobs.name_of(link) == "images/o/a.png"
    assert blobs.name_of(link + "?sig=x") == "images/o/a.png"
    assert blobs.name_of("https://example.com/files/images/o/a.png") is None
    assert blobs.name_of(link.replace("images/o", "images/../../secret")) is None
    assert blobs.name_of(link.replace("images/o", "images/%2e%2e/o")) == ""
    assert blobs.name_of(link.replace("images/o", "x/../images/o")) == ""
    assert blobs.name_of(link.replace("http:", "https:")) == "images/o/a.png"


async def test_azures_links_open_plain_when_public_and_signed_when_not(azurite):
    for public in (True, False):
        store = AzureBlobs(
            f"c-{uuid.uuid4().hex}", public=public, connection_string=azurite.connection_string, account_url=None
        )
        await store.open()
        await store.put("images/o/a.png", b"bytes", PNG)
        async with httpx.AsyncClient() as stranger:
            opened = await stranger.get(store.link("images/o/a.png"))
            bare = await stranger.get(store.link("images/o/a.png").partition("?")[0])
        await store.close()

        assert (opened.status_code, opened.content, opened.headers["content-type"]) == (200, b"bytes", PNG)
        assert (bare.status_code == 200) is public


async def test_a_signed_local_link_opens_only_as_it_was_signed_and_in_time(tmp_path):
    store = LocalBlobs(tmp_path, "files", "http://127.0.0.1:1", public=False, signing_key=b"k" * 32)
    query = httpx.URL(store.link("images/o/a.png")).params

    assert store.opens("images/o/a.png", query["se"], query["sig"])
    assert not store.opens("images/o/b.png", query["se"], query["sig"])
    assert not store.opens("images/o/a.png", str(int(query["se"]) + 1), query["sig"])
    late = httpx.URL(store.link("images/o/a.png", seconds=-5)).params
    assert not store.opens("images/o/a.png", late["se"], late["sig"])


async def test_a_store_that_does_not_answer_is_down_within_bounded_time(azurite):
    dead = azurite.connection_string.replace(str(azurite.port), str(free_port()))
    store = AzureBlobs("files", public=True, connection_string=dead, account_url=None)

    async with asyncio.timeout(25):
        await store.open()
        with pytest.raises(BlobStoreDown):
            await store.put("images/o/a.png", b"x", PNG)
    await store.close()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a//b", "a/../b", ".hidden", "a/.b", "", "a\0b", "a\\b"])
async def test_a_name_that_leaves_the_folder_is_not_there(tmp_path, name):
    store = LocalBlobs(tmp_path, "files", "http://127.0.0.1:1", public=True, signing_key=b"k" * 32)
    await store.open()

    with pytest.raises(BlobMissing):
        await store.read(name)


async def test_a_picture_goes_to_its_account_alone_and_a_redirect_is_waited_out():
    async with running_far_end(response(201)) as other, running_far_end() as far:
        far.reply = response(307, location=f"{other.url}/elsewhere")
        account = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint={far.url}/a;"
        store = AzureBlobs("pictures", public=True, connection_string=account, account_url=None)
        await store.open()
        with pytest.raises(BlobStoreDown):
            await store.put("images/o/a.png", b"picture", PNG)
        await store.close()

        assert other.asked == []
    assert far.asked[-1].body == b"picture"


@pytest.mark.parametrize(("excepted", "asked"), [("elsewhere.example", True), ("store.example", False)])
async def test_a_proxy_of_the_environment_is_asked_unless_the_store_is_excepted(monkeypatch, excepted, asked):
    with running_blob_proxy(free_port()) as proxy:
        proxy.verdict = lambda *_: 403
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", excepted)
        address = "AccountName=somebody;AccountKey=c29tZWtleQ==;BlobEndpoint=http://store.example:1/somebody;"
        store = AzureBlobs("files", public=True, connection_string=address, account_url=None)
        await store.open()
        with pytest.raises(BlobStoreDown):
            await store.ready()
        await store.close()

    assert bool(proxy.seen) is asked


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("kind", ["local", "azure"])
async def test_links_begin_with_the_base_that_is_told_and_lead_back_to_their_blobs(kind, public, tmp_path):
    base = "https://pictures.example.com/files"
    told = {"public": public, "link_base": base, "link_seconds": 60}
    store = (
        LocalBlobs(tmp_path, "files", "http://127.0.0.1:1", signing_key=b"k" * 32, **told)
        if kind == "local"
        else AzureBlobs("files", connection_string=f"AccountName=a;AccountKey={KEY}", account_url=None, **told)
    )
    await store.open()
    link = store.link("images/o/a.png")
    await store.close()

    assert link.startswith(f"{base}/images/o/a.png")
    assert ("sig=" in link) is not public
    assert store.name_of(link) == "images/o/a.png"
    assert store.name_of("https://pictures.example.com/other/images/o/a.png") is None
