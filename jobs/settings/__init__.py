"""The only place that reads the environment: every setting, its default, and what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import os
import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.errors import ConfigurationError

Secret = SecretStr | None
Names = Annotated[frozenset[str], NoDecode]
Networks = Annotated[tuple[IPv4Network, ...], NoDecode]
Counts = Annotated[dict[str, Annotated[int, Field(ge=1, le=100_000)]], NoDecode]
Routes = Annotated[dict[str, str], NoDecode]
Seconds = Annotated[tuple[Annotated[int, Field(ge=0, le=604_800)], ...], NoDecode]


def _named(*names: str, default: Any = None, about: str, example: str, **bounds: Any) -> Any:
    return Field(
        default=default,
        validation_alias=AliasChoices(*names),
        description=about,
        examples=[example],
        **bounds,
    )


class Settings(BaseSettings):
    """What the process was told. Precedence: overrides > environment > `.env` > defaults."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True)

    redis_url: str = _named(
        "REDIS_URL", default="", about="queue and job store; Redis 6.2 or newer", example="redis://127.0.0.1:6379/0"
    )
    azure_storage_connection_string: Secret = _named(
        "AZURE_STORAGE_CONNECTION_STRING",
        about="blobs in Azure, by connection string",
        example="AccountName=…;AccountKey=…",
    )
    azure_storage_account_url: str | None = _named(
        "AZURE_STORAGE_ACCOUNT_URL",
        about="blobs in Azure, by managed identity",
        example="https://acct.blob.core.windows.net",
    )
    azure_storage_container: str = _named(
        "AZURE_STORAGE_CONTAINER",
        default="files",
        about="container",
        example="files",
        pattern=r"^[a-z0-9][a-z0-9-]{2,62}$",
    )
    azure_storage_public: bool = _named(
        "AZURE_STORAGE_PUBLIC", default=False, about="1: public container, plain links; 0: signed links", example="1"
    )
    public_base_url: str = _named(
        "PUBLIC_BASE_URL", default="", about="base of the links we hand out", example="https://images.example.com"
    )
    jwt_secret: Secret = _named(
        "JWT_SECRET", about="HS256 secret of bearer tokens", example="32 or more random characters"
    )
    jwt_jwks_url: str | None = _named(
        "JWT_JWKS_URL", about="RS256 and ES256 keys of bearer tokens", example="https://login.example.com/jwks.json"
    )
    jwt_issuer: str | None = _named("JWT_ISSUER", about="required `iss`", example="https://login.example.com/")
    jwt_audience: str | None = _named("JWT_AUDIENCE", about="required `aud`", example="darkroom")
    google_api_key: Secret = _named("GOOGLE_API_KEY", "GEMINI_API_KEY", about="Gemini", example="AIza…")
    google_gemini_base_url: str | None = _named(
        "GOOGLE_GEMINI_BASE_URL", about="another Gemini-shaped server", example="http://127.0.0.1:9000"
    )
    azure_openai_endpoint: str | None = _named(
        "AZURE_OPENAI_IMAGE_ENDPOINT",
        "AZURE_OPENAI_ENDPOINT",
        about="Azure OpenAI",
        example="https://acct.openai.azure.com",
    )
    azure_openai_api_key: Secret = _named(
        "AZURE_OPENAI_IMAGE_API_KEY", "AZURE_OPENAI_API_KEY", about="Azure OpenAI's key", example="0123…"
    )
    azure_openai_api_version: str = _named(
        "AZURE_OPENAI_IMAGE_API_VERSION",
        default="2024-02-01",
        about="edits and masks need 2025-04-01-preview or newer",
        example="2025-04-01-preview",
    )
    openai_api_key: Secret = _named("OPENAI_API_KEY", about="OpenAI", example="sk-…")
    openai_base_url: str | None = _named(
        "OPENAI_BASE_URL", about="another OpenAI-shaped server", example="https://api.openai.com/v1"
    )
    image_ref_allowed_hosts: Names = _named(
        "IMAGE_REF_ALLOWED_HOSTS",
        default=frozenset(),
        about="comma-separated hosts from which reference images are fetched, beside our own storage's",
        example="pictures.example.com",
    )
    image_ref_allowed_networks: Networks = _named(
        "IMAGE_REF_ALLOWED_NETWORKS",
        default=(),
        about="comma-separated CIDRs exempt from the refusal of private addresses; plain http only there",
        example="10.1.0.0/16",
    )
    webhook_allowed_networks: Networks = _named(
        "WEBHOOK_ALLOWED_NETWORKS",
        default=(),
        about="the same for webhooks; `darkroom dev` takes loopback",
        example="10.1.0.0/16",
    )
    webhook_schedule: Seconds = _named(
        "DARKROOM_WEBHOOK_SCHEDULE",
        default=(0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
        about="seconds before each attempt of a webhook delivery; after the last it is given up",
        example="0,5,300,1800",
        min_length=1,
    )
    dev_key: Secret = _named("DARKROOM_DEV_KEY", about="accepted only by `darkroom dev`", example="any string")
    wait_seconds: int = _named(
        "DARKROOM_WAIT_SECONDS", default=120, about="longest synchronous wait", example="120", ge=1, le=120
    )
    data_dir: Path = _named(
        "DARKROOM_DATA_DIR", default=Path(".darkroom"), about="embedded queue, blobs, local state", example=".darkroom"
    )
    provider_seconds: int = _named(
        "DARKROOM_PROVIDER_SECONDS",
        default=300,
        about="longest single provider call over plain HTTP",
        example="300",
        ge=1,
        le=86400,
    )
    absorb_seconds: int = _named(
        "DARKROOM_ABSORB_SECONDS", default=60, about="how long a job backs off on 429/503", example="60", ge=0, le=86400
    )
    provider_concurrency: Counts = _named(
        "DARKROOM_PROVIDER_CONCURRENCY",
        default={},
        about="jobs of a provider that run at once, over all workers",
        example="azure-openai=10,gemini=30",
    )
    routes: Routes = _named(
        "DARKROOM_ROUTES",
        default={},
        about="names of our own for models, each with the targets that make its pictures, in the order of preference",
        example="fast=openai/gpt-image-2.5-flare,best=azure-openai/prod-image|openai/gpt-image-2",
    )
    breaker_failures: int = _named(
        "DARKROOM_BREAKER_FAILURES",
        default=20,
        about="bad calls in a row after which a provider gets no jobs for a while",
        example="20",
        ge=1,
    )
    breaker_seconds: int = _named(
        "DARKROOM_BREAKER_SECONDS",
        default=15,
        about="that while, before one job tries again; twice as long each time, at most 300",
        example="15",
        ge=1,
        le=300,
    )
    drain_seconds: int = _named(
        "DARKROOM_DRAIN_SECONDS", default=330, about="a worker's grace on SIGTERM", example="330", ge=0, le=86400
    )
    secret_key: Secret = _named(
        "DARKROOM_SECRET_KEY",
        about="32 bytes in base64: the root of every derived key",
        example="openssl rand -base64 32",
    )
    redis_prefix: str = _named(
        "DARKROOM_REDIS_PREFIX",
        default="{darkroom}:",
        about="every key begins with it",
        example="{darkroom}:",
        min_length=1,
    )
    trust_org_header: bool = _named(
        "DARKROOM_TRUST_ORG_HEADER", default=False, about="a token without an org takes X-Org-ID", example="1"
    )
    adopt_undelivered: bool = _named(
        "DARKROOM_ADOPT_UNDELIVERED",
        default=True,
        about="an equal synchronous call within 10 minutes gets the earlier job's picture when nobody else did",
        example="0",
    )
    picture_days: int | None = _named(
        "DARKROOM_PICTURE_DAYS",
        about="delete pictures after so many days; none keeps them for ever, save those of requests with expiresAfter",
        example="90",
        ge=1,
        le=36_500,
    )
    simulator_delay: float = _named(
        "DARKROOM_SIMULATOR_DELAY",
        default=0.0,
        about="seconds that a simulated provider takes",
        example="2",
        ge=0,
        le=3600,
    )
    worker_slots: int = _named(
        "DARKROOM_WORKER_SLOTS", default=20, about="jobs a worker runs at once", example="20", ge=1, le=500
    )
    lease_seconds: int = _named(
        "DARKROOM_LEASE_SECONDS",
        default=15,
        about="a silent worker loses its jobs after this",
        example="15",
        ge=2,
        le=300,
    )
    models_file: Path | None = _named(
        "DARKROOM_MODELS", about="a table of models that replaces the built-in one", example="models.toml"
    )
    host: str = _named("DARKROOM_HOST", default="127.0.0.1", about="address that the API binds", example="192.0.2.7")
    port: int = _named("DARKROOM_PORT", default=8000, about="port that the API binds", example="8000", ge=0, le=65535)
    log_format: Literal["console", "json"] = _named(
        "DARKROOM_LOG_FORMAT", default="json", about="`console` or `json`", example="json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _named(
        "DARKROOM_LOG_LEVEL", default="info", about="least severe level that is written", example="info"
    )
    header_seconds: float = _named(
        "DARKROOM_HEADER_SECONDS",
        default=10.0,
        about="longest that a request's headers may take to arrive",
        example="10",
        gt=0,
    )
    body_seconds: float = _named(
        "DARKROOM_BODY_SECONDS",
        default=30.0,
        about="longest that a request's body may take to arrive; more for callers with slow uplinks",
        example="30",
        gt=0,
    )
    send_seconds: float = _named(
        "DARKROOM_SEND_SECONDS",
        default=120.0,
        about="longest that a caller may take nothing of an answer that waits for it",
        example="120",
        gt=0,
    )
    most_streams: int = _named(
        "DARKROOM_STREAMS",
        default=1_000,
        about="event streams and sockets that one API process serves; more are 429",
        example="1000",
        ge=1,
    )
    most_waits: int = _named(
        "DARKROOM_WAITS",
        default=2_500,
        about="waits that one API process holds; more are 503",
        example="2500",
        ge=1,
    )
    cors_origins: Names = _named(
        "DARKROOM_CORS_ORIGINS",
        default=frozenset(),
        about="comma-separated origins whose pages may call the API from a browser",
        example="https://studio.example.com",
    )
    dev: bool = _named(
        "DARKROOM_DEV", default=False, about="set by `darkroom dev` for its children, by nobody else", example=""
    )
    simulated: Names = _named(
        "DARKROOM_SIMULATED",
        default=frozenset(),
        about="set by `darkroom dev`: providers that the simulator plays",
        example="",
    )

    @field_validator(
        "simulated",
        "cors_origins",
        "image_ref_allowed_hosts",
        "image_ref_allowed_networks",
        "webhook_allowed_networks",
        "webhook_schedule",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value

    @field_validator("provider_concurrency", mode="before")
    @classmethod
    def _counted(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): count.strip() for name, _, count in pairs}

    @field_validator("routes", mode="before")
    @classmethod
    def _routed(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        routes = {name.strip(): "|".join(target.strip() for target in told.split("|")) for name, _, told in pairs}
        if len(routes) < len(pairs):
            raise ValueError("names the same model twice")
        return routes

    @field_validator("image_ref_allowed_hosts")
    @classmethod
    def _lower(cls, value: frozenset[str]) -> frozenset[str]:
        if any(set(name) & set(":/@ *") for name in value):
            raise ValueError("must be host names alone, without scheme, port or wildcard")
        return frozenset(name.lower() for name in value)

    @field_validator("public_base_url", "google_gemini_base_url", "azure_openai_endpoint", "openai_base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else value

    @field_validator("secret_key")
    @classmethod
    def _root(cls, value: Secret) -> Secret:
        if value is not None and len(_decoded(value)) != _ROOT_BYTES:
            raise ValueError("must be 32 bytes in base64")
        return value

    @classmethod
    def load(cls, overrides: dict[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
        """Read the settings; `overrides` are flags by variable name. Raises `ConfigurationError` in one line."""
        try:
            given = {name: value for name, value in (overrides or {}).items() if value != ""}
            told: dict[str, Any] = {"_env_file": env_file, **_secrets_from_files(), **given}
            return cls(**told)
        except ValidationError as error:
            raise ConfigurationError(_one_line(error)) from None

    def model_post_init(self, _: object) -> None:
        """Fill in what follows from the rest."""
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
        if self.azure_storage_account_url and not (self.azure_storage_connection_string or self.azure_storage_public):
            raise ConfigurationError(
                "AZURE_STORAGE_PUBLIC: links into a private container are signed with the account's key, so set "
                "AZURE_STORAGE_CONNECTION_STRING instead of AZURE_STORAGE_ACCOUNT_URL, or AZURE_STORAGE_PUBLIC=1"
            )
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
        return HKDF(hashes.SHA256(), 32, None, f"darkroom {purpose}".encode()).derive(_decoded(self.secret_key))


_ROOT_BYTES: Final = 32
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def _outward_address() -> list[str]:
    """The address that this machine is reached by from its network; nothing is sent to learn it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: nobody's
        except OSError:
            return []
        return [probe.getsockname()[0]]


def aliases(field: FieldInfo) -> list[str]:
    """The variables that a field is read from, the first first."""
    alias = field.validation_alias
    return [str(a) for a in alias.choices] if isinstance(alias, AliasChoices) else []


def variables() -> dict[str, FieldInfo]:
    """Each setting by the first name of its variable."""
    return {aliases(field)[0]: field for field in Settings.model_fields.values()}


def _decoded(value: SecretStr) -> bytes:
    try:
        return base64.b64decode(value.get_secret_value(), validate=True)
    except binascii.Error:
        return b""


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
