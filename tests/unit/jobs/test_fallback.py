"""When a job may go on elsewhere, and what it is there."""

import pytest
from msgspec.structs import replace

from jobs.errors import Outcome
from jobs.model import fallback, ledger, moves
from jobs.model.choices import OnAmbiguous
from jobs.model.job import Failure, Options, Status
from jobs.model.picture import Image
from jobs.model.request import Fallback, ImageRequest, Target, Warning_
from tests.jobs import new_job

NEXT = Fallback(
    target=Target("gemini", "g"),
    changes={"size": "2:3", "quality": None},
    warnings=(Warning_(code="ignored_option", message="m", field="quality"),),
    unit_price=39_000,
    expected_seconds=11.0,
)
LAST = Fallback(target=Target("openai", "o"), changes={"size": "auto"})
JOB = new_job(
    created_ms=0, updated_ms=0, cancel_at_ms=900_000, status=Status.RUNNING, fallbacks=(NEXT, LAST), unit_price=167_000,
    request=ImageRequest(provider="azure-openai", model="a", prompt="p", size="1024x1536", quality="high", n=2),
    warnings=(Warning_(code="ignored_option", message="m", field="style"),),
)  # fmt: skip
CHARGED = {Outcome.NOT_SENT: False, Outcome.THROTTLED: False, Outcome.REFUSED: False, Outcome.BAD_RESPONSE: True}
IMAGE = Image(index=0, url="u", blob="b", media_type="image/png", bytes=1, sha256="", width=1, height=1)


def called(job, outcome, *, code="SERVICE_UNAVAILABLE", index=0):
    """The job after a call that ended so."""
    begun = moves.intend(job, 1, (index,)).job
    ended = moves.settle(
        begun,
        2,
        len(begun.attempts),
        outcome=outcome,
        charged=CHARGED.get(outcome),
        failure=Failure(code=code, message="why not"),
    )
    return ended.job


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.THROTTLED, Outcome.REFUSED])
def test_a_job_may_go_on_when_nothing_was_charged_and_pictures_that_one_refused_are_the_next_ones_to_make(outcome):
    job = called(called(JOB, outcome), outcome, index=1)

    moved = moves.fall_back(job, 3, "why not").job

    assert (moved.status, moved.phase, moved.not_before_ms, moved.backed_off_ms) == ("queued", "queued", None, 0)
    assert ledger.to_make(moved) == (0, 1)
    assert [(a.provider, a.model) for a in moved.attempts] == [("azure-openai", "a")] * 2


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.BAD_RESPONSE])
@pytest.mark.parametrize("again", OnAmbiguous)
def test_a_job_stays_where_a_call_was_or_may_have_been_charged(outcome, again):
    job = called(called(replace(JOB, options=Options(on_ambiguous=again)), Outcome.THROTTLED), outcome, index=1)

    with pytest.raises(moves.MoveRefused):
        moves.fall_back(job, 3, "why")


@pytest.mark.parametrize("code", ["INVALID_INPUT", "VALIDATION_ERROR"])
def test_a_request_with_which_a_provider_found_fault_is_shown_to_no_other(code):
    assert not fallback.allowed(called(JOB, Outcome.REFUSED, code=code))


def test_a_job_stays_with_a_picture_a_call_that_is_open_or_nowhere_else_to_go():
    assert fallback.allowed(JOB)
    assert not fallback.allowed(replace(JOB, images=(IMAGE,)))
    assert not fallback.allowed(moves.intend(JOB, 1, (0,)).job)
    assert not fallback.allowed(replace(JOB, fallbacks=()))


def test_elsewhere_the_request_is_in_that_ones_words_and_at_its_price():
    there = fallback.redirected(JOB, "it is away")
    after = fallback.redirected(there, "it is away, too")

    assert there.request == replace(JOB.request, provider="gemini", model="g", size="2:3", quality=None)
    assert (there.unit_price, there.expected_seconds, there.fallbacks) == (39_000, 11.0, (LAST,))
    assert [(w.code, w.field) for w in there.warnings] == [("fallback", None), ("ignored_option", "quality")]
    assert there.warnings[0].message == "azure-openai (a) could not make it (it is away): it went on to gemini (g)"
    assert (after.request.provider, after.request.size, after.fallbacks) == ("openai", "auto", ())
    assert [w.code for w in after.warnings] == ["fallback", "fallback"]


def test_a_call_of_before_calls_were_written_down_with_their_target_counts_as_made_here():
    old = replace(called(JOB, Outcome.REFUSED), fallbacks=())
    rows = tuple(replace(row, provider="", model="") for row in old.attempts)

    assert ledger.to_make(replace(old, attempts=rows)) == (1,)


def test_what_differs_between_two_targets_is_told_without_their_names_and_the_pictures():
    there = replace(JOB.request, provider="gemini", model="g", size="2:3", quality=None)

    assert fallback.changes(JOB.request, there) == {"size": "2:3", "quality": None}


def test_a_job_that_has_ended_goes_nowhere():
    assert moves.fail(JOB, 3, Failure(code="SYSTEM_ERROR", message="m")).job.fallbacks == ()
