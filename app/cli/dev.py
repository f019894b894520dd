"""`darkroom dev`: everything that one developer needs, started together and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct

from app.cli.announcement import announce
from app.cli.dev_folder import FolderInUse, kept_secrets, owned
from app.cli.embedded_redis import redis_command
from app.cli.messages import say
from app.cli.supervisor import Supervisor
from jobs.errors import ConfigurationError
from jobs.settings import Settings

START_SECONDS: Final = 60.0
FIRST_PORT: Final = 8000
SIMULATED_KEY: Final = "simulated"


class Simulated(Struct, frozen=True):
    """How a provider is handed over to the simulator when the setting `key` has no value; an engine has no key."""

    key: str
    base_variable: str
    key_variable: str | None = None
    path: str = ""


SIMULATED: Final = {
    "azure-openai": Simulated("azure_openai_credential", "AZURE_OPENAI_IMAGE_ENDPOINT", "AZURE_OPENAI_IMAGE_API_KEY"),
    "openai": Simulated("openai_api_key", "OPENAI_BASE_URL", "OPENAI_API_KEY", "/v1"),
    "gemini": Simulated("google_credential", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_API_KEY"),
    "imagen": Simulated("google_credential", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_API_KEY"),
    "comfyui": Simulated("comfyui_base_url", "COMFYUI_BASE_URL"),
    "automatic1111": Simulated("automatic1111_base_url", "AUTOMATIC1111_BASE_URL"),
}


class DevOptions(Struct, frozen=True, kw_only=True):
    """The flags of `darkroom dev`. `port` None: 8000, or the next free one."""

    port: int | None = None
    data_dir: Path | None = None
    ephemeral: bool = False
    json: bool = False


def run_dev(options: DevOptions) -> int:
    """Run until SIGINT or SIGTERM; the exit status."""
    settings = Settings.load()
    folder = Path(tempfile.mkdtemp(prefix="darkroom-")) if options.ephemeral else options.data_dir or settings.data_dir
    folder = folder.absolute()
    try:
        with owned(folder, ephemeral=options.ephemeral):
            return asyncio.run(Dev(options, settings, folder).run())
    except FolderInUse as error:
        say(f"{folder} is in use by another `darkroom dev` (pid {error.pid}); give this one --data-dir")
        return 2


class Dev:
    """Redis, simulator, API and worker on this machine."""

    def __init__(self, options: DevOptions, settings: Settings, folder: Path) -> None:
        self._options = options
        self._settings = settings
        self._folder = folder
        self._children = Supervisor(folder)
        self._ending = asyncio.Event()

    async def run(self) -> int:
        """Start, say what there is, wait for the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            environment = await self._environment(_port(self._options.port))
            for name in ("api", "worker"):
                await self._children.start(name, [sys.executable, "-m", "app.cli", name], environment)
            if not await self._ready(environment["PUBLIC_BASE_URL"]):
                return 0 if self._ending.is_set() else 1
            self._announce(environment)
            await self._ending.wait()
        except ConfigurationError as error:
            say(str(error))
            return 2
        else:
            return 0
        finally:
            self._ending.set()
            await self._children.stop()

    def _end(self) -> None:
        if self._ending.is_set():  # asked twice: at once
            self._children.kill()
        self._ending.set()

    async def _environment(self, port: int) -> dict[str, str]:
        """The variables of the API and the worker; starts the Redis and the simulator that they point at."""
        settings = self._settings
        kept = kept_secrets(self._folder)
        environment = {
            **os.environ,
            "DARKROOM_DEV": "1",
            "DARKROOM_HOST": "127.0.0.1",
            "DARKROOM_PORT": str(port),
            "DARKROOM_DATA_DIR": str(self._folder),
            "DARKROOM_LOG_FORMAT": os.environ.get("DARKROOM_LOG_FORMAT", "console"),
            "DARKROOM_LOG_LEVEL": os.environ.get("DARKROOM_LOG_LEVEL", "warning"),
            "DARKROOM_DRAIN_SECONDS": os.environ.get("DARKROOM_DRAIN_SECONDS", "5"),
            "AZURE_STORAGE_PUBLIC": os.environ.get("AZURE_STORAGE_PUBLIC", "1"),
            "DARKROOM_SECRET_KEY": settings.secret_key.get_secret_value() if settings.secret_key else kept.secret,
            "DARKROOM_DEV_KEY": settings.dev_key.get_secret_value() if settings.dev_key else kept.key,
        }
        if "PUBLIC_BASE_URL" not in os.environ:
            environment["PUBLIC_BASE_URL"] = f"http://127.0.0.1:{port}"
        if not settings.redis_url:
            redis_port = _free_port()
            await self._children.start("redis", redis_command(redis_port, self._folder / "redis"), dict(os.environ))
            environment["REDIS_URL"] = f"redis://127.0.0.1:{redis_port}/0"
        if not settings.webhook_allowed_networks:
            environment["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8"
        told = settings.account_tables
        missing = [n for n, simulated in SIMULATED.items() if n not in told and not getattr(settings, simulated.key)]
        if missing:
            environment.update(await self._simulate(missing))
        return environment

    async def _simulate(self, names: Sequence[str]) -> dict[str, str]:
        port = _free_port()
        delay = str(self._settings.simulator_delay)
        command = [sys.executable, "-m", "app.simulator", "--port", str(port), "--delay", delay]
        await self._children.start("simulator", command, dict(os.environ))
        url = f"http://127.0.0.1:{port}"
        environment = {"DARKROOM_SIMULATED": ",".join(names)}
        for simulated in (SIMULATED[name] for name in names):
            environment[simulated.base_variable] = url + simulated.path
            if simulated.key_variable is not None:
                environment[simulated.key_variable] = SIMULATED_KEY
        if "azure-openai" in names:
            environment["AZURE_OPENAI_IMAGE_API_VERSION"] = "2025-04-01-preview"
        return environment

    async def _ready(self, url: str) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + START_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while loop.time() < end and not self._ending.is_set():
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{url}/readyz", timeout=2)).is_success:
                        return True
                await asyncio.sleep(0.1)
        if not self._ending.is_set():
            say(f"not ready after {START_SECONDS:g} s; see the lines above")
        return False

    def _announce(self, environment: dict[str, str]) -> None:
        simulated = environment.get("DARKROOM_SIMULATED", "").split(",")
        facts = {
            "url": environment["PUBLIC_BASE_URL"],
            "apiKey": environment["DARKROOM_DEV_KEY"],
            "redis": environment.get("REDIS_URL") or self._settings.redis_url,
            "storage": _storage(self._settings, self._folder),
            "providers": {name: "simulated" if name in simulated else "configured" for name in SIMULATED},
            "pid": os.getpid(),
        }
        missing = {
            name: entry.key_variable or entry.base_variable for name, entry in SIMULATED.items() if name in simulated
        }
        announce(facts, missing, as_json=self._options.json)


def _port(asked: int | None) -> int:
    if asked == 0:
        return _free_port()
    first = asked or FIRST_PORT
    for port in [first] if asked else range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port != first:
                    say(f"port {first} is taken: serving on {port}")
                return port
    raise ConfigurationError(f"--port: {first} is taken; give another, or 0 for any")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _storage(settings: Settings, folder: Path) -> str:
    if settings.azure_storage_connection_string or settings.azure_storage_account_url:
        return f"azure:{settings.azure_storage_container}"
    return str(folder / "blobs" / settings.azure_storage_container)
