"""The only place that reads the environment: every setting, its default, and what is wrong with it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AliasChoices, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from jobs.errors import ConfigurationError
from jobs.settings.accounts import Tables, read_tables
from jobs.settings.fields import Secret, root_key
from jobs.settings.providers import ProviderSettings
from jobs.settings.sections import (
    AuthSettings,
    BlobSettings,
    HistorySettings,
    OpenWebUISettings,
    RedisSettings,
    ServerSettings,
    SessionSettings,
    WebhookSettings,
    WorkerSettings,
)


class Settings(
    ServerSettings,
    WorkerSettings,
    WebhookSettings,
    ProviderSettings,
    HistorySettings,
    OpenWebUISettings,
    SessionSettings,
    AuthSettings,
    BlobSettings,
    RedisSettings,
):
    """What the process was told. Precedence: overrides > environment > `.env` > defaults.

    pydantic lists the fields of the last base first: the table of the settings begins with Redis.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True)

    @classmethod
    def load(cls, overrides: dict[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
        """Read the settings; `overrides` are flags by variable name. Raises `ConfigurationError` in one line."""
        try:
            given = {name: value for name, value in (overrides or {}).items() if value != ""}
            told: dict[str, Any] = {"_env_file": env_file, **_secrets_from_files(), **given}
            return cls(**told)
        except ValidationError as error:
            raise ConfigurationError(_one_line(error)) from None

    _account_tables: Tables = PrivateAttr(default_factory=dict)

    @property
    def account_tables(self) -> Tables:
        """What the file of `DARKROOM_PROVIDERS` says of accounts (`jobs.providers.accounts`)."""
        return self._account_tables

    def model_post_init(self, _: object) -> None:
        """Fill in what follows from the rest. Raises `ConfigurationError` where that is a file with faults."""
        if self.providers_file is not None:
            self._account_tables = read_tables(self.providers_file)
        if not self.public_base_url:
            host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104  # a comparison
            object.__setattr__(self, "public_base_url", f"http://{host}:{self.port}")

    def require_production(self) -> None:
        """Refuse to start without the secrets that production needs, naming each. Raises `ConfigurationError`."""
        missing = [
            name
            for name, there in {
                "REDIS_URL": self.redis_url,
                "DARKROOM_SECRET_KEY": self.secret_key,
                "JWT_SECRET or JWT_JWKS_URL": self.dev or self.jwt_secret or self.jwt_jwks_url,
                "AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_URL": self.dev
                or self.azure_storage_connection_string
                or self.azure_storage_account_url,
            }.items()
            if not there
        ]
        if missing:
            raise ConfigurationError(f"missing: {'; '.join(missing)} (`darkroom dev` needs none of them)")
        told = self.azure_storage_connection_string
        if told and "accountkey=" not in told.get_secret_value().lower() and not self.azure_storage_public:
            raise ConfigurationError(
                "AZURE_STORAGE_PUBLIC: links into a private container are signed with the account's key, so name that "
                "in AZURE_STORAGE_CONNECTION_STRING, or set AZURE_STORAGE_ACCOUNT_URL, or AZURE_STORAGE_PUBLIC=1"
            )
        if self.webui_secret_key and self.webui_secret_key == self.jwt_secret:
            raise ConfigurationError("WEBUI_SECRET_KEY: must differ from JWT_SECRET: its tokens open other doors")
        if self.dev and self.host not in {"127.0.0.1", "localhost", "::1"}:
            raise ConfigurationError("DARKROOM_HOST: `darkroom dev` binds loopback only, e.g. 127.0.0.1")

    def own_bases(self) -> tuple[str, ...]:
        """Bases of the URLs under which this server is reached: `PUBLIC_BASE_URL`, and what it listens on."""
        hosts = [self.host]
        if self.host in {"0.0.0.0", "::"}:  # noqa: S104  # a comparison
            hosts = [*_LOOPBACK, *_outward_address()]
        elif self.host in _LOOPBACK:
            hosts = list(_LOOPBACK)
        return tuple(dict.fromkeys([self.public_base_url, *(f"http://{host}:{self.port}" for host in hosts)]))

    def derived_key(self, purpose: str) -> bytes:
        """32 bytes for one purpose, by HKDF-SHA256 (RFC 5869) from the root secret."""
        if self.secret_key is None:
            raise ConfigurationError("DARKROOM_SECRET_KEY: not set, e.g. `openssl rand -base64 32`")
        return HKDF(hashes.SHA256(), 32, None, f"darkroom {purpose}".encode()).derive(root_key(self.secret_key))


def aliases(field: FieldInfo) -> list[str]:
    """The variables that a field is read from, the first first."""
    alias = field.validation_alias
    return [str(a) for a in alias.choices] if isinstance(alias, AliasChoices) else []


def variables() -> dict[str, FieldInfo]:
    """Each setting by the first name of its variable."""
    return {aliases(field)[0]: field for field in Settings.model_fields.values()}


_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def _outward_address() -> list[str]:
    """The address that this machine is reached by from its network; nothing is sent to learn it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: nobody's
        except OSError:
            return []
        return [probe.getsockname()[0]]


def _secrets_from_files() -> dict[str, str]:
    """`NAME_FILE` twins: the variable's value is the file's content."""
    found: dict[str, str] = {}
    for field in Settings.model_fields.values():
        if field.annotation != Secret:
            continue
        for name in aliases(field):
            path = os.environ.get(f"{name}_FILE")
            if path and not os.environ.get(name):
                try:
                    found[name] = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error.strerror}") from None
    return found


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    field = Settings.model_fields.get(name) or variables().get(name)
    variable = aliases(field)[0] if field else name
    example = f", e.g. {field.examples[0]}" if field and field.examples and field.examples[0] else ""
    return f"{variable}: {first['msg'].removeprefix('Value error, ')}{example}"
