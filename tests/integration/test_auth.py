"""Who may ask, with an issuer of the test's own over loopback HTTP."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.auth.authenticator import Authenticator
from jobs.errors import ConfigurationError, Forbidden, ServiceUnavailable, Unauthorized
from jobs.settings import Settings

pytestmark = pytest.mark.anyio
SECRET = "a secret of thirty-two characters or more"


class Issuer:
    """Serves a key set and counts how often it is asked."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.hits = 0
        self.up = True
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.hits += 1
                time.sleep(0.05)
                self.send_response(200 if issuer.up else 500)
                self.end_headers()
                self.wfile.write(issuer.document())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def document(self):
        keys = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key())), "kid": "r1", "use": "sig"},
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key())), "kid": "e1", "use": "sig"},
        ]
        return json.dumps({"keys": keys}).encode()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.stop()


def authenticator(**settings):
    return Authenticator(Settings.load({"JWT_SECRET": SECRET, **settings}, env_file=None))


def claims(**changes):
    told = {"exp": int(time.time()) + 86_400, "org_id": "acme", "sub": "me", "scope": "write:image-gen", **changes}
    return {k: v for k, v in told.items() if v is not None}


def hs256(**changes):
    return jwt.encode(claims(**changes), SECRET, "HS256")


def bearer(token):
    return [("authorization", f"Bearer {token}")]


@pytest.mark.parametrize(
    "scopes", [{"scope": "a write:image-gen"}, {"scopes": ["write:image-gen"]}, {"scp": "write:image-gen"}]
)
@pytest.mark.parametrize("org", ["org_id", "orgId", "organization_id"])
async def test_scopes_and_org_are_read_under_each_of_their_names(scopes, org):
    token = hs256(**{"scope": None, "org_id": None, org: "acme", **scopes})

    caller = await authenticator().caller(bearer(token))

    assert (caller.org, caller.subject) == ("acme", "me")
    caller.require("write:image-gen")
    with pytest.raises(Forbidden, match="admin:image-gen"):
        caller.require("admin:image-gen")


def _forged(header, payload, key=b""):
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (header, payload)]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest() if key else b"x"
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize(
    "token",
    [
        hs256(exp=int(time.time()) - 120),
        hs256(exp=None),
        hs256(nbf=int(time.time()) + 86_400),
        hs256(org_id=None),
        jwt.encode(claims(), "another secret of thirty-two characters", "HS256"),
        jwt.encode(claims(), SECRET * 2, "HS512"),
        jwt.encode(claims(), SECRET, "HS256", headers={"typ": "JWE"}),
        _forged({"alg": "none"}, claims()),
        _forged({"alg": "None"}, claims()),
        _forged({"alg": "HS256", "kid": "../../dev/null"}, claims(), b""),
        "x" * 9000,
        "a.b",
        "a.b.c.d.e",
        "",
    ],
)
async def test_a_token_that_does_not_hold_is_401(token):
    with pytest.raises(Unauthorized):
        await authenticator().caller(bearer(token))


async def test_two_credentials_are_none():
    with pytest.raises(Unauthorized):
        await authenticator().caller([*bearer(hs256()), *bearer(hs256())])


async def test_the_clock_may_be_off_by_thirty_seconds():
    caller = await authenticator().caller(bearer(hs256(exp=int(time.time()) - 20)))

    assert caller.org == "acme"


async def test_issuer_and_audience_are_held_exactly_when_they_are_set():
    strict = authenticator(JWT_ISSUER="https://i", JWT_AUDIENCE="darkroom")

    assert (await strict.caller(bearer(hs256(iss="https://i", aud="darkroom")))).org == "acme"
    assert (await authenticator().caller(bearer(hs256(iss="any", aud="any")))).org == "acme"
    for wrong in ({}, {"iss": "https://i"}, {"iss": "https://j", "aud": "darkroom"}, {"iss": "https://i", "aud": "x"}):
        with pytest.raises(Unauthorized):
            await strict.caller(bearer(hs256(**wrong)))


