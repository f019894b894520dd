"""Nothing that is secret or heavy reaches the log."""

import base64
import logging

import structlog

from jobs.logs import configure

CANARY = "sk-canary-0123456789"
API_KEY = "aigw_sk_canary0123456789"
PICTURE = base64.b64encode(bytes(range(256)) * 4).decode()


def test_secrets_prompts_pictures_and_query_strings_are_cut_from_every_line(capfd):
    configure("json", "info")

    structlog.get_logger().info(
        "call",
        api_key=CANARY,
        headers={"Authorization": f"Bearer {CANARY}", "x-request-id": "r1"},
        prompt="a private wish",
        url=f"https://acct.example/a.png?sig={CANARY}",
        body=f'{{"b64_json": "{PICTURE}"}}',
        nested=[{"password": CANARY}],
        image=b"bytes",
        said=f"no such key: {API_KEY}",
    )
    logging.getLogger("azure").warning("GET https://acct.example/a.png?sig=%s", CANARY)

    said = capfd.readouterr().err
    assert CANARY not in said
    assert API_KEY not in said
    assert "a private wish" not in said
    assert PICTURE[:40] not in said
    assert "r1" in said
    assert "https://acct.example/a.png?[redacted]" in said
