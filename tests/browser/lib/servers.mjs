// Signaling servers: ours, a plain one after PROTOCOL.md section 3, and a proxy that delays and keeps a record.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { promisify } from 'node:util'
import WebSocket, { WebSocketServer } from 'ws'
import { TARGET } from './hosts.mjs'

const now = () => performance.timeOrigin + performance.now()

/** target/release/rtcswarm-server, with tokens that it makes itself. */
export class OurServer {
  static async open(...options) {
    const server = new OurServer()
    server.directory = mkdtempSync(path.join(os.tmpdir(), 'rtcswarm-browser-'))
    server.secret = path.join(server.directory, 'secret')
    writeFileSync(server.secret, randomBytes(32).toString('base64'), { mode: 0o600 })
    server.program = path.join(TARGET, 'rtcswarm-server')
    server.options = options
    server.tokens = new Map()
    await server.start('127.0.0.1:0')
    return server
  }

  async start(listen) {
    const args = ['--listen', listen, '--jwt-secret-file', this.secret, '--log', 'warn', ...this.options]
    this.child = spawn(this.program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(readline.createInterface({ input: this.child.stdout }), 'line')
    this.url = line.replace('listening on ', '')
  }

  async token(user, room = '*') {
    const key = JSON.stringify([user, room])
    if (!this.tokens.has(key)) {
      const args = ['token', '--secret-file', this.secret, '--user', user, '--room', room]
      this.tokens.set(key, (await promisify(execFile)(this.program, args)).stdout.trim())
    }
    return this.tokens.get(key)
  }

  async entry(user) {
    return { url: this.url, token: await this.token(user) }
  }

  /** A client of the test's own, without any WebRTC. */
  async client(user, token = user) {
    return RawClient.open(`${this.url}?token=${await this.token(token)}`, user)
  }

  async stop() {
    if (this.child.exitCode === null) {
      const gone = once(this.child, 'exit')
      this.child.kill()
      await gone
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Speaks the protocol by hand. */
export class RawClient {
  static async open(url, user) {
    const client = new RawClient()
    client.user = user
    client.heard = []
    client.waiters = new Set()
    client.socket = new WebSocket(url)
    client.socket.on('message', (data) => {
      client.heard.push(JSON.parse(data))
      for (const waiter of [...client.waiters]) waiter()
    })
    client.closed = once(client.socket, 'close').then(([code]) => code)
    await once(client.socket, 'open')
    return client
  }

  init(room) {
    this.say({ type: 'init', userId: this.user, roomId: room })
  }

  say(message) {
    this.socket.send(JSON.stringify(message))
  }

  of(type) {
    return this.heard.filter((message) => message.type === type)
  }

  until(type, count = 1, patience = 30_000) {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = this.of(type)
        if (found.length < count) return
        clearTimeout(timer)
        this.waiters.delete(check)
        resolve(found[count - 1])
      }
      const timer = setTimeout(() => {
        this.waiters.delete(check)
        reject(new Error(`${this.user} heard no ${type} (${count}): ${JSON.stringify(this.heard).slice(0, 500)}`))
      }, patience)
      this.waiters.add(check)
      check()
    })
  }

  stop() {
    this.socket.terminate()
  }
}

/**
 * The reference: what PROTOCOL.md section 3 says and nothing else. Tokens are not looked at, and messages of types that it
 * does not know are ignored, so no extension of ours is there. It shows its tests all messages, and lets them interfere.
 */
export class ReferenceServer {
  static async open() {
    const server = new ReferenceServer()
    server.rooms = new Map()
    /** What came from and went to whom, in order. */
    server.log = []
    /** Asked for each message from a client, before it is dealt with; what it answers `false` to is dropped. */
    server.filter = () => true
    server.sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    server.sockets.on('connection', (socket) => server.serve(socket))
    await once(server.sockets, 'listening')
    server.url = `ws://127.0.0.1:${server.sockets.address().port}/`
    return server
  }

  async entry() {
    // A native peer wants a token to show, if only out of habit; nobody looks at it here.
    return { url: this.url, token: 'unread' }
  }

  async client(user) {
    return RawClient.open(this.url, user)
  }

  serve(socket) {
    let member
    socket.on('message', (data) => {
      const message = JSON.parse(data)
      const user = member?.user ?? message.userId
      this.log.push({ from: user, ...message })
      if (this.filter(user, message) === false) return
      if (message.type === 'init') {
        if (!member) member = this.join(socket, message)
      } else if (member) {
        this.handle(member, message)
      }
    })
    socket.on('close', () => member && this.leave(member))
  }

  join(socket, { userId: user, roomId }) {
    const room = this.rooms.get(String(roomId)) ?? new Map()
    this.rooms.set(String(roomId), room)
    if (room.has(user)) {
      socket.close(1008, 'user id in use')
      return undefined
    }
    const joiner = { user, socket, room, spare: [], waiting: [], links: new Map() }
    for (const member of room.values()) {
      const chunk = member.spare.pop()
      if (chunk) this.pair(member, joiner, chunk)
      else member.waiting.push(joiner)
      this.send(member, { type: 'offerRequest' })
    }
    room.set(user, joiner)
    return joiner
  }

