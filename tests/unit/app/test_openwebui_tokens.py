import time

import jwt
import pytest

from app.auth.authenticator import Authenticator
from app.auth.openwebui import ADMIN, MAKER, PENDING, USER
from jobs.errors import ConfigurationError, Forbidden, Unauthorized
from jobs.settings import Settings

pytestmark = pytest.mark.anyio
WEBUI, OURS = "an Open WebUI's own secret of some length", "the secret of our own tokens, also long"


def settings(**more):
    return Settings.load({"WEBUI_SECRET_KEY": WEBUI, "JWT_SECRET": OURS, **more}, env_file=None)


def signed(secret=WEBUI, **claims):
    return jwt.encode(claims, secret, "HS256")


async def caller(token, **more):
    org = more.pop("asked", None)
    headers = [("authorization", f"Bearer {token}"), *([("x-org-id", org)] if org else [])]
    return await Authenticator(settings(**more)).caller(headers)


@pytest.mark.parametrize(
    ("claims", "default", "scopes"),
    [
        ({}, "1", {USER, MAKER}),
        ({}, "0", {USER}),
        ({"role": "user"}, "1", {USER, MAKER}),
        ({"role": "admin"}, "0", {ADMIN, MAKER}),
        ({"role": "pending"}, "1", {PENDING}),
        ({"role": "owner"}, "1", {PENDING}),
        ({"permissions": {"features": {"image_generation": False}}}, "1", {USER}),
        ({"permissions": {"features": {"image_generation": True}}}, "0", {USER, MAKER}),
        ({"permissions": {"features": {"image_generation": "yes"}}}, "1", {USER}),
        ({"permissions": "all"}, "1", {USER, MAKER}),
    ],
)
async def test_a_token_opens_what_its_role_and_permission_say(claims, default, scopes):
    found = await caller(signed(id="u1", **claims), USER_PERMISSIONS_FEATURES_IMAGE_GENERATION=default)

    assert (found.org, found.subject, found.scopes) == ("openwebui", "u1", scopes)


async def test_its_scopes_are_none_of_ours_whatever_it_says():
    found = await caller(signed(id="u1", scope="admin:image-gen", org_id="acme"), DARKROOM_OPENWEBUI_ORG="theirs")

    assert (found.org, found.scopes) == ("theirs", {USER, MAKER})


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"id": ""},
        {"id": 7},
        {"id": "a\nb"},
        {"id": "u", "exp": 1},
        {"id": "u", "exp": "soon"},
        {"id": "u", "exp": True},
    ],
)
async def test_a_token_without_its_user_or_past_its_end_opens_nothing(claims):
    with pytest.raises(Unauthorized):
        await caller(signed(**claims))


async def test_a_token_that_has_not_ended_holds():
    assert (await caller(signed(id="u1", exp=int(time.time()) + 60))).subject == "u1"


async def test_an_org_that_contradicts_the_users_is_refused():
    with pytest.raises(Forbidden):
        await caller(signed(id="u1"), asked="acme")


async def test_a_token_of_ours_is_what_it_was():
    found = await caller(signed(OURS, sub="me", org_id="acme", scope="read:image-gen", exp=int(time.time()) + 60))

    assert (found.org, found.subject, found.scopes) == ("acme", "me", {"read:image-gen"})


async def test_a_token_that_neither_secret_has_signed_opens_nothing():
    with pytest.raises(Unauthorized):
        await caller(signed("a third secret, and nobody has it here", id="u1", role="admin"))


def test_one_secret_for_both_kinds_of_tokens_is_refused():
    with pytest.raises(ConfigurationError, match="WEBUI_SECRET_KEY"):
        settings(
            JWT_SECRET=WEBUI,
            DARKROOM_DEV="1",
            REDIS_URL="redis://127.0.0.1",
            DARKROOM_SECRET_KEY="A" * 43 + "=",
        ).require_production()
