"""Exceptions: one per status of the C API."""

from __future__ import annotations


class RtcSwarmError(Exception):
    """A call did nothing. `status` is the C API's number."""

    status: int = 0

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class WouldBlock(RtcSwarmError):
    """The send buffer is full; a `Writable` event follows."""

    status: int = -1


class InvalidArgument(RtcSwarmError, ValueError):
    """An argument or a configuration that cannot be used."""

    status: int = -10


class InvalidState(RtcSwarmError):
    """Not now: before the start, or the wrong kind of signaling."""

    status: int = -11


class Closed(RtcSwarmError):
    """The swarm is closed or closing."""

    status: int = -12


class NoPeer(RtcSwarmError, LookupError):
    """No open peer has this id (any more)."""

    status: int = -13


class NoChannel(RtcSwarmError, LookupError):
    """The peer has no open channel of this number."""

    status: int = -14


class TooLarge(RtcSwarmError, ValueError):
    """The message is larger than this side sends or the other side takes."""

    status: int = -15


class Reserved(RtcSwarmError, ValueError):
    """Text that begins with `@fast` belongs to the protocol."""

    status: int = -16


class Malformed(RtcSwarmError, ValueError):
    """A signaling message that cannot be read."""

    status: int = -17


class Unsupported(RtcSwarmError):
    """The other side, or this system, cannot do this."""

    status: int = -18


class Busy(RtcSwarmError):
    """Events are taken in another way already."""

    status: int = -19


class OsFailure(RtcSwarmError):
    """The operating system refused something."""

    status: int = -20


class Forked(RtcSwarmError):
    """The swarm belongs to the process that made it, not to a fork of it."""

    status: int = -21


class InternalError(RtcSwarmError):
    """A bug in the library was caught; the swarm is closed."""

    status: int = -22


class NoTrack(RtcSwarmError, LookupError):
    """No track of ours, or of that peer's, has this id (any more)."""

    status: int = -24


_BY_STATUS: dict[int, type[RtcSwarmError]] = {
    error.status: error
    for error in (
        WouldBlock,
        InvalidArgument,
        InvalidState,
        Closed,
        NoPeer,
        NoChannel,
        TooLarge,
        Reserved,
        Malformed,
        Unsupported,
        Busy,
        OsFailure,
        Forked,
        InternalError,
        NoTrack,
    )
}


def error_for(status: int, message: str) -> RtcSwarmError:
    return _BY_STATUS.get(status, RtcSwarmError)(message or f"status {status}", status)
