"""The settings of who makes pictures."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings

from jobs.settings.fields import BaseUrl, Counts, Hosts, Names, Networks, Pairs, Prices, Routes, Secret, variable


class ProviderSettings(BaseSettings):
    """Who makes pictures, and what we ask of them."""

    google_api_key: Secret = variable("GOOGLE_API_KEY", "GEMINI_API_KEY", about="Gemini and Imagen", example="AIza…")
    google_gemini_base_url: BaseUrl | None = variable(
        "GOOGLE_GEMINI_BASE_URL", about="another Gemini-shaped server", example="http://127.0.0.1:9000"
    )
    vertex_project: str | None = variable(
        "DARKROOM_VERTEX_PROJECT",
        about="without a key of Google's: the project of Vertex AI that is called, with Google's own credentials",
        example="my-project",
        pattern=r"^[a-z][a-z0-9:.-]{2,62}$",
    )
    vertex_location: str = variable(
        "DARKROOM_VERTEX_LOCATION",
        default="global",
        about="its location",
        example="us-central1",
        pattern=r"^[a-z0-9-]{2,40}$",
    )
    azure_openai_endpoint: BaseUrl | None = variable(
        "AZURE_OPENAI_IMAGE_ENDPOINT",
        "AZURE_OPENAI_ENDPOINT",
        about="Azure OpenAI",
        example="https://acct.openai.azure.com",
    )
    azure_openai_api_key: Secret = variable(
        "AZURE_OPENAI_IMAGE_API_KEY", "AZURE_OPENAI_API_KEY", about="Azure OpenAI's key", example="0123…"
    )
    azure_openai_api_version: str = variable(
        "AZURE_OPENAI_IMAGE_API_VERSION",
        default="2024-02-01",
        about="edits and masks need 2025-04-01-preview or newer",
        example="2025-04-01-preview",
    )
    azure_openai_identity: bool = variable(
        "DARKROOM_AZURE_OPENAI_IDENTITY",
        default=False,
        about="1: Azure OpenAI is called with a token of the gateway's own identity, as azure-identity finds it",
        example="1",
    )
    azure_openai_deployments: Pairs = variable(
        "DARKROOM_AZURE_OPENAI_DEPLOYMENTS",
        default={},
        about="models and the deployments of them that are called; either name may be asked for",
        example="gpt-image-2=prod-image",
    )
    openai_api_key: Secret = variable("OPENAI_API_KEY", about="OpenAI", example="sk-…")
    openai_organization: str | None = variable(
        "OPENAI_ORG_ID", about="the organization that OpenAI's calls are billed to", example="org-…"
    )
    openai_project: str | None = variable(
        "OPENAI_PROJECT_ID", about="the project that they are billed to", example="proj_…"
    )
    openai_base_url: BaseUrl | None = variable(
        "OPENAI_BASE_URL", about="another OpenAI-shaped server", example="https://api.openai.com/v1"
    )
    comfyui_base_url: BaseUrl | None = variable(
        "COMFYUI_BASE_URL", about="a ComfyUI server", example="http://127.0.0.1:8188"
    )
    comfyui_api_key: Secret = variable(
        "COMFYUI_API_KEY", about="sent as a bearer token, for a proxy before ComfyUI", example="any string"
    )
    comfyui_workflow: str = variable(
        "COMFYUI_WORKFLOW",
        default="",
        about="a workflow in ComfyUI's API format: its file, or the JSON",
        example="graph.json",
    )
    comfyui_workflow_nodes: str = variable(
        "COMFYUI_WORKFLOW_NODES",
        default="",
        about="where a request's fields go in it, as Open WebUI has it: a file, or the JSON",
        example="nodes.json",
    )
    comfyui_workflows: Path | None = variable(
        "COMFYUI_WORKFLOWS",
        about="a folder of such workflows, each a model of its own: `NAME.json`, and `NAME.nodes.json` beside it",
        example="/etc/darkroom/workflows",
    )
    automatic1111_base_url: BaseUrl | None = variable(
        "AUTOMATIC1111_BASE_URL", about="an Automatic1111 server, begun with `--api`", example="http://127.0.0.1:7860"
    )
    automatic1111_api_auth: Secret = variable(
        "AUTOMATIC1111_API_AUTH", about="user and password, as its `--api-auth`", example="user:password"
    )
    providers_file: Path | None = variable(
        "DARKROOM_PROVIDERS",
        about="a file of several accounts a provider, which stand for its variables",
        example="providers.toml",
    )

    @property
    def google_credential(self) -> object:
        """The key, or the project instead."""
        return self.google_api_key or self.vertex_project

    @property
    def azure_openai_credential(self) -> object:
        """The key, or whether there is an identity instead."""
        return self.azure_openai_api_key or self.azure_openai_identity

    models_file: Path | None = variable(
        "DARKROOM_MODELS", about="a table of models that replaces the built-in one", example="models.toml"
    )
    prices: Prices = variable(
        "DARKROOM_PRICES",
        default={},
        about="US dollars a picture, instead of the table's: `[provider/]model[:quality]=price`",
        example="gpt-image-2=0.05,azure-openai/prod-image:high=0.12",
    )
    routes: Routes = variable(
        "DARKROOM_ROUTES",
        default={},
        about="names of our own for models, each with the targets that make its pictures, in the order of preference",
        example="fast=openai/gpt-image-2.5-flare,best=azure-openai/prod-image|openai/gpt-image-2",
    )
    image_fallback_model: str = variable(
        "DARKROOM_IMAGE_FALLBACK_MODEL",
        default="gemini-2.5-flash-image",
        about="where `/api/image` goes on when its first model is known not to have charged; `none`: nowhere",
        example="none",
    )
    provider_seconds: int = variable(
        "DARKROOM_PROVIDER_SECONDS",
        default=300,
        about="longest single provider call over plain HTTP",
        example="300",
        ge=1,
        le=86400,
    )
    absorb_seconds: int = variable(
        "DARKROOM_ABSORB_SECONDS",
        default=60,
        about="how long a job backs off on 503 and while its provider is out of reach",
        example="60",
        ge=0,
        le=86400,
    )
    provider_concurrency: Counts = variable(
        "DARKROOM_PROVIDER_CONCURRENCY",
        default={},
        about="calls that are open at a provider (at each of its accounts) at once, over all workers",
        example="azure-openai=10,gemini=30",
    )
    breaker_failures: int = variable(
        "DARKROOM_BREAKER_FAILURES",
        default=20,
        about="bad calls in a row after which a provider's account gets no jobs for a while",
        example="20",
        ge=1,
    )
    breaker_seconds: int = variable(
        "DARKROOM_BREAKER_SECONDS",
        default=15,
        about="that while, before one job tries again; twice as long each time, at most 300",
        example="15",
        ge=1,
        le=300,
    )
    simulated: Names = variable(
        "DARKROOM_SIMULATED",
        default=frozenset(),
        about="set by `darkroom dev`: providers that the simulator plays",
        example="",
    )
    simulator_delay: float = variable(
        "DARKROOM_SIMULATOR_DELAY",
        default=0.0,
        about="seconds that a simulated provider takes",
        example="2",
        ge=0,
        le=3600,
    )
    ca_file: Path | None = variable(
        "DARKROOM_CA_FILE",
        about="PEM of certificate authorities that are trusted beside the known ones, as of a proxy that opens TLS",
        example="/etc/ssl/corporate.pem",
    )
    image_ref_allowed_hosts: Hosts = variable(
        "IMAGE_REF_ALLOWED_HOSTS",
        default=frozenset(),
        about="comma-separated hosts from which reference images are fetched, beside our own storage's",
        example="pictures.example.com",
    )
    image_ref_allowed_networks: Networks = variable(
        "IMAGE_REF_ALLOWED_NETWORKS",
        default=(),
        about="comma-separated CIDRs exempt from the refusal of private addresses; plain http only there",
        example="10.1.0.0/16",
    )
