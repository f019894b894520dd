"""The engine's scripts on a real Redis, driven through random interleavings of everything that can befall a job."""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.errors import Outcome
from jobs.model import ledger, moves
from jobs.model.choices import OnAmbiguous
from jobs.model.job import TERMINAL, BillingState, Failure, Job, Options, Phase, Status
from jobs.model.moves import Changed, MoveRefused
from jobs.model.picture import Image
from jobs.model.request import Fallback, Target
from jobs.model.times import now_ms
from jobs.redis.fields import LimitField
from jobs.redis.keys import lane
from jobs.store.claims import Claim, Claims
from jobs.store.jobs import RedisJobStore
from jobs.store.outcomes import Created, Fenced, Full, Key, Known, Stale
from jobs.store.stats import Stats
from tests.jobs import new_job

CLOCK = (
    "local function test_clock() local ms = tonumber(redis.call('GET', ARGV[1] .. 'test:now')) "
    "return {math.floor(ms / 1000), ms % 1000 * 1000} end\n"
)
"""All that differs from production: the scripts read the time from a key, so that hours pass in no time."""
PAID = {
    "succeeded": True,
    Outcome.NOT_SENT: False,
    Outcome.THROTTLED: False,
    Outcome.REFUSED: False,
    Outcome.BAD_RESPONSE: True,
    Outcome.UNKNOWN: None,
}
FAILURE = Failure(code="SERVICE_UNAVAILABLE", message="made up")
ELSEWHERE = (
    Fallback(target=Target("openai", "m2"), unit_price=2, expected_seconds=3.0),
    Fallback(target=Target("azure-openai", "m3"), changes={"size": "auto"}),
)
MAX_JOBS = 3
WORKER = st.integers(0, 1)
PICK = st.integers(0, 5)
HOW = st.sampled_from(("sent", "sent", "sent", "sent twice", "held up"))
SPOOL = st.sampled_from(("disk 1", "disk 2"))
PREFIXES = itertools.count()


class EditedRedis(Redis):
    """Hands the scripts on with the clock replaced, and with the edit of a mutation."""

    edit = ("", "")

    def register_script(self, script):
        text = script.replace("redis.call('TIME')", "test_clock()")
        return super().register_script(CLOCK + (text.replace(*self.edit) if self.edit[0] else text))


@dataclass
class Kept:
    """What the test believes of a job: the record last accepted, who may write it, where it waits, what was paid."""

    job: Job
    events: list[tuple[int, str]]
    fence: int = 0
    worker: str | None = None
    """In whose hands it is."""
    astray: bool = False
    later_ms: int | None = None
    ledger: list[bool | None] = field(default_factory=list)

    @property
    def live(self):
        return not self.job.status.terminal

    def paid(self, what, row):
        """A call whose end nobody saw was paid for when its picture is on disk, or one of its pictures is there."""
        there = {image.index for image in self.job.images} & set(row.indexes)
        if row.ended_ms and (row.spool or (there and what != "settle")):
            return True
        return PAID.get(row.outcome)

    def accept(self, what, changed):
        before, after = self.job, changed.job
        assert after.version == before.version + 1
        if what == "intend":
            self.ledger.append(None)
        if what == "fall_back":
            assert set(self.ledger) <= {False}, "it went on elsewhere after a call that may have been charged"
            assert target(after) == before.fallbacks[0].target
        else:
            assert target(after) == target(before)
        for row, then in itertools.zip_longest(before.attempts, after.attempts):
            if what != "salvage" and row is not None and row.ended_ms is not None:
                assert row == then, "a closed row was written again"
            if row is None or row != then:
                self.ledger[then.call - 1] = self.paid(what, then)
        if not self.live:
            assert what == "salvage", f"{before.status} is an end, and {what} was accepted"
            assert len(after.images) == len(before.images) + 1
            same = ("images", "attempts", "version", "updated_ms")
            assert replace(after, **{name: getattr(before, name) for name in same}) == before
        elif after.status in {Status.QUEUED, *TERMINAL}:
            self.worker, self.astray, self.later_ms = None, False, after.not_before_ms
        self.job = after
        if changed.event is not None:
            self.events.append((after.version, changed.event))


@dataclass
class Holding:
    """A claim in a worker's hands, perhaps stale, and the record as the worker last saw it."""

    claim: Claim
    seen: Job
    given_back: bool = False


