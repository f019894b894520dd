"""OpenAI's Responses with its own client: the tool's options, every kind of input, background, and refusals."""

import base64
import contextlib
import hashlib
import json

import openai
import pytest

from tests.acceptance.conftest import AGENTS, MUG
from tests.acceptance.test_edits import b64, png
from tests.neighbours import wait_until
from tests.neighbours.gateway import token

DEPLOYMENT = {"x-ms-oai-image-generation-deployment": "gpt-image-2"}
TOOL = {"type": "image_generation", "size": "1024x1024", "quality": "low"}
PICTURE = png((256, 256))
MASK = png((256, 256), hole=(64, 64, 192, 192))


@contextlib.contextmanager
def client(gateway, org="acme", path="/v1"):
    url = f"{gateway.url}{path}"
    with openai.OpenAI(base_url=url, api_key=token(org), max_retries=0, default_headers=DEPLOYMENT) as found:
        yield found


@pytest.fixture(scope="module")
def asking(gateway):
    with client(gateway) as found:
        yield found


def ask(asking, text, *, tool=TOOL, **fields):
    fields = {"model": "gpt-4.1-mini", "input": text, "tools": [tool], **fields}
    return asking.responses.create(**fields)


def message(*content, text):
    return [{"role": "user", "content": [{"type": "input_text", "text": text}, *content]}]


def digest(response):
    (call,) = [item for item in response.output if item.type == "image_generation_call"]
    return hashlib.sha256(base64.b64decode(call.result, validate=True)).hexdigest()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def call_of(simulator, text):
    (call,) = simulator.bench.calls(text)
    return call


def ended(asking, response):
    wait_until(lambda: asking.responses.retrieve(response.id).status not in {"queued", "in_progress"}, what="its end")
    return asking.responses.retrieve(response.id)


@pytest.mark.parametrize("path", ["/v1", "/openai/v1", "/api/projects/p/openai/v1", "/api/projects/p/openai"])
def test_a_picture_comes_as_a_call_of_the_tool_with_a_message_and_its_usage(gateway, shared_simulator, path):
    with client(gateway, path=path) as asking:
        made = ask(asking, f"responses: a fox at {path}.", metadata={"k": "v"}, temperature=0.5)
        found = asking.responses.retrieve(made.id)

    call = call_of(shared_simulator, f"a fox at {path}.")
    assert [item.type for item in made.output] == ["image_generation_call", "message"]
    assert digest(made) == digest(found) == call["pictures"][0]
    assert (made.status, made.model, made.metadata) == ("completed", "gpt-4.1-mini", {"k": "v"})
    assert made.output[0].status == "completed"
    assert "no text model" in made.output_text
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    assert [w["field"] for w in made.warnings if w["code"] == "ignored_option"] == ["temperature"]
    assert found.model_dump() == made.model_dump()


def test_every_option_of_the_tool_reaches_the_provider(asking, shared_simulator):
    told = {
        "size": "1536x1024",
        "quality": "medium",
        "background": "opaque",
        "format": "WebP",
        "compression": 70,
        "moderation": "low",
    }
    made = ask(asking, "responses: options", tool={"type": "image_generation", "model": "gpt-image-1", **told})

    call = call_of(shared_simulator, "responses: options")
    wanted = {"size": "1536x1024", "quality": "medium", "background": "opaque", "moderation": "low"}
    assert call["model"] == "gpt-image-1"
    assert {name: str(call["fields"].get(name)) for name in wanted} == wanted
    assert made.output[0].output_format == "webp"
    assert base64.b64decode(made.output[0].result)[8:12] == b"WEBP"
    assert made.output[0].size == "1536x1024"


def test_pictures_come_by_data_url_by_file_and_by_our_own_address(asking, gateway, shared_simulator):
    with gateway.client() as caller:
        own = caller.post(AGENTS, json={**MUG, "prompt": "responses: the first"}).json()["data"]["url"]
    uploaded = asking.files.create(file=("a.png", PICTURE, "image/png"), purpose="vision")
    other = png((128, 128), (1, 2, 3, 255))
    pictures = [
        {"type": "input_image", "image_url": f"data:image/png;base64,{b64(other)}", "detail": "auto"},
        {"type": "input_image", "file_id": uploaded.id, "detail": "auto"},
        {"type": "input_image", "image_url": own, "detail": "auto"},
    ]

    made = ask(
        asking,
        message(*pictures, text="responses: three pictures"),
        tool={**TOOL, "input_fidelity": "high", "model": "gpt-image-1"},
    )

    call = call_of(shared_simulator, "responses: three pictures")
    assert call["inputs"][:2] == [sha(other), sha(PICTURE)]
    assert len(call["inputs"]) == 3
    assert call["fields"]["input_fidelity"] == "high"
    assert made.output[0].action == "edit"


