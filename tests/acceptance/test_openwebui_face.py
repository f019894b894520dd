"""Face 4: what Open WebUI's front end and its image tools send, on both prefixes, and what they are answered."""

import base64
import io
import time
import uuid

import httpx
import jwt
import pytest
import redis
from PIL import Image

from jobs.redis.keys import Keys
from tests.acceptance.test_edits import png
from tests.neighbours import wait_until
from tests.neighbours.gateway import running_gateway, token
from tests.neighbours.redis_server import running_redis

WEBUI_SECRET = "what an Open WebUI signs its sessions with"
V1, DOCUMENTED = "/api/v1/images", "/api/images"
BOTH = pytest.mark.parametrize("prefix", [V1, DOCUMENTED])
PROHIBITED = "You do not have permission to access this resource. Please contact your administrator for assistance."
SESSION_ENDED = "Your session has expired or the token is invalid. Please sign in again."
NOT_FOUND = "We could not find what you're looking for :/"
CONFIG = {
    "ENABLE_IMAGE_GENERATION": True,
    "ENABLE_IMAGE_PROMPT_GENERATION": True,
    "IMAGE_GENERATION_ENGINE": "openai",
    "IMAGE_GENERATION_MODEL": "gpt-image-2",
    "IMAGE_SIZE": "512x512",
    "IMAGE_STEPS": 20,
    "IMAGES_OPENAI_API_BASE_URL": "",
    "IMAGES_OPENAI_API_KEY": "",
    "IMAGES_OPENAI_API_VERSION": "",
    "IMAGES_OPENAI_API_PARAMS": {},
    "AUTOMATIC1111_BASE_URL": "",
    "AUTOMATIC1111_API_AUTH": "",
    "AUTOMATIC1111_PARAMS": {},
    "COMFYUI_BASE_URL": "",
    "COMFYUI_API_KEY": "",
    "COMFYUI_WORKFLOW": "",
    "COMFYUI_WORKFLOW_NODES": [],
    "IMAGES_GEMINI_API_BASE_URL": "",
    "IMAGES_GEMINI_API_KEY": "",
    "IMAGES_GEMINI_ENDPOINT_METHOD": "",
    "ENABLE_IMAGE_EDIT": True,
    "IMAGE_EDIT_ENGINE": "openai",
    "IMAGE_EDIT_MODEL": "",
    "IMAGE_EDIT_SIZE": "",
    "IMAGES_EDIT_OPENAI_API_BASE_URL": "",
    "IMAGES_EDIT_OPENAI_API_KEY": "",
    "IMAGES_EDIT_OPENAI_API_VERSION": "",
    "IMAGES_EDIT_GEMINI_API_BASE_URL": "",
    "IMAGES_EDIT_GEMINI_API_KEY": "",
    "IMAGES_EDIT_COMFYUI_BASE_URL": "",
    "IMAGES_EDIT_COMFYUI_API_KEY": "",
    "IMAGES_EDIT_COMFYUI_WORKFLOW": "",
    "IMAGES_EDIT_COMFYUI_WORKFLOW_NODES": [],
}
"""What the settings page of the administrators sends: every key, each time."""


@pytest.fixture(scope="module")
def gateway(shared_simulator):
    url = shared_simulator.url
    engines = {"COMFYUI_BASE_URL": url, "AUTOMATIC1111_BASE_URL": url}
    with (
        running_redis() as server,
        running_gateway(server.url, shared_simulator, WEBUI_SECRET_KEY=WEBUI_SECRET, **engines) as running,
    ):
        yield running


def session(user="user-1", **claims):
    """A token as Open WebUI makes them, with whatever an operator lets it say of the user besides."""
    told = {"id": user, "jti": str(uuid.uuid4()), "iat": int(time.time()), **claims}
    return jwt.encode({name: value for name, value in told.items() if value is not None}, WEBUI_SECRET, "HS256")


