import pytest

from app.faces.openwebui.asked import edit_request, generation_request
from app.faces.openwebui.engines import engine
from app.faces.openwebui.errors import openwebui_error
from app.faces.openwebui.forms import Edit, Generation, file_of
from app.faces.openwebui.images_config import MASK, SECRETS, ImagesConfig, merged, of_kept, shown, to_keep
from app.http.base64_fields import Base64Text
from app.http.problems import Refusal
from jobs.catalog.families import Catalog
from jobs.model.request import Target

CATALOG = Catalog.load()
FOX = Generation(prompt="a fox")
FILE = f"file_{'0' * 30}-1"


@pytest.mark.parametrize(
    ("provider", "model", "size", "steps"),
    [
        ("openai", "gpt-image-2", "512x512", None),
        ("openai", "gpt-image-1.5", None, None),
        ("openai", "dall-e-3", None, None),
        ("gemini", "gemini-3-pro-image", "512x512", None),
        ("comfyui", "x.safetensors", "512x512", 50),
        ("automatic1111", "x.safetensors", "512x512", 50),
    ],
)
def test_size_and_steps_that_nobody_asked_for_go_where_the_model_takes_them(provider, model, size, steps):
    asked = generation_request(FOX, Target(provider, model), ImagesConfig(), CATALOG)

    assert (asked.size, asked.steps) == (size, steps)


def test_what_the_form_asks_goes_on_as_it_is_also_where_the_model_will_refuse_it():
    form = Generation(prompt="a fox", size="1x1", steps=3, n=2, negative_prompt="fog")

    asked = generation_request(form, Target("openai", "dall-e-3"), ImagesConfig(image_steps=9), CATALOG)

    assert (asked.size, asked.steps, asked.n, asked.negative_prompt) == ("1x1", 3, 2, "fog")


def test_no_steps_in_the_configuration_are_the_engines_own():
    asked = generation_request(FOX, Target("comfyui", "x.ckpt"), ImagesConfig(image_steps=0, image_size=""), CATALOG)

    assert (asked.size, asked.steps) == (None, None)


def test_an_edit_has_the_size_and_background_of_edits():
    form = Edit(image=[Base64Text(FILE)], prompt="a fox", background="transparent")
    config = ImagesConfig(image_size="512x512", image_edit_size="1024x1024")

    asked = edit_request(form, Target("openai", "gpt-image-2"), config, CATALOG)

    assert (asked.n, asked.size, asked.background, asked.steps) == (1, "1024x1024", "transparent", None)


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("openai", {"openai": {"quality": "low"}}),
        ("azure-openai", {"azure-openai": {"quality": "low"}}),
        ("automatic1111", {"automatic1111": {"cfg_scale": 4}}),
        ("gemini", {}),
    ],
)
def test_an_administrators_parameters_are_options_of_their_engine(provider, options):
    config = ImagesConfig(images_openai_api_params='{"quality": "low"}', automatic1111_params={"cfg_scale": 4})

    assert generation_request(FOX, Target(provider, "any"), config, CATALOG).options == options


@pytest.mark.parametrize(
    ("method", "providers"),
    [("", ("gemini", "imagen")), ("predict", ("imagen",)), ("generateContent", ("gemini",))],
)
def test_geminis_endpoint_method_says_which_of_googles_it_is(method, providers):
    assert engine(ImagesConfig(images_gemini_endpoint_method=method), "gemini").providers == providers


@pytest.mark.parametrize(
    "text",
    [
        FILE,
        f"/api/v1/files/{FILE}",
        f"/api/v1/files/{FILE}/content",
        f"/api/v1/files/{FILE}/content?attachment=true",
        f"http://webui:8080/api/v1/files/{FILE}/content",
    ],
)
def test_a_file_is_meant_by_its_id_or_any_address_of_it(text):
    assert file_of(Base64Text(text)) == FILE


@pytest.mark.parametrize(
    "text",
    [
        "file_1-0",
        f"{FILE}x",
        f"https://example.com/?/api/v1/files/{FILE}/content",
        f"https://example.com/a/api/v1/files/{FILE}",
        "data:image/png;base64,AAAA",
        "https://example.com/a.png",
    ],
)
def test_anything_else_is_no_file(text):
    assert file_of(Base64Text(text)) is None


def test_the_configuration_is_the_same_after_it_was_kept_and_its_secrets_are_apart():
    config = ImagesConfig(images_openai_api_key="a", comfyui_api_key="b", image_steps=3)

    kept = to_keep(config)

    assert of_kept(kept) == config
    assert set(kept.secrets) == set(SECRETS)
    assert not set(SECRETS) & set(kept.values)


def test_a_masked_secret_stays_and_an_empty_one_goes():
    config = ImagesConfig(images_openai_api_key="a", comfyui_api_key="b")
    sent = {**shown(config), "COMFYUI_API_KEY": ""}

    told = merged(sent, config)

    assert (sent["IMAGES_OPENAI_API_KEY"], told["IMAGES_OPENAI_API_KEY"]) == (MASK, "a")
    assert told["COMFYUI_API_KEY"] == ""
    assert "warnings" not in told


@pytest.mark.parametrize(
    ("code", "details", "status", "text"),
    [
        ("SERVICE_UNAVAILABLE", {"reason": "provider_unconfigured"}, 400, "[ERROR: m]"),
        ("SERVICE_UNAVAILABLE", {"reason": "store_unavailable"}, 503, "[ERROR: m]"),
        ("SYSTEM_ERROR", {"jobId": "job_1"}, 400, "[ERROR: m (job job_1)]"),
        ("SYSTEM_ERROR", {}, 500, "Something went wrong :/"),
        ("TIMEOUT", {"reason": "wait_expired", "jobId": "job_1"}, 504, "[ERROR: m (job job_1)]"),
        ("TIMEOUT", {"reason": "provider_timeout", "jobId": "job_1"}, 400, "[ERROR: m (job job_1)]"),
        ("INVALID_INPUT", {"field": "size"}, 400, "[ERROR: size: m]"),
        ("RATE_LIMITED", {}, 429, "[ERROR: m]"),
        ("METHOD_NOT_ALLOWED", {}, 405, "Method Not Allowed"),
    ],
)
def test_a_refusal_has_open_webuis_status_and_words(code, details, status, text):
    answer = openwebui_error(Refusal(code=code, message="m", reason=details.get("reason"), details=details))

    assert (answer.status_code, answer.content) == (status, b'{"detail":"' + text.encode() + b'"}')
