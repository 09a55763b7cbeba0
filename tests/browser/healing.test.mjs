// Links between native peers and the JS original whose packets stop for a while, and a user who is there twice. The cuts are the
// kernel's: nftables drops what the native process's UDP sockets send and get, and signaling goes on beside. Wants root and nft.
//
// Left to the tests of media: both add a stream at the same moment.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as pass } from 'node:timers/promises'
import { shown, World } from './lib/hosts.mjs'
import { OurServer, Proxy } from './lib/servers.mjs'

/** Of native peers, with nothing configured: silence until ICE is restarted, and how much longer the answerer waits. */
const [SILENCE, ANSWERER_WAITS] = [15, 2]
/** Messages flow again within so many seconds after a cut. */
const HEALED = 10
/** One message each way in so many milliseconds. */
const PACE = 100

let world, server, proxy, tab, otherTab

before(async () => {
  world = await World.open()
  server = await OurServer.open()
  proxy = await Proxy.open(server)
  tab = await world.tab()
  otherTab = await world.tab()
})

after(async () => {
  await world?.stop()
  await Promise.all([proxy, server].map((each) => each?.stop()))
})

const nft = (rules) => execFileSync('nft', ['-j', rules], { encoding: 'utf8', stdio: 'pipe' })

/** What keeps the cuts from being made, or nothing. */
function lacking() {
  if (process.getuid?.() !== 0) return 'root is missing: only root may cut links'
  try {
    nft(`add table inet rtcswarm_probe_${process.pid}; delete table inet rtcswarm_probe_${process.pid}`)
  } catch (error) {
    return `nft is missing, or does not work: ${error.message.trim().split('\n').at(-1)}`
  }
}

/** Of the UDP sockets of a process; that of mDNS is everybody's. */
function ports(pid) {
  const sockets = new Set()
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      sockets.add(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1])
    } catch {} // it was closed meanwhile
  }
  const rows = ['udp', 'udp6'].flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8').trim().split('\n').slice(1))
  const mine = rows.map((row) => row.trim().split(/\s+/)).filter((columns) => sockets.has(columns[9]))
  return [...new Set(mine.map((columns) => parseInt(columns[1].split(':').at(-1), 16)))].filter((port) => port !== 5353)
}

/** Nothing comes to or from a process by UDP. What is sent is lost on its way in: the sender's kernel says nothing of it. */
class Cut {
  constructor({ child: { pid } }) {
    this.ports = ports(pid)
    assert.ok(this.ports.length > 0, `no UDP socket of ${pid}`)
    this.table = `inet rtcswarm_cut_${process.pid}_${pid}`
    // By itself it ends after a minute, should this process be killed.
    nft(`table ${this.table} {
      set cut { type inet_service; timeout 1m; elements = { ${this.ports.join(', ')} } }
      chain input { type filter hook input priority 0; udp dport @cut counter drop; udp sport @cut counter drop; }
    }`)
    this.begin = Date.now()
  }

  /** How many packets were lost to the process and from it. */
  restore() {
    if (this.restored) return this.lost
    const { nftables } = JSON.parse(nft(`list table ${this.table}`))
    this.lost = nftables.filter(({ rule }) => rule).map(({ rule }) => rule.expr.find(({ counter }) => counter).counter.packets)
    this.end = Date.now()
    nft(`delete table ${this.table}`)
    this.restored = true
    return this.lost
  }
}

/** One says something to the other at its pace, until it is told to stop; then it answers how `received` shows all of it. */
function talk(from, to) {
  const sent = []
  let stopped = false
  const said = (async () => {
    while (!stopped) {
      const message = [sent.length % 10 ? 'text' : 'binary', 40 + 7 * sent.length, `${from.user} ${sent.length}`]
      sent.push(message)
      await Promise.all([from.send(to.user, ...message), pass(PACE)])
    }
  })()
  said.catch(() => {}) // for who stops it
  return async () => {
    stopped = true
    await said
    return Promise.all(sent.map((message) => shown(...message)))
  }
}