def client_of(gateway, credential):
    headers = {"Authorization": f"Bearer {credential}", "Accept": "application/json"}
    return httpx.Client(base_url=gateway.url, headers=headers, timeout=150, trust_env=False)


@pytest.fixture(scope="module")
def user(gateway):
    with client_of(gateway, session()) as client:
        yield client


@pytest.fixture(scope="module")
def other(gateway):
    with client_of(gateway, session("user-2")) as client:
        yield client


@pytest.fixture(scope="module")
def admin(gateway):
    with client_of(gateway, session("admin-1", role="admin")) as client:
        yield client


@pytest.fixture(autouse=True)
def configured(admin):
    """Sets the configuration, and puts it back."""

    def configure(**changes):
        answer = admin.post(f"{V1}/config/update", json={**CONFIG, **changes})
        assert answer.status_code == 200, answer.text
        return answer.json()

    configure()
    yield configure
    configure()


def made(answer):
    assert answer.status_code == 200, answer.text
    assert all({"id", "url", "name", "content_type"} <= file.keys() for file in answer.json())
    return answer.json()


def detail(answer):
    assert list(answer.json()) == ["detail"], answer.text
    return answer.json()["detail"]


# Pictures.


@BOTH
def test_the_front_ends_request_is_answered_with_files_that_the_user_can_open(user, prefix):
    (file,) = made(user.post(f"{prefix}/generations", json={"prompt": f"a fox for {prefix}"}))

    content = user.get(file["url"])

    assert file["url"] == f"/api/v1/files/{file['id']}/content"
    assert (file["name"], file["content_type"]) == ("generated-image.png", "image/png")
    assert content.headers["content-type"] == "image/png"
    assert content.headers["content-disposition"] == "attachment; filename*=UTF-8''generated-image.png"
    assert Image.open(io.BytesIO(content.content)).format == "PNG"


def test_the_image_tools_request_gives_every_field_to_the_engine(user, configured, shared_simulator):
    configured(IMAGE_GENERATION_ENGINE="comfyui", IMAGE_GENERATION_MODEL="")
    body = {"model": "", "prompt": "every field", "size": "256x320", "n": 2, "steps": 7, "negative_prompt": "blur"}

    files = made(user.post(f"{V1}/generations", json=body))

    sizes = [Image.open(io.BytesIO(user.get(file["url"]).content)).size for file in files]
    call = shared_simulator.bench.calls("every field")[-1]
    inputs = [node["inputs"] for node in call["fields"]["graph"].values()]
    assert sizes == [(256, 320), (256, 320)]
    assert [file["name"] for file in files] == ["generated-image.png", "generated-image-2.png"]
    assert (call["wire"], call["model"]) == ("comfyui", "stable-diffusion-xl.safetensors")
    assert 7 in [found.get("steps") for found in inputs]
    assert "blur" in [found.get("text") for found in inputs]


@BOTH
@pytest.mark.parametrize("form", ["data", "path", "absolute", "id", "several"])
def test_an_edit_takes_pictures_in_every_form_that_the_front_end_has(user, prefix, form):
    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "to be edited"}))
    image = {
        "data": f"data:image/png;base64,{base64.b64encode(png((64, 64))).decode()}",
        "path": file["url"],
        "absolute": f"https://webui.example.com{file['url']}",
        "id": file["id"],
        "several": [file["url"], f"data:image/png;base64,{base64.b64encode(png((64, 64))).decode()}"],
    }[form]

    (edited,) = made(user.post(f"{prefix}/edit", json={"image": image, "prompt": f"now in winter, {form}"}))

    assert edited["id"] != file["id"]
    assert user.get(edited["url"]).status_code == 200