def intend(job, now):
    wanted = ledger.to_make(job)
    return moves.intend(job, now, wanted[:1]) if wanted else None


def settle(job, now, outcome="succeeded", *, last=False):
    """Whichever way a call ends; one whose picture is on disk has been paid."""
    rows = [a for a in ledger.open_rows(job) if PAID[outcome] or not a.spool]
    if not rows:
        return None
    failure = None if outcome == "succeeded" else FAILURE
    return moves.settle(job, now, rows[-last].call, outcome=outcome, charged=PAID[outcome], failure=failure)


def checkpoint(job, now):
    rows = ledger.open_rows(job)
    return moves.checkpoint(job, now, picture(rows[0].indexes[0]), 1) if rows else None


def spooled(job, now, spool="disk 1"):
    rows = ledger.open_rows(job)
    return moves.spooled(job, now, rows[0].call, spool) if rows else None


def lose(job, now, spool="disk 1"):
    return moves.lose(job, now, spool) if any(a.spool in {None, spool} for a in ledger.open_rows(job)) else None


def succeed(job, now):
    return moves.succeed(job, now) if job.images and not ledger.open_rows(job) else None


def fail(job, now):
    return moves.fail(job, now, FAILURE) if not job.images and not ledger.open_rows(job) else None


def back_off(job, now, delay_ms=1):
    """With a call open, too, when its picture lies on a disk elsewhere."""
    rows = ledger.open_rows(job)
    if not all(a.spool for a in rows) or not (rows or ledger.to_make(job)):
        return None
    return moves.back_off(job, now, delay_ms, Phase.UPLOADING if rows else Phase.BACKOFF)


def fall_back(job, now):
    """Also of a job that has not begun: its provider's breaker may be open."""
    return moves.fall_back(job, now, "why")


def target(job):
    return Target(job.request.provider, job.request.model)


def attempt(move, job, now):
    try:
        return move(job, now)
    except MoveRefused:
        return None


def picture(index):
    return Image(index=index, url="u", blob="b", media_type="image/png", bytes=1, sha256="", width=1, height=1)


def billing(ledger):
    if True in ledger:
        return BillingState.BILLED
    return BillingState.POSSIBLY_BILLED if None in ledger else BillingState.NONE


def work(**draws):
    """A rule of what a worker does, open while any claim, stale or not, allows it by the record that was last seen."""

    def to_rule(move):
        def step(self, pick, how, **drawn):
            self.work(move.__name__, partial(move, **drawn), pick, how)

        step.__name__ = move.__name__
        able = precondition(lambda self: bool(self.able(move)))
        return able(rule(pick=PICK, how=HOW, **draws)(step))

    return to_rule


