"""OpenAI's files with its own client: kept as they came, an org's own, and pictures for every face that takes some."""

import contextlib
import hashlib

import openai
import pytest

from tests.acceptance.conftest import AGENTS, JOBS, MUG
from tests.acceptance.test_edits import png
from tests.neighbours import wait_until
from tests.neighbours.gateway import token

PICTURE = png((256, 256))
MASK = png((256, 256), hole=(64, 64, 192, 192))
PATHS = ["/v1", "/openai/v1", "/api/projects/p/openai/v1", "/api/projects/p/openai"]


@contextlib.contextmanager
def client(gateway, org="acme", path="/v1"):
    with openai.OpenAI(base_url=f"{gateway.url}{path}", api_key=token(org), max_retries=0) as found:
        yield found


def uploaded(gateway, data=PICTURE, **fields):
    with client(gateway) as asking:
        return asking.files.create(file=("fox.png", data, "image/png"), purpose="vision", **fields)


@pytest.mark.parametrize("path", PATHS)
def test_a_file_is_kept_as_it_came_until_it_is_deleted(gateway, path):
    with client(gateway, path=path) as asking:
        made = asking.files.create(file=("fox.png", PICTURE, "image/png"), purpose="vision")

        assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(PICTURE), "fox.png", "vision")
        assert made.status == "processed"
        assert made.expires_at is None
        assert asking.files.retrieve(made.id) == made
        assert asking.files.content(made.id).read() == PICTURE
        assert made.id in [file.id for file in asking.files.list(purpose="vision")]
        assert made.id not in [file.id for file in asking.files.list(purpose="assistants")]
        assert asking.files.delete(made.id).deleted is True
        with pytest.raises(openai.NotFoundError):
            asking.files.retrieve(made.id)
        assert made.id not in [file.id for file in asking.files.list()]


def test_pages_of_files_end_and_hold_each_once_in_either_order(gateway):
    with client(gateway, "pagers") as asking:
        made = [asking.files.create(file=("a.png", PICTURE), purpose="assistants").id for _ in range(5)]

        assert [file.id for file in asking.files.list(limit=2)] == made[::-1]
        assert [file.id for file in asking.files.list(limit=2, order="asc")] == made


def test_a_file_with_an_end_says_when_that_is(gateway):
    made = uploaded(gateway, expires_after={"anchor": "created_at", "seconds": 3600})

    assert made.expires_at == made.created_at + 3600


def test_another_orgs_file_is_not_there_and_is_no_input(gateway):
    made = uploaded(gateway)

    with client(gateway, "strangers") as stranger:
        for ask in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        assert made.id not in [file.id for file in stranger.files.list()]
    edit = {"model": "gpt-image-2", "prompt": "uploads: foreign", "images": [{"file_id": made.id}]}
    with gateway.client("strangers") as stranger:
        answer = stranger.post("/v1/images/edits", json=edit)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image.file_id"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"data": {"purpose": "vision"}, "files": {"file": ("a.png", b"no picture")}}, "file"),
        ({"data": {"purpose": "fine-tune"}, "files": {"file": ("a.png", PICTURE)}}, "purpose"),
        ({"data": {"purpose": "vision", "x": "1"}, "files": {"file": ("a.png", PICTURE)}}, "x"),
        ({"data": {"purpose": "vision"}, "files": {"image": ("a.png", PICTURE)}}, "image"),
        (
            {
                "data": {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "9"},
                "files": {"file": ("a.png", PICTURE)},
            },
            "expires_after[seconds]",
        ),
    ],
)
def test_a_form_that_cannot_be_kept_is_refused_by_its_field(gateway, form, field):
    with gateway.client() as asking:
        answer = asking.post("/v1/files", **form)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


def faces(file_id, mask_id):
    """The same edit at every face that takes pictures."""
    ours = {**MUG, "referenceImage": {"fileId": file_id}, "mask": {"fileId": mask_id}, "size": "auto"}
    edit = {"model": "gpt-image-2", "images": [{"file_id": file_id}], "mask": {"file_id": mask_id}}
    return {AGENTS: ours, JOBS: {**ours, "cancelAfter": 600}, "/v1/images/edits": edit}


@pytest.mark.parametrize("path", [AGENTS, JOBS, "/v1/images/edits"])
def test_files_are_reference_and_mask_of_an_edit_at_each_face_also_when_deleted_meanwhile(
    gateway, shared_simulator, path
):
    picture, mask = uploaded(gateway), uploaded(gateway, MASK)
    prompt = f"uploads: at {path} [delay=1]"
    body = {**faces(picture.id, mask.id)[path], "prompt": prompt}

    with gateway.client() as asking:
        answer = asking.post(path, json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        with client(gateway) as owner:
            owner.files.delete(picture.id)
            owner.files.delete(mask.id)
        own = f"{JOBS}/{answer.headers['x-job-id']}"
        wait_until(lambda: asking.get(own).json()["data"]["status"] == "succeeded", what="the edit")

    (call,) = [call for call in shared_simulator.bench.calls("uploads") if call["prompt"] == prompt]
    assert call["inputs"] == [hashlib.sha256(PICTURE).hexdigest()]