def test_a_picture_is_linked_to_the_message_that_it_was_asked_for(user):
    link = {"chat_id": "chat-1", "message_id": "message-1"}
    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "linked", "size": "512x512", "metadata": link}))

    told = user.get(f"/api/v1/files/{file['id']}").json()

    assert told["meta"]["data"] == {
        "prompt": "linked", "model": "gpt-image-2", "size": "512x512", "n": 1, **link
    }  # fmt: skip
    assert (told["user_id"], told["filename"], told["hash"]) == ("user-1", file["name"], told["meta"]["file_hash"])
    assert told["meta"]["size"] == len(user.get(file["url"]).content)


def test_what_a_model_does_not_take_is_said_beside_the_picture(user):
    body = {"prompt": "steps for nobody", "steps": 9, "negative_prompt": "blur"}

    (file,) = made(user.post(f"{V1}/generations", json=body))

    assert [warning["field"] for warning in file["warnings"]] == ["negativePrompt", "steps"]


# Who may.


@pytest.mark.parametrize("path", [f"{V1}/generations", f"{V1}/edit", f"{DOCUMENTED}/generations", f"{V1}/config"])
def test_who_brings_no_credential_is_not_authenticated(gateway, path):
    method = "GET" if path.endswith("config") else "POST"

    answer = httpx.request(method, gateway.url + path, json={"prompt": "x"} if method == "POST" else None)

    assert (answer.status_code, detail(answer)) == (401, "Not authenticated")


@pytest.mark.parametrize(
    ("credential", "status", "text"),
    [
        ("no.token.atall", 401, "Invalid token"),
        ("aigw_sk_unknown", 401, SESSION_ENDED),
        ("sk-0123456789abcdef", 403, "Use of API key is not enabled in the environment."),
        (session(exp=1), 401, SESSION_ENDED),
        (session(role="pending"), 401, PROHIBITED),
        (session(permissions={"features": {"image_generation": False}}), 403, PROHIBITED),
        (token("acme", scope="read:image-gen"), 403, PROHIBITED),
    ],
    ids=["unreadable", "unknown key", "their key", "expired", "pending", "without permission", "reads only"],
)
def test_who_may_not_is_told_in_open_webuis_words(gateway, credential, status, text):
    with client_of(gateway, credential) as client:
        answer = client.post(f"{V1}/generations", json={"prompt": "x"})

    assert (answer.status_code, detail(answer)) == (status, text)


@pytest.mark.parametrize("how", ["cookie", "x-api-key", "our token", "permission by token"])
def test_every_credential_of_the_documents_opens(gateway, how):
    told = {
        "cookie": {"Cookie": f"token={session()}"},
        "x-api-key": {"x-api-key": session()},
        "our token": {"Authorization": f"Bearer {token('acme')}"},
        "permission by token": {
            "Authorization": f"Bearer {session(permissions={'features': {'image_generation': True}})}"
        },
    }[how]

    with httpx.Client(base_url=gateway.url, headers=told, timeout=150) as client:
        body = {"prompt": f"by {how}", "model": "gpt-image-2"}
        (file,) = made(client.post(f"{V1}/generations", json=body))

        assert client.get(file["url"]).status_code == 200


@pytest.mark.parametrize(("page", "status"), [("cross-site", 401), ("same-site", 401), ("same-origin", 200)])
def test_a_page_of_another_site_writes_with_nobodys_cookie(gateway, page, status):
    told = {"Cookie": f"token={session()}", "Sec-Fetch-Site": page}

    with httpx.Client(base_url=gateway.url, headers=told, timeout=150) as client:
        body = {"prompt": f"from a page that is {page}", "model": "gpt-image-2"}

        assert client.post(f"{V1}/generations", json=body).status_code == status
        assert client.get(f"{V1}/models").status_code == 200


def test_a_session_of_open_webui_opens_no_other_face(user):
    assert user.get("/api/v1/jobs").status_code == 403
    assert user.get("/v1/models").status_code == 403


@BOTH
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/config"), ("POST", "/config/update"), ("POST", "/verify"), ("GET", "/config/url/verify")],
)
def test_the_configuration_is_for_administrators(user, prefix, method, path):
    answer = user.request(method, prefix + path, json={} if method == "POST" else None)

    assert (answer.status_code, detail(answer)) == (401, PROHIBITED)