const connection = (member, user) => member.of('open', user).at(-1).connection
const fragment = ({ sdp }) => /a=ice-ufrag:(\S+)/.exec(sdp)[1]

/** Both members through a cut of so many seconds; answers what went over signaling for their connection. */
async function through(t, seconds, room, [first, second]) {
  const members = []
  for (const host of [first, second]) members.push(await host.join(proxy, `${host.kind} of ${room}`, room))
  const [native, other] = members[0].native ? members : [members[1], members[0]]
  await native.untilLinked([other.user])
  await other.untilLinked([native.user])
  const id = connection(native, other.user)
  assert.equal(connection(other, native.user), id)

  const pairs = [[native, other], [other, native]]
  const stop = pairs.map(([from, to]) => talk(from, to))
  for (const [from, to] of pairs) await to.until(`messages of ${from.user}`, () => to.of('data', from.user).length > 5)
  const before = members.map((member) => member.events.length)
  const cut = new Cut(native.host)
  t.after(() => cut.restore())
  await pass(seconds * 1000)
  const lost = cut.restore()
  assert.ok(lost.every((packets) => packets > 0), `lost: ${lost}`)

  const flows = await Promise.all(pairs.map(async ([from, to]) => {
    const again = () => to.of('data', from.user).find(({ at }) => at > cut.end)
    const came = await to.until(`${from.user} again`, again, HEALED * 1000)
    return (came.at - cut.end) / 1000
  }))
  const sent = await Promise.all(stop.map((each) => each()))
  assert.ok(sent.every((all) => all.length > (seconds * 1000) / PACE / 2), 'sent during the cut as well')
  for (const [index, [from, to]] of pairs.entries()) {
    await to.until(`all of ${from.user}`, () => to.received(from.user).length >= sent[index].length)
    assert.deepEqual(to.received(from.user), sent[index])
    const inCut = to.of('data', from.user).filter(({ at }) => at > cut.begin + 2000 && at < cut.end)
    assert.equal(inCut.length, 0, 'nothing gets through a cut')
    assert.equal(to.of('open').length, 1)
    assert.equal(connection(to, from.user), id)
    for (const type of ['close', 'failed', 'error', 'signaling lost']) assert.deepEqual(to.of(type), [], `${to.user}: ${type}`)
  }
  const heard = members.map((member, index) => {
    const { user } = members[1 - index]
    return member.events.slice(before[index]).filter((event) => event.type === 'ice' && event.user === user).map(({ state }) => state)
  })
  const told = members.map((member, index) => `${member.user}: ${heard[index].join(', ') || 'nothing'}`).join('; ')
  t.diagnostic(`flows again after ${flows.map((each) => each.toFixed(2)).join(' s (to the original) and ')} s (to the native); ` +
    `${sent.map((all) => all.length).join(' and ')} messages; lost packets ${lost.join(' and ')}; ${told}`)
  const signals = proxy.log.filter((message) => message.way === 'up' && message.id === id && ['offer', 'answer'].includes(message.type))
  return {
    native,
    other,
    heard: { native: heard[members.indexOf(native)], other: heard[members.indexOf(other)] },
    signals: signals.map((signal) => ({ ...signal, after: (signal.at - cut.begin) / 1000 })),
  }
}

/** The native offers new ICE under the same connection id, in its time, and the original answers it. */
function assertRestarted({ native, other, heard, signals }, due, seconds) {
  const [offer, answer, restart, reply, ...more] = signals
  assert.deepEqual(more, [], 'one restart')
  assert.deepEqual([restart?.user, restart?.type, reply?.user, reply?.type], [native.user, 'offer', other.user, 'answer'])
  const [old, fresh] = offer.user === native.user ? [[offer, answer], [restart, reply]] : [[answer, offer], [restart, reply]]
  for (const [index, description] of fresh.entries()) assert.notEqual(fragment(description), fragment(old[index]))
  // It counts from the last packet, which came before nft was done.
  assert.ok(restart.after > due - 3 && restart.after < seconds, `offered after ${restart.after} s`)
  assert.deepEqual(heard.native, ['DISCONNECTED', 'CHECKING', 'CONNECTED'])
}

