// PROTOCOL.md section 6, row by row: where the JS original falls short and what a native peer does instead, towards a real tab.
// "control" is the original failing in the same situation.
//
// Left to the tests of media: both sides renegotiate at once; a stream that only the answerer has; `muteTrack`.
// Left out: joins that two servers publish (there is one server; joining at once is here).

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { eventually, World } from './lib/hosts.mjs'
import { LARGEST } from './lib/messages.mjs'
import { OurServer, Proxy, ReferenceServer } from './lib/servers.mjs'

let world, ours, proxy, reference, tab, otherTab, native, otherNative

before(async () => {
  world = await World.open()
  ours = await OurServer.open('--grace', '1')
  proxy = await Proxy.open(ours)
  reference = await ReferenceServer.open()
  tab = await world.tab()
  otherTab = await world.tab()
  native = await world.native()
  otherNative = await world.native()
})

afterEach(async () => {
  reference.filter = () => true
  reference.log.length = 0
  await world.settle()
})

after(async () => {
  await world.stop()
  await Promise.all([proxy, ours, reference].map((server) => server.stop()))
})

let rooms = 0

/** Members `first`, `second`, … of a new room, each linked to all. */
async function meet(server, hosts, options = {}) {
  const room = `fixes ${rooms++}`
  const names = ['first', 'second', 'third'].slice(0, hosts.length)
  const members = []
  for (const [index, host] of hosts.entries()) {
    const member = await host.join(server, names[index], room, options[names[index]])
    member.room = room
    members.push(member)
    for (const each of members) await each.untilLinked(members.filter((other) => other !== each).map(({ user }) => user))
  }
  return members
}

/** A message goes each way over what there is. */
async function assertTalking(a, b) {
  for (const [from, to] of [[a, b], [b, a]]) {
    const before = to.of('data', from.user).length
    await from.send(to.user, 'text', 40, `talking ${before}`)
    await to.until(`a message of ${from.user}`, () => to.of('data', from.user).length === before + 1)
  }
}

/** Joins, and has left a spare offer with the server. */
async function joinWithSpare(host, user, room, options) {
  const begin = proxy.log.length
  const member = await host.join(proxy, user, room, options)
  const offered = (message) => message.way === 'up' && message.user === user && message.type === 'offer'
  await eventually(`a spare of ${user}`, () => proxy.log.slice(begin).some(offered))
  return member
}

const connection = (member, user) => member.of('open', user).at(-1).connection

test('leaveSwarm is a hint: a healthy link stays', async (t) => {
  await t.test('control: the original closes it', async () => {
    const [first, second] = await meet(reference, [tab, otherTab])
    reference.inject(first.room, 'first', { type: 'leaveSwarm', id: connection(first, 'second') })
    await first.untilEvent('close', 'second')
    await second.untilEvent('close', 'first')
  })
  await world.settle()
  for (const hosts of [[native, tab], [tab, native]]) {
    const members = await meet(reference, hosts)
    const member = members.find(({ native }) => native)
    const other = members.find(({ native }) => !native)
    reference.inject(member.room, member.user, { type: 'leaveSwarm', id: connection(member, other.user) })
    await assertTalking(...members)
    assert.deepEqual(member.closings(), [])
    await world.settle()
  }
})

test('losing the signaling socket does not tear the mesh down', async (t) => {
  await t.test('control: with the original on both ends it does', async () => {
    const [first, second] = await meet(reference, [tab, otherTab])
    reference.cut(first.room, 'first')
    await second.untilEvent('close', 'first')
  })
  await world.settle()
  const [first, second, third] = await meet(reference, [native, tab, otherNative])
  reference.cut(first.room, 'third')
  await third.until('reconnecting', () => third.of('signaling').some(({ state }) => state === 'RECONNECTING'))
  await assertTalking(first, third)
  assert.deepEqual(first.closings(), [])
  await second.untilLinked(['first', 'third'])
})

