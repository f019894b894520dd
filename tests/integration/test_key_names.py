"""Keys, fields and channels: one name each, the same in Python and in the scripts; on a real Redis."""

import inspect
import re

import pytest

from jobs.redis import fields
from jobs.redis.keys import Keys
from jobs.redis.names import lua

pytestmark = pytest.mark.anyio
PREFIX = "{test}:"
CONSTANT = sorted(vars(Keys(PREFIX)).keys() - {"prefix"})
FAMILIES = {
    name: len(inspect.signature(method).parameters) - 1
    for name, method in inspect.getmembers(Keys, inspect.isfunction)
    if not name.startswith("_")
}
FIELDS = (
    fields.JobField, fields.LimitField, fields.UseField, fields.BreakerField, fields.PaceField, fields.DeliveryField,
)  # fmt: skip


async def evaluated(redis, expression):
    return (await redis.eval(f"{lua(expression)} return {expression}", 0, PREFIX)).decode()


@pytest.mark.parametrize("name", CONSTANT)
async def test_a_script_calls_a_key_what_python_calls_it(redis, name):
    assert await evaluated(redis, f"keys.{name}") == getattr(Keys(PREFIX), name)


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_script_builds_a_key_as_python_does(redis, name):
    parts = ["a:b", "c/d"][: FAMILIES[name]]
    if FAMILIES[name] == 3:
        parts.append("e")

    found = await evaluated(redis, f"keys.{name}({', '.join(map(repr, parts))})")

    assert found == getattr(Keys(PREFIX), name)(*parts)


@pytest.mark.parametrize("fields", FIELDS)
async def test_a_script_calls_a_field_what_python_calls_it(redis, fields):
    for field in fields:
        assert await evaluated(redis, f"{fields.__name__}.{field.name.lower()}") == field


def test_no_two_keys_differ_by_a_mark_only():
    own = Keys("")
    names = [getattr(own, name) for name in CONSTANT]
    names += [getattr(own, name)(*["-"] * count) for name, count in FAMILIES.items() if not name.startswith("record")]
    names += [f"{kind}{part}" for kind in ("api_key", "batch", "endpoint") for part in ("", "_named", "_of_org")]

    words = [re.sub(r"[^a-z]", "", name) for name in names]

    assert len(words) == len(set(words))