async def test_the_org_header_may_repeat_the_token_but_not_contradict_it():
    agreeing, other = [("x-org-id", "acme")], [("x-org-id", "rival")]

    assert (await authenticator().caller(bearer(hs256()) + agreeing)).org == "acme"
    with pytest.raises(Forbidden):
        await authenticator().caller(bearer(hs256()) + other)
    with pytest.raises(Unauthorized):
        await authenticator().caller(bearer(hs256(org_id=None)) + other)
    trusting = authenticator(DARKROOM_TRUST_ORG_HEADER="1")
    assert (await trusting.caller(bearer(hs256(org_id=None)) + other)).org == "rival"


@pytest.mark.parametrize("org", ["a/b", "..", "a" * 65, "ä", "a b"])
async def test_an_org_that_does_not_fit_a_path_is_403(org):
    with pytest.raises(Forbidden, match="64 letters"):
        await authenticator().caller(bearer(hs256(org_id=org)))


async def test_rs256_and_es256_hold_by_the_key_set_and_fifty_callers_fetch_it_once(issuer):
    known = authenticator(JWT_JWKS_URL=issuer.url)
    tokens = [
        jwt.encode(claims(), issuer.rsa, "RS256", headers={"kid": "r1"}),
        jwt.encode(claims(), issuer.ec, "ES256", headers={"kid": "e1"}),
        jwt.encode(claims(), issuer.rsa, "RS256"),
    ]

    callers = await asyncio.gather(*(known.caller(bearer(tokens[n % 3])) for n in range(50)))

    assert {c.org for c in callers} == {"acme"}
    assert issuer.hits == 1
    await known.close()


async def test_a_public_key_is_no_secret_and_a_token_brings_no_key(issuer):
    known = Authenticator(Settings.load({"JWT_JWKS_URL": issuer.url, "JWT_SECRET": ""}, env_file=None))
    public = issuer.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))

    for token in (
        _forged({"alg": "HS256", "typ": "JWT"}, claims(), public),
        jwt.encode(claims(), own, "RS256", headers={"jwk": jwk, "kid": "r1"}),
        jwt.encode(claims(), own, "RS256", headers={"jku": "http://127.0.0.1:9/keys", "kid": "r9"}),
        jwt.encode(claims(), issuer.rsa, "RS256", headers={"kid": "e1"}),
        hs256(),
    ):
        with pytest.raises(Unauthorized):
            await known.caller(bearer(token))
    await known.close()


async def test_an_issuer_that_is_down_is_503_and_keys_once_known_serve_on(issuer):
    known = authenticator(JWT_JWKS_URL=issuer.url)
    token = jwt.encode(claims(), issuer.rsa, "RS256", headers={"kid": "r1"})
    issuer.up = False
    with pytest.raises(ServiceUnavailable):
        await known.caller(bearer(token))
    issuer.up = True
    assert (await known.caller(bearer(token))).org == "acme"
    await known.close()


def test_a_key_set_over_plain_http_elsewhere_is_refused():
    with pytest.raises(ConfigurationError, match="JWT_JWKS_URL"):
        authenticator(JWT_JWKS_URL="http://login.example.com/jwks.json")


async def test_the_dev_key_holds_only_in_dev():
    dev = authenticator(DARKROOM_DEV="1", DARKROOM_DEV_KEY="any string at all")
    outside = authenticator(DARKROOM_DEV_KEY="any string at all")

    for name in ("authorization", "api-key", "x-api-key"):
        value = "Bearer any string at all" if name == "authorization" else "any string at all"
        caller = await dev.caller([(name, value), ("x-org-id", "other")])
        assert (caller.org, caller.subject, len(caller.scopes)) == ("other", "dev", 3)
        with pytest.raises(Unauthorized):
            await outside.caller([(name, value)])
