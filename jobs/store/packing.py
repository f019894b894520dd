"""Documents made small: deflated, with the words that all of them have in a dictionary."""

from __future__ import annotations

import zlib
from typing import Final

WORDS: Final = (
    b'"providerRequestId":"","providerStatus":429,"reason":"provider_unavailable","outcome_unknown","content_policy",'
    b'"outcome":"throttled","refused","bad_response","unknown","not_sent","charged":false,"failure":{"code":'
    b'"SERVICE_UNAVAILABLE","message":"","provider_status":503,"retryable":true,"safe_to_retry":false,"retry_after":'
    b'"error":{"code":"TIMEOUT","message":"","details":{"reason":"deadline","safeToRetry":"cancel":{"requestedAt":"by":'
    b'"api","prevented","abandoned","cancel":{"requested_ms":"warnings":[{"code":"","message":"","field":"'
    b'"preview":{"url":"","index":0,"partialIndex":0,"mimeType":"progress":{"value":0.,"source":"provider","step":'
    b'"webhook":{"url":"https://","events":["image.job.succeeded","image.job.failed"],"secret":"","endpoint_id":"whe_01'
    b'"metadata":{"client_reference":"batch_id":"bat_01"fallbacks":[{"target":{"provider":"openai","model":"gpt-image-1'
    b'{"schema":2,"id":"job_01m","org":"","subject":"key_01m","face":"openai","face":"agents","face":"jobs","request":'
    b'{"provider":"gemini","model":"gemini-3-pro-image","provider":"azure-openai","model":"gpt-image-2","prompt":"","n":2,'
    b'"size":"1024x1024","quality":"high","style":"output_format":"png","background":"images":[{"type":"blob","name":'
    b'"inputs/","media_type":"image/jpeg"}]},"options":{"priority":"low","cancel_after":,"expires_after":},"created_ms":1'
    b',"updated_ms":1,"cancel_at_ms":1,"status":"succeeded","phase":"done","version":6,"started_ms":1,"finished_ms":1'
    b',"expires_ms":1,"attempts":[{"call":1,"indexes":[0],"started_ms":1,"provider":"azure-openai","model":"gpt-image-2",'
    b'"ended_ms":1,"outcome":"succeeded","provider_status":200,"provider_request_id":"","charged":true}],"images":[{'
    b'"index":0,"url":"https:///files/images/","blob":"images//2026-1","media_type":"image/png","bytes":,"sha256":"",'
    b'"width":1024,"height":1024}],"usage":{"inputTokens":,"outputTokens":,"totalTokens":},"adoptable":true,'
    b'"idempotency_key":"","fingerprint":"","key_id":"key_01m","unit_price":,"expected_seconds":,"request_id":"req_01m'
    b'","provider_ms":,"upload_ms":}{"id":"dlv_01m","org":"","job_id":"job_01m","event_id":"evt_01m","type":'
    b'"image.job.succeeded","url":"https://","body":"{\\"id\\":\\"evt_01m\\",\\"type\\":\\"state":"delivered","revision":1,'
    b'"created_ms":,"attempts":[{"at_ms":,"took_ms":,"status":200,"response":""}],"tries":1}'
    b'{"id":"evt_01m","type":"image.job.canceled","type":"image.job.failed","type":"image.job.progress",'
    b'"type":"image.job.queued","type":"image.job.started","type":"image.job.checkpointed","type":"image.job.succeeded",'
    b'"data":{"status":"failed","phase":"dispatching","status":"queued","phase":"queued","status":"running","phase":'
    b'"checkpointed","status":"succeeded","phase":"done","version":6,"updatedAt":"2026-1","startedAt":"2026-1",'
    b'"finishedAt":"2026-1","expiresAt":"2026-1","progress":{"value":0.0,"source":"none"},"progress":{"value":1.0,'
    b'"source":"none"},"attempts":[],"attempts":[{"call":1,"indexes":[0],"provider":"azure-openai","model":"gpt-image-2",'
    b'"startedAt":"2026-1","endedAt":"2026-1","outcome":"succeeded","providerStatus":200,"providerRequestId":"",'
    b'"charged":true}],"result":{"url":"https:///files/images/","mimeType":"image/png","bytes":,"width":1024,"height":'
    b'1024,"provider":"azure-openai","model":"gpt-image-2","mode":"generate","usage":{"inputTokens":,"outputTokens":,'
    b'"totalTokens":}},"billing":{"state":"none","providerCalls":0,"billing":{"state":"possibly_billed",'
    b'"billing":{"state":"billed","providerCalls":1,"estimatedCost":0.0,"actualCost":0.0,"currency":"USD"},'
    b'"timings":{"queuedMs":,"providerMs":,"uploadMs":,"totalMs":}}}'
)
"""What was written with it is read with it: another dictionary has another mark."""


def squeeze(document: bytes) -> bytes:
    """The document with the mark before it, deflated. Equal ones become equal."""
    deflater = zlib.compressobj(level=9, wbits=-15, zdict=WORDS)
    return _MARK + deflater.compress(document) + deflater.flush()


def unsqueeze(document: bytes) -> bytes:
    """The reverse of `squeeze`; a document without the mark is handed back as it is."""
    if not document.startswith(_MARK):
        return document
    inflater = zlib.decompressobj(wbits=-15, zdict=WORDS)
    return inflater.decompress(document[1:]) + inflater.flush()


_MARK: Final = b"\x01"
"""No JSON begins so."""
