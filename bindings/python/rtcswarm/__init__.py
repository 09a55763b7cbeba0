"""A full-mesh WebRTC swarm: a room of connected peers.

async with Swarm("lobby", "alice", signaling=url, token=token) as swarm:
    async for event in swarm:
        ...
"""

from ._errors import (
    Busy,
    Closed,
    Forked,
    InternalError,
    InvalidArgument,
    InvalidState,
    Malformed,
    NoChannel,
    NoPeer,
    OsFailure,
    Reserved,
    RtcSwarmError,
    TooLarge,
    Unsupported,
    WouldBlock,
)
from ._events import (
    Binary,
    ChannelClosed,
    ChannelOpen,
    ErrorEvent,
    Event,
    PeerClosed,
    PeerFailed,
    PeerOpen,
    PeerState,
    Reason,
    Signal,
    SignalingState,
    State,
    SwarmClosed,
    Text,
    Writable,
)
from ._hub import Hub, HubClose, HubLimits, HubSend, HubStats
from ._native import library_version
from ._swarm import FAST, IceServer, PeerStats, Swarm, SwarmStats

__version__ = "0.1.0"

__all__ = [
    "FAST",
    "Binary",
    "Busy",
    "ChannelClosed",
    "ChannelOpen",
    "Closed",
    "ErrorEvent",
    "Event",
    "Forked",
    "Hub",
    "HubClose",
    "HubLimits",
    "HubSend",
    "HubStats",
    "IceServer",
    "InternalError",
    "InvalidArgument",
    "InvalidState",
    "Malformed",
    "NoChannel",
    "NoPeer",
    "OsFailure",
    "PeerClosed",
    "PeerFailed",
    "PeerOpen",
    "PeerState",
    "PeerStats",
    "Reason",
    "Reserved",
    "RtcSwarmError",
    "Signal",
    "SignalingState",
    "State",
    "Swarm",
    "SwarmClosed",
    "SwarmStats",
    "Text",
    "TooLarge",
    "Unsupported",
    "WouldBlock",
    "Writable",
    "library_version",
]
