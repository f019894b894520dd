"""Tokens whose signature is good and whose content is not: refused at the door, whatever they are made of."""

import base64
import hashlib
import hmac
import json

import httpx
import pytest

from tests.acceptance.conftest import JOBS, MUG
from tests.neighbours.gateway import SECRET, running_gateway
from tests.neighbours.redis_server import running_redis

SOON = 4_000_000_000
"""As good as any: nobody asks here when it is past."""
GOOD = {"sub": '"me"', "scope": '"write:image-gen read:image-gen"', "exp": str(SOON), "org_id": '"acme"'}
WITHOUT_ORG = {name: text for name, text in GOOD.items() if name != "org_id"}
HEADER = '{"alg":"HS256","typ":"JWT"}'
HALF = '"a\\ud800b"'
ISSUER = "https://issuer.example"
KNOWN = {**GOOD, "iss": f'"{ISSUER}"', "aud": '"darkroom-audience"'}
NO_TEXTS = ["true", "1", "1.5", "[]", '["a"]', "{}"]


def signed(header=HEADER, **claims):
    """A token of these claims, each as JSON text: some of them no library would write."""
    content = ",".join(f'"{name}":{value}' for name, value in claims.items())
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in (header, f"{{{content}}}")]
    signature = hmac.new(SECRET.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture(scope="module")
def strict(shared_simulator):
    """A gateway that trusts one issuer, for one audience."""
    settings = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": "darkroom-audience"}
    with running_redis() as redis, running_gateway(redis.url, shared_simulator, workers=0, **settings) as running:
        yield running


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


@pytest.mark.parametrize("header", [{"typ": "jwt"}, {"typ": "AT+JWT"}, {"typ": "application/at+jwt"}, {"kid": None}])
def test_a_type_is_a_media_type_and_null_names_no_key(gateway, header):
    answers = asked(gateway, signed(json.dumps({"alg": "HS256", **header}), **GOOD))

    assert [answer.status_code for answer in answers] == [200, 202]


def test_null_is_no_time_before_which_a_token_does_not_hold(gateway):
    answers = asked(gateway, signed(**GOOD, nbf="null", iat="null", iss="null", aud="null"))

    assert [answer.status_code for answer in answers] == [200, 202]


@pytest.mark.parametrize(
    ("claims", "reason", "claim"),
    [
        ({"exp": "1000000000"}, "token_expired", "exp"),
        ({"exp": "null"}, "token_claim_missing", "exp"),
        ({"nbf": str(SOON)}, "token_not_yet", "nbf"),
        ({"iat": str(SOON)}, "token_not_yet", "iat"),
        ({"iss": "null"}, "token_claim_missing", "iss"),
        ({"iss": '"https://other.example"'}, "token_issuer", "iss"),
        ({"iss": '["https://issuer.example"]'}, "token_issuer", "iss"),
        ({"aud": "null"}, "token_claim_missing", "aud"),
        ({"aud": '"elsewhere"'}, "token_audience", "aud"),
        ({"aud": "1"}, "token_audience", "aud"),
        ({"org_id": "null"}, "token_claim_missing", "org_id"),
    ],
)
def test_a_token_that_does_not_hold_is_told_why_and_never_what_would(strict, claims, reason, claim):
    told = refused(asked(strict, signed(**{**KNOWN, **claims})))

    assert (told["details"]["reason"], told["details"]["claim"]) == (reason, claim)
    assert claim in told["message"]
    assert ISSUER not in json.dumps(told)
    assert "darkroom-audience" not in json.dumps(told)


def test_who_signs_with_another_key_learns_that_and_nothing_of_the_claims(strict):
    header, claims, _ = signed(**{**KNOWN, "exp": "1", "iss": '"x"'}).split(".")

    told = refused(asked(strict, f"{header}.{claims}.{'A' * 43}"))

    assert (told["details"].get("reason"), told["details"].get("claim")) == ("token_signature", None)
    assert [answer.status_code for answer in asked(strict, signed(**KNOWN))] == [200, 202]
    assert [a.status_code for a in asked(strict, signed(**{**KNOWN, "aud": '["x", "darkroom-audience"]'}))] == [
        200,
        202,
    ]
