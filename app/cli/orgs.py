"""`darkroom orgs`: what an org may do, by hand, straight to the Redis of the settings, for operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rich_click as click

from app.cli.messages import fail
from app.cli.operators import with_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

_NAMES = {
    "weight": "weight",
    "max_queued": "maxQueued",
    "max_running": "maxRunning",
    "images_per_day": "imagesPerDay",
    "cost_per_day": "costPerDay",
}
_as_json = click.option("--json", "as_json", is_flag=True, help="as JSON")


@click.group()
def orgs() -> None:
    """Look at and change what orgs may do."""


@orgs.command()
@click.argument("org")
@_as_json
def show(org: str, as_json: bool) -> None:
    """Limits of an org, and what it has used today."""
    _say(org, {}, as_json)


@orgs.command("set")
@click.argument("org")
@click.option("--weight", help="share of the workers beside other orgs'; default 1")
@click.option("--max-queued", help="jobs that may wait")
@click.option("--max-running", help="jobs that run at once")
@click.option("--images-per-day", help="pictures a day (UTC)")
@click.option("--cost-per-day", help="US dollars a day, by the catalog's prices")
@_as_json
def set_(org: str, as_json: bool, **told: str | None) -> None:
    """Change limits; `none` takes one away, what is left out stays."""
    _say(org, {_NAMES[name]: value for name, value in told.items() if value is not None}, as_json)


def _say(org: str, told: dict[str, str], as_json: bool) -> None:
    from app.auth.authenticator import ORG  # each command loads what it needs

    if not ORG.fullmatch(org):
        fail("org: 1 to 64 letters, digits, '_' or '-'")
    found = with_redis(lambda redis, settings: _changed(redis, settings, org, told))
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        click.echo(f"{name:<13} {'none' if value is None else value}")


async def _changed(redis: Redis, settings: Settings, org: str, told: dict[str, str]) -> dict[str, Any]:
    import msgspec

    from jobs.access.orgs import OrgChange, Orgs

    kept = Orgs(redis, settings.redis_prefix)
    if told:
        wanted = {name: None if value == "none" else value for name, value in told.items()}
        try:
            change = msgspec.convert(wanted, OrgChange, strict=False)
        except msgspec.ValidationError as error:
            fail(str(error))
        await kept.change(org, change)
    used = await kept.used(org)
    return {**msgspec.to_builtins(await kept.limits(org)), "imagesToday": used.images, "costToday": used.cost}
