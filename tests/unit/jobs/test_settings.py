"""Where settings come from, and what is said of a wrong one."""

import pytest

from jobs.errors import ConfigurationError
from jobs.settings import Settings, variables
from jobs.settings.table import shown, table


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_flags_go_before_the_environment_before_the_file_before_the_default(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("DARKROOM_WAIT_SECONDS=10\nDARKROOM_ABSORB_SECONDS=11\nDARKROOM_LEASE_SECONDS=12\n")
    monkeypatch.setenv("DARKROOM_WAIT_SECONDS", "20")
    monkeypatch.setenv("DARKROOM_ABSORB_SECONDS", "21")

    settings = Settings.load({"DARKROOM_WAIT_SECONDS": "30"})

    assert (settings.wait_seconds, settings.absorb_seconds, settings.lease_seconds) == (30, 21, 12)
    assert settings.worker_slots == 20


def test_a_secret_may_be_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))

    assert Settings.load().openai_api_key.get_secret_value() == "from-a-file"


def test_the_older_name_of_a_variable_serves_where_the_newer_is_not_set(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://old.example")
    monkeypatch.setenv("GEMINI_API_KEY", "g")

    settings = Settings.load()

    assert settings.azure_openai_endpoint == "https://old.example"
    assert settings.google_api_key.get_secret_value() == "g"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARKROOM_WAIT_SECONDS", "soon"),
        ("DARKROOM_WAIT_SECONDS", "500"),
        ("DARKROOM_SECRET_KEY", "short"),
        ("PUBLIC_BASE_URL", "images.example.com"),
        ("DARKROOM_LOG_FORMAT", "xml"),
        ("AZURE_STORAGE_CONTAINER", "Not A Container"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_variable_and_an_example(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as refused:
        Settings.load()

    said = str(refused.value)
    assert said.startswith(f"{name}: ")
    assert "e.g. " in said
    assert "\n" not in said


def test_production_names_every_secret_that_is_missing():
    with pytest.raises(ConfigurationError) as refused:
        Settings.load().require_production()

    for name in ("REDIS_URL", "DARKROOM_SECRET_KEY", "JWT_SECRET", "AZURE_STORAGE_CONNECTION_STRING"):
        assert name in str(refused.value)


def test_signed_links_without_the_key_that_signs_them_are_refused_before_a_picture_is_paid_for(monkeypatch):
    for name, value in {
        "REDIS_URL": "redis://127.0.0.1",
        "DARKROOM_SECRET_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "JWT_SECRET": "a secret",
        "AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://acct.blob.core.windows.net;SharedAccessSignature=sv=1",
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match="AZURE_STORAGE_PUBLIC"):
        Settings.load().require_production()
    monkeypatch.setenv("AZURE_STORAGE_PUBLIC", "1")
    Settings.load().require_production()


def test_secrets_are_never_shown(monkeypatch):
    monkeypatch.setenv("JWT_SECRET", "canary")

    settings = Settings.load()

    assert shown(settings)["JWT_SECRET"] == "********"
    assert "canary" not in repr(settings) + str(shown(settings))


def test_the_table_has_every_setting():
    rows = table()

    assert all(f"`{name}`" in rows for name in variables())
