"""The job as callers read it: one JSON form for GET, events, webhooks and `/result` (JOBS.md section 3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

from msgspec import to_builtins

from jobs.model.job import (
    Attempt,
    Blob,
    Failure,
    Image,
    ImageRequest,
    Job,
    Link,
    Preview,
    Source,
    Usage,
    Warning_,
    Webhook,
)
from jobs.webhooks.delivery import Delivery

PATH = "/api/v1/jobs"


def job_json(job: Job, base_url: str, *, with_request: bool = True) -> dict[str, Any]:
    """The whole job. Absent fields are left out; times are RFC 3339 UTC with milliseconds."""
    shown: dict[str, Any] = {
        "object": "image.job",
        "id": job.id,
        "orgId": job.org,
        "status": str(job.status),
        "phase": str(job.phase),
        "version": job.version,
        "face": job.face,
        "createdAt": moment(job.created_ms),
        "updatedAt": moment(job.updated_ms),
        "startedAt": moment(job.started_ms),
        "finishedAt": moment(job.finished_ms),
        "expiresAt": moment(job.expires_ms),
        "request": request_json(job.request) if with_request else None,
        "progress": progress_json(job),
        "preview": job.preview and _preview_json(job.preview),
        "attempts": [_attempt_json(a) for a in job.attempts],
        "result": result_json(job),
        "error": job.failure and failure_json(job.failure, job),
        "billing": billing_json(job),
        "cancel": _cancel_json(job),
        "deadline": _present(startBy=moment(job.start_by_ms), cancelAt=moment(job.cancel_at_ms)),
        "warnings": [to_builtins(w) for w in job.warnings] or None,
        "metadata": job.metadata or None,
        "clientReference": job.client_reference,
        "idempotencyKey": job.idempotency_key,
        "batchId": job.batch_id,
        "webhook": job.webhook and _webhook_json(job.webhook),
        "timings": _timings_json(job),
        "urls": job_urls(job.id, base_url),
        "requestId": job.request_id,
        "traceId": job.trace_id,
    }
    return _present(**shown)


def job_urls(job_id: str, base_url: str) -> dict[str, str]:
    """Where the job and its parts are."""
    own = f"{base_url}{PATH}/{job_id}"
    return {
        "self": own,
        "result": f"{own}/result",
        "content": f"{own}/content",
        "events": f"{own}/events",
        "cancel": f"{own}/cancel",
    }


def result_json(job: Job) -> dict[str, Any] | None:
    """The `data` of `POST /api/v1/agents/images`, plus `images` when several were asked for; None without a picture.

    A job that failed or was canceled has one when its picture was salvaged.
    """
    if not job.images or not job.status.terminal:
        return None
    shown = {
        **_image_json(job.images[0]),
        "provider": job.request.provider,
        "model": job.request.model,
        "mode": job.request.mode,
        "usage": job.usage and _usage_json(job.usage),
        "text": job.text,
        "warnings": [to_builtins(w) for w in job.warnings] or None,
        "images": [{"index": i.index, **_image_json(i)} for i in job.images] if job.request.n > 1 else None,
    }
    return _present(**shown)


def request_json(request: ImageRequest) -> dict[str, Any]:
    """What was asked, in the words of the jobs face; input pictures by address or content hash, never by bytes."""
    return _present(
        provider=request.provider,
        model=request.model,
        prompt=request.prompt,
        n=request.n,
        size=request.size,
        quality=request.quality,
        style=request.style,
        negativePrompt=request.negative_prompt,
        background=request.background,
        outputFormat=request.output_format,
        outputCompression=request.output_compression,
        seed=request.seed,
        steps=request.steps,
        moderation=request.moderation,
        inputFidelity=request.input_fidelity,
        user=request.user,
        safetyIdentifier=request.safety_identifier,
        partialImages=request.partial_images,
        mode=request.mode,
        referenceImages=[_source_json(s) for s in request.images] or None,
        mask=request.mask and _source_json(request.mask),
        options=request.options or None,
    )


def failure_json(failure: Failure, job: Job | None = None) -> dict[str, Any]:
    """`{code, message, details}`; with the job's id once there is one."""
    details = _present(
        reason=failure.reason,
        field=failure.field,
        provider=failure.provider,
        providerStatus=failure.provider_status,
        providerRequestId=failure.provider_request_id,
        retryable=failure.retryable,
        safeToRetry=failure.safe_to_retry,
        jobId=job and job.id,
        salvaged=True if job and job.salvaged else None,
    )
    return {"code": failure.code, "message": failure.message, "details": details}