# What goes wrong.


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("generations", {}, {"type": "missing", "loc": ["body", "prompt"], "msg": "Field required", "input": None}),
        (
            "generations",
            {"prompt": "x", "sise": "1x1"},
            {
                "type": "extra_forbidden",
                "loc": ["body", "sise"],
                "msg": "Extra inputs are not permitted",
                "input": None,
            },
        ),
        ("generations", {"prompt": 7}, {"loc": ["body", "prompt"], "type": "value_error"}),
        ("generations", {"prompt": "x", "n": 0}, {"loc": ["body", "n"], "msg": "must be 1 to 10"}),
        ("generations", {"prompt": "x", "steps": 0}, {"loc": ["body", "steps"]}),
        ("edit", {"prompt": "x"}, {"type": "missing", "loc": ["body", "image"]}),
        ("edit", {"prompt": "x", "image": []}, {"loc": ["body", "image"]}),
        ("edit", {"prompt": "x", "image": [3]}, {"loc": ["body", "image", 0]}),
    ],
)
def test_a_body_that_is_not_of_its_form_is_422_with_the_place(user, path, body, error):
    answer = user.post(f"{V1}/{path}", json=body)

    (told,) = detail(answer)
    assert (answer.status_code, told) == (422, {**told, **error})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"prompt": "[refuse]", "model": "gpt-image-2"}, "job_"),
        ({"prompt": "[500]", "model": "gpt-image-2"}, "job_"),
        ({"prompt": "[drop]", "model": "gpt-image-2"}, "job_"),
        ({"prompt": "x", "model": "no-such-model-of-dall-e"}, "model"),
        ({"prompt": "x", "model": "gpt-image-2", "size": "big"}, "size"),
        ({"prompt": "  "}, "prompt"),
    ],
)
def test_whatever_goes_wrong_with_a_picture_is_400_in_a_sentence(user, configured, body, word):
    configured(IMAGE_GENERATION_ENGINE="")

    answer = user.post(f"{V1}/generations", json=body)

    assert answer.status_code == 400
    assert detail(answer).startswith("[ERROR: ")
    assert word in detail(answer)


def test_pictures_and_edits_can_be_switched_off(user, configured):
    configured(ENABLE_IMAGE_GENERATION=False, ENABLE_IMAGE_EDIT=False)

    answers = [
        user.post(f"{V1}/generations", json={"prompt": "x"}),
        user.post(f"{V1}/edit", json={"prompt": "x", "image": "https://example.com/x.png"}),
    ]

    assert [(answer.status_code, detail(answer)) for answer in answers] == [(403, PROHIBITED)] * 2


# Which engine.


@pytest.mark.parametrize(
    ("engine", "model", "wire", "asked"),
    [
        ("openai", "", "openai", "gpt-image-2"),
        ("openai", "dall-e-3", "openai", "dall-e-3"),
        ("gemini", "", "gemini", "gemini-3-pro-image"),
        ("gemini", "imagen-4.0-generate-001", "imagen", "imagen-4.0-generate-001"),
        ("comfyui", "", "comfyui", "stable-diffusion-xl.safetensors"),
        ("automatic1111", "", "automatic1111", "sd-v1-5.safetensors [6ce0161689]"),
        ("automatic1111", "sd-xl.safetensors [31e35c80fc]", "automatic1111", "sd-xl.safetensors [31e35c80fc]"),
        ("openai", "comfyui/stable-diffusion-v1-5.safetensors", "comfyui", "stable-diffusion-v1-5.safetensors"),
        ("", "", "openai", "gpt-image-2"),
    ],
)
@pytest.mark.parametrize("by", ["configuration", "request"])
def test_the_engine_is_the_configurations_and_the_model_may_lead_to_another(
    user, configured, shared_simulator, engine, model, wire, asked, by
):
    configured(IMAGE_GENERATION_ENGINE=engine, IMAGE_GENERATION_MODEL=model if by == "configuration" else "")
    prompt = f"engine {engine or 'none'}, {model or 'none'}, {by}"

    made(user.post(f"{V1}/generations", json={"prompt": prompt, **({"model": model} if by == "request" else {})}))

    (call,) = shared_simulator.bench.calls(prompt)
    assert (call["wire"].replace("azure-", ""), call["model"]) == (wire, asked)


