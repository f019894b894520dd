"""`darkroom keys`: API keys by hand, straight to the Redis of the settings, for operators."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import rich_click as click

from app.cli.messages import fail
from app.cli.operators import with_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.access.api_key import ApiKey
    from jobs.access.keys import Keys, KeyWithSecret
    from jobs.settings import Settings

T = TypeVar("T")
BY: Final = "operator"
_as_json = click.option("--json", "as_json", is_flag=True, help="as JSON")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command()
@click.option("--org", required=True, help="whose key it is")
@click.option("--name", required=True, help="what people call it")
@click.option("--subject", help="who its jobs belong to; default: the key itself")
@click.option("--capability", "capabilities", multiple=True, help="images (default), usage:read, admin; repeatable")
@click.option("--provider", "providers", multiple=True, help="only this provider; repeatable")
@click.option("--model", "models", multiple=True, help="only this model; repeatable")
@click.option("--rpm", type=int, help="at most so many requests a minute")
@click.option("--rpd", type=int, help="at most so many requests a day")
@click.option("--images-per-day", type=int, help="at most so many pictures a day (UTC)")
@click.option("--cost-per-day", type=float, help="at most so many US dollars a day, by the catalog's prices")
@click.option("--expires", help="RFC 3339, such as 2027-01-31T00:00:00Z")
@_as_json
def create(org: str, expires: str | None, as_json: bool, **told: Any) -> None:
    """Make a key. Its secret is all that is written to stdout, this once."""
    from app.auth.authenticator import ORG  # each command loads what it needs
    from jobs.model.times import read_moment

    if not ORG.fullmatch(org):
        fail("--org: 1 to 64 letters, digits, '_' or '-'")
    try:
        expires_ms = None if expires is None else read_moment(expires)
    except (ValueError, OverflowError):
        fail("--expires: must be an RFC 3339 time, such as 2027-01-31T00:00:00Z")
    spec = _spec(expires_ms, **told)
    _say_once(_with_keys(lambda kept: kept.create(org, spec, by=BY)), as_json)


@keys.command("list")
@click.option("--org", required=True, help="whose keys")
@_as_json
def list_(org: str, as_json: bool) -> None:
    """An org's keys, newest first."""
    from jobs.access.api_key import key_json

    found = [key_json(key, used) for key, used in _with_keys(lambda kept: _all(kept, org))]
    if as_json:
        click.echo(json.dumps(found))
        return
    for key in found:
        used = key["lastUsedAt"] or "never used"
        click.echo(f"{key['id']}  {key['status']:<7}  {key['hint']}  {used:<24}  {key['name']}")


@keys.command()
@click.argument("key_id")
@_as_json
def revoke(key_id: str, as_json: bool) -> None:
    """End a key at once and for good."""
    from jobs.access.api_key import key_json

    async def work(kept: Keys) -> ApiKey:
        return await kept.revoke((await kept.find(key_id)).org, key_id)

    key = _with_keys(work)
    click.echo(json.dumps(key_json(key)) if as_json else f"{key.id} is revoked")


@keys.command()
@click.argument("key_id")
@click.option("--overlap", type=int, default=0, help="seconds that the secret before stays valid; default 0")
@_as_json
def rotate(key_id: str, overlap: int, as_json: bool) -> None:
    """Give a key a new secret, which is written to stdout, this once."""

    async def work(kept: Keys) -> KeyWithSecret:
        return await kept.rotate((await kept.find(key_id)).org, key_id, overlap)

    _say_once(_with_keys(work), as_json)


def _spec(
    expires_ms: int | None, *, rpm: int | None, rpd: int | None, capabilities: tuple[str, ...], **told: Any
) -> Any:
    from jobs.access.api_key import Grant, KeySpec, Limits

    return KeySpec(
        name=told["name"],
        subject=told["subject"],
        grant=Grant(
            capabilities=capabilities or Grant().capabilities,
            provider_ids=told["providers"],
            model_ids=told["models"],
        ),
        limits=Limits(
            requests_per_minute=rpm,
            requests_per_day=rpd,
            images_per_day=told["images_per_day"],
            cost_per_day=told["cost_per_day"],
        ),
        expires_ms=expires_ms,
    )


def _with_keys(work: Callable[[Keys], Awaitable[T]]) -> T:
    async def kept(redis: Redis, settings: Settings) -> T:
        from jobs.access.keys import Keys
        from jobs.catalog.families import Catalog

        return await work(Keys(redis, settings.redis_prefix, Catalog.load(settings.models_file).providers))

    return with_redis(kept)


async def _all(kept: Keys, org: str) -> list[tuple[ApiKey, int | None]]:
    found: list[ApiKey] = []
    after: str | None = None
    while True:
        page, after = await kept.page(org, after, 100)
        found += page
        if after is None:
            return list(zip(found, await kept.last_used(found), strict=True))


def _say_once(issued: KeyWithSecret, as_json: bool) -> None:
    from jobs.access.api_key import key_json

    if as_json:
        click.echo(json.dumps({**key_json(issued.key), "key": issued.secret}))
        return
    click.echo(f"{issued.key.id} ({issued.key.name}): the key is not shown again", err=True)
    click.echo(issued.secret)
