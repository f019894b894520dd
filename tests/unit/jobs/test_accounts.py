"""What the file of several accounts may say, what an account is then, and what is said of a fault in it."""

import re
from pathlib import Path

import pytest

from jobs.catalog.families import Catalog
from jobs.catalog.opening import catalog_of
from jobs.errors import ConfigurationError
from jobs.model.account import Account
from jobs.providers import PROVIDERS, missing
from jobs.providers.accounts import configured, counted
from jobs.settings import Settings, variables

README = (Path(__file__).parents[3] / "README.md").read_text()
WEST = '[azure-openai.west]\nendpoint = "https://west.example"\napi_key = "w"\n'


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def settings_of(text, **variables_):
    Path("providers.toml").write_text(text)
    return Settings.load({"DARKROOM_PROVIDERS": "providers.toml", **variables_})


def secret(value):
    return value.get_secret_value()


def test_the_example_in_the_readme_is_one(monkeypatch):
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    monkeypatch.setenv("FRANCE_KEY", "f")
    example = example.replace("/run/secrets/", f"{Path.cwd()}/")
    Path("sweden-key").write_text("s\n")

    found = counted(settings_of(example))

    assert found["azure-openai"] == (Account("azure-openai/sweden", 2.0, 20), Account("azure-openai/france", 1.0, None))
    assert [each.name for each in found["comfyui"]] == ["comfyui/tower", "comfyui/rack"]


def test_an_account_has_its_own_place_and_keys_and_the_rest_from_the_variables():
    text = WEST + '[azure-openai.east]\nendpoint = "https://east.example/"\napi_key = "e"\napi_version = "preview"\n'
    told = {"AZURE_OPENAI_API_KEY": "of the variables", "AZURE_OPENAI_IMAGE_API_VERSION": "2025-04-01-preview"}
    west, east = configured(settings_of(text, **told))["azure-openai"]

    assert (west.settings.azure_openai_endpoint, secret(west.settings.azure_openai_api_key)) == (
        "https://west.example",
        "w",
    )
    assert (west.settings.azure_openai_api_version, east.settings.azure_openai_api_version) == (
        "2025-04-01-preview",
        "preview",
    )
    assert east.settings.azure_openai_endpoint == "https://east.example"


def test_a_key_is_sent_to_no_place_that_another_account_names():
    text = '[comfyui.one]\nbase_url = "http://one"\n[openai.own]\napi_key = "o"\n'
    settings = settings_of(text, COMFYUI_API_KEY="of the variables", OPENAI_BASE_URL="http://proxy/v1")

    assert configured(settings)["comfyui"][0].settings.comfyui_api_key is None
    assert configured(settings)["openai"][0].settings.openai_base_url is None


def test_a_provider_that_the_file_does_not_name_is_as_its_variables_say():
    settings = settings_of(WEST, OPENAI_API_KEY="o", DARKROOM_PROVIDER_CONCURRENCY="openai=3,azure-openai=5")

    assert set(configured(settings)) == {"azure-openai", "openai"}
    assert counted(settings)["openai"] == (Account("openai", limit=3),)
    assert counted(settings)["azure-openai"] == (Account("azure-openai/west", limit=5),)
    assert [name for name in PROVIDERS if missing(name, settings) is None] == ["azure-openai", "openai"]


def test_one_account_without_a_limit_is_nothing_that_has_to_be_told():
    assert counted(Settings.load({"OPENAI_API_KEY": "o"})) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[azure-openai", "providers.toml: "),
        ("[azur-openai.west]\n", "[azur-openai]: is no provider; known are azure-openai, "),
        ('[azure-openai]\nendpoint = "https://x"\n', "[azure-openai] endpoint: stands in no account"),
        ("azure-openai = 1\n", "[azure-openai]: has no account"),
        ("[openai]\n", "[openai]: has no account"),
        ('[openai.West]\napi_key = "o"\n', "[openai.West]: must be 1 to 63 of a-z"),
        (WEST + "wieght = 2\n", "[azure-openai.west] wieght: is no key of an account; known are endpoint, api_key, "),
        (WEST + "weight = 0\n", "[azure-openai.west] weight: "),
        (WEST + 'concurrency = "4"\n', "[azure-openai.west] concurrency: "),
        (WEST + "concurrency = 0\n", "[azure-openai.west] concurrency: "),
        ('[azure-openai.west]\napi_key = "w"\n', "[azure-openai.west] endpoint: is missing, e.g. endpoint = "),
        ('[azure-openai.west]\nendpoint = "https://w"\n', "[azure-openai.west] api_key: is missing"),
        ('[comfyui.one]\nbase_url = "one:8188"\n', "[comfyui.one] base_url: must begin with http:// or https://"),
        ('[openai.one]\napi_key_env = "NOT_SET_ANYWHERE"\n', "[openai.one] api_key_env: the variable NOT_SET_ANYWHERE"),
        ('[openai.one]\napi_key_file = "no-such-file"\n', "[openai.one] api_key_file: "),
        ('[comfyui.one]\nbase_url_env = "HOME"\n', "[comfyui.one] base_url_env: is no key of an account"),
    ],
)
def test_a_fault_is_told_in_one_line_with_its_table_and_key(text, words):
    with pytest.raises(ConfigurationError) as caught:
        configured(settings_of(text))

    assert str(caught.value).startswith("DARKROOM_PROVIDERS: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_deployment_has_its_models_row_by_either_name_and_prices_of_ones_own():
    text = WEST + 'deployments = { "gpt-image-1.5" = "draft" }\n'
    told = {
        "DARKROOM_AZURE_OPENAI_DEPLOYMENTS": "gpt-image-2=prod-image",
        "DARKROOM_PRICES": "gpt-image-2=0.05, azure-openai/prod-image:high=0.12, draft:low=0.001",
    }
    catalog = catalog_of(settings_of(text, **told))
    plain = Catalog.load()

    assert catalog.family("azure-openai", "prod-image").sizes == plain.family("azure-openai", "gpt-image-2").sizes
    assert catalog.family("azure-openai", "prod-image").prices == {"default": 0.05, "high": 0.12}
    assert catalog.family("azure-openai", "gpt-image-2").prices == {"default": 0.05}
    assert catalog.family("openai", "gpt-image-2").prices == {"default": 0.05}
    assert catalog.family("azure-openai", "draft").prices["low"] == 0.001
    listed = plain.family("openai", "gpt-image-1.5").prices
    assert catalog.family("azure-openai", "draft").prices["high"] == listed["high"]
    assert catalog.knows("azure-openai", "draft")
    assert not catalog.knows("openai", "draft")


def test_an_identity_stands_for_the_key_and_is_no_other_accounts():
    text = '[azure-openai.own]\nendpoint = "https://own"\nidentity = true\n' + WEST
    own, west = configured(settings_of(text, DARKROOM_AZURE_OPENAI_IDENTITY="1"))["azure-openai"]

    assert (own.settings.azure_openai_identity, west.settings.azure_openai_identity) == (True, False)
    told = {"AZURE_OPENAI_ENDPOINT": "https://x", "DARKROOM_AZURE_OPENAI_IDENTITY": "1"}
    assert missing("azure-openai", Settings.load(told)) is None


@pytest.mark.parametrize("value", ["gpt-image-2", "gpt-image-2=cheap", "gpt-image-2=-1", "a b=1"])
def test_a_price_that_is_none_is_refused(value):
    with pytest.raises(ConfigurationError, match="DARKROOM_PRICES"):
        Settings.load({"DARKROOM_PRICES": value})