test('reconnect of signaling: the same user id, fresh spares, one link per user', async (t) => {
  await t.test('control: a rejoin of the original makes a duplicate', async () => {
    const [first, second] = await meet(reference, [tab, otherTab])
    reference.forget(second.room, 'second')
    // The application reconnects in the only way there is: by a second swarm of the same user.
    const again = await otherTab.join(reference, 'second', second.room)
    await again.untilEvent('open', 'first')
    await first.until('two links to one user', () => first.links().get('second') === 2)
  })
  await world.settle()
  for (const hosts of [[tab, native], [otherNative, native]]) {
    const [first, second] = await meet(proxy, hosts)
    proxy.log.length = 0
    proxy.cut('second')
    await second.until('to be back', () => second.of('signaling').filter(({ state }) => state === 'CONNECTED').length === 2)
    const offered = () => proxy.log.filter(({ way, user, type }) => way === 'up' && user === 'second' && type === 'offer')
    await eventually('a fresh spare', () => offered().length > 0)
    const init = proxy.log.find(({ way, user, type }) => way === 'up' && user === 'second' && type === 'init')
    assert.deepEqual(init.connections, [connection(second, 'first')])
    // Past the server's grace, and with somebody new to prove that spares are taken.
    const third = await otherTab.join(proxy, 'third', first.room)
    await third.untilLinked(['first', 'second'])
    await assertTalking(first, second)
    for (const member of [first, second]) {
      assert.equal(member.of('open').filter(({ user }) => user !== 'third').length, 1)
      assert.deepEqual(member.closings(), [])
    }
    await world.settle()
  }
})

test('a member that was killed and comes back is one peer', async () => {
  const doomed = await world.native()
  const [first, second] = await meet(ours, [tab, doomed])
  await doomed.kill()
  const again = await otherNative.join(ours, 'second', first.room)
  await again.untilLinked(['first'])
  await first.until('the end of the old one', () => first.closings('second').length === 1)
  await first.untilLinked(['second'])
  await assertTalking(first, again)
  world.hosts.delete(doomed)
  assert.equal(second.closings().length, 0)
})

test('duplicate user id: the newcomer supersedes the old socket', async (t) => {
  await t.test('control: the reference server kicks the newcomer', async () => {
    const old = await reference.client('same')
    old.init('duplicates')
    await eventually('the old one', () => reference.member('duplicates', 'same'))
    const newcomer = await reference.client('same')
    newcomer.init('duplicates')
    assert.equal(await newcomer.closed, 1008)
    old.stop()
  })
  const old = await ours.client('same')
  old.init('duplicates')
  const newcomer = await ours.client('same')
  newcomer.init('duplicates')
  assert.equal(await old.closed, 4001)
  await native.join(ours, 'other', 'duplicates')
  await newcomer.until('offerRequest')
  newcomer.stop()
})

test('joins at the same moment: no edge is missing', async () => {
  const hosts = [tab, otherTab, native, otherNative]
  const names = ['t1', 't2', 'n1', 'n2']
  for (let round = 0; round < 3; round++) {
    const members = await Promise.all(hosts.map((host, index) => host.join(ours, names[index], `moment ${round}`)))
    for (const member of members) await member.untilLinked(names.filter((name) => name !== member.user))
    await world.settle()
  }
})

test('user text beginning @fast: what is not control is delivered, what a JS peer would swallow is refused', async (t) => {
  await t.test('control: the original throws at the other end, and the text is lost', async () => {
    const [first, second] = await meet(ours, [tab, otherTab])
    await first.sendText('second', '@fastfood')
    await first.sendText('second', 'after')
    await second.until('what came after', () => second.of('data').length === 1)
    assert.equal(second.of('data')[0].size, 5)
    await eventually('an exception', () => otherTab.complaints.length > 0)
    otherTab.provoke(/JSON/)
  })
  await world.settle()
  const [first, second] = await meet(ours, [tab, native])
  for (const text of ['@fastfood', '@fast', '@fast/', '@fast/{"type":"news"}', '@fast/[1]']) {
    const before = second.of('data').length
    await first.sendText('second', text)
    const heard = await second.until(text, () => second.of('data')[before])
    assert.equal(heard.size, text.length)
    await assert.rejects(second.sendText('first', text), (error) => {
      assert.equal(error.name, 'Reserved')
      assert.equal(error.status, -16)
      assert.match(error.message, /@fast/)
      return true
    })
  }
  await assertTalking(first, second)
  assert.equal(first.of('data').length, 1)
})

