"""Where each move leads from each status: the whole state machine on one screen."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from jobs.model.job import Status


class Move(StrEnum):
    """What can be done to a job."""

    START = "start"
    WORK = "work"
    """A ledger row, a picture made safe, progress: the status stays."""
    CALL = "call"
    """A new paid call."""
    REQUEUE = "requeue"
    FALL_BACK = "fall_back"
    """On to the next target."""
    SUCCEED = "succeed"
    FAIL = "fail"
    EXPIRE = "expire"
    CANCEL = "cancel"
    STOP = "stop"
    """The end of a cancel."""
    SALVAGE = "salvage"
    """A picture that came late: after the end, or after others went on with the job."""
    RESUME = "resume"
    """A queued job need not wait any longer."""


_Q, _R, _C = Status.QUEUED, Status.RUNNING, Status.CANCELING
_OK, _BAD, _OFF, _LATE = Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED
_NO: Final = None

TABLE: Final[dict[Move, tuple[Status | None, ...]]] = {
    #              queued  running canceling succeeded failed canceled expired
    Move.START:   (_R,     _NO,    _NO,      _NO,      _NO,   _NO,     _NO),
    Move.CALL:    (_NO,    _R,     _NO,      _NO,      _NO,   _NO,     _NO),
    Move.WORK:    (_NO,    _R,     _C,       _NO,      _NO,   _NO,     _NO),
    Move.REQUEUE: (_NO,    _Q,     _NO,      _NO,      _NO,   _NO,     _NO),
    Move.FALL_BACK: (_Q,   _Q,     _NO,      _NO,      _NO,   _NO,     _NO),
    Move.SUCCEED: (_OK,    _OK,    _OK,      _NO,      _NO,   _NO,     _NO),
    Move.FAIL:    (_BAD,   _BAD,   _NO,      _NO,      _NO,   _NO,     _NO),
    Move.EXPIRE:  (_LATE,  _NO,    _NO,      _NO,      _NO,   _NO,     _NO),
    Move.CANCEL:  (_OFF,   _C,     _NO,      _NO,      _NO,   _NO,     _NO),
    Move.STOP:    (_NO,    _NO,    _OFF,     _NO,      _NO,   _NO,     _NO),
    Move.SALVAGE: (_Q,     _R,     _C,       _OK,      _BAD,  _OFF,    _NO),
    Move.RESUME:  (_Q,     _NO,    _NO,      _NO,      _NO,   _NO,     _NO),
}  # fmt: skip
"""Where each move leads from each status, in the order of `Status`; `None`: refused."""
_COLUMN: Final = {status: i for i, status in enumerate(Status)}


def leads(move: Move, status: Status) -> Status | None:
    """The status after a move; None: it is refused."""
    return TABLE[move][_COLUMN[status]]