  /** `chunk` of `offerer` goes to `answerer`. */
  pair(offerer, answerer, { id, signals }) {
    offerer.links.set(id, answerer.user)
    answerer.links.set(id, offerer.user)
    this.send(offerer, { type: 'offerAccepted', id, userId: answerer.user })
    this.send(answerer, { type: 'accept', id, userId: offerer.user, signals })
  }

  handle(member, message) {
    const { type, id } = message
    const linked = member.room.get(member.links.get(id))
    const chunk = member.spare.find((chunk) => chunk.id === id)
    const { id: _, ...signal } = message
    if (type === 'close') {
      this.leave(member)
    } else if (!['offer', 'candidate', 'answer'].includes(type)) {
      return
    } else if (member.links.has(id)) {
      if (linked) this.send(linked, message)
    } else if (chunk && type !== 'answer') {
      chunk.signals.push(signal)
    } else if (type === 'offer') {
      const fresh = { id, signals: [signal] }
      const waiting = member.waiting.pop()
      if (waiting) this.pair(member, waiting, fresh)
      else member.spare.push(fresh)
    }
  }

  leave(member) {
    if (member.room.get(member.user) !== member) return
    member.room.delete(member.user)
    for (const other of member.room.values()) other.waiting = other.waiting.filter((joiner) => joiner !== member)
    for (const [id, user] of member.links) {
      const other = member.room.get(user)
      if (!other) continue
      other.links.delete(id)
      this.send(other, { type: 'leaveSwarm', id })
    }
  }

  send(member, message) {
    this.log.push({ to: member.user, ...message })
    if (member.socket.readyState === WebSocket.OPEN) member.socket.send(JSON.stringify(message))
  }

  member(room, user) {
    return this.rooms.get(room)?.get(user)
  }

  /** Says something to a member that the protocol gave no reason for. */
  inject(room, user, message) {
    this.send(this.member(room, user), message)
  }

  /** The sockets of a member go, and the server is the only one to notice. */
  cut(room, user) {
    this.member(room, user).socket.terminate()
  }

  /** The server was restarted, as far as this member is concerned: nobody is told that it left. */
  forget(room, user) {
    this.rooms.get(room).delete(user)
  }

  async stop() {
    for (const socket of this.sockets.clients) socket.terminate()
    this.sockets.close()
  }
}

/** Between members and a server: every message waits `delay` ms, each way, and is written down when it leaves its sender. */
export class Proxy {
  static async open(server, delay = 0) {
    const proxy = new Proxy()
    Object.assign(proxy, { server, delay, log: [], pairs: new Set() })
    proxy.sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    proxy.sockets.on('connection', (socket, request) => proxy.carry(socket, request))
    await once(proxy.sockets, 'listening')
    proxy.url = `ws://127.0.0.1:${proxy.sockets.address().port}/`
    return proxy
  }

  async entry(user) {
    return { ...(await this.server.entry(user)), url: this.url }
  }

  carry(socket, request) {
    const headers = request.headers.authorization ? { authorization: request.headers.authorization } : {}
    const upstream = new WebSocket(new URL(request.url, this.server.url), { headers })
    const pair = { socket, upstream, user: undefined, said: [], carried: 0 }
    this.pairs.add(pair)
    const early = []
    const send = (text) => upstream.send(text, () => pair.carried++)
    const up = (text) => (upstream.readyState === WebSocket.CONNECTING ? early.push(text) : send(text))
    upstream.on('open', () => early.splice(0).forEach(send))
    socket.on('message', (data) => {
      const message = JSON.parse(data)
      pair.user ??= message.userId
      pair.said.push(message)
      this.record('up', pair.user, message)
      this.later(() => upstream.readyState <= WebSocket.OPEN && up(String(data)))
    })
    upstream.on('message', (data) => {
      this.record('down', pair.user, JSON.parse(data))
      this.later(() => socket.readyState === WebSocket.OPEN && socket.send(String(data)))
    })
    socket.on('close', () => {
      this.pairs.delete(pair)
      this.later(() => upstream.close())
    })
    upstream.on('close', (code, reason) => this.later(() => socket.close(code >= 1000 && code !== 1005 && code !== 1006 ? code : 1000, reason)))
    for (const end of [socket, upstream]) end.on('error', () => {})
  }

  /** What a member has said on its newest connection, if the server was given all of it. An older one may still be saying goodbye. */
  carried(user) {
    const { said, carried } = Array.from(this.pairs).findLast((pair) => pair.user === user) ?? { said: [], carried: 0 }
    return carried === said.length ? said : []
  }

  record(way, user, message) {
    this.log.push({ way, user, at: now(), ...message })
  }

  /** Timers of one duration fire in the order in which they were set. */
  later(act) {
    setTimeout(act, this.delay)
  }

  /** A member's connection breaks: neither end says goodbye. */
  cut(user) {
    for (const pair of this.pairs) {
      if (pair.user !== user) continue
      pair.socket.terminate()
      pair.upstream.terminate()
    }
  }

  async stop() {
    for (const { socket, upstream } of this.pairs) {
      socket.terminate()
      upstream.terminate()
    }
    this.sockets.close()
  }
}
