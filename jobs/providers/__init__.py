"""The providers: a table, a line each. An SDK is imported when its provider is opened, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from jobs.identity import Identity
    from jobs.providers.base import Provider
    from jobs.settings import Settings


class Entry(Struct, frozen=True):
    """How a provider is made, and the settings without which it is off, by attribute and variable.

    `keys`: what an account's table may say (`providers/accounts.py`), and which setting each is.
    """

    make: Callable[[Settings], Provider]
    needs: Mapping[str, str]
    keys: Mapping[str, str]

    def missing(self, settings: Settings) -> str | None:
        """The first variable that is not set, or None when the provider is configured."""
        return next((variable for attribute, variable in self.needs.items() if not getattr(settings, attribute)), None)


def _azure_openai(settings: Settings) -> Provider:
    from jobs.providers.openai.azure import AzureOpenAI  # loaded when made

    return AzureOpenAI(
        endpoint=str(settings.azure_openai_endpoint),
        api_key=_text(settings.azure_openai_api_key),
        api_version=settings.azure_openai_api_version,
        identity=_identity() if settings.azure_openai_identity else None,
        deployments=settings.azure_openai_deployments,
    )


def _identity() -> Identity:
    from jobs.identity import identity  # with MSAL it is 20 MB

    return identity()


def _openai(settings: Settings) -> Provider:
    from jobs.providers.openai.openai import OpenAI

    return OpenAI(
        api_key=_text(settings.openai_api_key),
        base_url=settings.openai_base_url,
        organization=settings.openai_organization,
        project=settings.openai_project,
    )


def _gemini(settings: Settings) -> Provider:
    from jobs.providers.google.gemini import Gemini

    return Gemini(**_google(settings))


def _imagen(settings: Settings) -> Provider:
    from jobs.providers.google.imagen import Imagen

    return Imagen(**_google(settings))


def _google(settings: Settings) -> dict[str, Any]:
    """With a key, or else in a project of Vertex AI."""
    from jobs.providers.google.vertex import Vertex, google_tokens

    told = {"api_key": _text(settings.google_api_key), "base_url": settings.google_gemini_base_url}
    if settings.google_api_key or not settings.vertex_project:
        return told
    vertex = Vertex(project=settings.vertex_project, location=settings.vertex_location)
    return {**told, "vertex": vertex, "tokens": google_tokens()}


def _comfyui(settings: Settings) -> Provider:
    from jobs.providers.comfyui.comfyui import ComfyUI

    return ComfyUI(
        base_url=str(settings.comfyui_base_url),
        api_key=_text(settings.comfyui_api_key),
        workflow=settings.comfyui_workflow,
        nodes=settings.comfyui_workflow_nodes,
        workflows=settings.comfyui_workflows,
    )


def _automatic1111(settings: Settings) -> Provider:
    from jobs.providers.automatic1111 import Automatic1111

    return Automatic1111(base_url=str(settings.automatic1111_base_url), auth=_text(settings.automatic1111_api_auth))


_GOOGLE_NEEDS: Final = {"google_credential": "GOOGLE_API_KEY (or GEMINI_API_KEY, or DARKROOM_VERTEX_PROJECT)"}
_GOOGLE_KEYS: Final = {
    "api_key": "google_api_key",
    "base_url": "google_gemini_base_url",
    "project": "vertex_project",
    "location": "vertex_location",
}

PROVIDERS: Final[dict[str, Entry]] = {
    "azure-openai": Entry(
        _azure_openai,
        {
            "azure_openai_endpoint": "AZURE_OPENAI_IMAGE_ENDPOINT (or AZURE_OPENAI_ENDPOINT)",
            "azure_openai_credential": (
                "AZURE_OPENAI_IMAGE_API_KEY (or AZURE_OPENAI_API_KEY, or DARKROOM_AZURE_OPENAI_IDENTITY)"
            ),
        },
        {
            "endpoint": "azure_openai_endpoint",
            "api_key": "azure_openai_api_key",
            "api_version": "azure_openai_api_version",
            "identity": "azure_openai_identity",
            "deployments": "azure_openai_deployments",
        },
    ),
    "openai": Entry(
        _openai,
        {"openai_api_key": "OPENAI_API_KEY"},
        {
            "api_key": "openai_api_key",
            "base_url": "openai_base_url",
            "organization": "openai_organization",
            "project": "openai_project",
        },
    ),
    "gemini": Entry(_gemini, _GOOGLE_NEEDS, _GOOGLE_KEYS),
    "imagen": Entry(_imagen, _GOOGLE_NEEDS, _GOOGLE_KEYS),
    "comfyui": Entry(
        _comfyui,
        {"comfyui_base_url": "COMFYUI_BASE_URL"},
        {
            "base_url": "comfyui_base_url",
            "api_key": "comfyui_api_key",
            "workflow": "comfyui_workflow",
            "workflow_nodes": "comfyui_workflow_nodes",
        },
    ),
    "automatic1111": Entry(
        _automatic1111,
        {"automatic1111_base_url": "AUTOMATIC1111_BASE_URL"},
        {"base_url": "automatic1111_base_url", "api_auth": "automatic1111_api_auth"},
    ),
}


def missing(provider: str, settings: Settings) -> str | None:
    """The first variable without which a provider is off; None: it is configured, by its variables or by accounts."""
    return None if provider in settings.account_tables else PROVIDERS[provider].missing(settings)


def _text(secret: object) -> str:
    return str(secret.get_secret_value()) if hasattr(secret, "get_secret_value") else ""
