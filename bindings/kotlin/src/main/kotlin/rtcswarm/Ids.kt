package rtcswarm

/** A peer's number, never used again in the process: an old one is answered by [NoPeerException], however old. */
@JvmInline
public value class PeerId(public val value: Long) {
    override fun toString(): String = value.toString()
}

/** A track's number, never used again in the process: an old one is answered by [NoTrackException]. */
@JvmInline
public value class TrackId(public val value: Long) {
    override fun toString(): String = value.toString()
}

/** A channel's number, which it has at its peer. */
@JvmInline
public value class ChannelId(public val value: Int) {
    override fun toString(): String = value.toString()

    public companion object {
        /** The channel that every peer has. */
        public val FAST: ChannelId = ChannelId(0)
    }
}
