"""API keys and their rate limits, on a real Redis."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.auth.authenticator import Authenticator
from jobs.access import tokens
from jobs.access.api_key import Grant, KeySpec
from jobs.access.keys import Keys
from jobs.access.rates import Rates, Window, nearest
from jobs.errors import Forbidden, Gone, InvalidInput, NotFound, Unauthorized
from jobs.model.times import now_ms
from jobs.redis.keys import Keys as RedisKeys
from jobs.settings import Settings

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"


@pytest.fixture
def keys(redis):
    return Keys(redis, PREFIX, ("gemini", "azure-openai"))


async def test_a_key_is_known_by_its_secret_and_by_nothing_that_is_kept(keys, redis):
    issued = await keys.create("acme", KeySpec(name="CI"), by="me")

    assert (await keys.known(issued.secret)) == issued.key
    assert issued.key.subject == issued.key.id
    dump = [await _text(redis, key) for key in await redis.keys("*")]
    assert issued.secret not in "".join(dump)
    assert tokens.digest(issued.secret) in "".join(dump)
    for wrong in (issued.key.hash, issued.key.id, tokens.PREFIX, issued.secret[:-1] + "!", tokens.new_token()):
        assert await keys.known(wrong) is None


async def _text(redis, key):
    kind = await redis.type(key)
    value = {
        b"string": redis.get,
        b"zset": lambda k: redis.zrange(k, 0, -1),
        b"hash": redis.hgetall,
    }[kind](key)
    return f"{key} {await value}"


async def test_a_misspelt_key_costs_no_look_up(keys, redis_server):
    secret = (await keys.create("acme", KeySpec(name="CI"), by="me")).secret
    misspelt = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    before = redis_server.commands()

    assert await keys.known(misspelt) is None

    assert redis_server.commands() - before <= 3  # what asking twice for the number costs


async def test_an_expired_key_is_known_no_longer(keys):
    issued = await keys.create("acme", KeySpec(name="short", expires_ms=now_ms() + 1_000), by="me")

    assert await keys.known(issued.secret) is not None
    await asyncio.sleep(1.05)
    assert await keys.known(issued.secret) is None
    with pytest.raises(Gone, match="expired"):
        await keys.rotate("acme", issued.key.id)


async def test_a_revoked_key_ends_at_once_with_every_secret_and_for_good(keys):
    first = await keys.create("acme", KeySpec(name="CI"), by="me")
    second = await keys.rotate("acme", first.key.id, 600)

    revoked = await keys.revoke("acme", first.key.id)
    again = await keys.revoke("acme", first.key.id)

    assert [await keys.known(i.secret) for i in (first, second)] == [None, None]
    assert again == revoked
    assert (await keys.get("acme", first.key.id)).status(now_ms()) == "revoked"
    with pytest.raises(Gone, match="revoked"):
        await keys.rotate("acme", first.key.id)


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_for_the_overlap_alone(keys):
    first = await keys.create("acme", KeySpec(name="CI"), by="me")
    second = await keys.rotate("acme", first.key.id, 2)
    third_key = (await keys.known(second.secret)).id

    assert (await keys.known(first.secret)).id == third_key == first.key.id
    await asyncio.sleep(2.1)
    assert await keys.known(first.secret) is None
    third = await keys.rotate("acme", first.key.id)
    assert await keys.known(second.secret) is None
    assert (await keys.known(third.secret)).id == first.key.id
    with pytest.raises(InvalidInput, match="604800"):
        await keys.rotate("acme", first.key.id, 604_801)


async def test_a_rotation_during_an_overlap_ends_the_oldest_secret(keys):
    first = await keys.create("acme", KeySpec(name="CI"), by="me")
    second = await keys.rotate("acme", first.key.id, 600)
    third = await keys.rotate("acme", first.key.id, 600)

    assert [(await keys.known(i.secret)) is not None for i in (first, second, third)] == [False, True, True]


async def test_of_a_revocation_and_rotations_at_the_same_time_the_revocation_holds(keys):
    issued = await keys.create("acme", KeySpec(name="CI"), by="me")

    done = await asyncio.gather(
        *(keys.rotate("acme", issued.key.id, 600) for _ in range(6)),
        keys.revoke("acme", issued.key.id),
        *(keys.rotate("acme", issued.key.id, 600) for _ in range(6)),
        return_exceptions=True,
    )

    secrets = [issued.secret, *(d.secret for d in done if hasattr(d, "secret"))]
    assert {await keys.known(secret) for secret in secrets} == {None}


async def test_another_orgs_key_is_not_found_by_any_verb(keys):
    issued = await keys.create("acme", KeySpec(name="CI"), by="me")

    for verb in (keys.get, keys.revoke, keys.rotate):
        with pytest.raises(NotFound):
            await verb("rival", issued.key.id)
    assert await keys.page("rival", None, 10) == ([], None)
    assert await keys.known(issued.secret) is not None


async def test_the_last_use_is_written_at_most_once_a_minute(keys, redis):
    issued = await keys.create("acme", KeySpec(name="CI"), by="me")
    assert await keys.last_used([issued.key]) == [None]
    await keys.known(issued.secret)
    (first,) = await keys.last_used([issued.key])
    await asyncio.sleep(0.01)

    await keys.known(issued.secret)
    assert await keys.last_used([issued.key]) == [first]

    await redis.set(RedisKeys(PREFIX).api_key_used(issued.key.id), first - 60_000)
    await keys.known(issued.secret)
    (later,) = await keys.last_used([issued.key])
    assert later > first


async def test_a_key_is_a_caller_of_its_org_by_each_header(keys):
    door = Authenticator(Settings.load({"JWT_SECRET": "x" * 32}, env_file=None), keys)
    spec = KeySpec(name="CI", subject="robot", grant=Grant(capabilities=("usage:read",)))
    secret = (await keys.create("acme", spec, by="me")).secret

    for headers in (
        [("authorization", f"Bearer {secret}")],
        [("authorization", f"bearer  {secret} ")],
        [("api-key", secret)],
        [("x-api-key", secret)],
        [("api-key", secret), ("authorization", f"Bearer {secret}"), ("x-org-id", "acme")],
    ):
        caller = await door.caller(headers)
        assert (caller.org, caller.subject, caller.how) == ("acme", "robot", "key")
        assert caller.scopes == {"read:image-gen"}
    with pytest.raises(Forbidden):
        await door.caller([("api-key", secret), ("x-org-id", "rival")])


async def test_credentials_that_contradict_each_other_are_refused(keys):
    door = Authenticator(Settings.load({"JWT_SECRET": "x" * 32}, env_file=None), keys)
    one, other = [(await keys.create("acme", KeySpec(name=n), by="me")).secret for n in "ab"]

    for headers in (
        [("authorization", f"Bearer {one}"), ("x-api-key", other)],
        [("api-key", one), ("x-api-key", other)],
        [("api-key", one), ("api-key", one)],
        [("authorization", f"Bearer {one}"), ("authorization", f"Bearer {one}")],
        [("authorization", f"Basic {one}"), ("api-key", one)],
    ):
        with pytest.raises(Unauthorized):
            await door.caller(headers)


async def test_what_does_not_hold_is_refused_in_the_same_words_whatever_the_cause(keys):
    door = Authenticator(Settings.load({"JWT_SECRET": "x" * 32}, env_file=None), keys)
    revoked = await keys.create("acme", KeySpec(name="r"), by="me")
    await keys.revoke("acme", revoked.key.id)
    expired = await keys.create("acme", KeySpec(name="e", expires_ms=now_ms() + 50), by="me")
    await asyncio.sleep(0.06)
    said = set()

    for secret in (revoked.secret, expired.secret, tokens.new_token(), tokens.PREFIX, tokens.PREFIX + "x" * 49):
        with pytest.raises(Unauthorized) as refused:
            await door.caller([("authorization", f"Bearer {secret}")])
        said.add((refused.value.message, str(refused.value.details)))

    assert len(said) == 1


async def test_a_window_lets_through_its_amount_and_says_when_there_is_room_again(redis):
    rates, window = Rates(redis.connection_pool, PREFIX), Window(3, 1)

    left = [nearest(await rates.spend("key_1", [window])) for _ in range(4)]

    assert [(a.remaining, a.refused) for a in left] == [(2, False), (1, False), (0, False), (0, True)]
    assert 0 < left[-1].reset_seconds <= 1
    await asyncio.sleep(left[-1].reset_seconds + 0.05)
    assert not nearest(await rates.spend("key_1", [window])).refused
    assert {key.decode().startswith(PREFIX) for key in await redis.keys("*")} == {True}


async def test_one_count_for_all_who_ask_at_once_and_one_for_each_name(redis_url):
    async with Redis.from_url(redis_url) as one, Redis.from_url(redis_url) as other:
        pair = [Rates(r.connection_pool, PREFIX) for r in (one, other)]

        asked = await asyncio.gather(*(pair[n % 2].spend("key_1", [Window(10, 60)]) for n in range(40)))

        assert sum(not nearest(left).refused for left in asked) == 10
        assert not nearest(await pair[0].spend("key_2", [Window(10, 60)])).refused


async def test_of_two_windows_the_tighter_one_is_told_and_a_refused_burst_eats_nothing_of_the_day(redis):
    rates, windows = Rates(redis.connection_pool, PREFIX), [Window(2, 1), Window(4, 3600)]

    first = [nearest(await rates.spend("key_1", windows)) for _ in range(6)]
    await asyncio.sleep(2.1)
    then = [nearest(await rates.spend("key_1", windows)) for _ in range(2)]
    await asyncio.sleep(2.1)
    both = await rates.spend("key_1", windows)
    end = nearest(both)

    assert [a.refused for a in first + then] == [False, False, True, True, True, True, False, False]
    assert end.refused
    assert end.window == windows[1]
    assert [(a.window, a.remaining) for a in both] == [(windows[0], 1), (windows[1], 0)]
    assert end.reset_seconds > 60
