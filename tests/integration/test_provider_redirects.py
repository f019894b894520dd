"""A paid call goes where it was sent, and nowhere else: the key and the prompt are for that host alone."""

import pytest

from app.simulator.draw import draw
from jobs.errors import Outcome
from jobs.model.picture import Picture
from tests.neighbours.scripted_provider import ALL, OPENAI, failed, response, running_far_end, success

pytestmark = pytest.mark.anyio

PNG = draw("a mug", "beef", 64, 64, "png")
STATUSES = [301, 302, 303, 307, 308]


def refused(error, status):
    assert (error.outcome, error.provider_status) == (Outcome.REFUSED, status)
    assert (error.error.code, error.error.details["reason"]) == ("SERVICE_UNAVAILABLE", "provider_unavailable")
    assert "redirect" in error.error.message


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", STATUSES)
async def test_another_host_hears_nothing(provider, status):
    async with running_far_end(response(200, success(provider, PNG))) as other:
        error = await failed(provider, response(status, location=f"{other.url}/elsewhere"))

        assert other.asked == []
        assert other.open == set()
    refused(error, status)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("to", ["/elsewhere", "", "https://127.0.0.1:1/", "no address: at all"])
async def test_a_redirect_within_the_host_or_to_nowhere_is_not_followed_either(provider, status, to):
    refused(await failed(provider, response(status, location=to)), status)


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [300, 304, 305, 307])
async def test_a_redirect_that_says_not_where_to_is_refused(provider, status):
    refused(await failed(provider, response(status, content_length="0")), status)


@pytest.mark.parametrize("provider", ALL)
async def test_the_pictures_of_an_edit_go_nowhere_else(provider):
    async with running_far_end(response(200, success(provider, PNG))) as other:
        error = await failed(
            provider,
            response(307, location=f"{other.url}/elsewhere"),
            images=(Picture(data=PNG, media_type="image/png"),),
        )

        assert other.asked == []
    refused(error, 307)


@pytest.mark.parametrize("provider", OPENAI)
async def test_a_call_that_asks_for_a_stream_goes_nowhere_else(provider):
    async with running_far_end(response(200, success(provider, PNG))) as other:
        error = await failed(provider, response(308, location=f"{other.url}/elsewhere"), partial_images=2)

        assert other.asked == []
    refused(error, 308)
