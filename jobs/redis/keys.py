"""Every key that we have in Redis and every channel, named once: for Python, and for the scripts."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final = "_or_elsewhere"
"""Ends the name of the lane of those that may leave a provider."""


class Keys:
    """The keys below one prefix. `names.lua` tells the scripts the same names: `keys.due`, `keys.job(id)`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        # The queue. A member is a job's id and a score Unix milliseconds, unless something else is said.
        self.due = f"{prefix}due"
        """Live jobs, by their deadline. Workers have those that neither back off, nor are lost, nor stand in a lane."""
        self.backing_off = f"{prefix}backing_off"
        """Queued jobs that wait for a time of their own."""
        self.lost = f"{prefix}lost"
        """Jobs that had begun and whose worker died: the next claims take them first."""
        self.pending_salvage = f"{prefix}pending_salvage"
        """Jobs that ended with a call open, by when what it stored is looked for."""
        self.ready_jobs = f"{prefix}ready_jobs"
        """Ids of all jobs that stand in a lane, all of score 0: they sort by time themselves."""
        self.lanes = f"{prefix}lanes"
        """Set: names of the lanes in which any org has a job."""
        self.ready_orgs = f"{prefix}ready_orgs"
        """Orgs that have a job in any lane, by their tag in virtual time."""
        self.full_orgs = f"{prefix}full_orgs"
        """Set: orgs that run as many jobs as they may: they stand in no lane till one of these ends."""
        self.tags = f"{prefix}tags"
        """Orgs by their last tag in virtual time, as long as that is ahead of it."""
        self.virtual_time = f"{prefix}virtual_time"
        """The tag of the org that was served last."""
        # Workers. Scores are when each is taken for dead.
        self.turns = f"{prefix}turns"
        self.slots = f"{prefix}slots"
        self.workers = f"{prefix}workers"
        # What is not a job's.
        self.due_queues = f"{prefix}due_queues"
        """Queues of deliveries, by when something of theirs is due."""
        self.expiring_blobs = f"{prefix}expiring_blobs"
        """Names of blobs, by when they are to be deleted."""
        self.index_ends = f"{prefix}index_ends"
        """`kind id org` of what stands in an org's index and ends, by when."""
        self.rates = f"{prefix}rates"
        """Begins the keys of `limits`, which counts requests."""
        self.replication_mark = f"{prefix}replication_mark"
        """Written to ask how many replicas have heard of it, and so of all before."""
        self.arq_turns = f"{prefix}arq:turns"
        """arq's own queue: turns that nobody has begun. What arq keeps has the prefix, too (`queue.carry_prefix`)."""
        # Channels.
        self.changes = f"{prefix}changes"
        """`id version/status org subject` of a job that has changed (or is `erased`). The subject ends the line."""
        self.cancels = f"{prefix}cancels"
        """The id of a running job that is to end."""
        self.posts = f"{prefix}posts"
        """A delivery is due."""

    # A job.

    def job(self, job: str) -> str:
        """Hash of `JobField`: the record and what the scripts need of it."""
        return self.record("job", job)

    def tombstone(self, job: str) -> str:
        """Whose a job was that has ended; it outlives the record."""
        return f"{self.prefix}tombstone:{job}"

    def jobs_of_org(self, org: str) -> str:
        """Sorted set of ids, all of score 0: they sort by time themselves."""
        return self.records_of_org("job", org)

    def idempotency(self, scope: str) -> str:
        """`id fingerprint` of the job that an idempotency key has made."""
        return f"{self.prefix}idempotency:{scope}"

    def undelivered(self, org: str, subject: str, fingerprint: str) -> str:
        """Jobs that may be adopted by who asks the same, by the end of their caller's wait."""
        return f"{self.prefix}undelivered:{org}:{subject}:{fingerprint}"

    def adopted(self, job: str) -> str:
        """The earlier job that a new one's caller was given instead."""
        return f"{self.prefix}adopted:{job}"

    # The queue.

    def ready(self, org: str, lane: str) -> str:
        """An org's jobs in a lane, by age and priority."""
        return f"{self.prefix}ready:{org}/{lane}"

    def lanes_of_org(self, org: str) -> str:
        """Set: names of the lanes in which the org has a job."""
        return f"{self.prefix}lanes_of_org:{org}"

    def orgs_in_lane(self, lane: str) -> str:
        """Orgs that have a job in the lane, by their tag in virtual time."""
        return f"{self.prefix}orgs_in_lane:{lane}"

    def running_at_provider(self, account: str) -> str:
        """Rooms of calls (`Rooms`) at an account of a provider, by the end of their lease."""
        return f"{self.prefix}running_at_provider:{account}"

    def held_by(self, worker: str) -> str:
        """Hash: the jobs in a worker's hands, `fence` or `fence canceling` of each. All live as long as the worker."""
        return f"{self.prefix}held_by:{worker}"

    def running_of_org(self, org: str) -> str:
        """Claimed jobs, by when each was."""
        return f"{self.prefix}running_of_org:{org}"

    def limits(self, org: str) -> str:
        """Hash of `LimitField`."""
        return f"{self.prefix}limits:{org}"

    def used_by_org(self, org: str, day: str) -> str:
        """Hash of `UseField`: what the org's jobs of a day (UTC) take of its quotas."""
        return f"{self.prefix}used_by_org:{org}:{day}"

    def used_by_api_key(self, api_key: str, day: str) -> str:
        """The same of an API key."""
        return f"{self.prefix}used_by_api_key:{api_key}:{day}"

    # Providers.

    def breaker(self, account: str) -> str:
        """Hash of `BreakerField`."""
        return f"{self.prefix}breaker:{account}"

    def pace(self, account: str) -> str:
        """Hash of `PaceField`: how often an account that has refused calls for their rate may be called."""
        return f"{self.prefix}pace:{account}"

    def times_of_provider(self, provider: str) -> str:
        """List: milliseconds of its last good calls, newest first."""
        return f"{self.prefix}times_of_provider:{provider}"

    def times_of_model(self, provider: str, model: str) -> str:
        """The same of one of its models."""
        return f"{self.prefix}times_of_model:{provider}/{model}"

    # Webhooks.

    def delivery(self, delivery: str) -> str:
        """Hash of `DeliveryField`."""
        return self.record("delivery", delivery)

    def deliveries_of_job(self, job: str) -> str:
        """List of ids, oldest first."""
        return f"{self.prefix}deliveries_of_job:{job}"

    def deliveries_of_org(self, org: str) -> str:
        """Ids, by when they were made."""
        return self.records_of_org("delivery", org)

    def queued_deliveries(self, queue: str) -> str:
        """Pending deliveries to one receiver, by when each is due."""
        return f"{self.prefix}queued_deliveries:{queue}"

    def posting(self, queue: str) -> str:
        """Deliveries that a courier posts just now, by the end of its lease."""
        return f"{self.prefix}posting:{queue}"

    def receiver(self, queue: str) -> str:
        """Hash of `BreakerField`: how the receiver of a queue does."""
        return f"{self.prefix}receiver:{queue}"

    # History.

    def generations_of_user(self, user: str) -> str:
        """Sorted set of documents behind their ids, all of score 0: they sort by time themselves."""
        return f"{self.prefix}generations_of_user:{user}"

    # arq's own.

    def arq_turn(self, turn: str) -> str:
        """What arq is to run as that turn."""
        return f"{self.prefix}arq:job:{turn}"

    def arq_tries(self, turn: str) -> str:
        """How often arq has begun it."""
        return f"{self.prefix}arq:retry:{turn}"

    def arq_health(self, worker: str) -> str:
        """What arq says of a worker."""
        return f"{self.prefix}arq:health:{worker}"

    def api_key_used(self, api_key: str) -> str:
        """When an API key was used last."""
        return f"{self.prefix}api_key_used:{api_key}"

    # Records of a kind: `job`, `delivery`, and the small ones of `store.records`: `api_key`, `batch`, `endpoint`.

    def record(self, kind: str, record: str) -> str:
        """One record; a small one as JSON."""
        return f"{self.prefix}{kind}:{record}"

    def record_named(self, kind: str, name: str) -> str:
        """The id of the record that has this further name."""
        return f"{self.prefix}{kind}_named:{name}"

    def records_of_org(self, kind: str, org: str) -> str:
        """Sorted set of ids."""
        return f"{self.prefix}{kind}_of_org:{org}"


def lane(provider: str, *, may_leave: bool) -> str:
    """The name of the lane in which a provider's jobs wait, or those of them that may go on elsewhere."""
    return f"{provider}{ELSEWHERE}" if may_leave else provider
