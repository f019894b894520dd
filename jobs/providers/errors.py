"""What an error of a far end is about: one table, by its status, its code or type, and its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from jobs.errors import ProviderError
from jobs.providers import outcomes
from jobs.providers.replies import count, each, member, words

MAX_WORDS: Final = 500
"""Characters of a provider's own words that are passed on."""


class Kind(StrEnum):
    """Whom an error is about, and what is to be done."""

    POLICY = "policy"
    REGION = "region"
    ACCOUNT = "account"
    CREDENTIAL = "credential"
    MODEL = "model"
    ENDPOINT = "endpoint"
    REQUEST = "request"
    STATUS = "status"
    """What its status says by itself (`outcomes.refused_status`)."""


class Facts(Struct, frozen=True, kw_only=True):
    """What an error says of itself: its codes, types and states in lower case (`names`), `number` a code in digits."""

    words: str = ""
    names: frozenset[str] = frozenset()
    field: str | None = None
    number: int | None = None
    html: bool = False


class _Row(Struct, frozen=True):
    """An error is of the kind when its status is among `statuses` (empty: any), and a name or some words fit."""

    kind: Kind
    statuses: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    html: bool = False

    def fits(self, status: int, facts: Facts) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        said = facts.words.lower()
        told = bool(self.names & facts.names) or any(each in said for each in self.words) or (self.html and facts.html)
        return told or not (self.names or self.words or self.html)


_ASKED: Final = frozenset({400, 403, 404, 409, 413, 415, 422})
_TABLE: Final = (
    _Row(
        Kind.POLICY,
        names=frozenset({"content_policy_violation", "moderation_blocked", "contentfilter", "content_filter"}),
    ),
    _Row(Kind.POLICY, names=frozenset({"responsibleaipolicyviolation"})),
    _Row(
        Kind.POLICY,
        statuses=_ASKED,
        words=("safety_violations=", "content management policy", "content filter", "content policy", "safety system"),
    ),
    _Row(Kind.REGION, names=frozenset({"unsupported_country_region_territory"})),
    _Row(Kind.REGION, statuses=_ASKED, words=("location is not supported", "region, or territory not supported")),
    _Row(
        Kind.ACCOUNT,
        names=frozenset(
            {
                "billing_hard_limit_reached", "billing_not_active", "account_deactivated", "insufficient_quota",
                "quota_of_the_day",
            }
        ),
    ),
    _Row(Kind.ACCOUNT, statuses=_ASKED, words=("billed users",)),
    _Row(Kind.ACCOUNT, statuses=frozenset({402})),
    _Row(Kind.CREDENTIAL, statuses=frozenset({401, 403})),
    _Row(Kind.CREDENTIAL, statuses=frozenset({400}), words=("api key",)),
    _Row(Kind.MODEL, statuses=_ASKED, names=frozenset({"deploymentnotfound", "model_not_found"})),
    _Row(Kind.ENDPOINT, statuses=_ASKED, html=True),
    _Row(Kind.MODEL, statuses=frozenset({404}), names=frozenset({"not_found"})),
    _Row(Kind.MODEL, statuses=frozenset({404}), words=("model", "deployment")),
    _Row(Kind.ENDPOINT, statuses=frozenset({404, 405, 421})),
    _Row(Kind.REQUEST, statuses=frozenset({400, 413, 415, 422})),
    _Row(Kind.STATUS),
)  # fmt: skip
"""The first row that fits. OpenAI answers 400, 403 and 429 to an account that may not buy; Google 400 to a bad key."""

_STATUS_OF: Final[Mapping[str, int]] = {
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "unavailable": 503,
    "overloaded_error": 503,
    "invalid_request_error": 400,
    "image_generation_user_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "deadline_exceeded": 504,
}
"""The status that an error within a success stands for, by its code or type (those of OpenAI and google.rpc.Code)."""


