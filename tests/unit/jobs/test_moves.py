"""The state machine: every move from every state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobs.errors import Outcome
from jobs.model import ledger, moves, states
from jobs.model.choices import OnAmbiguous
from jobs.model.job import BillingState, Failure, Options, Phase, Status
from jobs.model.json import billing_json
from jobs.model.picture import Image, Preview
from jobs.model.request import Fallback, Target
from tests.jobs import new_job

ELSEWHERE = (Fallback(target=Target("openai", "o")),)
NEW = new_job(created_ms=0, updated_ms=0, cancel_at_ms=900_000, fallbacks=ELSEWHERE)
FAILURE = Failure(code="SYSTEM_ERROR", message="m")
IMAGE = Image(index=0, url="u", blob="images/o/d/x.png", media_type="image/png", bytes=1, sha256="", width=1, height=1)
ACTIONS = {
    states.Move.START: moves.start,
    states.Move.CALL: lambda j, now: moves.intend(j, now, (0,)),
    states.Move.WORK: lambda j, now: moves.lose(j, now, "spool"),
    states.Move.SALVAGE: lambda j, now: moves.salvage(j, now, 1, IMAGE),
    states.Move.RESUME: lambda j, now: moves.resume(j, now, "spool"),
    states.Move.REQUEUE: lambda j, now: moves.back_off(j, now, 1000),
    states.Move.FALL_BACK: lambda j, now: moves.fall_back(j, now, "why"),
    states.Move.SUCCEED: moves.succeed,
    states.Move.FAIL: lambda j, now: moves.fail(j, now, FAILURE),
    states.Move.EXPIRE: moves.expire,
    states.Move.CANCEL: lambda j, now: moves.cancel(j, now, by="me"),
    states.Move.STOP: moves.stop,
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("move", list(states.Move))
def test_a_move_leads_where_the_table_says_or_is_refused(move, status):
    job = replace(NEW, status=status, version=7)
    target = states.TABLE[move][list(Status).index(status)]

    if target is None:
        with pytest.raises(moves.MoveRefused):
            ACTIONS[move](job, 5)
    else:
        changed = ACTIONS[move](job, 5).job
        assert (changed.status, changed.version) == (target, 8)


def test_a_terminal_status_is_never_left():
    for targets in states.TABLE.values():
        assert all(targets[i] in {None, status} for i, status in enumerate(Status) if status.terminal)


@given(st.lists(st.sampled_from(list(states.Move)), max_size=12))
def test_however_the_moves_come_the_version_grows_by_one_and_an_end_is_an_end(chosen):
    job = NEW
    for move in chosen:
        try:
            after = ACTIONS[move](job, job.updated_ms + 1).job
        except moves.MoveRefused:
            continue
        assert after.version == job.version + 1
        assert not job.status.terminal or (move is states.Move.SALVAGE and after.status is job.status)
        job = after


def test_a_picture_that_came_after_the_end_is_added_once_and_the_ledger_says_that_it_was_paid_for():
    job = moves.intend(moves.start(NEW, 1).job, 2, (0,)).job
    ended = moves.stop(moves.cancel(job, 3, by="me").job, 4).job

    late = moves.salvage(ended, 5, 1, IMAGE).job

    assert (ended.status, ended.cancel.outcome, ended.billing) == ("canceled", "abandoned", "possibly_billed")
    assert (late.status, late.salvaged, late.billing, late.images) == ("canceled", True, "billed", (IMAGE,))
    with pytest.raises(moves.MoveRefused):
        moves.salvage(late, 6, 1, IMAGE)


def test_a_cancel_with_no_call_open_is_prevented_and_one_with_a_picture_there_is_too_late():
    begun = moves.start(NEW, 1).job
    made = moves.checkpoint(moves.intend(begun, 2, (0,)).job, 3, IMAGE, 0).job

    assert moves.stop(moves.cancel(begun, 3, by="me").job, 4).job.cancel.outcome == "prevented"
    with pytest.raises(moves.MoveRefused):
        moves.stop(moves.cancel(made, 4, by="me").job, 5)
    assert moves.succeed(moves.cancel(made, 4, by="me").job, 5).job.cancel.outcome == "too_late"


def test_a_picture_on_another_machines_disk_is_waited_for_and_at_the_deadline_known_to_be_paid_for():
    job = moves.spooled(moves.intend(moves.start(NEW, 1).job, 2, (0,)).job, 3, 1, "theirs").job

    assert ledger.open_rows(moves.lose(job, 4, "ours").job) == job.attempts
    assert ledger.to_make(job) == ()
    assert ledger.open_rows(moves.lose(job, 4, "theirs").job) == ()
    ended = moves.overdue(job, 900_001).job
    assert (ended.failure.reason, ended.billing) == ("upload_failed", BillingState.BILLED)


@pytest.mark.parametrize(
    ("outcomes", "again", "made"),
    [
        ([], "fail", (0, 1)),
        ([Outcome.NOT_SENT], "fail", (0, 1)),
        ([Outcome.THROTTLED], "fail", (0, 1)),
        ([Outcome.UNKNOWN], "fail", ()),
        ([Outcome.UNKNOWN], "retry", (0, 1)),
        ([Outcome.REFUSED], "retry", ()),
        ([Outcome.BAD_RESPONSE], "retry", ()),
        ([Outcome.THROTTLED, Outcome.REFUSED], "retry", ()),
        (["succeeded"], "retry", ()),
    ],
)
def test_a_call_is_made_again_only_where_the_last_is_known_not_to_be_charged_or_the_job_asked(outcomes, again, made):
    job = replace(NEW, request=replace(NEW.request, n=2), options=Options(on_ambiguous=OnAmbiguous(again)))
    job = moves.start(job, 1).job
    for outcome in outcomes:
        job = moves.intend(job, 2, (0, 1)).job
        job = moves.settle(job, 3, len(job.attempts), outcome=outcome, charged=False).job

    assert ledger.to_make(job) == made


def test_each_picture_is_paid_for_as_often_as_the_job_says_and_no_more():
    job = replace(NEW, request=replace(NEW.request, n=2), options=Options(on_ambiguous=OnAmbiguous.RETRY, max_calls=3))
    job = moves.start(job, 1).job
    for indexes in ((0,), (0,), (1,), (0,)):
        assert indexes[0] in ledger.to_make(job)
        job = moves.intend(job, 2, indexes).job
        job = moves.settle(job, 3, len(job.attempts), outcome=Outcome.UNKNOWN, charged=None).job

    assert ledger.to_make(job) == (1,)


def refused(job, reason="provider_rate_limited", retry_after=None):
    """The job after a call that its provider refused with 429 or 503."""
    job = moves.start(job, 1).job
    job = moves.intend(job, 2, (0,)).job
    failure = Failure(code="SERVICE_UNAVAILABLE", message="m", reason=reason, retry_after=retry_after)
    call = ledger.open_call(job, (0,))
    job = moves.settle(job, 3, call, outcome=Outcome.THROTTLED, charged=False, failure=failure).job
    return moves.back_off(job, 4, 0, Phase.THROTTLED).job


def test_a_job_that_waits_for_its_provider_s_pace_grows_by_no_row_and_backs_off_at_no_cost():
    job = NEW
    for _ in range(50):
        job = refused(job)

    assert [a.call for a in job.attempts] == [1, 2]
    assert (job.backed_off_ms, job.phase) == (0, Phase.THROTTLED)
    assert moves.overdue(job, 900_001).job.failure.reason == "provider_rate_limited"


@pytest.mark.parametrize(
    ("reason", "retry_after", "waits"),
    [
        ("provider_rate_limited", None, True),
        ("provider_rate_limited", 7.0, True),
        ("provider_unavailable", 7.0, True),
        ("provider_unavailable", 0.0, False),
        ("provider_unavailable", None, False),
    ],
)
def test_a_job_waits_for_its_time_alone_where_that_is_all_that_the_provider_has_against_it(reason, retry_after, waits):
    assert ledger.waits_for_pace(refused(NEW, reason, retry_after)) is waits


@pytest.mark.parametrize(
    ("charged", "known", "cost"),
    [
        ([], "actualCost", 0),
        ([True], "actualCost", 2),
        ([None], "actualCostAtMost", 2),
        ([None, True], "actualCostAtMost", 4),
    ],
)
def test_a_cost_that_is_not_known_is_told_as_a_bound(charged, known, cost):
    job = replace(
        NEW, request=replace(NEW.request, n=2), options=Options(on_ambiguous=OnAmbiguous.RETRY), unit_price=1_000_000
    )
    job = moves.start(job, 1).job
    for value in charged:
        job = moves.intend(job, 2, (0, 1)).job
        job = moves.settle(job, 3, len(job.attempts), outcome=Outcome.UNKNOWN, charged=value).job

    told = billing_json(moves.overdue(job, 900_001).job)

    assert (told["estimatedCost"], told[known], len(told)) == (4.0, cost, 5)


@pytest.mark.parametrize(
    ("charged", "state"),
    [
        ([], BillingState.NONE),
        ([False], BillingState.NONE),
        ([False, None], BillingState.POSSIBLY_BILLED),
        ([None, True], BillingState.BILLED),
    ],
)
def test_the_ledger_says_the_money(charged, state):
    job = moves.start(NEW, 1).job
    for value in charged:
        job = moves.intend(job, 2, (0,)).job
        job = moves.settle(job, 3, len(job.attempts), outcome="x", charged=value).job

    assert job.billing is state


def test_an_open_call_at_the_deadline_stays_possibly_billed():
    job = moves.intend(moves.start(NEW, 1).job, 2, (0,)).job

    ended = moves.overdue(job, 900_001).job

    assert (ended.status, ended.failure.reason) == (Status.FAILED, "deadline")
    assert ended.billing is BillingState.POSSIBLY_BILLED
    assert ended.failure.safe_to_retry is False


# --- previews ---


def look(index=0, partial_index=0):
    return Preview(index=index, partial_index=partial_index, url="u", media_type="image/png", width=1, height=1)


def drawing(*seen, n=2):
    """A job with a call for each of its pictures, and what has been seen of them."""
    job = moves.start(replace(NEW, request=replace(NEW.request, n=n)), 1).job
    for index in range(n):
        job = moves.intend(job, 2, (index,)).job
    for preview in seen:
        job = moves.preview(job, 3, preview).job
    return job


def test_each_preview_is_an_event_and_the_job_shows_the_latest():
    changed = moves.preview(drawing(look(0, 0), look(1, 0)), 4, look(0, 1))

    assert (changed.event, changed.job.preview) == ("image.job.preview", look(0, 1))


@pytest.mark.parametrize("seen", [look(0, 1), look(0, 0)])
def test_a_preview_that_a_later_one_has_overtaken_is_refused(seen):
    with pytest.raises(moves.MoveRefused):
        moves.preview(drawing(look(0, 1)), 4, seen)


def test_a_preview_that_comes_after_its_picture_is_refused_and_another_pictures_is_not():
    job = moves.checkpoint(drawing(), 4, IMAGE, 1).job

    with pytest.raises(moves.MoveRefused):
        moves.preview(job, 5, look(0, 0))

    assert moves.preview(job, 5, look(1, 0)).job.preview == look(1, 0)


def test_a_new_call_for_a_picture_begins_without_the_preview_of_the_last_one():
    job = drawing(look(0, 2))

    assert moves.intend(job, 5, (1,)).job.preview == look(0, 2)
    again = moves.intend(job, 5, (0,)).job
    assert again.preview is None
    assert moves.preview(again, 6, look(0, 0)).job.preview == look(0, 0)


@pytest.mark.parametrize("end", [moves.succeed, lambda j, now: moves.fail(j, now, FAILURE), moves.overdue])
def test_a_job_that_has_ended_shows_no_preview(end):
    assert end(drawing(look()), 9).job.preview is None
