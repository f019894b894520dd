"""Edits: reference images and masks by address and in base64, on both faces, through the real SDKs."""

import base64
import hashlib
import io
import os
import zlib
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageChops

from jobs.pictures.gate import PNG_AND_JPEG, validate
from jobs.pictures.sniff import sniff
from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.neighbours import wait_until
from tests.unit.jobs import picture_files
from tests.unit.jobs.people_pictures import pictures

SEPIA = {"provider": "gemini", "model": "gemini-3.1-flash-image-preview", "prompt": "Add a subtle sepia tone"}
TABLE = {"provider": "azure-openai", "model": "gpt-image-2", "prompt": "Replace the masked area with a wooden table"}


def png(size=(96, 64), colour=(200, 30, 30, 255), *, hole=None):
    picture = Image.new("RGBA", size, colour)
    if hole:
        picture.paste((0, 0, 0, 0), hole)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


def opened(url):
    return Image.open(io.BytesIO(httpx.get(url).content))


def differing(one, other):
    """The box in which two pictures differ, or None."""
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox()


REFERENCE = png()
HOLE = (16, 16, 48, 40)
MASK = png(hole=HOLE)


def test_generate_then_iterate_chains_three_times_by_the_links_of_the_answers(gateway):
    with gateway.client() as client:
        made = [client.post(AGENTS, json=MUG).json()["data"]]
        for body in (SEPIA, {**TABLE, "size": "1024x1024"}, SEPIA):
            before = made[-1]
            picture = {"url": before["url"], "mimeType": before["mimeType"]}
            answer = client.post(AGENTS, json={**body, "referenceImage": picture})
            assert answer.status_code == 200, answer.text
            made.append(answer.json()["data"])

    assert [m["mode"] for m in made] == ["generate", "edit", "edit", "edit"]
    assert len({m["url"] for m in made}) == 4
    assert all(httpx.get(m["url"]).status_code == 200 for m in made)


@pytest.mark.parametrize("by", ["b64", "url"])
def test_a_masked_edit_changes_the_masked_pixels_and_no_others(gateway, by):
    with gateway.client() as client:
        original = client.post(AGENTS, json=MUG).json()["data"]
        hole = (300, 200, 700, 600)
        mask = png((1024, 1024), hole=hole)
        if by == "b64":
            reference = {"b64": b64(httpx.get(original["url"]).content), "mimeType": "image/png"}
        else:
            reference = {"url": original["url"], "mimeType": "image/png"}
        body = {**TABLE, "size": "1024x1024", "referenceImage": reference, "mask": {"b64": b64(mask)}}

        answer = client.post(AGENTS, json=body)

    assert answer.status_code == 200, answer.text
    changed = differing(opened(original["url"]), opened(answer.json()["data"]["url"]))
    assert changed is not None
    assert changed[0] >= hole[0]
    assert changed[1] >= hole[1]
    assert changed[2] <= hole[2]
    assert changed[3] <= hole[3]


def test_a_mask_may_be_a_picture_of_ours_by_its_link(gateway):
    with gateway.client() as client:
        # An edit with a mask keeps the transparency of nothing: so a mask of ours is made by a mask-shaped reference.
        reference = {"b64": b64(MASK), "mimeType": "image/png"}
        made = client.post(AGENTS, json={**TABLE, "referenceImage": reference, "mask": {"b64": b64(MASK)}}).json()
        answer = client.post(
            AGENTS,
            json={
                **TABLE,
                "referenceImage": {"url": made["data"]["url"], "mimeType": "image/png"},
                "mask": {"url": made["data"]["url"]},
            },
        )

    assert answer.status_code in {200, 400}
    if answer.status_code == 400:  # the far end filled the hole: then the mask is told to be unfit, by its name
        assert answer.json()["error"]["details"]["field"] == "mask"


def test_what_the_provider_gets_is_the_picture_that_was_sent(gateway, shared_simulator):
    prompt = "Exactly these pixels"
    with gateway.client() as client:
        for kind in (SEPIA, TABLE):
            body = {**kind, "prompt": prompt, "referenceImage": {"b64": b64(REFERENCE), "mimeType": "image/png"}}
            assert client.post(AGENTS, json=body).status_code == 200

    assert [len(call["inputs"]) for call in shared_simulator.bench.calls(prompt)] == [1, 1]