test('cuts', { concurrency: true }, async (t) => {
  t.after(() => world.settle())
  const missing = lacking()
  if (missing && process.env.CI === 'true') assert.fail(missing)
  if (missing) return t.skip(missing)
  const natives = await Promise.all(Array.from({ length: 5 }, () => world.native()))
  const node = await world.node()
  const cuts = [
    ['20 s, a native and a tab that came later', 20, (native) => [native, tab], SILENCE],
    ['20 s, a tab and a native that came later', 20, (native) => [tab, native], SILENCE + ANSWERER_WAITS],
    ['20 s, a native and a Node process that came later', 20, (native) => [native, node], SILENCE],
    ['5 s, a native and a tab that came later', 5, (native) => [native, otherTab]],
    ['5 s, a tab and a native that came later', 5, (native) => [otherTab, native]],
  ]
  await Promise.all(cuts.map(([name, seconds, hosts, due], index) => t.test(name, async (t) => {
    const went = await through(t, seconds, `cut ${index}`, hosts(natives[index]))
    for (const { user, type, after } of went.signals) t.diagnostic(`${user}: ${type} at ${after.toFixed(2)} s`)
    if (due) return assertRestarted(went, due, seconds)
    assert.deepEqual(went.heard.native, [])
    assert.equal(went.signals.length, 2, 'only what opened it')
  })))
})

/** A message goes each way over what there is. */
async function assertTalking(a, b) {
  for (const [from, to] of [[a, b], [b, a]]) {
    const before = to.of('data', from.user).length
    await from.send(to.user, 'text', 40, `talking ${before}`)
    await to.until(`a message of ${from.user}`, () => to.of('data', from.user).length === before + 1)
  }
}

test('a second tab of the same user supersedes the first', async (t) => {
  t.after(() => world.settle())
  const members = []
  const names = (without) => members.map(({ user }) => user).filter((user) => user !== without)
  // With who was there before the first tab and with who came after it: it has answered and offered.
  const hosts = { one: await world.native(), same: tab, two: await world.native(), witness: await world.tab() }
  for (const [user, host] of Object.entries(hosts)) {
    members.push(await host.join(proxy, user, 'twice'))
    for (const member of members) await member.untilLinked(names(member.user))
  }
  const old = members[1]
  const others = members.filter((member) => member !== old)
  const begin = Date.now()
  const newcomer = await otherTab.join(proxy, 'same', 'twice')
  await newcomer.untilLinked(names('same'))
  await old.untilLinked([])
  const { code } = await old.untilEvent('signaling lost')
  assert.equal(code, 4001)
  for (const other of others) {
    await other.until('the end of the first', () => other.closings('same').length === 1)
    await other.untilLinked(names(other.user))
  }
  const last = Math.max(...[old, newcomer, ...others].flatMap(({ events }) => events.map(({ at }) => at)))
  t.diagnostic(`settled ${Math.round(last - begin)} ms after the second tab began`)

  // The first one's application gives up later, and takes nothing with it.
  await old.leave()
  for (const other of others) await assertTalking(other, newcomer)
  const late = await world.native()
  members.push(await late.join(proxy, 'late', 'twice'))
  for (const member of [newcomer, ...members.filter((member) => member !== old)]) await member.untilLinked(names(member.user))
  for (const other of others) {
    assert.equal(connection(other, 'same'), connection(newcomer, other.user))
    assert.equal(other.of('open', 'same').length, 2)
    assert.equal(other.of('close').length, 1)
    assert.deepEqual(other.of('failed'), [])
    assert.equal(newcomer.of('open', other.user).length, 1)
    assert.equal(old.closings(other.user).length, 1)
  }
  assert.deepEqual([old.of('data'), newcomer.of('close')], [[], []])
})
