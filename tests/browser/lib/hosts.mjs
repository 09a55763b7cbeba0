// Where members live: tabs of Chromium and Node processes (the JS original), native processes (rtcswarm). All are driven in
// one way, so that a test does not say which kind it means unless it wants to.

import assert from 'node:assert/strict'
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { content, digest } from './messages.mjs'

export const HERE = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
export const ROOT = path.resolve(HERE, '../..')
export const TARGET = path.resolve(ROOT, process.env.RTCSWARM_TARGET ?? 'target/release')

/** Generous: the machine may be busy. A condition that is met ends the wait. */
export const PATIENCE = 60_000

/** For what no event tells: asks until it is so. */
export async function eventually(what, condition, patience = PATIENCE) {
  const end = Date.now() + patience
  for (;;) {
    const value = condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`it did not come to: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

let sessions = 0

/** One member of a room: what it was told to do, and all that it heard. */
export class Member {
  constructor(host, user) {
    this.host = host
    this.user = user
    this.session = sessions++
    this.native = host.kind === 'native'
    this.events = []
    this.waiters = new Set()
  }

  hear(event) {
    this.events.push(event)
    for (const waiter of [...this.waiters]) waiter()
  }

  call(command, args) {
    return this.host.call(this.user, command, args)
  }

  of(type, user) {
    return this.events.filter((event) => event.type === type && (user === undefined || event.user === user))
  }

  /** The first truthy value of `condition`, which is asked again after each event. */
  until(what, condition, patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer)
        this.waiters.delete(check)
        settle(value)
      }
      const timer = setTimeout(() => {
        const tail = this.events.slice(-12).map((event) => JSON.stringify(event).slice(0, 240))
        finish(reject, new Error(`${this.user} did not come to: ${what}\n  ${tail.join('\n  ')}`))
      }, patience)
      const check = () => {
        const value = condition()
        if (value) finish(resolve, value)
      }
      this.waiters.add(check)
      check()
    })
  }

  untilEvent(type, user, patience) {
    return this.until(`${type} of ${user ?? 'anybody'}`, () => this.of(type, user)[0], patience)
  }

  /** Open links by user id. */
  links() {
    const links = new Map()
    for (const { user } of this.of('open')) links.set(user, (links.get(user) ?? 0) + 1)
    for (const { user } of this.closings()) links.set(user, links.get(user) - 1)
    return new Map([...links].filter(([, count]) => count !== 0))
  }

  /** Those of peers that were open. The original also tells of some that never were. */
  closings(user) {
    const opened = new Set(this.of('open').map((event) => event.peer ?? event.connection))
    return this.of('close', user).filter((event) => opened.has(event.peer ?? event.connection))
  }

  untilLinked(users, patience) {
    const wanted = [...users].sort().join()
    const linked = () => {
      const links = this.links()
      return [...links.keys()].sort().join() === wanted && [...links.values()].every((count) => count === 1)
    }
    return this.until(`one link to each of ${wanted || 'nobody'}`, linked, patience)
  }

  send(to, kind, size, seed) {
    return this.call('send', { to, kind, size, seed })
  }

  /** Messages of `[kind, size, seed]`, one after the other. */
  sendAll(to, messages) {
    return this.call(this.native ? 'send_all' : 'sendAll', { to, messages })
  }

  sendText(to, text) {
    return this.call(this.native ? 'send_text' : 'sendText', { to, text })
  }

  /** What came from a user, as `kind size digest`. */
  received(user) {
    return this.of('data', user).map(({ kind, size, sha256 }) => `${kind} ${size} ${sha256.slice(0, 16)}`)
  }

  async leave() {
    await this.call('leave')
    this.host.members.delete(this.user)
  }
}

/** How `received` shows a message. */
export async function shown(kind, size, seed) {
  const { sha256 } = await digest(content(kind, size, seed))
  return `${kind} ${size} ${sha256.slice(0, 16)}`
}

class Host {
  constructor(kind) {
    this.kind = kind
    this.members = new Map()
    /** `error` events of the original, and exceptions that nobody caught. Empty at the end of every test. */
    this.complaints = []
  }

  hear(event) {
    if (event.type === 'exception') return this.complaints.push(event.message)
    if (event.type === 'error') this.complaints.push(`${event.member}: ${event.message}`)
    this.tell(event)
  }

  /** What an earlier member of that name still has to say is for nobody. */
  tell(event) {
    const member = this.members.get(event.member)
    if (member?.session === event.session) member.hear(event)
  }

  /** Joins a room as `user` and answers when it is on its way. */
  async join(server, user, room, options = {}) {
    const member = new Member(this, user)
    this.members.set(user, member)
    const { session } = member
    await member.call('join', { session, ...this.options(await server.entry(user), room, options) })
    return member
  }

  async leaveAll() {
    await Promise.all([...this.members.values()].map((member) => member.leave().catch(() => {})))
    this.members.clear()
  }

  /** Until the members have left, complaints like this are what a test is about: there must be one, and more may be. */
  provoke(complaint) {
    this.provoked = complaint
  }

  /** The same, for what may be and need not. */
  allow(complaint) {
    this.allowed = complaint
  }

  assertNoComplaints() {
    const [complaints, { provoked, allowed }] = [this.complaints.splice(0), this]
    this.provoked = this.allowed = undefined
    if (provoked) assert.ok(complaints.some((text) => provoked.test(text)), `nothing matched ${provoked}`)
    assert.deepEqual(complaints.filter((text) => !provoked?.test(text) && !allowed?.test(text)), [])
  }
}

/** JS options are the original's own; a native member's are those of the Python package. */
const jsOptions = ({ url, token }, room, options) => {
  const entry = new URL(url)
  if (token) entry.searchParams.set('token', token)
  return { url: entry.href, room, ...options }
}

export class Tab extends Host {
  static async open(browser, site) {
    const tab = new Tab('tab')
    tab.context = await browser.newContext()
    tab.page = await tab.context.newPage()
    tab.page.on('pageerror', (error) => tab.complaints.push(String(error)))
    await tab.page.exposeFunction('tell', (event) => tab.hear(event))
    await tab.page.goto(site)
    return tab
  }

  options(entry, room, options) {
    return jsOptions(entry, room, options)
  }

  call(user, command, args) {
    return this.page.evaluate(([user, command, args]) => window.call(user, command, args), [user, command, args])
  }

  async stop() {
    await this.context.close()
  }

  /** The renderer's process dies, without any goodbye. */
  async kill() {
    const session = await this.context.newCDPSession(this.page)
    const crashed = once(this.page, 'crash')
    session.send('Page.crash').catch(() => {})
    await crashed
  }
}

class ProcessHost extends Host {
  constructor(kind) {
    super(kind)
    this.answers = new Map()
    this.next = 1
  }

  receive(message) {
    if (message.id === undefined) return this.hear(message)
    const { resolve, reject } = this.answers.get(message.id)
    this.answers.delete(message.id)
    if (!message.error) return resolve(message.result)
    reject(Object.assign(new Error(message.error.message), message.error))
  }

  call(user, command, args) {
    const id = this.next++
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(new Error(this.ended))
      this.answers.set(id, { resolve, reject })
      this.write({ id, user, command, args })
    })
  }

  watch() {
    this.child.once('exit', (code, signal) => {
      this.ended = `${this.kind} ended: ${code ?? signal}`
      for (const { reject } of this.answers.values()) reject(new Error(this.ended))
      if (!this.expected && !this.forgives(signal)) this.complaints.push(this.ended)
    })
  }

  /** An end that is no fault of what is tested. */
  forgives() {
    return false
  }

  async stop() {
    await this.kill('SIGTERM')
  }

  async kill(signal = 'SIGKILL') {
    this.expected = true
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const gone = once(this.child, 'exit')
    this.child.kill(signal)
    await gone
  }
}

export class NodeProcess extends ProcessHost {
  static async open() {
    const host = new NodeProcess('node')
    host.child = fork(path.join(HERE, 'lib/node_agent.mjs'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    host.child.on('message', (message) => host.receive(message))
    await once(host.child, 'spawn')
    // It may be gone when it is told something; that it is, is heard by `exit`.
    host.child.on('error', () => {})
    host.watch()
    return host
  }

  options(entry, room, options) {
    return jsOptions(entry, room, options)
  }

  async leaveAll() {
    this.leaving = true
    await super.leaveAll()
  }

  /**
   * wrtc crashes now and then while its connections close: in one of 40 rooms of three Node processes and nobody else. A process
   * whose members have left is not used again.
   */
  forgives(signal) {
    return this.leaving && signal === 'SIGSEGV'
  }

  write(message) {
    this.child.send(message)
  }
}

export class NativeProcess extends ProcessHost {
  static async open() {
    const host = new NativeProcess('native')
    const library = process.platform === 'darwin' ? 'librtcswarm.dylib' : 'librtcswarm.so'
    const env = {
      ...process.env,
      PYTHONPATH: path.join(ROOT, 'bindings/python'),
      RTCSWARM_LIBRARY: path.join(TARGET, library),
    }
    const python = process.env.PYTHON ?? 'python3'
    host.child = spawn(python, [path.join(HERE, 'lib/native_agent.py')], { stdio: ['pipe', 'pipe', 'inherit'], env })
    readline.createInterface({ input: host.child.stdout }).on('line', (line) => host.receive(JSON.parse(line)))
    host.child.stdin.on('error', () => {})
    host.watch()
    return host
  }

  options(entry, room, { peerBuffer, maxPeers, ...options }) {
    if (peerBuffer !== undefined) options.peer_buffer = peerBuffer
    if (maxPeers !== undefined) options.max_peers = maxPeers
    return { ...entry, room, ...options }
  }

  /** An error event of a native member's is no complaint of the original's. */
  hear(event) {
    if (event.type === 'error') this.tell(event)
    else super.hear(event)
  }

  write(message) {
    this.child.stdin.write(`${JSON.stringify(message)}\n`)
  }
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
]

/** The browser's path, or null. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  for (const directory of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const name of NAMES) {
      const candidate = path.join(directory, name)
      try {
        accessSync(candidate, constants.X_OK)
        return candidate
      } catch {}
    }
  }
  return null
}

/** A browser and the site with the JS original, and every host that was opened: one `stop` ends them all. */
export class World {
  static async open() {
    const world = new World()
    world.hosts = new Set()
    world.browsers = []
    const bundle = await build({
      entryPoints: [path.join(HERE, 'lib/tab.mjs')],
      bundle: true,
      format: 'iife',
      write: false,
    })
    const script = bundle.outputFiles[0].text
    world.site = http.createServer((request, response) => {
      const page = request.url === '/'
      response.setHeader('content-type', `${page ? 'text/html' : 'text/javascript'}; charset=utf-8`)
      response.end(page ? '<!doctype html><title>tab</title><link rel="icon" href="data:,"><script src="/tab.js"></script>' : script)
    })
    world.site.listen(0, '127.0.0.1')
    await once(world.site, 'listening')
    world.address = `http://127.0.0.1:${world.site.address().port}/`
    world.browser = (await world.launch()).browser
    return world
  }

  /** A browser of its own process; `server.process()` is that. */
  async launch() {
    const server = await chromium.launchServer({ executablePath: findChromium(), args: FLAGS })
    const browser = await chromium.connect(server.wsEndpoint())
    this.browsers.push(server)
    return { server, browser }
  }

  async tab(browser = this.browser) {
    return this.keep(await Tab.open(browser, this.address))
  }

  async node() {
    return this.keep(await NodeProcess.open())
  }

  async native() {
    return this.keep(await NativeProcess.open())
  }

  keep(host) {
    this.hosts.add(host)
    return host
  }

  /** For after each test: everyone leaves, and nobody complained. */
  async settle() {
    await Promise.all([...this.hosts].map((host) => host.leaveAll()))
    for (const host of this.hosts) host.assertNoComplaints()
  }

  /** One host is of no use any more. */
  async discard(host) {
    this.hosts.delete(host)
    await host.stop().catch(() => {})
  }

  async stop() {
    await Promise.all([...this.hosts].map((host) => host.stop().catch(() => {})))
    await Promise.all(this.browsers.map((server) => server.close().catch(() => {})))
    this.site.close()
  }
}
