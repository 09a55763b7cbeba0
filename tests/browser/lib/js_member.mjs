// Members that are the JS original, the same for a tab and for Node: commands in, events out. Nothing of the original is
// changed; what it leaves to the application (its WebSocket, what to do with a message) is here.

import { content, digest } from './messages.mjs'

const now = () => performance.timeOrigin + performance.now()

class JsMember {
  constructor({ Swarm, WebSocket, wrtc, media }, user, emit) {
    Object.assign(this, { Swarm, WebSocket, wrtc, media, user })
    /** By `user/stream`. */
    this.streams = new Map()
    this.byUser = new Map()
    this.pings = []
    this.hashing = Promise.resolve()
    this.emit = (type, fields) => emit({ member: user, session: this.session, type, at: now(), ...fields })
  }

  async join({ session, url, room, peerBuffer, maxPeers, greeting, echo, closeAtOnce, streams }) {
    this.session = session
    const socket = await this.connect(url)
    const config = { userId: this.user, roomId: room, rtcConfig: { iceServers: [] } }
    if (peerBuffer !== undefined) config.peerBuffer = peerBuffer
    if (maxPeers !== undefined) config.maxPeers = maxPeers
    if (this.wrtc) config.wrtc = this.wrtc
    if (streams) config.streams = await this.media.makeStreams(streams)
    const swarm = new this.Swarm(config)
    this.swarm = swarm
    swarm.on('signal', (signal) => {
      if (signal.type === 'init') this.emit('init', {})
      this.say(signal)
    })
    this.attach(socket)
    swarm.on('open', (peer) => {
      this.byUser.set(peer.userId, peer)
      if (greeting !== undefined) peer.send(greeting)
      this.emit('open', { user: peer.userId, connection: peer.id, native: false })
    })
    swarm.on('close', (peer) => this.emit('close', { user: peer.userId, connection: peer.id }))
    swarm.on('error', (error, peer) => this.emit('error', { user: peer?.userId, message: String(error) }))
    swarm.on('connection', (state, peer) => this.emit('ice', { user: peer.userId, state }))
    swarm.on('stream', (stream, name, peer) => {
      if (this.media) this.streams.set(`${peer.userId}/${name}`, this.media.play(stream))
      this.emit('stream', { user: peer.userId, name, tracks: stream.getTracks().map((track) => track.kind).sort() })
    })
    swarm.on('data', (data, peer) => {
      if (this.pings.length) return this.pings.shift()(now())
      if (echo) return peer.send(data)
      this.hashing = this.hashing.then(async () =>
        this.emit('data', { user: peer.userId, connection: peer.id, ...(await digest(data)) }),
      )
    })
    if (closeAtOnce) swarm.close()
  }

  connect(url) {
    const socket = new this.WebSocket(url)
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(socket)
      socket.onerror = () => reject(new Error('the signaling server refused the connection'))
      socket.onclose = (event) => reject(new Error(`signaling closed: ${event.code} ${event.reason}`))
    })
  }

  attach(socket) {
    this.socket = socket
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data)
      // The server's own addition; the original's applications are told and the original is not.
      if (message.type === 'error') return this.emit('refused', { message: event.data })
      this.swarm.dispatch(message)
    }
    socket.onerror = null
    socket.onclose = (event) => this.emit('signaling lost', { code: event.code, reason: event.reason })
  }

  say(signal) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(signal))
  }

  peer(user) {
    const peer = this.byUser.get(user)
    if (!peer) throw new Error(`${this.user} has no open peer ${user}`)
    return peer
  }

  send({ to, kind, size, seed }) {
    this.peer(to).send(content(kind, size, seed))
  }

  sendAll({ to, messages }) {
    for (const [kind, size, seed] of messages) this.send({ to, kind, size, seed })
  }

  sendText({ to, text }) {
    this.peer(to).send(text)
  }

  /** Round trips to a peer that echoes, in milliseconds. */
  async ping({ to, size, count }) {
    const peer = this.peer(to)
    const data = content('binary', size, 'ping')
    const times = []
    for (let i = 0; i < count; i++) {
      const back = new Promise((resolve) => this.pings.push(resolve))
      const begin = now()
      peer.send(data)
      times.push((await back) - begin)
    }
    return times
  }

  /** Many messages at once, without waiting for anything: what an application does that knows no backpressure. */
  flood({ to, size, count }) {
    const peer = this.peer(to)
    const data = content('binary', size, 'flood')
    for (let i = 0; i < count; i++) peer.send(data)
  }

  /** Sends to every peer there is, open or not. */
  broadcast({ text }) {
    return this.swarm.broadcast(text) ?? null
  }

  async addStreams({ streams }) {
    this.swarm.addStreams(await this.media.makeStreams(streams))
  }

  muteTrack({ name }) {
    this.swarm.muteTrack(name)
  }

  /** What is seen of a user's stream, `{ frames, colours }`, or nothing if there is no such stream. */
  see({ of, name }) {
    const playing = this.streams.get(`${of}/${name}`)
    return playing ? this.media.see(playing) : null
  }

  /** The loudest frequency of it. */
  tone({ of, name }) {
    const playing = this.streams.get(`${of}/${name}`)
    return playing ? this.media.listen(playing) : 0
  }

  dispatch({ message }) {
    this.swarm.dispatch(message)
  }

  /** What the browser itself counted on the channel to this peer. */
  async counters({ to }) {
    for (const stat of (await this.peer(to).peerConnection.getStats()).values()) {
      if (stat.type === 'data-channel') return { sent: stat.messagesSent, received: stat.messagesReceived }
    }
    return null
  }

  /** Connections of any stage. */
  connections() {
    return Array.from(this.swarm.peers.keys())
  }

  /** The signaling socket goes, and nothing is said. */
  cut() {
    this.socket.close()
  }

  leave() {
    for (const playing of this.streams.values()) this.media?.stop(playing)
    this.swarm?.close()
    this.socket?.close()
  }
}

/** Runs the members of one tab or process. `emit` is told their events. */
export function createHost(parts, emit) {
  const members = new Map()
  return async (user, command, args) => {
    if (command === 'join') members.set(user, new JsMember(parts, user, emit))
    const member = members.get(user)
    if (command === 'leave') members.delete(user)
    return (await member?.[command](args ?? {})) ?? null
  }
}