@pytest.mark.parametrize("by", ["file_id", "image_url"])
def test_a_mask_comes_by_file_or_by_data_url(asking, shared_simulator, by):
    if by == "file_id":
        mask = {"file_id": asking.files.create(file=("m.png", MASK, "image/png"), purpose="vision").id}
    else:
        mask = {"image_url": f"data:image/png;base64,{b64(MASK)}"}
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{b64(PICTURE)}", "detail": "auto"}
    tool = {"type": "image_generation", "size": "auto", "input_image_mask": mask}

    ask(asking, message(picture, text=f"responses: masked by {by}"), tool=tool)

    assert call_of(shared_simulator, f"masked by {by}")["mask"] is not None


def test_an_earlier_response_or_call_is_what_is_edited(asking, shared_simulator):
    first = ask(asking, "responses: a cat")
    call = {"type": "image_generation_call", "id": first.output[0].id}

    ask(asking, "responses: now grey", previous_response_id=first.id)
    ask(asking, [*message(text="responses: now black"), call])
    history = [*message(text="responses: a cat"), *(item.model_dump(exclude_none=True) for item in first.output)]
    ask(asking, [*history, *message(text="responses: now white")])
    ask(asking, "responses: another cat", previous_response_id=first.id, tool={**TOOL, "action": "generate"})

    inputs = {text: call_of(shared_simulator, text)["inputs"] for text in ("now grey", "now black", "now white")}
    assert [len(found) for found in inputs.values()] == [1, 1, 1]
    assert len(set(map(tuple, inputs.values()))) == 1
    assert call_of(shared_simulator, "now white")["prompt"] == "responses: now white"
    assert call_of(shared_simulator, "another cat")["inputs"] == []


def test_a_call_of_another_server_is_taken_by_its_result(asking, shared_simulator):
    call = {"type": "image_generation_call", "id": "ig_123", "status": "completed", "result": b64(PICTURE)}

    ask(asking, [*message(text="responses: from elsewhere"), call])

    assert call_of(shared_simulator, "from elsewhere")["inputs"] == [sha(PICTURE)]


def test_a_response_in_the_background_is_read_until_it_is_there(asking, shared_simulator):
    begun = ask(asking, "responses: in the background [delay=1]", background=True)
    found = ended(asking, begun)

    assert begun.status == "queued"
    assert begun.background is True
    assert begun.output == []
    assert found.status == "completed"
    assert digest(found) == call_of(shared_simulator, "in the background")["pictures"][0]
    assert found.completed_at >= found.created_at
    (item,) = asking.responses.input_items.list(begun.id)
    assert item.content[0].text == "responses: in the background [delay=1]"