def warnings_json(warnings: tuple[Warning_, ...]) -> list[dict[str, Any]]:
    """Each `{code, message, field?}`."""
    return [to_builtins(w) for w in warnings]


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A webhook's way so far; its address without the query, which may hold a secret."""
    last = delivery.attempts[-1] if delivery.attempts else None
    return _present(
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
        _present(at=moment(a.at_ms), tookMs=a.took_ms, status=a.status, error=a.error, response=a.response)
        for a in delivery.attempts
    ]
    return {
        "object": "webhook.delivery",
        **delivery_json(delivery),
        "jobId": delivery.job_id,
        "createdAt": moment(delivery.created_ms),
        **({"log": attempts} if with_attempts else {}),
    }


def read_moment(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time. Raises `ValueError`, also for a time without its zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return round(at.astimezone(UTC).timestamp() * 1000)


@overload
def moment(at_ms: int) -> str: ...
@overload
def moment(at_ms: None) -> None: ...
def moment(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _image_json(image: Image) -> dict[str, Any]:
    return _present(
        url=image.url,
        mimeType=image.media_type,
        bytes=image.bytes,
        width=image.width,
        height=image.height,
        revisedPrompt=image.revised_prompt,
    )


def _usage_json(usage: Usage) -> dict[str, int]:
    return _present(inputTokens=usage.input_tokens, outputTokens=usage.output_tokens, totalTokens=usage.total_tokens)


def _webhook_json(webhook: Webhook) -> dict[str, Any]:
    if webhook.endpoint_id is not None:
        return {"endpointId": webhook.endpoint_id}
    return {
        "url": webhook.url.partition("?")[0],
        "events": list(webhook.events),
        "include": webhook.include,
        "signature": "v1" if webhook.secret else "v1a",
    }


def billing_json(job: Job) -> dict[str, Any]:
    """What is known of the money; costs by the catalog's list prices, where it has one."""
    shown: dict[str, Any] = {"state": str(job.billing), "providerCalls": len(job.attempts)}
    if job.unit_price:
        shown["estimatedCost"] = _dollars(job.request.n * job.unit_price)
        if job.status.terminal:
            shown["actualCost"] = _dollars(job.charged * job.unit_price)
        shown["currency"] = "USD"
    return shown


def progress_json(job: Job) -> dict[str, Any]:
    """How far the job is as far as the record knows: what the provider said."""
    if job.status == "succeeded":
        return {"value": 1.0, "source": "provider" if job.progress else "none"}
    if job.progress is None:
        return {"value": 0.0, "source": "none"}
    return {**to_builtins(job.progress), "source": "provider"}


def _dollars(micro: int) -> float:
    return round(micro / 1_000_000, 6)


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return _present(
        call=attempt.call,
        indexes=list(attempt.indexes),
        provider=attempt.provider or None,
        model=attempt.model or None,
        startedAt=moment(attempt.started_ms),
        endedAt=moment(attempt.ended_ms),
        outcome=attempt.outcome and str(attempt.outcome),
        providerStatus=attempt.provider_status,
        providerRequestId=attempt.provider_request_id,
        charged=attempt.charged,
    )


def _preview_json(preview: Preview) -> dict[str, Any]:
    return {
        "url": preview.url,
        "index": preview.index,
        "partialIndex": preview.partial_index,
        "mimeType": preview.media_type,
        "width": preview.width,
        "height": preview.height,
    }


def _cancel_json(job: Job) -> dict[str, Any] | None:
    wish = job.cancel
    if wish is None:
        return None
    return _present(
        requestedAt=moment(wish.requested_ms),
        by=wish.by,
        reason=wish.reason,
        outcome=wish.outcome,
        salvaged=job.salvaged,
    )


def _timings_json(job: Job) -> dict[str, int]:
    return _present(
        queuedMs=None if job.started_ms is None else job.started_ms - job.created_ms,
        providerMs=job.provider_ms or None,
        uploadMs=job.upload_ms or None,
        totalMs=None if job.finished_ms is None else job.finished_ms - job.created_ms,
    )


def _source_json(source: Source) -> dict[str, Any]:
    match source:
        case Link(url=url, media_type=media_type):
            return {"url": url.partition("?")[0], "mimeType": media_type}
        case Blob(media_type=media_type, sha256=sha256):
            return {"mimeType": media_type, "sha256": sha256}


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