@pytest.mark.parametrize("by", ["configuration", "request"])
def test_only_a_request_takes_a_model_of_another_engine(user, configured, shared_simulator, by):
    configured(IMAGE_GENERATION_ENGINE="comfyui", IMAGE_GENERATION_MODEL="dall-e-3" if by == "configuration" else "")
    prompt = f"another engine's by {by}"

    answer = user.post(f"{V1}/generations", json={"prompt": prompt, "model": "dall-e-3" if by == "request" else None})

    assert answer.status_code == (200 if by == "request" else 400)
    assert [call["model"] for call in shared_simulator.bench.calls(prompt)] == ["dall-e-3"] * (by == "request")


@BOTH
@pytest.mark.parametrize(
    ("engine", "first"),
    [
        ("openai", {"id": "gpt-image-2", "name": "gpt-image-2"}),
        ("gemini", {"id": "gemini-3-pro-image", "name": "gemini-3-pro-image"}),
        ("comfyui", {"id": "stable-diffusion-xl.safetensors", "name": "stable-diffusion-xl.safetensors"}),
        ("automatic1111", {"id": "sd-v1-5.safetensors [6ce0161689]", "name": "sd-v1-5"}),
    ],
)
def test_the_models_are_those_of_the_engine(user, configured, prefix, engine, first):
    configured(IMAGE_GENERATION_ENGINE=engine)

    answer = user.get(f"{prefix}/models")

    assert (answer.status_code, answer.json()[0]) == (200, first)


def test_without_an_engine_every_model_is_listed_by_a_name_that_leads_to_it(user, configured, shared_simulator):
    configured(IMAGE_GENERATION_ENGINE="")

    ids = [model["id"] for model in user.get(f"{V1}/models").json()]

    assert {"gpt-image-2", "gemini-3-pro-image", "automatic1111/sd-v1-5.safetensors"} <= set(ids)
    made(user.post(f"{V1}/generations", json={"prompt": "of a list", "model": "automatic1111/sd-v1-5.safetensors"}))
    assert shared_simulator.bench.calls("of a list")[0]["wire"] == "automatic1111"


def test_what_the_form_leaves_open_is_as_the_administrators_set_it(user, configured, shared_simulator):
    size_and_steps = {"IMAGE_SIZE": "256x128", "IMAGE_STEPS": 9, "AUTOMATIC1111_PARAMS": '{"cfg_scale": 3.5}'}
    configured(IMAGE_GENERATION_ENGINE="automatic1111", IMAGE_GENERATION_MODEL="", **size_and_steps)

    made(user.post(f"{V1}/generations", json={"prompt": "as it was set"}))

    fields = shared_simulator.bench.calls("as it was set")[0]["fields"]
    assert (fields["width"], fields["height"], fields["steps"], fields["cfg_scale"]) == (256, 128, 9, 3.5)


def test_a_size_that_was_set_and_that_a_model_does_not_take_is_left_to_the_model(user, configured):
    configured(IMAGE_GENERATION_MODEL="dall-e-3", IMAGE_SIZE="512x512")

    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "dall-e's own size"}))

    assert Image.open(io.BytesIO(user.get(file["url"]).content)).size == (1024, 1024)


# The configuration.


@BOTH
def test_the_configuration_comes_back_as_it_was_sent(admin, prefix):
    sent = {**CONFIG, "IMAGE_GENERATION_MODEL": "gpt-image-1.5", "IMAGE_SIZE": "auto", "IMAGE_STEPS": 33}

    updated = admin.post(f"{prefix}/config/update", json=sent)

    assert (updated.status_code, updated.json()) == (200, sent)
    assert admin.get(f"{prefix}/config").json() == sent


