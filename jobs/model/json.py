"""The job as callers read it: one JSON form for GET, events, webhooks and `/result`."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from jobs.model.job import Attempt, Failure, Job, Status, Webhook
from jobs.model.picture import Image, Preview, Usage
from jobs.model.request import Blob, ImageRequest, Link, Source, Warning_
from jobs.model.times import moment

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
        "deadline": present(startBy=moment(job.start_by_ms), cancelAt=moment(job.cancel_at_ms)),
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
    return present(**shown)


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
    return present(**shown)


def request_json(request: ImageRequest) -> dict[str, Any]:
    """What was asked, in the words of the jobs face; input pictures by address or content hash, never by bytes."""
    return present(
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
    """`{code, message, details}`; with the job's id once there is one, and what was said instead of a picture."""
    details = present(
        reason=failure.reason,
        field=failure.field,
        provider=failure.provider,
        providerStatus=failure.provider_status,
        providerRequestId=failure.provider_request_id,
        retryable=failure.retryable,
        safeToRetry=failure.safe_to_retry,
        jobId=job and job.id,
        salvaged=True if job and job.salvaged else None,
        text=job and job.text,
    )
    return {"code": failure.code, "message": failure.message, "details": details}


def warnings_json(warnings: tuple[Warning_, ...]) -> list[dict[str, Any]]:
    """Each `{code, message, field?}`."""
    return [to_builtins(w) for w in warnings]


def _image_json(image: Image) -> dict[str, Any]:
    return present(
        url=image.url,
        mimeType=image.media_type,
        bytes=image.bytes,
        width=image.width,
        height=image.height,
        revisedPrompt=image.revised_prompt,
    )


def _usage_json(usage: Usage) -> dict[str, int]:
    return present(inputTokens=usage.input_tokens, outputTokens=usage.output_tokens, totalTokens=usage.total_tokens)


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
    """What is known of the money; costs by the catalog's list prices, where it has one.

    The estimate counts each picture as often as it may be paid for. `actualCostAtMost` stands for `actualCost` while it
    is not known of a call whether it was charged.
    """
    shown: dict[str, Any] = {"state": str(job.billing), "providerCalls": len(job.attempts)}
    if job.unit_price:
        shown["estimatedCost"] = _dollars(job.most_cost)
        if job.status.terminal:
            known = "actualCostAtMost" if job.possible_cost else "actualCost"
            shown[known] = _dollars(job.cost + job.possible_cost)
        shown["currency"] = "USD"
    return shown


def progress_json(job: Job) -> dict[str, Any]:
    """How far the job is as far as the record knows: what the provider said."""
    if job.status is Status.SUCCEEDED:
        return {"value": 1.0, "source": "provider" if job.progress else "none"}
    if job.progress is None:
        return {"value": 0.0, "source": "none"}
    return {**to_builtins(job.progress), "source": "provider"}


def _dollars(micro: int) -> float:
    return round(micro / 1_000_000, 6)


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return present(
        call=attempt.call,
        indexes=list(attempt.indexes),
        provider=attempt.provider or None,
        model=attempt.model or None,
        account=attempt.account or None,
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
    cancel = job.cancel
    if cancel is None:
        return None
    return present(
        requestedAt=moment(cancel.requested_ms),
        by=cancel.by,
        reason=cancel.reason,
        outcome=cancel.outcome,
        salvaged=job.salvaged,
    )


def _timings_json(job: Job) -> dict[str, int]:
    return present(
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


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