class Engine(RuleBasedStateMachine):
    def __init__(self, url, edit=("", "")):
        super().__init__()
        self.loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.redis = EditedRedis.from_url(url)
        self.redis.edit = edit
        self.prefix = f"machine{next(PREFIXES)}:"
        self.store = RedisJobStore(self.redis, self.prefix, "https://darkroom.test")
        self.claims = Claims(self.redis, self.prefix)
        self.stats = Stats(self.redis, self.prefix)
        self.jobs: dict[str, Kept] = {}
        self.keys: dict[tuple[str, str], Known] = {}
        self.workers: list[list[Holding]] = [[], []]
        self.leases: dict[str, int] = {}
        self.late: list[tuple[str, Job, Changed, int | None]] = []
        self.turns = itertools.count()
        self.limited: set[str] = set()
        """Orgs that may run one job at a time."""
        self.now = now_ms()
        self.pass_time(0)

    # The asking half

    @initialize(
        n=st.integers(1, 2),
        cancel_after=st.sampled_from((60_000, 900_000)),
        begin=st.booleans(),
        others=st.integers(0, 2),
        limited=st.booleans(),
    )
    def first(self, n, cancel_after, begin, others=0, limited=False):
        if limited:
            self.run(self.redis.hset(self.store.keys.limits("a"), LimitField.MAX_RUNNING, 1))
            self.limited = {"a"}
        self.submit("a", None, n, cancel_after, others=others)
        self.claim(0, 2_000, begin)

    @rule(
        org=st.sampled_from("ab"),
        key=st.sampled_from((None, "k1", "k2")),
        n=st.integers(1, 2),
        cancel_after=st.sampled_from((40, 60_000, 900_000)),
        start_within=st.sampled_from((None, None, 20, 3_000)),
        most=st.sampled_from((None, None, 0, 2)),
        others=st.integers(0, 2),
    )
    def submit(self, org, key, n, cancel_after, start_within=None, most=None, others=0):
        job = new_job(
            n=n,
            id=f"job_{len(self.jobs):03}",
            org=org,
            options=Options(max_queue_position=most, on_ambiguous=OnAmbiguous.RETRY if n == 2 else OnAmbiguous.FAIL),
            created_ms=self.now,
            updated_ms=self.now,
            cancel_at_ms=self.now + cancel_after,
            start_by_ms=start_within and self.now + start_within,
            fingerprint=f"n={n}",
            fallbacks=ELSEWHERE[:others],
        )
        if len(self.jobs) == MAX_JOBS and (org, key) not in self.keys:
            return
        lane = [k for k in self.jobs.values() if (k.job.org, target(k.job)) == (org, target(job))]
        ahead = sum(self.position(k) is not None for k in lane)

        created = self.run(self.store.create(job, key and Key(key, job.fingerprint)))

        if (org, key) in self.keys:
            assert created == self.keys[org, key], "one key, one job"
        elif most is not None and ahead > most:
            assert created == Full(ahead)
        else:
            assert isinstance(created, Created), created
            self.jobs[job.id] = Kept(job, [(1, "image.job.queued")])
            if key is not None:
                self.keys[org, key] = Known(job.id, job.fingerprint)

    @rule(pick=PICK, how=HOW)
    def cancel(self, pick, how):
        kept = self.picked(pick)
        if kept.live and kept.job.status is not Status.CANCELING:
            self.write("cancel", kept.job, moves.cancel(kept.job, self.now, by="api"), None, how)

    @precondition(lambda self: any(k.job.overdue(self.now) for k in self.jobs.values()))
    @rule(pick=PICK, how=HOW)
    def read(self, pick, how):
        late = [k for k in self.jobs.values() if k.job.overdue(self.now)]
        kept = late[pick % len(late)]
        self.write("overdue", kept.job, moves.overdue(kept.job, self.now), None, how)

    # The doing half

    @rule(worker=WORKER, lease_ms=st.sampled_from((1, 50, 2_000, 15_000)), begin=st.booleans())
    def claim(self, worker, lease_ms, begin):
        claim = self.claim_by(f"turn{next(self.turns)}", f"w{worker}", lease_ms)
        if claim is not None:
            holding = Holding(claim, claim.job)
            self.workers[worker].append(holding)
            if begin:
                self.apply("start", holding, moves.start, "sent")

    def claim_by(self, turn, worker, lease_ms):
        claim = self.run(self.claims.claim_next(turn, worker, lease_ms))

        jobs = self.jobs.values()
        for kept in jobs:
            if kept.later_ms is not None and kept.later_ms <= self.now:
                kept.later_ms = None
        if claim is None:
            full = {k.job.org for k in jobs if k.worker is not None} & self.limited
            waiting = [k for k in jobs if k.live and k.worker is k.later_ms is None]
            idle = [k.job.id for k in waiting if k.job.org not in full]
            assert not idle, f"nothing to claim, but {idle} wait"
            return None
        kept = self.jobs[claim.job.id]
        others = [k for k in jobs if k is not kept and k.job.org == kept.job.org and k.worker is not None]
        assert not (others and kept.job.org in self.limited and claim.room), "more of an org than it may run"
        assert kept.live, "claimed after its end"
        assert claim.job == kept.job
        assert claim.fence == max(kept.fence + 1, self.now), "the fence did not grow, or not above the clock"
        assert kept.worker is None, "claimed out of a worker's hands"
        assert kept.later_ms is None, "claimed before its backoff was over"
        kept.fence, kept.worker, kept.astray = claim.fence, worker, False
        self.leases[worker] = max(self.leases.get(worker, 0), self.now + lease_ms)
        return claim

    start = work()(moves.start)
    intend = work()(intend)
    settle = work(outcome=st.sampled_from(tuple(PAID)), last=st.booleans())(settle)
    checkpoint = work()(checkpoint)
    spooled = work(spool=SPOOL)(spooled)
    lose = work(spool=SPOOL)(lose)
    succeed = work()(succeed)
    fail = work()(fail)
    back_off = work(delay_ms=st.sampled_from((1, 900, 30_000)))(back_off)
    fall_back = work()(fall_back)
    stop = work()(moves.stop)

    @precondition(lambda self: any(self.salvages(k) for k in self.jobs.values()))
    @rule(pick=PICK, how=HOW)
    def salvage(self, pick, how):
        able = [(k, found) for k in self.jobs.values() for found in self.salvages(k)]
        kept, (call, index) = able[pick % len(able)]
        self.write("salvage", kept.job, moves.salvage(kept.job, self.now, call, picture(index)), None, how)

    @rule(worker=WORKER, ttl_ms=st.sampled_from((50, 2_000, 15_000)), deaf=st.booleans())
    def renew(self, worker, ttl_ms, deaf):
        held = {h.claim.name: h.claim for h in self.workers[worker]}
        newest = {name for name, claim in held.items() if claim.fence == self.jobs[claim.job.id].fence}

        renewal = self.beat(f"w{worker}", ttl_ms, held)

        live = [k for k in (self.jobs[held[name].job.id] for name in newest) if k.live]
        assert renewal.now_ms == self.now
        assert renewal.lost == held.keys() - newest
        assert renewal.canceling == {k.job.id for k in live if k.job.status is Status.CANCELING}
        for kept in live:
            if kept.astray:
                kept.worker, kept.astray = f"w{worker}", False
        self.workers[worker] = [
            h for h in self.workers[worker] if not h.given_back and (deaf or h.claim.name not in renewal.lost)
        ]

    def beat(self, worker, ttl_ms, held):
        renewal = self.run(self.claims.renew(worker, ttl_ms, 1, held.values()))
        self.leases[worker] = self.now + ttl_ms
        known = {claim.job.id for claim in held.values()}
        for kept in self.held_by({worker}):
            if kept.job.id not in known and kept.fence + ttl_ms < self.now:  # the answer to its claim never came
                kept.worker, kept.astray = None, True
        return renewal

    def held_by(self, workers):
        return [kept for kept in self.jobs.values() if kept.worker in workers]

    @rule(worker=WORKER, politely=st.booleans())
    def die(self, worker, politely):
        name = f"w{worker}"
        if politely:
            self.run(self.claims.stop(name, 1, [h.claim.turn for h in self.workers[worker]]))
            self.leases.pop(name, None)
            if self.held_by({name}):
                self.leases[name] = self.now
        self.workers[worker].clear()

    # What nobody does

    @rule(ms=st.sampled_from((1, 50, 2_000, 16_000)))
    def pass_time(self, ms):
        self.now += ms
        self.run(self.redis.set(f"{self.prefix}test:now", self.now))

    @precondition(lambda self: any(until > self.now for until in self.leases.values()))
    @rule()
    def lapse(self):
        """The next lease runs out, and somebody looks."""
        self.pass_time(min(until - self.now for until in self.leases.values() if until > self.now))
        self.reap()

    @rule()
    def reap(self):
        overdue = self.run(self.claims.reap(0))
        dead = {worker for worker, until in self.leases.items() if until <= self.now}
        for kept in self.held_by(dead):
            kept.worker, kept.astray = None, True
        self.leases = {worker: until for worker, until in self.leases.items() if worker not in dead}
        for job_id in overdue:
            kept = self.jobs[job_id]
            assert kept.job.overdue(self.now)
            assert kept.worker is None, "ended in living hands"
            self.write("overdue", kept.job, moves.overdue(kept.job, self.now), None, "sent")

    @precondition(lambda self: self.late)
    @rule(pick=PICK)
    def arrive(self, pick):
        self.send(*self.late.pop(pick % len(self.late)))

    # What holds at all times

    @invariant()
    def records_are_what_was_accepted(self):
        for kept in self.jobs.values():
            job = self.run(self.store.get(kept.job.id))
            assert job == kept.job
            assert len(job.attempts) == len(kept.ledger)
            assert job.billing is billing(kept.ledger)
            assert kept.live or not ledger.open_rows(job)

    @invariant()
    def every_job_is_in_one_place(self):
        jobs = self.jobs.values()
        ready = {kept.job.id for kept in jobs if self.position(kept) is not None}
        lost = {job_id.decode() for job_id in self.run(self.redis.zrange(self.store.keys.lost, 0, -1))}
        for kept in jobs:
            begun = kept.job.status in {Status.RUNNING, Status.CANCELING}
            assert begun or ledger.open_rows(kept.job) or kept.job.id not in lost, f"{kept.job.status}, and lost"
            if not kept.live or kept.later_ms is not None:
                assert kept.job.id not in ready | lost, f"{kept.job.status}, {kept.job.phase}, and among the ready"
            else:
                here, held = kept.job.id in ready | lost, kept.worker is not None
                assert here is not held, f"{kept.job.id} is {'held and ready' if held else 'stranded'}"
        assert not ready & lost, "in two places at once"
        counts = self.run(self.stats.counts())
        assert counts["ready"] == len(ready), "one of them is twice among the ready"
        assert counts["deferred"] == sum(k.later_ms is not None for k in jobs)
        assert counts["running"] == sum(k.worker is not None for k in jobs)

    # How a write goes

    def able(self, move):
        """Claims whose holder, for all that it knows, may make the move."""
        held = [h for worker in self.workers for h in worker if not h.given_back]
        return [h for h in held if attempt(move, h.seen, self.now) is not None]

    def salvages(self, kept):
        if kept.job.status is Status.EXPIRED or (kept.job.status is Status.QUEUED and kept.worker is not None):
            return []
        have = {i.index for i in kept.job.images}
        rows = [row for row in kept.job.attempts if kept.job.status.terminal or row.ended_ms is not None]
        return [(row.call, index) for row in rows for index in row.indexes if index not in have]

    def work(self, what, move, pick, how):
        able = self.able(move)
        if able:
            self.apply(what, able[pick % len(able)], move, how)

    def apply(self, what, holding, move, how):
        """As `LeasedJob.apply` does: on the record last seen, and on the newest when another move came first."""
        while (changed := attempt(move, holding.seen, self.now)) is not None:
            refused = self.write(what, holding.seen, changed, holding.claim.fence, how)
            if refused is None and how != "held up":
                holding.seen = changed.job
                holding.given_back = changed.job.status in {Status.QUEUED, *TERMINAL}
            if refused is not Stale:
                return
            holding.seen = self.jobs[holding.seen.id].job

    def write(self, what, before, changed, fence, how):
        if how == "held up":
            self.late.append((what, before, changed, fence))
            return None
        refused = self.send(what, before, changed, fence)
        return self.send(what, before, changed, fence) if how == "sent twice" else refused

    def send(self, what, before, changed, fence):
        """Commit, and hold the answer against what is known: a fence of old, or a version of old, is refused."""
        kept = self.jobs[before.id]
        again = changed.job == kept.job
        expected = None if again or before.version == kept.job.version else Stale
        if fence is not None and fence != kept.fence:
            expected = Fenced
        elif fence is None and not again and kept.worker is not None and changed.job.status is Status.QUEUED:
            expected = Stale

        try:
            self.run(self.store.commit(before, changed, fence))
        except (Fenced, Stale) as error:
            refused = type(error)
        else:
            refused = None

        assert refused is expected, f"{what} with fence {fence} of {kept.fence}: {refused}, not {expected}"
        if refused is None and not again:
            kept.accept(what, changed)
        return refused

    def run(self, coroutine):
        return self.loop.run(coroutine)

    def position(self, kept):
        names = (lane(kept.job.request.provider, may_leave=may_leave) for may_leave in (False, True))
        lanes = [self.store.keys.ready(kept.job.org, name) for name in names]
        ranks = [self.run(self.redis.zrank(key, kept.job.id)) for key in lanes]
        assert None in ranks, "in two lanes at once"
        return next((rank for rank in ranks if rank is not None), None)

    def picked(self, pick):
        return list(self.jobs.values())[pick % len(self.jobs)]

    # The end

    def teardown(self):
        try:
            if sys.exc_info()[0] is None:
                self.nobody_is_stranded()
        finally:
            self.close()

    def close(self):
        self.run(self.redis.aclose())
        self.loop.close()

    def nobody_is_stranded(self):
        """The workers die, what was held up arrives, and one healthy worker brings every job to its end."""
        while self.late:
            self.send(*self.late.pop())
        for _ in range(5):
            self.pass_time(20_000)
            self.beat("healthy", 15_000, {})
            self.reap()
            for turn in self.run(self.claims.missing_turns(1)):
                while (claim := self.claim_by(turn, "healthy", 15_000)) is not None:
                    self.finish(claim)
            self.every_job_is_in_one_place()
        self.records_are_what_was_accepted()
        assert not [k.job.id for k in self.jobs.values() if k.live], "stranded"
        for kept in self.jobs.values():
            events = self.run(self.store.events(kept.job))
            assert [(e["sequence"], e["type"]) for e in events] == kept.events, "an event of a move that was refused"
            assert sum(e["type"].rpartition(".")[2] in TERMINAL for e in events) == 1, "one end"

    def finish(self, claim):
        kept = self.jobs[claim.job.id]
        if kept.job.overdue(self.now):
            self.send("overdue", kept.job, moves.overdue(kept.job, self.now), claim.fence)
        ends = (succeed, moves.stop, fail)
        for step in (moves.start, partial(lose, spool="disk 1"), partial(lose, spool="disk 2"), *ends):
            changed = attempt(step, kept.job, self.now) if kept.live else None
            if changed is not None:
                self.send("finish", kept.job, changed, claim.fence)