def test_secrets_are_masked_where_they_are_shown_and_sealed_where_they_are_kept(admin, configured, gateway):
    secrets = {"IMAGES_OPENAI_API_KEY": "sk-of-the-org-1", "AUTOMATIC1111_API_AUTH": "user:of-the-org-1"}

    updated = configured(**secrets)
    configured(**{name: updated[name] for name in secrets}, IMAGE_STEPS=21)
    told = admin.get(f"{V1}/config")

    assert [told.json()[name] for name in secrets] == ["********"] * 2
    assert {warning["field"] for warning in told.json()["warnings"]} == set(secrets)
    assert "of-the-org-1" not in told.text
    assert gateway.redis_keys_holding("of-the-org-1") == []
    configured(IMAGES_OPENAI_API_KEY="", AUTOMATIC1111_API_AUTH="")
    assert "warnings" not in admin.get(f"{V1}/config").json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"IMAGE_SIZE": "large"}, "  (e.g., 512x512)."),
        (
            {"IMAGE_SIZE": "auto", "IMAGE_GENERATION_MODEL": "dall-e-3"},
            "  (auto is only allowed with gpt-image models).",
        ),
        ({"IMAGE_STEPS": -1}, "  (e.g., 50)."),
        ({"IMAGE_GENERATION_ENGINE": "midjourney"}, "  (openai, gemini, comfyui, automatic1111)."),
        ({"AUTOMATIC1111_PARAMS": "{"}, "  (a JSON object)."),
    ],
)
def test_a_setting_of_another_form_is_refused_and_nothing_changes(admin, change, words):
    answer = admin.post(f"{V1}/config/update", json={**CONFIG, **change})

    assert (answer.status_code, detail(answer)) == (400, f"Invalid format. Please use the correct format{words}")
    assert admin.get(f"{V1}/config").json() == CONFIG


def test_a_key_of_another_version_is_told_and_the_others_are_set(admin):
    sent = {**CONFIG, "IMAGE_STEPS": 12, "AUTOMATIC1111_CFG_SCALE": "7"}

    updated = admin.post(f"{V1}/config/update", json=sent).json()

    assert [warning["field"] for warning in updated["warnings"]] == ["AUTOMATIC1111_CFG_SCALE"]
    assert admin.get(f"{V1}/config").json() == {**CONFIG, "IMAGE_STEPS": 12}


@pytest.mark.parametrize("change", [{"IMAGE_STEPS": "twelve"}, {"ENABLE_IMAGE_EDIT": "yes"}, {"IMAGE_SIZE": 512}])
def test_a_setting_of_another_type_is_422_with_its_key(admin, change):
    answer = admin.post(f"{V1}/config/update", json={**CONFIG, **change})

    (told,) = detail(answer)
    assert (answer.status_code, told["loc"]) == (422, ["body", *change])


def test_the_configuration_is_the_orgs_own(gateway, configured):
    configured(IMAGE_STEPS=44)

    with client_of(gateway, token("acme", scope="admin:image-gen")) as elsewhere:
        assert elsewhere.get(f"{V1}/config").json()["IMAGE_STEPS"] == 50


@BOTH
@pytest.mark.parametrize("engine", ["comfyui", "automatic1111"])
def test_a_server_that_answers_is_verified(admin, configured, shared_simulator, prefix, engine):
    answers = [
        admin.post(f"{prefix}/verify", json={"engine": engine, "url": shared_simulator.url, "key": "user:right"}),
        admin.post(f"{prefix}/verify", json={"engine": engine, "url": ""}),
    ]
    configured(IMAGE_GENERATION_ENGINE=engine)
    answers.append(admin.get(f"{prefix}/config/url/verify"))

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, True)] * 3


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://10.0.0.1", "https://169.254.169.254", "file:///etc", "x"]
)
def test_an_address_where_no_server_may_be_asked_is_not_verified(admin, url):
    answer = admin.post(f"{V1}/verify", json={"engine": "comfyui", "url": url})

    assert (answer.status_code, detail(answer)) == (
        400, "Oops! The URL you provided is invalid. Please double-check and try again."
    )  # fmt: skip


