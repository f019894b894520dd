"""The `darkroom` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import rich_click as click

from app.cli.keys import keys
from app.cli.messages import fail
from app.cli.orgs import orgs
from jobs.errors import ConfigurationError
from jobs.shutdown import Shutdown


def main() -> None:
    """Run the command; a wrong setting ends in one line and status 2."""
    try:
        darkroom(standalone_mode=True)
    except ConfigurationError as error:
        fail(str(error), 2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="darkroom")
def darkroom() -> None:
    """An image-generation gateway in which every picture is a job."""


darkroom.add_command(keys)
darkroom.add_command(orgs)


@darkroom.command()
@click.option("--port", type=click.IntRange(0, 65535), help="8000, or the next free one; 0: any")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="where queue and pictures are kept")
@click.option("--ephemeral", is_flag=True, help="keep nothing after the end")
@click.option("--json", "as_json", is_flag=True, help="one line of JSON on stdout when ready")
def dev(port: int | None, data_dir: Path | None, ephemeral: bool, as_json: bool) -> None:
    """Start everything on this machine: API, worker, queue, storage, and a simulator for what has no key."""
    from app.cli.dev import DevOptions, run_dev  # each command loads what it needs

    sys.exit(run_dev(DevOptions(port=port, data_dir=data_dir, ephemeral=ephemeral, json=as_json)))


@darkroom.command()
def api() -> None:
    """Serve the API."""
    shutdown = Shutdown()  # before anything is loaded
    from app.server.process import serve
    from jobs.settings import Settings

    serve(Settings.load(), shutdown)


@darkroom.command()
def worker() -> None:
    """Run jobs."""
    shutdown = Shutdown()
    from jobs.settings import Settings
    from jobs.worker.process import run_worker

    settings = Settings.load()
    settings.require_production()
    run_worker(settings, shutdown)


@darkroom.command()
@click.option("--url", help="base URL of the API; default: the bind address of the settings")
@click.option("--worker", is_flag=True, help="of this host's worker instead")
def healthcheck(url: str | None, worker: bool) -> None:
    """Exit with 0 when the API is ready, or the worker does its work, else 1: for containers."""
    import asyncio

    from app.cli.health import api_health, worker_health
    from jobs.logs import configure
    from jobs.settings import Settings

    settings = Settings.load()
    configure("console", "error")
    health = asyncio.run(worker_health(settings)) if worker else api_health(settings, url)
    if not health.good:
        fail(health.text)
    click.echo(health.text)


@darkroom.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def show(as_json: bool) -> None:
    """Every setting as it stands; secrets are masked."""
    from jobs.settings import Settings
    from jobs.settings.table import shown

    values = shown(Settings.load())
    if as_json:
        click.echo(json.dumps(values))
        return
    for name, value in values.items():
        click.echo(f"{name}={'' if value is None else value}")


@config.command()
def table() -> None:
    """Every setting as a markdown table."""
    from jobs.settings.table import table as markdown

    click.echo(markdown())


@config.command()
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def check(as_json: bool) -> None:
    """Whether production could start with these settings, and which promise its Redis would weaken."""
    import asyncio

    from app.cli.checks import findings
    from jobs.settings import Settings

    found = asyncio.run(findings(Settings.load()))
    if as_json:
        click.echo(json.dumps([{"level": f.level, "about": f.about, "text": f.text} for f in found]))
    for finding in [] if as_json else found:
        click.echo(f"{finding.level:<7} {finding.about}: {finding.text}")
    sys.exit(1 if any(f.level == "error" for f in found) else 0)


if __name__ == "__main__":
    main()
