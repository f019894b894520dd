"""One API key: its bounds, and when it holds."""

import ast
import inspect
import textwrap

import msgspec
import pytest

from app.auth.caller import ADMIN, READ, WRITE, Caller
from jobs.access.api_key import CAPABILITIES, ApiKey, Grant, KeySpec, Limits, Rotated, check, key_json
from jobs.access.rates import Window
from jobs.errors import Forbidden, InvalidInput

NOW = 1_800_000_000_000
PROVIDERS = ("azure-openai", "gemini")


def key(**changes):
    told = {
        "id": "key_1",
        "org": "acme",
        "subject": "key_1",
        "name": "CI",
        "hash": "a" * 64,
        "hint": "wxyz",
        "grant": Grant(),
        "limits": Limits(),
        "created_ms": NOW,
        "created_by": "me",
    }
    return ApiKey(**{**told, **changes})


def test_the_capabilities_are_spelt_with_the_scopes_of_tokens():
    assert CAPABILITIES["images"] == {WRITE, READ}
    assert CAPABILITIES["usage:read"] == {READ}
    assert CAPABILITIES["admin"] == {ADMIN}
    assert Grant().scopes == {WRITE, READ}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "active"),
        ({"expires_ms": NOW + 1}, "active"),
        ({"expires_ms": NOW}, "expired"),
        ({"revoked_ms": NOW}, "revoked"),
        ({"revoked_ms": NOW, "expires_ms": NOW}, "revoked"),
    ],
)
def test_a_key_opens_only_while_it_is_active(changes, status):
    made = key(**changes)

    assert made.status(NOW) == status
    assert made.opened_by("a" * 64, NOW) == (status == "active")
    assert not made.opened_by("b" * 64, NOW)


def test_a_replaced_secret_opens_until_its_overlap_ends():
    made = key(rotated=Rotated("b" * 64, NOW + 1000))

    assert made.opened_by("a" * 64, NOW)
    assert made.opened_by("b" * 64, NOW + 999)
    assert not made.opened_by("b" * 64, NOW + 1000)


def test_hashes_are_compared_in_constant_time_only():
    tree = ast.parse(textwrap.dedent(inspect.getsource(ApiKey.opened_by)))

    compared = [ast.unparse(a) for call in _calls(tree, "hmac.compare_digest") for a in call.args]
    read = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "hash"]
    assert sorted(read) == ["self.hash", "self.rotated.hash"]
    assert set(read) <= set(compared)


def _calls(tree, name):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "  "}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "two\nlines"}),
        ("subject", {"subject": ""}),
        ("subject", {"subject": "with space"}),
        ("subject", {"subject": "x" * 129}),
        ("expiresAt", {"expires_ms": NOW}),
        ("rateLimits.requestsPerMinute", {"limits": Limits(requests_per_minute=0)}),
        ("rateLimits.requestsPerDay", {"limits": Limits(requests_per_day=-1)}),
        ("rateLimits.requestsPerDay", {"limits": Limits(requests_per_day=2**60)}),
        ("rateLimits.imagesPerDay", {"limits": Limits(images_per_day=-1)}),
        ("rateLimits.costPerDay", {"limits": Limits(cost_per_day=-0.01)}),
        ("scopes.capabilities", {"grant": Grant(capabilities=())}),
        ("scopes.capabilities", {"grant": Grant(capabilities=("images", "images"))}),
        ("scopes.capabilities[1]", {"grant": Grant(capabilities=("images", "chat"))}),
        ("scopes.capabilities[0]", {"grant": Grant(capabilities=("admin:image-gen",))}),
        ("scopes.providerIds[0]", {"grant": Grant(provider_ids=("Gemini",))}),
        ("scopes.modelIds[0]", {"grant": Grant(model_ids=("../x",))}),
        ("scopes.modelIds", {"grant": Grant(model_ids=tuple(f"m{n}" for n in range(101)))}),
        ("metadata", {"metadata": {str(n): "" for n in range(17)}}),
        ("metadata.k", {"metadata": {"k": "x" * 513}}),
    ],
)
def test_a_wish_out_of_bounds_names_its_field(field, changes):
    with pytest.raises(InvalidInput) as refused:
        check(KeySpec(**{"name": "CI", **changes}), PROVIDERS, NOW)

    assert refused.value.details["field"] == field


def test_a_wish_at_its_bounds_is_taken():
    grant = Grant(capabilities=tuple(CAPABILITIES), provider_ids=PROVIDERS, model_ids=("gpt-image-2",))
    limits = Limits(requests_per_minute=1, requests_per_day=10_000_000)
    full = {str(n): "x" * 512 for n in range(16)}

    check(KeySpec(name="x" * 200, subject="x" * 128, grant=grant, limits=limits, metadata=full), PROVIDERS, NOW)

    assert limits.windows == (Window(1, 60), Window(10_000_000, 86_400))
    assert Limits().windows == ()


def test_what_people_read_of_a_key_holds_neither_secret_nor_hash():
    shown = msgspec.json.encode(key_json(key(rotated=Rotated("b" * 64, 2 * NOW)))).decode()

    assert "a" * 64 not in shown
    assert "b" * 64 not in shown
    assert "aigw_sk_…wxyz" in shown


WRITER = frozenset({WRITE})
ADMINISTRATOR = frozenset({WRITE, READ, ADMIN})


@pytest.mark.parametrize(
    ("scopes", "own", "asked", "field"),
    [
        ({ADMIN}, None, Grant(), "scopes.capabilities"),
        (WRITER, None, Grant(capabilities=("admin",)), "scopes.capabilities"),
        ({ADMIN, READ}, None, Grant(capabilities=("usage:read", "images")), "scopes.capabilities"),
        (ADMINISTRATOR, Grant(provider_ids=("gemini",)), Grant(), "scopes.providerIds"),
        (ADMINISTRATOR, Grant(provider_ids=("gemini",)), Grant(provider_ids=("gemini", "x")), "scopes.providerIds"),
        (ADMINISTRATOR, Grant(model_ids=("a", "b")), Grant(model_ids=("c",)), "scopes.modelIds"),
        (ADMINISTRATOR, Grant(model_ids=("a", "b")), Grant(), "scopes.modelIds"),
    ],
)
def test_nobody_grants_what_he_has_not(scopes, own, asked, field):
    caller = Caller("acme", "me", frozenset(scopes), "key", own and key(grant=own))

    with pytest.raises(Forbidden) as refused:
        caller.require_grant(asked, Limits())

    assert refused.value.details["field"] == field


def test_what_somebody_has_he_may_grant():
    own = key(grant=Grant(provider_ids=("a", "b"), model_ids=("m",)), limits=Limits(images_per_day=5))
    limited = Caller("acme", "me", ADMINISTRATOR, "key", own)
    asked = Grant(capabilities=("images", "admin"), provider_ids=("b",), model_ids=("m",))

    limited.require_grant(asked, Limits(images_per_day=5, requests_per_minute=1))
    Caller("acme", "me", WRITER, "jwt").require_grant(Grant(capabilities=("images", "usage:read")), Limits())


@pytest.mark.parametrize("asked", [Limits(), Limits(images_per_day=6, cost_per_day=1), Limits(requests_per_day=5)])
def test_nobody_whose_key_is_limited_makes_one_that_is_less_so(asked):
    caller = Caller("acme", "me", ADMINISTRATOR, "key", key(limits=Limits(images_per_day=5)))

    with pytest.raises(Forbidden) as refused:
        caller.require_grant(Grant(), asked)

    assert refused.value.details["field"] == "rateLimits.imagesPerDay"
