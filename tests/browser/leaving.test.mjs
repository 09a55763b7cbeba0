// Leaving, in every way in which one can: the other side hears of it once, and a native one with the reason.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { World } from './lib/hosts.mjs'
import { OurServer } from './lib/servers.mjs'

/** Of native peers: six seconds of silence instead of thirty. */
const QUICK = { timeouts: { ice_keepalive: 1, ice_disconnected: 3, ice_failed: 3 } }

let world, server, unconfigured, tab, native

before(async () => {
  world = await World.open()
  server = await OurServer.open('--grace', '1')
  unconfigured = await OurServer.open()
  tab = await world.tab()
  native = await world.native()
})

afterEach(() => world.settle())

after(async () => {
  await world.stop()
  await server.stop()
  await unconfigured.stop()
})

let rooms = 0

/** Who stays and who leaves, linked to each other; the one who stays was there first or came later. */
async function pair(stays, leaves, { on = server, options = QUICK, leaverFirst = false } = {}) {
  const room = `leaving ${rooms++}`
  const join = (host, user) => host.join(on, user, room, host.kind === 'native' ? options : {})
  const members = leaverFirst
    ? [await join(leaves, 'leaves'), await join(stays, 'stays')].reverse()
    : [await join(stays, 'stays'), await join(leaves, 'leaves')]
  members[0].room = room
  await members[0].untilLinked(['leaves'])
  await members[1].untilLinked(['stays'])
  return members
}

/** The one closing, which comes in time; and it stays the only one. */
async function onlyClosing(stays, patience, on = server) {
  const closing = await stays.until('a closing', () => stays.closings('leaves')[0], patience)
  // A second one would come with the end of what is under it, which another joiner and leaver outlasts.
  const other = stays.native ? tab : native
  const later = await other.join(on, 'later', stays.room)
  await stays.until('the later one', () => stays.links().get('later') === 1)
  await later.leave()
  await stays.until('the end of the later one', () => stays.closings('later').length === 1)
  assert.equal(stays.closings('leaves').length, 1)
  assert.equal(stays.of('failed').length, 0)
  return closing
}

for (const leaverFirst of [false, true]) {
  const order = leaverFirst ? 'was there first' : 'came later'

  test(`a native peer that ${order} leaves by close()`, async () => {
    const [stays, leaves] = await pair(tab, native, { leaverFirst })
    await leaves.leave()
    await onlyClosing(stays)
  })

  test(`a tab that ${order} leaves by close()`, async () => {
    const [stays, leaves] = await pair(native, tab, { leaverFirst })
    await leaves.leave()
    const closing = await onlyClosing(stays)
    assert.equal(closing.reason, 'REMOTE_CLOSE', closing.message)
  })

  test(`a tab that ${order} is closed`, async () => {
    const closes = await world.tab()
    const [stays] = await pair(native, closes, { leaverFirst })
    await world.discard(closes)
    const closing = await onlyClosing(stays)
    // Chromium says no goodbye here: silence tells it, and the server why.
    assert.match(closing.reason, /^(REMOTE_CLOSE|LEFT)$/, closing.message)
  })

  test(`the process of a tab that ${order} is killed`, async () => {
    const dies = await world.tab()
    const [stays] = await pair(native, dies, { leaverFirst })
    await dies.kill()
    const closing = await onlyClosing(stays)
    assert.match(closing.reason, /^(REMOTE_CLOSE|LEFT)$/, closing.message)
    world.hosts.delete(dies)
  })

  test(`the process of a native peer that ${order} is killed`, async () => {
    const dies = await world.native()
    const [stays] = await pair(tab, dies, { leaverFirst })
    await dies.kill()
    await onlyClosing(stays)
    world.hosts.delete(dies)
  })
}

test('the whole browser is killed', async () => {
  const { server: other, browser } = await world.launch()
  const dies = await world.tab(browser)
  const [stays] = await pair(native, dies)
  other.process().kill('SIGKILL')
  const closing = await onlyClosing(stays)
  assert.equal(closing.reason, 'LEFT', closing.message)
  world.hosts.delete(dies)
})

test('a native peer closes one peer only: the tab hears it, and stays in the room', async () => {
  const [stays, leaves] = await pair(tab, native)
  await leaves.call('close_peer', { to: 'stays' })
  await onlyClosing(stays)
  const closing = await leaves.untilEvent('close', 'stays')
  assert.equal(closing.reason, 'LOCAL_CLOSE')
})

test('with nothing configured: when the killed are missed, and by what', async (t) => {
  const { server: other, browser } = await world.launch()
  const [doomedTab, doomedNative] = [await world.tab(browser), await world.native()]
  const [nativeStays] = await pair(native, doomedTab, { on: unconfigured, options: {} })
  const [tabStays] = await pair(tab, doomedNative, { on: unconfigured, options: {} })
  const seconds = (event, since) => (event.at - since) / 1000
  const begin = performance.timeOrigin + performance.now()
  other.process().kill('SIGKILL')
  await doomedNative.kill()

  const [closing, , silence] = await Promise.all([
    nativeStays.until('a closing', () => nativeStays.closings('leaves')[0], 90_000),
    tabStays.until('a closing', () => tabStays.closings('leaves')[0], 90_000),
    nativeStays.until('silence', () => nativeStays.of('ice').find(({ state }) => state === 'DISCONNECTED'), 90_000),
  ])
  const [inTab] = tabStays.closings('leaves')
  t.diagnostic(`a native peer misses a killed browser: disconnected after ${seconds(silence, begin).toFixed(1)} s, ` +
    `closed (${closing.reason}) after ${seconds(closing, begin).toFixed(1)} s`)
  t.diagnostic(`a tab misses a killed native peer: closed after ${seconds(inTab, begin).toFixed(1)} s, ` +
    'which is the server\'s grace: the original never closes by itself')
  assert.equal(closing.reason, 'LEFT')
  assert.ok(seconds(closing, begin) < 45)
  assert.equal(tabStays.closings('leaves').length, 1)
  world.hosts.delete(doomedTab)
  world.hosts.delete(doomedNative)
})
