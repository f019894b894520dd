"""Nothing that is secret or heavy reaches the log."""

import base64
import logging
import time

import pytest
import structlog

from jobs.logs import configure, redact

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


@pytest.mark.parametrize("piece", ["http://", "a" * 199 + "!", "data:a", "aigw_sk_", "http://?"])
@pytest.mark.parametrize("name", ["path", "exception"])
def test_text_that_was_made_for_it_takes_no_longer_to_redact(piece, name):
    text = piece * (2_000_000 // len(piece))
    before = time.thread_time()  # this thread's own: other work on the machine does not count

    told = redact(None, "", {name: text})[name]

    assert time.thread_time() - before < 0.05
    assert told.endswith(f"… [{len(text)} characters]")


def test_a_secret_across_the_end_of_what_is_kept_is_cut_as_a_whole():
    told = redact(None, "", {"said": "." * 450 + PICTURE})["said"]

    assert PICTURE[:20] not in told
