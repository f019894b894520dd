"""Tokens whose signature is good and whose content is not: refused at the door, whatever they are made of."""

import base64
import hashlib
import hmac
import json

import httpx
import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours.gateway import SECRET, running_gateway

SOON = 4_000_000_000
"""As good as any: nobody asks here when it is past."""
GOOD = {"sub": '"me"', "scope": '"write:image-gen read:image-gen"', "exp": str(SOON), "org_id": '"acme"'}
WITHOUT_ORG = {name: text for name, text in GOOD.items() if name != "org_id"}
HEADER = '{"alg":"HS256","typ":"JWT"}'
HALF = '"a\\ud800b"'
NO_TEXTS = ["true", "1", "1.5", "[]", '["a"]', "{}"]


def signed(header=HEADER, **claims):
    """A token of these claims, each as JSON text: some of them no library would write."""
    content = ",".join(f'"{name}":{value}' for name, value in claims.items())
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in (header, f"{{{content}}}")]
    signature = hmac.new(SECRET.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def asked(gateway, secret):
    """A read and a write by the token."""
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as client:
        return client.get("/api/v1/limits"), client.post(JOBS, json=MUG)


def refused(answers):
    for answer in answers:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (401, "UNAUTHORIZED"), answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
    return answers[0].json()["error"]


@pytest.mark.parametrize("value", [HALF, '"\\udc00"', '"a\\u0000b"', '"a\\nb"', '"' + "a" * 256 + '"', *NO_TEXTS])
def test_a_subject_that_is_no_printable_text_is_refused_by_its_name(gateway, value):
    told = refused(asked(gateway, signed(**{**GOOD, "sub": value})))

    assert told["details"]["claim"] == "sub"
    assert "sub must be printable text" in told["message"]


@pytest.mark.parametrize("value", [HALF, '"a\\u0000b"', *NO_TEXTS])
@pytest.mark.parametrize("name", ["org_id", "orgId", "organization_id"])
def test_an_org_that_is_no_printable_text_is_refused_by_its_name(gateway, name, value):
    told = refused(asked(gateway, signed(**WITHOUT_ORG, **{name: value})))

    assert told["details"]["claim"] == name


@pytest.mark.parametrize("value", ["true", "1", "{}", "[1]", '[["write:image-gen"]]'])
@pytest.mark.parametrize("name", ["scope", "scopes", "scp"])
def test_scopes_that_are_no_texts_are_refused_by_their_name(gateway, name, value):
    others = {claim: text for claim, text in GOOD.items() if claim != "scope"}

    told = refused(asked(gateway, signed(**others, **{name: value})))

    assert told["details"]["claim"] == name


@pytest.mark.parametrize(
    "value",
    [f'"{SOON}"', f'" {SOON} "', '"\\u0669999999999"', "true", "null", "[]", "{}", "-1", "NaN", "Infinity", "-Infinity",
     "1e308", "1e400", "9" * 30, "9" * 5000],
)  # fmt: skip
def test_an_end_that_is_no_date_in_numbers_is_no_end(gateway, value):
    refused(asked(gateway, signed(**{**GOOD, "exp": value})))


@pytest.mark.parametrize("value", ['"1"', '"\\u0661"', "true", "false", "[]", "{}", "-1", "NaN", "1e400", "9" * 30])
@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_beginning_that_is_no_date_in_numbers_is_none(gateway, name, value):
    refused(asked(gateway, signed(**GOOD, **{name: value})))


def test_numbers_with_fractions_are_dates_and_null_is_as_good_as_left_out(gateway):
    dates = {"exp": f"{SOON}.5", "nbf": "1.5", "iat": "0"}
    nothing = {"org_id": "null", "orgId": '"acme"', "scopes": "null", "sub": "null"}

    answers = asked(gateway, signed(**{**GOOD, **dates, **nothing}))

    assert [answer.status_code for answer in answers] == [200, 202]
    assert answers[1].json()["data"]["orgId"] == "acme"


@pytest.mark.parametrize(
    "header",
    [
        *({"alg": "HS256", "typ": value} for value in ([], {}, ["JWT"], None, 1, True)),
        *({"alg": value} for value in ([], {}, ["HS256"], None, 1)),
        *({"alg": "HS256", "kid": value} for value in ([], {}, 1)),
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False},
        [],
        1,
        None,
    ],
    ids=json.dumps,
)
def test_a_header_of_other_types_is_refused(gateway, header):
    refused(asked(gateway, signed(json.dumps(header), **GOOD)))


@pytest.mark.parametrize(
    "value", ["\ud800".encode("utf-8", "surrogatepass"), b"\xff", b"acme\xc2\xa0", b"a" * 5000, b"acme\t."]
)
def test_an_org_header_of_odd_bytes_is_refused(gateway, value):
    assert limits(gateway, signed(**GOOD), value) == 403
    assert limits(gateway, signed(**WITHOUT_ORG), value) == 401


def limits(gateway, secret, org):
    headers = {b"Authorization": b"Bearer " + secret.encode(), b"X-Org-ID": org}
    return httpx.get(f"{gateway.url}/api/v1/limits", headers=headers).status_code


def test_a_trusted_org_header_of_odd_bytes_is_refused(redis_url, simulator):
    odd = [b"\xed\xa0\x80", b"\xff", b"../x", b"a/b", b"", b"a" * 65, "ä".encode()]
    secret = signed(**WITHOUT_ORG)
    with running_gateway(redis_url, simulator, workers=0, DARKROOM_TRUST_ORG_HEADER="1") as gateway:
        statuses = [limits(gateway, secret, value) for value in (b"acme", *odd)]

    assert statuses == [200, *[403] * len(odd)]
