"""What OpenAI's image wire says beside its pictures: the tokens that it counted, and the faults that it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from jobs.errors import ProviderError
from jobs.model.picture import Usage
from jobs.providers.outcomes import refused_account, refused_model, refused_policy, refused_request
from jobs.providers.replies import told

_POLICY: Final = frozenset({"content_policy_violation", "moderation_blocked", "contentFilter", "content_filter"})
_NO_MODEL: Final = frozenset({"DeploymentNotFound", "model_not_found"})
_ACCOUNT: Final = frozenset(
    {"billing_hard_limit_reached", "billing_not_active", "account_deactivated", "insufficient_quota"}
)
"""OpenAI answers 400, 403 and 429 to an account that may not buy: no fault of whoever asked us, and no rate limit."""


class _TokenDetails(Struct):
    text_tokens: int | None = None
    image_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _TokenDetails | None = None


def counted(value: Any) -> list[Usage]:
    """The usage of an answer; none where it is not of the shape that we know."""
    usage = told(value, _Usage)
    if usage is None:
        return []
    details = usage.input_tokens_details or _TokenDetails()
    return [
        Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            input_text_tokens=details.text_tokens,
            input_image_tokens=details.image_tokens,
        )
    ]


def against_policy(facts: Mapping[str, Any]) -> bool:
    """Whether an error's words say that the provider will not draw what was asked."""
    inner = facts.get("inner_error") or facts.get("innererror") or {}
    return str(facts.get("code")) in _POLICY or (
        isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation"
    )


def against_account(facts: Mapping[str, Any]) -> bool:
    """Whether an error's words say that our account may buy no more."""
    return str(facts.get("code")) in _ACCOUNT or str(facts.get("type")) in _ACCOUNT


def refused(facts: Mapping[str, Any], status: int, request_id: str | None) -> ProviderError:
    """An error that speaks of what was asked."""
    if against_policy(facts):
        return refused_policy(status, request_id)
    if str(facts.get("code")) in _NO_MODEL:
        return refused_model(status, request_id)
    if against_account(facts):
        return refused_account(status, request_id)
    return refused_request(facts.get("message"), status, request_id, field=facts.get("param"))