def test_several_reference_images_reach_the_model(gateway, shared_simulator):
    several = [{"b64": b64(png(colour=(c, c, c, 255))), "mimeType": "image/png"} for c in (10, 120, 240)]
    with gateway.client() as client:
        for kind in (SEPIA, TABLE, {**TABLE, "provider": "openai"}):
            body = {**kind, "prompt": f"Three greys {kind['provider']}", "referenceImages": several}
            job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]
            assert job["status"] == "succeeded", job

    assert [len(call["inputs"]) for call in shared_simulator.bench.calls("Three greys")] == [3, 3, 3]


def test_staged_bytes_are_deleted_when_the_job_ends_and_kept_where_asked(gateway):
    body = {**SEPIA, "referenceImage": {"b64": b64(REFERENCE), "mimeType": "image/png"}}
    with gateway.client("stagers") as client:
        client.post(JOBS, json=body, headers={"Prefer": "wait=60"})
        wait_until(lambda: gateway.blobs("inputs/stagers") == [], what="the deletion")
        client.post(JOBS, json={**body, "storeInputs": True}, headers={"Prefer": "wait=60"})
        assert len(gateway.blobs("inputs/stagers")) == 1


def test_with_store_inputs_false_prompt_and_inputs_are_gone_when_the_job_ends(gateway):
    body = {
        **SEPIA,
        "prompt": "A secret wish",
        "storeInputs": False,
        "referenceImage": {"b64": b64(REFERENCE), "mimeType": "image/png"},
    }
    with gateway.client("shy") as client:
        job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]

    assert job["status"] == "succeeded"
    assert job["request"]["prompt"] == ""
    wait_until(lambda: gateway.blobs("inputs/shy") == [], what="the deletion")
    assert gateway.redis_keys_holding("A secret wish") == []


def test_another_orgs_picture_and_one_that_never_was_are_told_apart_by_nobody(gateway, shared_simulator):
    with gateway.client("owner") as owner:
        theirs = owner.post(AGENTS, json=MUG).json()["data"]["url"]
    never = theirs.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000.png"
    outside_the_folder = theirs.replace("/images/owner/", "/images/thief/../owner/")
    answers = []
    with gateway.client("thief") as thief:
        for url in (theirs, never, outside_the_folder, theirs.replace("127.0.0.1", "localhost")):
            body = {**SEPIA, "prompt": "Steal it", "referenceImage": {"url": url, "mimeType": "image/png"}}
            answers.append(thief.post(AGENTS, json=body).json()["error"])

    assert {(a["code"], a["message"]) for a in answers} == {
        ("VALIDATION_ERROR", "referenceImage.url: there is no picture of yours at this address")
    }
    assert shared_simulator.bench.calls("Steal it") == []


def test_dall_e_3_takes_no_reference_and_says_what_does(gateway):
    body = {**MUG, "model": "dall-e-3", "quality": "hd"}
    with gateway.client() as client:
        answer = client.post(AGENTS, json={**body, "referenceImage": {"b64": b64(REFERENCE), "mimeType": "image/png"}})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["field"]) == (400, "VALIDATION_ERROR", "referenceImage")
    assert "gpt-image-2" in error["message"]


def replaced(gateway, url, data):
    """The stored answer at this address has other bytes from now on, as if the provider had made them."""
    name = url.partition("/files/")[2].partition("?")[0]
    (Path(gateway.environment["DARKROOM_DATA_DIR"]) / "blobs/files" / name).write_bytes(data)


def test_an_answer_of_ours_is_taken_back_whatever_its_size_and_made_smaller_for_who_takes_less(
    gateway, shared_simulator
):
    out = io.BytesIO()
    Image.linear_gradient("L").resize((3_000, 3_000)).convert("RGB").save(out, "PNG", compress_level=0)
    prompt = "Twenty-seven megabytes"
    with gateway.client() as client:
        ours = client.post(AGENTS, json=MUG).json()["data"]
        replaced(gateway, ours["url"], out.getvalue())
        reference = {"referenceImage": {"url": ours["url"], "mimeType": "image/png"}, "prompt": prompt}
        answers = [client.post(AGENTS, json={**kind, **reference}) for kind in (TABLE, SEPIA)]

    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    table, sepia = shared_simulator.bench.calls(prompt)
    assert table["inputs"] == [hashlib.sha256(out.getvalue()).hexdigest()]
    assert sepia["inputs"] != table["inputs"]


