"""People's pictures are decoded apart from the process that answers: whatever becomes of a decoder, the API goes on."""

import base64
import io
import os
import signal
from pathlib import Path

from PIL import Image

from tests.acceptance.conftest import JOBS
from tests.neighbours import decoders, wait_until
from tests.neighbours.gateway import running_gateway

SEPIA = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Sepia"}


def photo(size):
    """As a phone stores one that was taken upright."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, "JPEG", exif=exif)
    return {"b64": base64.b64encode(out.getvalue()).decode(), "mimeType": "image/jpeg"}


def peak_megabytes(pid):
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def test_a_decoder_begins_with_the_first_picture_is_replaced_when_it_dies_and_ends_with_the_api(redis_url, simulator):
    small, large = photo((640, 480)), photo((6_000, 4_000))
    with running_gateway(redis_url, simulator, workers=0) as gateway, gateway.client() as client:
        api = gateway.api.pid
        before = decoders(api)
        statuses = [client.post(JOBS, json={**SEPIA, "referenceImage": small}).status_code]
        (first,) = decoders(api)
        os.kill(first, signal.SIGKILL)
        peak = peak_megabytes(api)
        statuses.append(client.post(JOBS, json={**SEPIA, "referenceImage": large}).status_code)
        (second,) = decoders(api)
        grown = peak_megabytes(api) - peak
        gateway.api.kill()
        wait_until(lambda: not Path(f"/proc/{second}").exists(), what="the end of the decoder")

    assert before == []
    assert statuses == [202, 202]
    assert grown < 50  # megabytes: the picture of 24 megapixels as it came, never decoded


def as_webp(client):
    """A job whose picture is to be WebP, at its end."""
    job_id = client.post(JOBS, json={**SEPIA, "outputFormat": "webp"}).json()["data"]["id"]
    return client.get(f"{JOBS}/{job_id}?wait=60&until=terminal").json()["data"]


def test_a_worker_converts_pictures_apart_and_outlives_a_decoder_that_dies(redis_url, simulator):
    with running_gateway(redis_url, simulator) as gateway, gateway.client() as client:
        worker = gateway.workers[0].pid
        jobs = [as_webp(client)]
        (first,) = decoders(worker)
        os.kill(first, signal.SIGKILL)
        jobs.append(as_webp(client))
        (second,) = decoders(worker)

    assert [job["result"]["mimeType"] for job in jobs] == ["image/webp"] * 2
    assert second != first
