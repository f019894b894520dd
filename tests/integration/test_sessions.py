"""Session cookies as credentials, each issued by NextAuth 4 or Auth.js itself."""

import asyncio

import pytest

from app.auth.authenticator import Authenticator
from app.auth.caller import READ, WRITE
from jobs.errors import ServiceUnavailable, Unauthorized
from jobs.ids import org_of_one
from jobs.settings import Settings
from tests.neighbours import free_port
from tests.neighbours.front_end import SECRET, header, running_front_end

pytestmark = pytest.mark.anyio
ALICE = "Alice@Example.com"
AN_ID = "3f1c7a52-9f5c-4f0b-8a53-6f1d1b3c2d10"


@pytest.fixture(scope="module", params=["nextauth4", "authjs"])
def front_end(request):
    with running_front_end(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def database():
    with running_front_end("authjs", "database") as running:
        yield running


async def known(cookies, *, more=(), **settings):
    """The caller whose cookies these are, to a gateway with these settings."""
    authenticator = Authenticator(Settings.load({"AUTH_SECRET": SECRET, **settings}, env_file=None))
    try:
        return await authenticator.caller([("cookie", header(cookies)), *more])
    finally:
        await authenticator.close()


@pytest.mark.parametrize(("below", "name"), [("", "Alice"), ("", "A" * 6_000), ("/secure", "Alice")])
async def test_who_has_signed_in_is_an_org_of_one_whatever_cookies_hold_the_session(front_end, below, name):
    cookies = front_end.sign_in(ALICE, name, below)

    caller = await known(cookies)

    assert (len(cookies) > 2) is (len(name) > 1_000)
    assert (caller.subject, caller.org) == (ALICE, org_of_one("alice@example.com"))
    assert (caller.scopes, caller.how) == ({READ, WRITE}, "session")


async def test_a_session_of_the_secret_before_holds_beside_the_new_one(front_end):
    token = front_end.token(ALICE, by="the secret before")

    caller = await known({front_end.cookie: token}, AUTH_SECRET_1="the secret before")

    assert caller.subject == ALICE


@pytest.mark.parametrize("part", [0, 2, 3, 4])
async def test_a_session_that_somebody_has_changed_does_not_hold(front_end, part):
    parts = front_end.token(ALICE).split(".")
    parts[part] = parts[part][:-2] + ("AA" if parts[part][-2:] != "AA" else "BB")

    with pytest.raises(Unauthorized) as refused:
        await known({front_end.cookie: ".".join(parts)})

    assert refused.value.reason == "session_ended"


@pytest.mark.parametrize("asked", [{"seconds": -60}, {"by": "another secret"}])
async def test_a_session_that_has_ended_or_is_of_another_secret_does_not_hold(front_end, asked):
    token = front_end.token(ALICE, **asked)

    with pytest.raises(Unauthorized):
        await known({front_end.cookie: token})


async def test_a_token_does_not_hold_in_the_cookie_of_another_library(front_end):
    other = {"authjs": "next-auth.session-token", "nextauth4": "authjs.session-token"}[front_end.kind]

    with pytest.raises(Unauthorized):
        await known({other: front_end.token(ALICE)})


async def test_a_front_end_behind_https_has_secure_cookies_alone(front_end):
    plain, secure = front_end.sign_in("mallory@example.com"), front_end.sign_in(ALICE, below="/secure")

    with pytest.raises(Unauthorized):
        await known(plain, NEXTAUTH_URL="https://app.example.com")
    caller = await known({**plain, **secure}, NEXTAUTH_URL="https://app.example.com")

    assert caller.subject == ALICE


async def test_a_credential_in_a_header_goes_before_the_cookie(front_end):
    with pytest.raises(Unauthorized, match="not one that is accepted"):
        await known(front_end.sign_in(ALICE), more=[("authorization", "Bearer nonsense")])


@pytest.mark.parametrize("token", ["", ".", "....", "e30..e30.e30.e30", f"{'A' * 60_000}..A.A.A", "bnVsbA..A.A.A", "é"])
async def test_nonsense_in_a_cookie_is_nobody(token):
    for name in ("authjs.session-token", "__Secure-next-auth.session-token", "authjs.session-token.7"):
        with pytest.raises(Unauthorized):
            await known({name: token})


async def test_without_a_front_end_no_cookie_is_a_credential(front_end):
    with pytest.raises(Unauthorized, match="no credential"):
        await known(front_end.sign_in(ALICE), AUTH_SECRET="")


async def test_a_session_in_a_database_is_looked_up_once_for_all_who_ask_with_it(database):
    before = database.asked()
    settings = Settings.load({"NEXTAUTH_URL": f"{database.url}/auth"}, env_file=None)
    authenticator = Authenticator(settings)
    cookies = [("cookie", header({database.cookie: f"of-{ALICE}"}))]

    callers = await asyncio.gather(*(authenticator.caller(cookies) for _ in range(50)))
    again = await authenticator.caller(cookies)
    await authenticator.close()

    assert {c.subject for c in callers} | {again.subject} == {ALICE}
    assert database.asked() == before + 1


async def test_a_session_that_the_database_has_not_does_not_hold(database):
    with pytest.raises(Unauthorized):
        await known({database.cookie: AN_ID}, NEXTAUTH_URL=f"{database.url}/auth")


async def test_while_the_front_end_is_away_nobody_knows_whose_a_session_is():
    with pytest.raises(ServiceUnavailable) as refused:
        await known({"authjs.session-token": AN_ID}, NEXTAUTH_URL=f"http://127.0.0.1:{free_port()}")

    assert refused.value.reason == "sessions_unavailable"
