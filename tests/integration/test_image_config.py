"""An org's image configuration on a real Redis."""

import pytest

from jobs.client.image_config import ImageConfig, ImageConfigs
from jobs.encryption import Sealer

pytestmark = pytest.mark.anyio
SET = ImageConfig({"IMAGE_STEPS": 20}, {"COMFYUI_API_KEY": "a secret", "IMAGES_OPENAI_API_KEY": ""})


def configs(redis, key=b"1"):
    return ImageConfigs(redis, "{test}:", Sealer(key * 32))


async def test_what_an_org_has_set_is_its_own_and_its_secrets_are_sealed(redis):
    await configs(redis).put("acme", SET)

    kept = await redis.get("{test}:image_config:acme")

    assert await configs(redis).get("acme") == ImageConfig(SET.values, {"COMFYUI_API_KEY": "a secret"})
    assert await configs(redis).get("other") == ImageConfig()
    assert b"IMAGE_STEPS" in kept
    assert b"a secret" not in kept


async def test_under_another_root_key_the_secrets_are_to_be_set_again_and_the_rest_holds(redis):
    await configs(redis).put("acme", SET)

    assert await configs(redis, b"2").get("acme") == ImageConfig(SET.values, {})
