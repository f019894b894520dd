"""Front ends whose users sign in: NextAuth 4 and Auth.js themselves, behind Express on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.neighbours import free_port, listens, start, stop, wait_until

CLIENTS = Path(__file__).parents[1] / "clients"
SECRET = "the front end's secret"
SCRIPTS = {"nextauth4": "serve.js", "authjs": "serve.mjs"}
ROUTES = {"nextauth4": "/api/auth", "authjs": "/auth"}
COOKIES = {"nextauth4": "next-auth.session-token", "authjs": "authjs.session-token"}


class FrontEnd:
    def __init__(self, kind: str, port: int) -> None:
        self.kind = kind
        self.url = f"http://127.0.0.1:{port}"
        self.cookie = COOKIES[kind]

    def sign_in(self, email: str, name: str = "Somebody", below: str = "") -> dict[str, str]:
        """The cookies that a browser has when somebody has signed in, by name; `below`: the path before the routes."""
        base = f"{self.url}{below}{ROUTES[self.kind]}"
        begun = httpx.get(f"{base}/csrf")
        cookies = _set(begun)
        form = {"csrfToken": begun.json()["csrfToken"], "email": email, "name": name, "json": "true"}
        asked = {"Cookie": header(cookies)}
        signed = httpx.post(f"{base}/callback/credentials", data=form, headers=asked, timeout=60)
        assert signed.status_code in {200, 302}, signed.text
        return {name: value for name, value in _set(signed).items() if "session-token" in name}

    def token(self, email: str, *, seconds: int = 3600, by: str = SECRET) -> str:
        """A token as the front end's own library makes it, for a session of so many seconds and by that secret."""
        told = {"email": email, "maxAge": seconds, "by": by, "cookie": self.cookie}
        return httpx.get(f"{self.url}/token", params=told).raise_for_status().text

    def asked(self) -> int:
        """How often the database was asked for a session."""
        return httpx.get(f"{self.url}/asked").json()["sessions"]


def header(cookies: dict[str, str]) -> str:
    """`Cookie`, as a browser sends it."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


@contextmanager
def running_front_end(kind: str, strategy: str = "jwt") -> Iterator[FrontEnd]:
    """`strategy`: where sessions are kept, in cookies (`jwt`) or, by Auth.js alone, in a `database`."""
    node, folder = shutil.which("node"), CLIENTS / kind
    if node is None or not (folder / "node_modules").is_dir():
        pytest.skip(f"tests/clients/{kind} is not installed: scripts/test installs it where node and npm are")
    port = free_port()
    child = start([node, str(folder / SCRIPTS[kind]), str(port), SECRET, strategy])
    try:
        wait_until(lambda: listens(port), seconds=60, what=kind)
        yield FrontEnd(kind, port)
    finally:
        stop(child)


def _set(answer: httpx.Response) -> dict[str, str]:
    pairs = (line.partition(";")[0].partition("=") for line in answer.headers.get_list("set-cookie"))
    return {name: value for name, _, value in pairs if value}
