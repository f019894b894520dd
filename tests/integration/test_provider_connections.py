"""The connections that paid calls go out on: none that the far end may be about to close."""

import pytest

from app.simulator.draw import draw
from jobs.model.picture import Picture
from tests.neighbours.scripted_provider import ALL, opened, order, response, running_far_end, success

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")


async def bought(provider, far):
    """The pictures of three calls one after the other, over one client."""
    async with opened(provider, far.url) as client:
        return [step for _ in range(3) async for step in client.generate(order(provider)) if isinstance(step, Picture)]


@pytest.mark.parametrize("provider", ALL)
async def test_a_far_end_that_closes_an_idle_connection_as_the_next_call_leaves_costs_no_picture(provider):
    async with running_far_end(response(200, success(provider, PNG))) as far:
        far.closes_on_reuse = True

        pictures = await bought(provider, far)

    assert len(pictures) == len(far.asked) == 3


@pytest.mark.parametrize("provider", ALL)
async def test_each_paid_call_has_a_connection_of_its_own(provider):
    async with running_far_end(response(200, success(provider, PNG))) as far:
        await bought(provider, far)

        connections = len(far.open)

    assert connections == 3