test('messages before open: each send has an answer', async (t) => {
  await t.test('control: the original drops them in silence', async () => {
    const first = await joinWithSpare(tab, 'first', 'before open')
    // Its spare is a peer to it: nothing is thrown, nothing is said.
    assert.equal((await first.call('connections')).length, 1)
    assert.equal(await first.call('broadcast', { text: 'lost' }), null)
    const second = await otherTab.join(ours, 'second', 'before open')
    await first.untilLinked(['second'])
    await second.untilLinked(['first'])
    await assertTalking(first, second)
    assert.deepEqual(second.of('data').map(({ size }) => size), [40])
    assert.deepEqual(first.of('error'), [])
  })
  await world.settle()
  const alone = await native.join(ours, 'alone', 'before open 2')
  await alone.untilEvent('signaling')
  await assert.rejects(alone.call('send_to_peer', { peer: 4711, text: 'too early' }), (error) => {
    assert.equal(error.name, 'NoPeer')
    assert.equal(error.status, -13)
    return true
  })
})

test('backpressure: a full buffer is an answer, and a writable event follows', async (t) => {
  await t.test('control: the original takes what it cannot send, then breaks', async () => {
    const [first] = await meet(ours, [tab, otherTab])
    await first.call('flood', { to: 'second', size: LARGEST, count: 100 })
    await first.until('an error', () => first.of('error').length > 0)
    tab.provoke(/send/)
  })
  await world.settle()
  const [first, second] = await meet(ours, [native, tab])
  const taken = await first.call('try_send', { to: 'second', kind: 'binary', size: LARGEST, count: 100 })
  assert.ok(taken >= 3 && taken < 100, `${taken} were taken`)
  await first.untilEvent('writable', 'second')
  await second.until('all that were taken', () => second.of('data').length === taken)
  await assertTalking(first, second)
  assert.equal(second.of('data').length, taken + 1)
})

test('an offer whose taker vanished: a deadline, an event, a fresh spare', async (t) => {
  /** Takes an offer and never answers. */
  const taker = async (room) => {
    const client = await ours.client('taker')
    client.init(room)
    await client.until('accept')
    return client
  }
  await t.test('control: the original keeps it for ever', async () => {
    const first = await joinWithSpare(tab, 'first', 'taker 1')
    const client = await taker('taker 1')
    client.stop()
    // As long as the native one below takes for all of it.
    const second = await native.join(ours, 'second', 'taker 1', { timeouts: { answer: 1 } })
    await second.untilLinked(['first'])
    assert.deepEqual(first.of('close', 'taker'), [])
  })
  await world.settle()
  const first = await joinWithSpare(native, 'first', 'taker 2', { timeouts: { answer: 1 } })
  const client = await taker('taker 2')
  const failed = await first.untilEvent('failed', 'taker')
  assert.equal(failed.reason, 'ANSWER_TIMEOUT')
  assert.match(failed.message, /answer/)
  client.stop()
  const second = await tab.join(ours, 'second', 'taker 2')
  await second.untilLinked(['first'])
  assert.equal(first.of('failed').length, 1)
})

test('an answerer that cannot reach its offerer: a deadline, an event', async (t) => {
  /** The offerer never hears the answer, nor the candidates. */
  const unheard = (user, { type }) => user === 'first' || !['answer', 'candidate'].includes(type)
  await t.test('control: the original waits for ever', async () => {
    reference.filter = unheard
    await tab.join(reference, 'first', 'unheard 1')
    const second = await otherTab.join(reference, 'second', 'unheard 1')
    const quick = await native.join(reference, 'quick', 'unheard 1', { timeouts: { answer: 1, connect: 1 } })
    // The native one has given up, and the original, which came before it, says nothing.
    await quick.untilEvent('failed', 'first')
    assert.deepEqual([...second.of('close', 'first'), ...second.of('error')], [])
    assert.ok((await second.call('connections')).length >= 2)
  })
  await world.settle()
  reference.filter = unheard
  await tab.join(reference, 'first', 'unheard 2')
  const second = await native.join(reference, 'second', 'unheard 2', { timeouts: { answer: 1, connect: 1 } })
  const failed = await second.untilEvent('failed', 'first')
  assert.equal(failed.reason, 'CONNECT_TIMEOUT')
  assert.deepEqual(second.of('close'), [])
})

