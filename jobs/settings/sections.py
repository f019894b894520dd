"""Every setting with its variable, its default and its bounds, by what it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings

from jobs.settings.fields import BaseUrl, Names, Networks, RootKey, Seconds, Secret, variable


class RedisSettings(BaseSettings):
    """The queue and the job store."""

    redis_url: str = variable(
        "REDIS_URL", default="", about="queue and job store; Redis 6.2 or newer", example="redis://127.0.0.1:6379/0"
    )
    redis_prefix: str = variable(
        "DARKROOM_REDIS_PREFIX", default="{darkroom}:", about="every key begins with it", example="a:", min_length=1
    )
    intent_replicas: int = variable(
        "DARKROOM_INTENT_REPLICAS",
        default=0,
        about="replicas of Redis that know of a paid call before it is made; with fewer of them jobs wait, uncalled",
        example="1",
        ge=0,
        le=100,
    )


class BlobSettings(BaseSettings):
    """Where pictures are kept, and for how long."""

    azure_storage_connection_string: Secret = variable(
        "AZURE_STORAGE_CONNECTION_STRING",
        about="blobs in Azure, by connection string",
        example="AccountName=…;AccountKey=…",
    )
    azure_storage_account_url: str | None = variable(
        "AZURE_STORAGE_ACCOUNT_URL",
        about="blobs in Azure, by the gateway's own identity (as azure-identity finds it), which also signs links",
        example="https://acct.blob.core.windows.net",
    )
    azure_storage_container: str = variable(
        "AZURE_STORAGE_CONTAINER",
        default="files",
        about="container",
        example="files",
        pattern=r"^[a-z0-9][a-z0-9-]{2,62}$",
    )
    azure_storage_public: bool = variable(
        "AZURE_STORAGE_PUBLIC", default=False, about="1: public container, plain links; 0: signed links", example="1"
    )
    link_base_url: BaseUrl | None = variable(
        "DARKROOM_LINK_BASE_URL",
        about="stands in links to pictures for the container's own URL: a content network before it",
        example="https://pictures.example.com/files",
    )
    link_seconds: int = variable(
        "DARKROOM_LINK_SECONDS",
        default=604_800,
        about="how long a signed link opens, a week at most",
        example="86400",
        ge=60,
        le=604_800,
    )
    data_dir: Path = variable(
        "DARKROOM_DATA_DIR", default=Path(".darkroom"), about="embedded queue, blobs, local state", example=".darkroom"
    )
    picture_days: int | None = variable(
        "DARKROOM_PICTURE_DAYS",
        about="delete pictures after so many days; none keeps them for ever, save those of requests with expiresAfter",
        example="90",
        ge=1,
        le=36_500,
    )


class AuthSettings(BaseSettings):
    """Who may ask, and the root of our own keys."""

    secret_key: RootKey = variable(
        "DARKROOM_SECRET_KEY",
        about="32 bytes in base64: the root of every derived key",
        example="openssl rand -base64 32",
    )
    jwt_secret: Secret = variable(
        "JWT_SECRET", about="HS256 secret of bearer tokens", example="32 or more random characters"
    )
    jwt_jwks_url: str | None = variable(
        "JWT_JWKS_URL", about="RS256 and ES256 keys of bearer tokens", example="https://login.example.com/jwks.json"
    )
    jwt_issuer: str | None = variable("JWT_ISSUER", about="required `iss`", example="https://login.example.com/")
    jwt_audience: str | None = variable("JWT_AUDIENCE", about="required `aud`", example="darkroom")
    trust_org_header: bool = variable(
        "DARKROOM_TRUST_ORG_HEADER", default=False, about="a token without an org takes X-Org-ID", example="1"
    )
    dev_key: Secret = variable("DARKROOM_DEV_KEY", about="accepted only by `darkroom dev`", example="any string")


class OpenWebUISettings(BaseSettings):
    """An Open WebUI whose users ask here, and their org."""

    webui_secret_key: Secret = variable(
        "WEBUI_SECRET_KEY",
        about="Open WebUI's own variable: its users' tokens are known under `/api/v1/images`, and nowhere else",
        example="that of your Open WebUI",
    )
    openwebui_org: str = variable(
        "DARKROOM_OPENWEBUI_ORG",
        default="openwebui",
        about="org of Open WebUI's users",
        example="openwebui",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
    )
    user_image_generation: bool = variable(
        "USER_PERMISSIONS_FEATURES_IMAGE_GENERATION",
        default=True,
        about="Open WebUI's own variable: whether users whose token does not say may make pictures",
        example="0",
    )


class SessionSettings(BaseSettings):
    """A front end with NextAuth 4 or Auth.js 5, whose users ask with its session cookies."""

    nextauth_url: BaseUrl | None = variable(
        "NEXTAUTH_URL",
        "AUTH_URL",
        about="the front end: its pages may ask with a session's cookie; sessions in its database are looked up there",
        example="https://app.example.com",
    )
    nextauth_secret: Secret = variable(
        "NEXTAUTH_SECRET", about="the front end's own variable: opens its session cookies", example="that of NextAuth 4"
    )
    auth_secret: Secret = variable("AUTH_SECRET", about="the same of Auth.js 5", example="that of Auth.js")
    auth_secret_1: Secret = variable(
        "AUTH_SECRET_1", about="a further secret while they change, as Auth.js has it", example="the next secret"
    )
    auth_secret_2: Secret = variable("AUTH_SECRET_2", about="one more", example="the next secret but one")
    auth_secret_3: Secret = variable("AUTH_SECRET_3", about="one more", example="the last secret")

    @property
    def session_secrets(self) -> tuple[str, ...]:
        """Every secret that opens session cookies."""
        named = (self.auth_secret_3, self.auth_secret_2, self.auth_secret_1, self.auth_secret, self.nextauth_secret)
        return tuple(secret.get_secret_value() for secret in named if secret is not None)


class HistorySettings(BaseSettings):
    """Where the history of `/api/image` is kept."""

    cosmos_endpoint: BaseUrl | None = variable(
        "COSMOS_ENDPOINT",
        about="history of `/api/image` in Azure Cosmos DB; without it and its key in Redis",
        example="https://acct.documents.azure.com",
    )
    cosmos_key: Secret = variable("COSMOS_KEY", about="Cosmos DB's key", example="AbC0…==")
    cosmos_database: str = variable("COSMOS_DATABASE", default="catafract", about="its database", example="catafract")
    cosmos_container: str = variable(
        "COSMOS_CONTAINER",
        default="generations",
        about="its container, whose partition key is `/userId`",
        example="generations",
    )


class WebhookSettings(BaseSettings):
    """Where webhooks may go, and how often each is tried."""

    webhook_allowed_networks: Networks = variable(
        "WEBHOOK_ALLOWED_NETWORKS",
        default=(),
        about="the same for webhooks; `darkroom dev` takes loopback",
        example="10.1.0.0/16",
    )
    webhook_schedule: Seconds = variable(
        "DARKROOM_WEBHOOK_SCHEDULE",
        default=(0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
        about="seconds before each attempt of a webhook delivery; after the last it is given up",
        example="0,5,300,1800",
        min_length=1,
    )


class WorkerSettings(BaseSettings):
    """How a worker runs jobs."""

    worker_slots: int = variable(
        "DARKROOM_WORKER_SLOTS", default=20, about="jobs a worker runs at once", example="20", ge=1, le=500
    )
    lease_seconds: int = variable(
        "DARKROOM_LEASE_SECONDS",
        default=15,
        about="a silent worker loses its jobs after this",
        example="15",
        ge=2,
        le=300,
    )
    drain_seconds: int = variable(
        "DARKROOM_DRAIN_SECONDS", default=330, about="a worker's grace on SIGTERM", example="330", ge=0, le=86400
    )


class ServerSettings(BaseSettings):
    """The API's socket, what it holds open, and the log."""

    host: str = variable("DARKROOM_HOST", default="127.0.0.1", about="address that the API binds", example="192.0.2.7")
    port: int = variable("DARKROOM_PORT", default=8000, about="port that the API binds", example="8000", ge=0, le=65535)
    public_base_url: BaseUrl = variable(
        "PUBLIC_BASE_URL", default="", about="base of the links we hand out", example="https://images.example.com"
    )
    wait_seconds: int = variable(
        "DARKROOM_WAIT_SECONDS", default=120, about="longest synchronous wait", example="120", ge=1, le=120
    )
    adopt_undelivered: bool = variable(
        "DARKROOM_ADOPT_UNDELIVERED",
        default=True,
        about="an equal synchronous call within 10 minutes gets the earlier job's picture when nobody else did",
        example="0",
    )
    header_seconds: float = variable(
        "DARKROOM_HEADER_SECONDS",
        default=10.0,
        about="longest that a request's headers may take to arrive",
        example="10",
        gt=0,
    )
    body_seconds: float = variable(
        "DARKROOM_BODY_SECONDS",
        default=30.0,
        about="longest that a request's body may take to arrive; more for callers with slow uplinks",
        example="30",
        gt=0,
    )
    send_seconds: float = variable(
        "DARKROOM_SEND_SECONDS",
        default=120.0,
        about="longest that a caller may take nothing of an answer that waits for it",
        example="120",
        gt=0,
    )
    max_streams: int = variable(
        "DARKROOM_STREAMS",
        default=1_000,
        about="event streams and sockets of an API process, at most a quarter of them a caller's; more are 429",
        example="1000",
        ge=1,
    )
    max_waits: int = variable(
        "DARKROOM_WAITS",
        default=2_500,
        about="waits of an API process, at most a quarter of them a caller's; more are 503",
        example="2500",
        ge=1,
    )
    cors_origins: Names = variable(
        "DARKROOM_CORS_ORIGINS",
        default=frozenset(),
        about="comma-separated origins whose pages may call the API from a browser",
        example="https://studio.example.com",
    )
    log_format: Literal["console", "json"] = variable(
        "DARKROOM_LOG_FORMAT", default="json", about="`console` or `json`", example="json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = variable(
        "DARKROOM_LOG_LEVEL", default="info", about="least severe level that is written", example="info"
    )
    dev: bool = variable(
        "DARKROOM_DEV", default=False, about="set by `darkroom dev` for its children, by nobody else", example=""
    )