def judged(
    status: int, body: bytes, request_id: str | None, retry_after: float | None = None, *, names: Iterable[str] = ()
) -> ProviderError:
    """An answered error status as our own error. `names`: further names of it that were found elsewhere."""
    facts = facts_in(body)
    facts = msgspec.structs.replace(facts, names=facts.names | frozenset(names))
    return _made(kind_of(status, facts), facts, status, request_id, retry_after)


def judged_within(facts: Facts, status: int, request_id: str | None) -> ProviderError:
    """An error within a success of `status`: by its code like any error, and nothing is billed for it."""
    error = _made(kind_within(facts), facts, _status_within(facts), request_id, None)
    error.provider_status = status
    return error


def kind_within(facts: Facts) -> Kind:
    """What kind an error within a success is of."""
    return kind_of(_status_within(facts), facts)


def kind_of(status: int, facts: Facts) -> Kind:
    """The kind of the first row that fits."""
    return next(row.kind for row in _TABLE if row.fits(status, facts))


def facts_in(body: bytes) -> Facts:
    """What the body of an error says: JSON of any service that we know, plain text, or a page."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        html = text.startswith("<")
        return Facts(words="" if html else text[:MAX_WORDS], html=html)
    error = _error_in(value)
    return _facts(value if error is None else error)


def facts_within(value: Any, *, named: str = "") -> Facts | None:
    """What a success says of an error in it; None: it says of none. `named`: the name of the event that it came as."""
    error = _error_in(value)
    if error is not None:
        return _facts(error)
    return _facts(value) if "error" in {named, member(value, "type")} else None


def _error_in(value: Any) -> Any:
    """The error of `{"error": …}`, or of a list of such, as Google's streams have it."""
    first = value[0] if isinstance(value, list) and value else value
    return next(iter(each(member(first, "error", "errors"))), None) or None


def _facts(error: Any) -> Facts:
    if isinstance(error, str):
        return Facts(words=(words(error) or "")[:MAX_WORDS])
    inner = member(error, "inner_error", "innererror")
    details = [d for d in each(member(error, "details")) if isinstance(d, dict)]
    codes = [member(error, "code"), member(error, "type"), member(error, "status"), member(inner, "code")]
    codes += [member(d, "reason") for d in details]
    detail = member(error, "detail")
    field = member(error, "param")
    return Facts(
        words=(words(member(error, "message")) or _detail(detail))[:MAX_WORDS],
        names=frozenset(code.lower() for code in codes if isinstance(code, str)),
        field=field if isinstance(field, str) else None,
        number=next((n for n in map(count, codes) if n is not None and 400 <= n < 600), None),  # noqa: PLR2004  # HTTP
    )


def _detail(value: Any) -> str:
    """FastAPI's `detail`: words, or a list of `{loc, msg}`."""
    if isinstance(value, str):
        return words(value) or ""
    told = [(member(d, "loc"), words(member(d, "msg"))) for d in each(value)]
    return "; ".join(f"{'.'.join(map(str, each(where)))}: {what}" for where, what in told if what)


def _status_within(facts: Facts) -> int:
    return facts.number or next((_STATUS_OF[name] for name in sorted(facts.names & _STATUS_OF.keys())), 500)


def _made(kind: Kind, facts: Facts, status: int, request_id: str | None, retry_after: float | None) -> ProviderError:
    match kind:
        case Kind.POLICY:
            return outcomes.refused_policy(status, request_id, facts.words)
        case Kind.REGION | Kind.ACCOUNT | Kind.CREDENTIAL | Kind.ENDPOINT:
            return outcomes.refused_gateway(kind.value, status, request_id)
        case Kind.MODEL:
            return outcomes.refused_model(status, request_id)
        case Kind.REQUEST:
            return outcomes.refused_request(facts.words, status, request_id, field=facts.field)
        case Kind.STATUS:
            return outcomes.refused_status(status, request_id, retry_after)