test('close only after open, else a failure: one terminal event per peer', async (t) => {
  await t.test('control: the original says close for a spare that nobody took', async () => {
    const first = await joinWithSpare(tab, 'first', 'never opened 1')
    await first.call('leave')
    await first.until('a close', () => first.of('close').length === 1)
    assert.equal(first.of('open').length, 0)
    tab.members.delete('first')
  })
  const begin = proxy.log.length
  const first = await joinWithSpare(native, 'first', 'never opened 2')
  const client = await ours.client('taker')
  client.init('never opened 2')
  await client.until('accept')
  // The next spare is made after it has heard that the first was taken.
  const offers = () => proxy.log.slice(begin).filter((message) => message.user === 'first' && message.type === 'offer')
  await eventually('the next spare', () => offers().length === 2)
  await first.call('leave')
  assert.equal(first.of('close').length, 0)
  assert.deepEqual(first.of('failed').map(({ user, reason }) => [user, reason]), [['taker', 'LOCAL_CLOSE']])
  assert.equal(first.events.at(-1).type, 'closed')
  client.stop()
})

test('an accept that reuses a live id is refused', async (t) => {
  const forged = (id) => ({ type: 'accept', id, userId: 'stranger', signals: [] })
  await t.test('control: the original replaces the peer, which is lost', async () => {
    const [first] = await meet(reference, [tab, otherTab])
    await first.call('dispatch', { message: forged(connection(first, 'second')) })
    // Broadcasts no longer reach it: in the map there is another under its id.
    await first.call('broadcast', { text: 'lost' })
    await first.sendText('second', 'direct')
    const second = otherTab.members.get('second')
    await second.until('the direct one', () => second.of('data').length === 1)
    assert.equal(second.of('data')[0].size, 6)
  })
  await world.settle()
  const [first, second] = await meet(reference, [native, tab])
  reference.inject(first.room, 'first', forged(connection(first, 'second')))
  const error = await first.untilEvent('error')
  assert.match(error.message, /reuses the id/)
  await assertTalking(first, second)
  assert.deepEqual(first.closings(), [])
  assert.ok(connection(first, 'second').length >= 9)
  const spare = reference.log.find(({ from, type }) => from === 'first' && type === 'offer')
  assert.ok(spare.id.length >= 22, 'at least 128 bits in base64')
})

test('userId is the principal\'s, not what the client claims', async (t) => {
  await t.test('control: without a check anybody is anybody', async () => {
    const liar = await reference.client('somebody else')
    liar.init('claims')
    const first = await native.join(reference, 'first', 'claims')
    await liar.until('offerRequest')
    await first.leave()
    liar.stop()
  })
  const liar = await ours.client('somebody else', 'liar')
  liar.init('claims')
  assert.equal(await liar.closed, 4003)
})

test('spares age, and are replaced under a new id', async (t) => {
  const aging = await OurServer.open('--spare-ttl', '1')
  const watched = await Proxy.open(aging)
  t.after(() => Promise.all([watched, aging].map((server) => server.stop())))
  const offers = (log) => log.filter(({ type, way, from }) => type === 'offer' && (way === 'up' || from)).map(({ id }) => id)

  await tab.join(reference, 'first', 'aging')
  // Whose spare it is: the original with our server too.
  for (const [host, joiner] of [[native, otherTab], [otherTab, native]]) {
    const room = `aging ${host.kind}`
    const begin = watched.log.length
    const made = () => new Set(offers(watched.log.slice(begin).filter(({ user }) => user === 'first')))
    const first = await host.join(watched, 'first', room)
    await eventually('a third spare', () => made().size >= 3)
    const old = [...made()].slice(0, -1)
    const second = await joiner.join(watched, 'second', room)
    await second.untilLinked(['first'])
    await first.untilLinked(['second'])
    assert.ok(!old.includes(connection(second, 'first')), 'an old one was handed out')
  }
  await t.test('control: with nothing but the protocol an original keeps its first for ever', async () => {
    assert.equal(new Set(offers(reference.log)).size, 1)
  })
})

test('waiters are served in the order in which they came, and not when they are gone', async () => {
  const member = await ours.client('member')
  member.init('waiters')
  const waiters = []
  for (const name of ['gone', 'one', 'two']) {
    const waiter = await ours.client(name)
    waiter.init('waiters')
    await member.until('offerRequest', waiters.length + 1)
    waiters.push(waiter)
  }
  const [gone, one, two] = waiters
  gone.say({ type: 'close' })
  await gone.closed
  for (const [id, waiter] of [['first-offer', one], ['second-offer', two]]) {
    member.say({ type: 'offer', id, sdp: 'v=0' })
    assert.equal((await waiter.until('accept')).id, id)
    assert.equal((await member.until('offerAccepted', id === 'first-offer' ? 1 : 2)).userId, waiter.user)
  }
  for (const client of [member, ...waiters]) client.stop()
})