def test_a_job_says_that_its_reference_was_made_smaller_for_its_provider(gateway):
    noise = Image.frombytes("RGB", (2_200, 2_200), os.urandom(2_200 * 2_200 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG", compress_level=0)
    with gateway.client() as client:
        large = {"b64": b64(out.getvalue()), "mimeType": "image/png"}
        bodies = [{**kind, "referenceImage": large} for kind in (SEPIA, TABLE)]
        answers = [client.post(JOBS, json=body, headers={"Prefer": "wait=60"}) for body in bodies]

    smaller, whole = (answer.json()["data"].get("warnings", []) for answer in answers)
    (warning,) = [each for each in smaller if each["code"] == "adjusted_reference"]
    assert warning["field"] == "referenceImage"
    assert f"{len(out.getvalue())} bytes" in warning["message"]
    assert "adjusted_reference" not in {each["code"] for each in whole}


def test_an_answer_of_ours_is_taken_back_with_more_pixels_than_a_stranger_may_send(gateway, shared_simulator):
    lines = picture_files.chunk(b"IDAT", zlib.compress(bytes(8_001 * 7_000), 1))
    large = picture_files.png(picture_files.header(8_000, 7_000, colour=0), lines, picture_files.IEND)
    prompt = "Fifty-six megapixels"
    with gateway.client() as client:
        ours = client.post(AGENTS, json=MUG).json()["data"]
        replaced(gateway, ours["url"], large)
        reference = {"referenceImage": {"url": ours["url"], "mimeType": "image/png"}, "prompt": prompt}
        answer = client.post(AGENTS, json={**TABLE, **reference})

    assert answer.status_code == 200, answer.text
    assert [call["inputs"] for call in shared_simulator.bench.calls(prompt)] == [[hashlib.sha256(large).hexdigest()]]


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_an_answer_of_ours_is_taken_back_in_whichever_format_it_is(gateway, form):
    with gateway.client() as client:
        wish = {key: MUG[key] for key in ("provider", "model", "prompt")}
        headers = {"Prefer": "wait=60"}
        made = client.post(JOBS, json={**wish, "outputFormat": form}, headers=headers).json()["data"]["result"]
        again = {**SEPIA, "referenceImage": {"url": made["url"], "mimeType": made["mimeType"]}}
        job = client.post(JOBS, json=again, headers=headers).json()["data"]

    assert (made["mimeType"], job["status"]) == (f"image/{form}", "succeeded"), job


def test_a_webp_that_is_not_ours_is_refused_by_its_type(gateway):
    with gateway.client() as client:
        picture = {"url": "https://example.com/fox.webp", "mimeType": "image/webp"}
        answer = client.post(JOBS, json={**SEPIA, "referenceImage": picture})

    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "referenceImage.mimeType"


def test_two_hundred_pictures_of_people_reach_the_model_as_they_are_to_be_seen(gateway, shared_simulator):
    found = [data for _, data, _ in pictures() if sniff(data[:12]) in PNG_AND_JPEG]
    sixteens = [found[at : at + 16] for at in range(0, len(found), 16)]
    prompt = "Everybody together"
    with gateway.client() as client:
        for sixteen in sixteens:
            images = [{"b64": b64(data), "mimeType": sniff(data[:12])} for data in sixteen]
            body = {**TABLE, "prompt": prompt, "referenceImages": images}
            job = client.post(JOBS, json=body, headers={"Prefer": "wait=60"}).json()["data"]
            assert job["status"] == "succeeded", job

    seen = [digest for call in shared_simulator.bench.calls(prompt) for digest in call["inputs"]]
    assert seen == [hashlib.sha256(validate(data, None).data).hexdigest() for data in found]