def test_a_response_in_the_background_is_cancelled_and_another_is_not(asking):
    begun = ask(asking, "responses: cancelled [delay=5]", background=True)
    waited = ask(asking, "responses: waited for")

    cancelled = asking.responses.cancel(begun.id)

    assert cancelled.status in {"cancelled", "in_progress"}
    assert ended(asking, begun).status == "cancelled"
    assert asking.responses.cancel(begun.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        asking.responses.cancel(waited.id)


def test_a_deleted_response_is_gone_with_its_picture(asking):
    made = ask(asking, "responses: deleted")

    asking.responses.delete(made.id)

    with pytest.raises(openai.NotFoundError):
        asking.responses.retrieve(made.id)
    with pytest.raises(openai.APIStatusError):
        ask(asking, "responses: on what was deleted", previous_response_id=made.id)


def test_what_is_not_stored_cannot_be_read_again(asking):
    made = ask(asking, "responses: not stored", store=False)

    assert made.status == "completed"
    with pytest.raises(openai.NotFoundError):
        asking.responses.retrieve(made.id)


def test_the_same_key_gives_the_same_response_and_one_call(asking, shared_simulator):
    key = {"Idempotency-Key": "responses-1"}

    made = [ask(asking, "responses: keyed", extra_headers=key) for _ in range(2)]

    assert made[0].id == made[1].id
    assert len(shared_simulator.bench.calls("responses: keyed")) == 1


def test_the_documented_calls_of_an_agent_work_as_printed(gateway, shared_simulator):
    with gateway.client("printers") as caller:
        definition = {
            "kind": "prompt",
            "model": "gpt-4.1-mini",
            "tools": [{"type": "image_generation"}],
            "instructions": "Paint in oil.",
        }
        agent = caller.post("/api/projects/p/agents/Artist/versions", json={"definition": definition}).json()
        body = {
            "agent": {"type": "agent_reference", "name": agent["name"], "version": agent["version"]},
            "metadata": {"test_response": "image_generation_enabled", "test_scenario": "basic_imagegen"},
            "input": [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Please generate small image of a sunset."}],
                }
            ],
            "background": True,
            "stream": False,
        }
        headers = {"Content-Type": "applicat ion/json", "x-ms-oai-image-generation-deployment": "gpt-image-1"}
        path = "/api/projects/p/openai/responses"
        answer = caller.post(f"{path}?api-version=2025-11-15-preview", content=json.dumps(body), headers=headers)
        assert answer.status_code == 200, answer.text
        own = f"{path}/{answer.json()['id']}"
        wait_until(lambda: caller.get(own).json()["status"] == "completed", what="the picture")
        found = caller.get(own).json()

    call = call_of(shared_simulator, "small image of a sunset")
    assert call["model"] == "gpt-image-1"
    assert call["prompt"] == "Paint in oil.\n\nPlease generate small image of a sunset."
    assert found["agent_reference"] == {"type": "agent_reference", "name": "Artist", "version": "1"}
    assert found["metadata"] == body["metadata"]
    assert found["instructions"] == "Paint in oil."


def test_a_refusal_of_the_content_is_a_failed_response_and_its_calls_error(asking):
    made = ask(asking, "responses: unfit [refuse]")
    begun = ask(asking, "responses: unfit, too [refuse]", background=True)

    for found in (made, ended(asking, begun)):
        assert (found.status, found.error.code) == ("failed", "image_content_policy_violation")
        (call,) = found.output
        assert (call.status, call.result, call.error.code) == ("failed", None, "moderation_blocked")


def test_a_failure_of_the_provider_is_an_error_or_a_failed_response_in_the_background(asking):
    with pytest.raises(openai.APIStatusError) as refused:
        ask(asking, "responses: broken [500]")
    found = ended(asking, ask(asking, "responses: broken, too [500]", background=True))

    assert refused.value.status_code in {424, 500, 503}
    assert (found.status, found.error.code) == ("failed", "server_error")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": []}, "tools"),
        ({"tools": [{**TOOL, "qualty": "low"}]}, "tools[0].qualty"),
        ({"tools": [{**TOOL, "partial_images": 4}]}, "tools[0].partial_images"),
        ({"tools": [{**TOOL, "action": "edit"}]}, "tools[0].action"),
        ({"tools": [{**TOOL, "quality": "best"}]}, "quality"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"background": True, "store": False}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": ""}, "input"),
        ({"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "input[0].id"),
        ({"extra_headers": {"x-ms-oai-image-generation-deployment": ""}}, "tools[0].model"),
        ({"extra_body": {"imput": "x"}}, "imput"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_what_cannot_be_done_is_refused_by_its_field_and_never_dropped(asking, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        asking.responses.create(**{"model": "gpt-4.1-mini", "input": "responses: refused", "tools": [TOOL], **fields})

    assert refused.value.param == param


def test_another_orgs_response_call_and_agent_are_not_there(asking, gateway):
    made = ask(asking, "responses: ours")

    with client(gateway, "strangers") as stranger:
        for refused in (
            lambda: stranger.responses.retrieve(made.id),
            lambda: stranger.responses.delete(made.id),
            lambda: ask(stranger, "responses: theirs", previous_response_id=made.id),
            lambda: ask(stranger, "responses: theirs", extra_body={"agent": {"name": "Artist"}}),
        ):
            with pytest.raises(openai.NotFoundError):
                refused()
        with pytest.raises(openai.BadRequestError):
            ask(stranger, [*message(text="x"), {"type": "image_generation_call", "id": made.output[0].id}])