test('candidates that come early are queued', async (t) => {
  /** The answerer's candidates overtake its answer. */
  const overtake = (held) => (user, message) => {
    if (user !== 'second' || message.type !== 'answer') return true
    held.push(message)
    return false
  }
  const deliver = async (room, held) => {
    const early = () => reference.log.some(({ to, type }) => to === 'first' && type === 'candidate')
    await eventually('an answer that is held, and candidates that are not', () => held.length > 0 && early())
    reference.inject(room, 'first', held[0])
  }
  await t.test('control: the original reports an error and loses them', async () => {
    const held = []
    reference.filter = overtake(held)
    const first = await tab.join(reference, 'first', 'early 1')
    await otherTab.join(reference, 'second', 'early 1')
    await first.until('an error', () => first.of('error').length > 0)
    await deliver('early 1', held)
    tab.provoke(/remote description/)
  })
  await world.settle()
  const held = []
  reference.log.length = 0
  reference.filter = overtake(held)
  const first = await native.join(reference, 'first', 'early 2')
  const second = await tab.join(reference, 'second', 'early 2')
  await deliver('early 2', held)
  await first.untilLinked(['second'])
  await second.untilLinked(['first'])
  await assertTalking(first, second)
  assert.deepEqual(first.of('error'), [])
})

test('maxPeers is enforced, with a reason', async (t) => {
  await t.test('control: the original ignores it', async () => {
    const [first] = await meet(ours, [tab, otherTab, native], { first: { maxPeers: 1 } })
    assert.equal(first.links().size, 2)
  })
  await world.settle()
  const [first, second] = await meet(ours, [native, tab], { first: { maxPeers: 1 } })
  const third = await otherTab.join(ours, 'third', first.room)
  await second.untilLinked(['first', 'third'])
  // As a joiner it is offered more than it may have, and says so.
  const late = await otherNative.join(ours, 'late', first.room, { maxPeers: 1 })
  const failed = await late.untilEvent('failed')
  assert.equal(failed.reason, 'TOO_MANY_PEERS')
  assert.match(failed.message, /as many as it may/)
  await late.until('its one peer', () => late.links().size === 1)
  await first.untilLinked(['second'])
  // The original hears so as well, and waits for it no longer.
  const told = () => [second, third].filter((member) => member.of('close', 'late').length === 1)
  await eventually('the end at the tab that was refused', () => told().length === 1)
  const [refused] = told()
  assert.equal(refused.links().get('late'), undefined)
})

test('close() right after construction: nothing after close', async (t) => {
  const said = (user) => proxy.log.filter((message) => message.way === 'up' && message.user === user).map(({ type }) => type)
  await t.test('control: the original says close before init', async () => {
    const sent = []
    reference.filter = (user, { type }) => void sent.push(type)
    const first = await tab.join(reference, 'first', 'hasty 1', { closeAtOnce: true })
    await first.until('init', () => first.of('init').length === 1)
    await eventually('both at the server', () => sent.length >= 2)
    assert.deepEqual(sent.slice(0, 2), ['close', 'init'])
  })
  await world.settle()
  const hasty = await native.join(proxy, 'hasty', 'hasty 2', { close_at_once: true })
  await hasty.untilEvent('closed')
  const after = await otherNative.join(proxy, 'after', 'hasty 2')
  await after.untilEvent('signaling')
  const types = said('hasty')
  if (types.length > 0) assert.equal(types[0], 'init')
  assert.ok(!types.includes('close') || types.indexOf('close') === types.length - 1, types.join())
})

test('names and defaults follow the code: `open`, and a peerBuffer of 1', async () => {
  for (const [host, user] of [[tab, 'js'], [native, 'ours']]) {
    proxy.log.length = 0
    await joinWithSpare(host, user, `defaults ${user}`)
    const probe = await ours.client('probe')
    const offers = () => proxy.log.filter((message) => message.way === 'up' && message.user === user && message.type === 'offer')
    probe.init(`defaults ${user}`)
    // The server asks for the next one only now.
    await probe.until('accept')
    await eventually('the next', () => offers().length > 1)
    const asked = proxy.log.findIndex((message) => message.user === user && message.type === 'offerRequest')
    assert.equal(offers().filter((offer) => proxy.log.indexOf(offer) < asked).length, 1)
    probe.stop()
  }
})