# Files.


def test_a_file_is_its_owners_and_the_administrators(user, other, admin, gateway):
    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "private"}))
    about = f"/api/v1/files/{file['id']}"

    with client_of(gateway, token("acme", scope="admin:image-gen read:image-gen")) as elsewhere:
        for stranger in (other, elsewhere):
            answers = [stranger.get(file["url"]), stranger.get(about), stranger.delete(about)]
            assert [(answer.status_code, detail(answer)) for answer in answers] == [(404, NOT_FOUND)] * 3
    assert httpx.get(gateway.url + file["url"]).status_code == 401
    assert [admin.get(path).status_code for path in (file["url"], about)] == [200, 200]
    edit = other.post(f"{V1}/edit", json={"image": file["id"], "prompt": "a stranger's"})
    assert (edit.status_code, detail(edit)) == (404, NOT_FOUND)


@pytest.mark.parametrize("file_id", ["550e8400-e29b-41d4-a716-446655440000", f"file_{'0' * 30}-0", "..", "%2e%2e"])
def test_a_file_that_there_is_not_is_not_found(user, file_id):
    assert user.get(f"/api/v1/files/{file_id}/content").status_code == 404


def test_a_part_of_a_picture_is_had_by_range_and_an_unchanged_one_is_304(user):
    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "a part"}))
    whole = user.get(file["url"], params={"attachment": "true"})

    part = user.get(file["url"], headers={"Range": "bytes=8-15"})
    beyond = user.get(file["url"], headers={"Range": "bytes=999999999-"})
    unchanged = user.get(file["url"], headers={"If-None-Match": whole.headers["etag"]})

    assert (part.status_code, part.content) == (206, whole.content[8:16])
    assert part.headers["content-range"] == f"bytes 8-15/{len(whole.content)}"
    assert (beyond.status_code, unchanged.status_code) == (416, 304)
    assert user.head(file["url"]).headers["content-length"] == str(len(whole.content))
    assert "private" in whole.headers["cache-control"]


def test_a_deleted_picture_is_gone_and_its_job_does_not_bring_it_back(user):
    asks = {"json": {"prompt": "to be deleted"}, "headers": {"Idempotency-Key": "deleted"}}
    answer = user.post(f"{V1}/generations", **asks)
    (file,) = made(answer)

    deleted = user.delete(f"/api/v1/files/{file['id']}")

    assert (deleted.status_code, deleted.json()) == (200, {"message": "File deleted successfully"})
    assert user.get(file["url"]).status_code == 404
    assert user.get(f"{V1}/generations/{answer.headers['x-job-id']}").json() == []
    assert made(user.post(f"{V1}/generations", **asks)) == []


def test_of_an_erased_job_no_file_is_left_nor_what_it_was_asked_for_with(gateway):
    with client_of(gateway, token("acme")) as client:
        answer = client.post(f"{V1}/generations", json={"prompt": "nobody shall know", "model": "gpt-image-2"})
        (file,) = made(answer)
        assert gateway.redis_keys_holding("nobody shall know")

        client.delete(f"/api/v1/jobs/{answer.headers['x-job-id']}")

        assert client.get(file["url"]).status_code == 404
        assert gateway.redis_keys_holding("nobody shall know") == []
        assert gateway.redis_keys_holding(file["id"]) == []