@pytest.fixture
def quick_redis_url(redis_url):
    """Of a Redis that waits for no disk: nothing here is killed, and each step is a write."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.config_set("appendfsync", "no")
        yield redis_url
        admin.config_set("appendfsync", "always")


THOROUGH = settings(
    max_examples=100,
    stateful_step_count=50,
    phases=(Stage.generate, Stage.shrink),
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(900)  # a minute of work, alone and uncounted
def test_the_scripts_hold_through_any_interleaving(quick_redis_url):
    run_state_machine_as_test(partial(Engine, quick_redis_url), settings=THOROUGH)


FOUND = {
    "a job that backs off when its lease has lapsed still waits its time": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": True}),
        ("lapse", {}),
        ("back_off", {"delay_ms": 30_000}),
        ("claim", {"worker": 1, "lease_ms": 2_000, "begin": False}),
    ),
    "a queued job past its deadline that has a picture succeeds": (
        ("first", {"n": 2, "cancel_after": 60_000, "begin": True}),
        ("intend", {}),
        ("checkpoint", {}),
        ("settle", {"outcome": "succeeded", "last": False}),
        ("back_off", {"delay_ms": 30_000}),
        ("pass_time", {"ms": 60_000}),
        ("read", {}),
    ),
    "a job canceled while its picture lies on a disk leaves no call open": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": True}),
        ("intend", {}),
        ("spooled", {"spool": "disk 1"}),
        ("back_off", {"delay_ms": 900}),
        ("cancel", {}),
    ),
    "a job that was given back is not leased again by a heartbeat that comes after it": (
        ("first", {"n": 1, "cancel_after": 40, "begin": False, "others": 1}),
        ("fall_back", {}),
        ("renew", {"worker": 0, "ttl_ms": 50, "deaf": False}),
        ("pass_time", {"ms": 50}),
        ("reap", {}),
    ),
    "a job that is begun after its worker was taken for dead stands in one place": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": False}),
        ("lapse", {}),
        ("start", {}),
        ("renew", {"worker": 0, "ttl_ms": 50, "deaf": False}),
        ("lapse", {}),
    ),
    "a claim whose answer never came is given up by the worker that lives on": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": False}),
        ("die", {"worker": 0, "politely": False}),
        ("pass_time", {"ms": 2_000}),
        ("renew", {"worker": 0, "ttl_ms": 50, "deaf": False}),
        ("claim", {"worker": 1, "lease_ms": 2_000, "begin": True}),
    ),
}
"""The shortest ways to what the machine has found."""
UNPICKED = {"first", "claim", "die", "lapse", "pass_time", "reap", "renew"}


def walk(engine, steps):
    """Go that way, and look at everything after each step."""
    try:
        for step, draws in steps:
            more = {"pick": 0, "how": "sent"} if step not in UNPICKED else {}
            getattr(engine, step)(**draws, **more)
            engine.records_are_what_was_accepted()
            engine.every_job_is_in_one_place()
        engine.nobody_is_stranded()
    finally:
        engine.close()


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_holds(quick_redis_url, name):
    walk(Engine(quick_redis_url), FOUND[name])


MUTATIONS = {
    "fence": ("if args.fence and tonumber(held.fence) ~= args.fence then", "if false then", "with fence"),
    "version": (
        "if tonumber(held.version) ~= args.seen then",
        "if false then",
        "not <class .*Stale|move that was refused",
    ),
    "growing fence": ("tonumber(job.fence or '0') + 1", "tonumber(job.fence or '0')", "did not grow"),
    "lost": ("  if job.status == 'queued' then", "  if false then", "and lost"),
    "taken back": ("redis.call('ZREM', keys.lost, claim.id)", "", "held and ready"),
    "in nobody's hands": ("redis.call('HDEL', key, JobField.worker)", "", "stranded|nothing to claim"),
    "answer lost": ("go_astray(args.worker, id, now)  -- the", "-- the", "stranded"),
    "begun astray": ("redis.call('ZADD', keys.lost, 'NX', now_ms(), id)\n  end\nelseif", "end\nelseif", "stranded"),
    "lost when it had begun": ("redis.call('ZADD', keys.lost, 'NX', now, id)", "", "stranded"),
    "lost no more": ("redis.call('ZREM', keys.lost, id)", "", "and lost|before its backoff"),
    "backoff": ("redis.call('ZADD', keys.backing_off, args.not_before_ms, id)", "", "deferred|assert 0 == 1"),
    "the lane of the next target": (
        "make_ready(org, provider, id, held.score)",
        "make_ready(org, held.provider, id, held.score)",
        "stranded",
    ),
    "the next target itself": (
        "JobField.provider, provider, JobField.room_need, args",
        "JobField.room_need, args",
        "stranded|among the ready",
    ),
    "begun anew": ("make_ready(org, provider, id, held.score)", "", "stranded"),
    "end": (
        "redis.call('ZREM', keys.ready(org, provider), id)",
        "",
        "and among the ready",
    ),
    "the way out": (
        "redis.call('ZREM', keys.ready(org, leaving_lane(provider)), id)",
        "",
        "among the ready|two lanes",
    ),
    "key": ("local known = redis.call('GET', idempotency.key)", "local known = false", "one key, one job"),
}
"""What is cut out of the scripts, what stands in its place, and the words of the violation."""
HIDDEN = {
    "taken back": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": True}),
        ("lapse", {}),
        ("renew", {"worker": 0, "ttl_ms": 50, "deaf": False}),
    ),
    "lost no more": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": True}),
        ("lapse", {}),
        ("back_off", {"delay_ms": 30_000}),
    ),
    "fence": (
        ("first", {"n": 1, "cancel_after": 60_000, "begin": True}),
        ("lapse", {}),
        ("claim", {"worker": 1, "lease_ms": 2_000, "begin": False}),
        ("back_off", {"delay_ms": 900}),
    ),
    "answer lost": FOUND["a claim whose answer never came is given up by the worker that lives on"],
    "begun astray": FOUND["a job that is begun after its worker was taken for dead stands in one place"],
}
"""The way to a violation that the machine finds, but seldom within half a minute."""


@pytest.mark.parametrize("check", MUTATIONS)
def test_the_machine_sees_when_a_check_is_cut_out_of_the_scripts(quick_redis_url, check):
    cut, put, words = MUTATIONS[check]
    scripts = [path.read_text() for path in Path(files("jobs.redis") / "lua").rglob("*.lua")]
    first = settings(
        THOROUGH, derandomize=True, phases=(Stage.generate,), max_examples=2_000, report_multiple_bugs=False
    )

    engine = partial(Engine, quick_redis_url, (cut, put))
    look = partial(run_state_machine_as_test, engine, settings=first)
    if check in HIDDEN:
        look = partial(walk, engine(), HIDDEN[check])

    assert sum(text.count(cut) for text in scripts) == 1
    with pytest.raises((AssertionError, ResponseError), match=words):
        look()


@pytest.mark.parametrize("check", HIDDEN)
def test_on_the_way_to_a_hidden_violation_the_scripts_as_they_are_hold(quick_redis_url, check):
    walk(Engine(quick_redis_url), HIDDEN[check])
