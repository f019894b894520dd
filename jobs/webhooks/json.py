"""Endpoints and deliveries as JSON."""

from __future__ import annotations

from typing import Any

from jobs.model.json import present
from jobs.model.times import moment, now_ms
from jobs.webhooks.delivery import Delivery
from jobs.webhooks.endpoint import Endpoint


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A webhook's way so far; its address without the query, which may hold a secret."""
    last = delivery.attempts[-1] if delivery.attempts else None
    return present(
        id=delivery.id,
        endpointId=delivery.endpoint_id,
        eventId=delivery.event_id,
        type=delivery.type,
        url=delivery.url.partition("?")[0],
        state=delivery.state,
        reason=delivery.reason,
        attempts=len(delivery.attempts),
        lastStatus=last and last.status,
        lastError=last and last.error,
        nextAttemptAt=moment(delivery.next_ms),
    )


def delivery_log_json(delivery: Delivery, *, with_attempts: bool = False) -> dict[str, Any]:
    """A row of the delivery log, newest attempts last."""
    attempts = [
        present(at=moment(a.at_ms), tookMs=a.took_ms, status=a.status, error=a.error, response=a.response)
        for a in delivery.attempts
    ]
    return {
        "object": "webhook.delivery",
        **delivery_json(delivery),
        **({"jobId": delivery.job_id} if delivery.job_id else {}),
        "createdAt": moment(delivery.created_ms),
        **({"log": attempts} if with_attempts else {}),
    }


def endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as callers read it: without its secrets, and without the query of its address, which may hold one."""
    overlap = endpoint.secrets[1].until_ms if len(endpoint.secrets) > 1 else None
    return {
        "object": "webhook.endpoint",
        "id": endpoint.id,
        "orgId": endpoint.org,
        "url": endpoint.url.partition("?")[0],
        "events": list(endpoint.events),
        "include": endpoint.include,
        "description": endpoint.description,
        "status": "enabled" if endpoint.disabled is None else "disabled",
        "reason": endpoint.disabled,
        "failingSince": moment(endpoint.failing_since_ms),
        "overlapUntil": moment(overlap if overlap is not None and overlap > now_ms() else None),
        "createdAt": moment(endpoint.created_ms),
        "updatedAt": moment(endpoint.updated_ms),
        "metadata": endpoint.metadata,
    }