def test_a_file_is_forgotten_with_its_picture(user, gateway):
    expiring = {"X-Expires-After": "1h"}
    (file,) = made(user.post(f"{V1}/generations", json={"prompt": "for an hour"}, headers=expiring))
    (lasting,) = made(user.post(f"{V1}/generations", json={"prompt": "for ever"}))

    with redis.Redis.from_url(gateway.environment["REDIS_URL"]) as client:
        left = [client.ttl(Keys("{darkroom}:").record("file", each["id"])) for each in (file, lasting)]

    assert 0 < left[0] <= 3600
    assert left[1] == -1


# A picture is a job.


def test_a_wait_that_ends_first_says_where_the_picture_will_be(shared_simulator):
    settings = {"DARKROOM_WAIT_SECONDS": "1", "WEBUI_SECRET_KEY": WEBUI_SECRET}
    with (
        running_redis() as server,
        running_gateway(server.url, shared_simulator, **settings) as impatient,
        client_of(impatient, session()) as client,
    ):
        late = client.post(f"{V1}/generations", json={"prompt": "late [delay=2]"})
        where = late.headers["location"]
        wait_until(lambda: client.get(where).status_code == 200, what="the picture")

        assert late.status_code == 504
        assert detail(late).startswith("[ERROR: the wait ended before the picture was made; the job goes on (job job_")
        assert len(made(client.get(where))) == 1
    assert len(shared_simulator.bench.calls("late [delay")) == 1


def test_the_same_key_is_the_same_picture(user, shared_simulator):
    asks = {"json": {"prompt": "once by its key"}, "headers": {"Idempotency-Key": "face-4"}}

    first, again = user.post(f"{V1}/generations", **asks), user.post(f"{V1}/generations", **asks)

    assert made(first) == made(again)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(shared_simulator.bench.calls("once by its key")) == 1


def test_who_is_cut_finds_the_picture_by_asking_again(user, gateway, shared_simulator):
    body = {"prompt": "cut [delay=1]"}

    with gateway.asking(f"{V1}/generations", body, credential=session()):
        wait_until(lambda: shared_simulator.bench.calls("cut [delay"), what="the call")
    answer = user.post(f"{V1}/generations", json=body)

    assert (len(made(answer)), answer.headers["x-job-adopted"]) == (1, "true")
    assert len(shared_simulator.bench.calls("cut [delay")) == 1


@BOTH
def test_who_does_not_want_to_wait_looks_for_the_picture_and_sees_its_progress(user, other, configured, prefix):
    configured(IMAGE_GENERATION_ENGINE="comfyui", IMAGE_GENERATION_MODEL="")
    body = {"prompt": f"seen on its way, {prefix} [delay=2]", "steps": 20, "size": "256x256"}

    later = user.post(f"{prefix}/generations", json=body, headers={"Prefer": "respond-async"})
    where = later.headers["location"]
    with user.stream("GET", where, headers={"Accept": "text/event-stream"}) as events:
        told = "".join(events.iter_text())
    found = user.get(where)

    assert (later.status_code, later.json()["url"]) == (202, where)
    assert '"steps":20,"source":"provider"' in told
    assert "event: image.job.succeeded" in told
    assert len(made(found)) == 1
    assert (other.get(where).status_code, detail(other.get(where))) == (404, NOT_FOUND)


def test_who_accepts_events_follows_the_picture_that_it_asks_for(user):
    headers = {"Accept": "text/event-stream"}

    with user.stream("POST", f"{V1}/generations", json={"prompt": "followed"}, headers=headers) as events:
        where, told = events.headers["location"], "".join(events.iter_text())

    assert told.index("event: snapshot") < told.index("event: image.job.succeeded")
    assert len(made(user.get(where))) == 1


def test_a_file_is_found_that_nobody_was_told_of(user):
    later = user.post(f"{V1}/generations", json={"prompt": "untold"}, headers={"Prefer": "respond-async"})
    job = later.headers["x-job-id"]
    url = f"/api/v1/files/{job.replace('job_', 'file_')}-0/content"

    wait_until(lambda: user.get(url).status_code == 200, what="the file")

    assert made(user.get(f"{V1}/generations/{job}"))[0]["url"] == url
