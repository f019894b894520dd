"""How a setting is declared, and the kinds of values that a variable can hold."""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode


def variable(*names: str, default: Any = None, about: str, example: str, **bounds: Any) -> Any:
    """A field that is read from the first of these environment variables that is set."""
    return Field(
        default=default,
        validation_alias=AliasChoices(*names),
        description=about,
        examples=[example],
        **bounds,
    )


def root_key(value: SecretStr) -> bytes:
    """The bytes of `DARKROOM_SECRET_KEY`; none where it is not base64."""
    try:
        return base64.b64decode(value.get_secret_value(), validate=True)
    except binascii.Error:
        return b""


def _split(value: object) -> object:
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


def _split_counts(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): count.strip() for name, _, count in pairs}


def _split_prices(value: object) -> object:
    told = _split_counts(value)
    if isinstance(told, dict) and not all(_PRICED.fullmatch(name) for name in told):
        raise ValueError("must be [provider/]model[:quality]=price, comma-separated")
    return told


def _split_routes(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    routes = {name.strip(): "|".join(target.strip() for target in told.split("|")) for name, _, told in pairs}
    if len(routes) < len(pairs):
        raise ValueError("names the same model twice")
    return routes


def _check_hosts(value: frozenset[str]) -> frozenset[str]:
    if any(set(name) & set(":/@ *") for name in value):
        raise ValueError("must be host names alone, without scheme, port or wildcard")
    return frozenset(name.lower() for name in value)


def _check_base_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def _check_root_key(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(root_key(value)) != _ROOT_KEY_BYTES:
        raise ValueError("must be 32 bytes in base64")
    return value


_ROOT_KEY_BYTES: Final = 32
_PRICED: Final = re.compile(r"(?:[a-z0-9-]+/)?[\w.-]+(?::[a-z]+)?")

Secret = SecretStr | None
"""A text that is never shown."""
RootKey = Annotated[Secret, AfterValidator(_check_root_key)]
"""32 bytes in base64."""
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
"""An http or https URL; a slash at its end is dropped."""
Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_split)]
"""`a,b`"""
Hosts = Annotated[Names, AfterValidator(_check_hosts)]
"""`a.example,b.example`"""
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
"""`10.0.0.0/8,fd00::/8`"""
Seconds = Annotated[tuple[Annotated[int, Field(ge=0, le=604_800)], ...], NoDecode, BeforeValidator(_split)]
"""`0,5,300`"""
Counts = Annotated[dict[str, Annotated[int, Field(ge=1, le=100_000)]], NoDecode, BeforeValidator(_split_counts)]
"""`openai=10,gemini=30`"""
Pairs = Annotated[dict[str, Annotated[str, Field(min_length=1)]], NoDecode, BeforeValidator(_split_counts)]
"""`gpt-image-2=prod-image,gpt-image-1.5=draft`"""
Prices = Annotated[dict[str, Annotated[float, Field(ge=0, le=1_000)]], NoDecode, BeforeValidator(_split_prices)]
"""`gpt-image-2=0.05,azure-openai/prod-image:high=0.12`"""
Routes = Annotated[dict[str, str], NoDecode, BeforeValidator(_split_routes)]
"""`best=azure-openai/prod|openai/gpt-image-2,fast=gemini/…`: for each name its targets, the first first."""
