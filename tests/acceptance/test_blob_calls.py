"""What a picture costs the blob store: each call is one more round trip that somebody waits for, and a fee."""

import base64

from tests.neighbours.blob_proxy import running_blob_proxy
from tests.neighbours.gateway import running_gateway


def test_a_picture_is_one_call_to_keep_and_one_to_answer_in_base64(redis_url, simulator, azurite):
    with running_blob_proxy(azurite.port) as proxy:
        address = azurite.connection_string.replace(str(azurite.port), str(proxy.port))
        told = {"AZURE_STORAGE_CONNECTION_STRING": address, "AZURE_STORAGE_CONTAINER": "calls"}
        with running_gateway(redis_url, simulator, **told) as gateway, gateway.client() as client:
            answer = client.post("/v1/images/generations", json={"model": "gpt-image-2", "prompt": "A red fox"})
            calls = [method for method, path in proxy.seen if "images" in path]

    picture = base64.b64decode(answer.json()["data"][0]["b64_json"])
    assert picture.startswith(b"\x89PNG")
    assert calls == ["PUT", "GET"]
