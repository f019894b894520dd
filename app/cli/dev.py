"""`darkroom dev`: everything that one developer needs, started together and ended together."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import httpx
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from app.cli.embedded_redis import redis_command
from jobs.errors import ConfigurationError
from jobs.settings import Settings

END_SECONDS: Final = 8.0
"""A child that has not ended by then is killed; the whole takes less than ten seconds."""
START_SECONDS: Final = 60.0
SIMULATED_KEY: Final = "simulated"
_SIMULATED: Final = {
    "azure-openai": ("azure_openai_api_key", "AZURE_OPENAI_IMAGE_ENDPOINT", "AZURE_OPENAI_IMAGE_API_KEY", ""),
    "openai": ("openai_api_key", "OPENAI_BASE_URL", "OPENAI_API_KEY", "/v1"),
    "gemini": ("google_api_key", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_API_KEY", ""),
}
"""Provider: the setting without which it is played by the simulator, and the variables that point at that."""


class Told(Struct, frozen=True, kw_only=True):
    """The flags of `darkroom dev`. `port` None: 8000, or the next free one."""

    port: int | None = None
    data_dir: Path | None = None
    ephemeral: bool = False
    json: bool = False


def run_dev(told: Told) -> int:
    """Run until SIGINT or SIGTERM; the exit status."""
    settings = Settings.load()
    folder = Path(tempfile.mkdtemp(prefix="darkroom-")) if told.ephemeral else told.data_dir or settings.data_dir
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        if not _locked(lock):
            _say(f"{folder} is in use by another `darkroom dev` (pid {_owner(folder)}); give this one --data-dir")
            return 2
        _clear_leftovers(folder)
        (folder / "pid").write_text(str(os.getpid()))
        try:
            return asyncio.run(Dev(told, settings, folder).run())
        finally:
            (folder / "children").unlink(missing_ok=True)
            if told.ephemeral:
                shutil.rmtree(folder, ignore_errors=True)


class Dev:
    """The children, and what they are told."""

    def __init__(self, told: Told, settings: Settings, folder: Path) -> None:
        self._told = told
        self._settings = settings
        self._folder = folder
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()

    async def run(self) -> int:
        """Start, say what there is, wait for the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            port = _port(self._told.port)
            environment = await self._environment(port)
            for name, command in _commands():
                await self._keep(name, command, environment)
            if not await self._ready(environment["PUBLIC_BASE_URL"]):
                return 0 if self._ending.is_set() else 1
            self._announce(environment)
            await self._ending.wait()
        except ConfigurationError as error:
            _say(str(error))
            return 2
        else:
            return 0
        finally:
            await self._stop()

    def _end(self) -> None:
        if self._ending.is_set():  # asked twice: at once
            for child in self._children.values():
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
        self._ending.set()

    async def _environment(self, port: int) -> dict[str, str]:
        told = self._settings
        kept = _kept_secrets(self._folder)
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
            "DARKROOM_SECRET_KEY": told.secret_key.get_secret_value() if told.secret_key else kept["secret"],
            "DARKROOM_DEV_KEY": told.dev_key.get_secret_value() if told.dev_key else kept["key"],
        }
        if "PUBLIC_BASE_URL" not in os.environ:
            environment["PUBLIC_BASE_URL"] = f"http://127.0.0.1:{port}"
        if not told.redis_url:
            redis_port = _free_port()
            await self._keep("redis", redis_command(redis_port, self._folder / "redis"), dict(os.environ))
            environment["REDIS_URL"] = f"redis://127.0.0.1:{redis_port}/0"
        if not told.webhook_allowed_networks:
            environment["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8"
        missing = [name for name, (attribute, *_) in _SIMULATED.items() if not getattr(told, attribute)]
        if missing:
            environment.update(await self._simulate(missing))
        return environment

    async def _simulate(self, names: Sequence[str]) -> dict[str, str]:
        port = _free_port()
        delay = str(self._settings.simulator_delay)
        command = [sys.executable, "-m", "app.simulator", "--port", str(port), "--delay", delay]
        await self._keep("simulator", command, dict(os.environ))
        url = f"http://127.0.0.1:{port}"
        environment = {"DARKROOM_SIMULATED": ",".join(names)}
        for name in names:
            _, base, key, path = _SIMULATED[name]
            environment |= {base: url + path, key: SIMULATED_KEY}
        if "azure-openai" in names:
            environment["AZURE_OPENAI_IMAGE_API_VERSION"] = "2025-04-01-preview"
        return environment

    async def _keep(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self._children[name] = await self._start(command, environment)
        self._write_children()
        self._keepers.append(asyncio.create_task(self._restart(name, command, environment)))

    async def _restart(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        """A child that ends unasked is started again, ever more slowly."""
        pause = 0.5
        while True:
            status = await self._children[name].wait()
            if self._ending.is_set():
                return
            _say(f"{name} ended with status {status}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)
            if not self._ending.is_set():
                self._children[name] = await self._start(command, environment)
                self._write_children()

    @staticmethod
    async def _start(command: Sequence[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=sys.stderr, stdin=asyncio.subprocess.DEVNULL, preexec_fn=_die_with_parent
        )

    def _write_children(self) -> None:
        pids = {str(child.pid): _started(child.pid) for child in self._children.values()}
        (self._folder / "children").write_text(json.dumps(pids))

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
            _say(f"not ready after {START_SECONDS:g} s; see the lines above")
        return False

    def _announce(self, environment: dict[str, str]) -> None:
        simulated = environment.get("DARKROOM_SIMULATED", "").split(",")
        facts = {
            "url": environment["PUBLIC_BASE_URL"],
            "apiKey": environment["DARKROOM_DEV_KEY"],
            "redis": environment.get("REDIS_URL") or self._settings.redis_url,
            "storage": _storage(self._settings, self._folder),
            "providers": {name: "simulated" if name in simulated else "configured" for name in _SIMULATED},
            "pid": os.getpid(),
        }
        if self._told.json:
            print(json.dumps(facts), flush=True)  # noqa: T201  # what it is asked for
        else:
            _show(facts)

    async def _stop(self) -> None:
        """End the children, the ones that use Redis before Redis itself."""
        self._ending.set()
        redis = self._children.pop("redis", None)
        await _end_all(list(self._children.values()))
        await _end_all([redis] if redis else [])
        for keeper in self._keepers:
            keeper.cancel()


def _commands() -> list[tuple[str, list[str]]]:
    return [(name, [sys.executable, "-m", "app.cli", name]) for name in ("api", "worker")]


async def _end_all(children: list[asyncio.subprocess.Process]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    waits = [asyncio.ensure_future(child.wait()) for child in children]
    if not waits:
        return
    _, late = await asyncio.wait(waits, timeout=END_SECONDS)
    if late:
        for child in children:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
        await asyncio.wait(late)


def _die_with_parent() -> None:
    """Runs in the child: out of the terminal's Ctrl-C, and killed when the parent is (Linux)."""
    os.setpgrp()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / "pid").read_text()
    return "unknown"


def _clear_leftovers(folder: Path) -> None:
    """Kill what a killed `darkroom dev` left: only processes that still are the ones it started."""
    with contextlib.suppress(OSError, ValueError):
        for pid, began in json.loads((folder / "children").read_text()).items():
            if began and _started(int(pid)) == began:
                _say(f"ending process {pid}, left over from an earlier start")
                os.kill(int(pid), signal.SIGKILL)


def _started(pid: int) -> str:
    """The kernel's start time of a process (Linux), which no other process of that pid shares."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _kept_secrets(folder: Path) -> dict[str, str]:
    """The dev key and the root secret: made once, readable by their owner alone."""
    path = folder / "secrets.json"
    if not path.exists():
        made = {
            "key": f"dev-{secrets.token_urlsafe(24)}",
            "secret": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _port(asked: int | None) -> int:
    if asked == 0:
        return _free_port()
    first = asked or 8000
    for port in [first] if asked else range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port != first:
                    _say(f"port {first} is taken: serving on {port}")
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


def _show(facts: dict[str, Any]) -> None:
    console = Console()
    url = facts["url"]
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "API": f"{url}/api/v1/agents/images",
        "OpenAI base URL": f"{url}/v1",
        "docs": f"{url}/docs",
        "health": f"{url}/readyz",
        "queue": facts["redis"],
        "storage": facts["storage"],
        "dev key": facts["apiKey"],
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    for name, state in facts["providers"].items():
        variable = _SIMULATED[name][2]
        table.add_row(
            f"[bold]{name}", f"simulated (set {variable} for the real one)" if state == "simulated" else state
        )
    console.print(table)
    body = json.dumps({"provider": "azure-openai", "model": "gpt-image-2", "prompt": "A red fox in an autumn forest"})
    print(  # noqa: T201  # no wrapping: it is pasted
        f"\nTry:\n\ncurl -s {url}/api/v1/agents/images -H 'Authorization: Bearer {facts['apiKey']}' "
        f"-H 'Content-Type: application/json' -d '{body}'\n",
        flush=True,
    )


def _say(text: str) -> None:
    print(f"darkroom: {text}", file=sys.stderr, flush=True)  # noqa: T201  # it speaks to whoever started it
