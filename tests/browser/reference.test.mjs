// Native peers with a plain reference server, written from PROTOCOL.md section 3 (lib/servers.mjs): what we add to the signaling
// is ignored there, and nothing depends on it. The original with our server is in every other file here.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { eventually, shown, World } from './lib/hosts.mjs'
import { OurServer, ReferenceServer } from './lib/servers.mjs'

let world, server, tab, otherTab, native, otherNative

before(async () => {
  world = await World.open()
  server = await ReferenceServer.open()
  tab = await world.tab()
  otherTab = await world.tab()
  native = await world.native()
  otherNative = await world.native()
})

afterEach(async () => {
  await world.settle()
  server.log.length = 0
})

after(async () => {
  await world.stop()
  await server.stop()
})

async function assertRoom(hosts, options) {
  const room = hosts.map(({ kind }) => kind).join(' ') + JSON.stringify(options)
  const members = []
  for (const [index, host] of hosts.entries()) {
    members.push(await host.join(server, `m${index}`, room, options))
    for (const each of members) await each.untilLinked(members.filter((other) => other !== each).map(({ user }) => user))
  }
  for (const from of members) {
    for (const to of members.filter((member) => member !== from)) {
      await from.send(to.user, 'text', 1000, from.user)
      await to.until('it', () => to.received(from.user).length === 1)
      assert.deepEqual(to.received(from.user), [await shown('text', 1000, from.user)])
    }
  }
  return { members, room }
}

for (const peerBuffer of [0, 1, 3]) {
  test(`natives alone, and with the original in every place, peerBuffer ${peerBuffer}`, async () => {
    for (const hosts of [[native, otherNative], [native, otherNative, tab], [native, tab, otherNative, otherTab], [tab, native, otherNative]]) {
      await assertRoom(hosts, { peerBuffer })
      await world.settle()
    }
  })
}

test('leaving is heard at once from the server and in-band, by everybody once', async () => {
  const { members } = await assertRoom([native, tab, otherNative], {})
  const [first, second, third] = members
  await third.leave()
  for (const member of [first, second]) {
    await member.until('its end', () => member.closings('m2').length === 1)
    assert.equal(member.of('failed').length, 0)
  }
  assert.equal(first.closings('m2')[0].reason, 'REMOTE_CLOSE')
  await second.leave()
  await first.until('the end of the tab', () => first.closings('m1').length === 1)
  assert.equal(first.closings('m1')[0].reason, 'REMOTE_CLOSE')
})

test('our additions are ignored there: `drop`, `refuse`, and `connections` and `instance` in `init`', async () => {
  const { members, room } = await assertRoom([native, otherNative, tab], {})
  const [first, second, third] = members
  // Signaling is lost and comes back: `init` names the connection that lives on.
  server.cut(room, 'm0')
  const inits = () => server.log.filter(({ from, type }) => from === 'm0' && type === 'init')
  await eventually('a second init', () => inits().length === 2)
  const open = first.of('open', 'm1')[0].connection
  assert.ok(inits()[1].connections?.includes(open), JSON.stringify(inits()))
  assert.deepEqual(inits().map(({ instance }) => instance?.resumes ?? false), [false, true])
  // This server pairs them anew all the same. The tab believed the server that the first had left; the natives did not.
  await third.until('the end of the old link', () => third.closings('m0').length === 1)
  for (const member of members) await member.untilLinked(members.filter((other) => other !== member).map(({ user }) => user))
  assert.equal(first.of('open', 'm1').length, 1)
  assert.deepEqual([...first.closings('m1'), ...second.closings('m0')], [])
  await world.settle()

  // A connection that fails is dropped, which this server does not know; the member goes on.
  const lonely = await native.join(server, 'lonely', 'drops', { timeouts: { answer: 1 } })
  await eventually('a spare', () => server.member('drops', 'lonely')?.spare.length > 0)
  const taker = await server.client('taker')
  taker.init('drops')
  const failed = await lonely.untilEvent('failed', 'taker')
  assert.equal(failed.reason, 'ANSWER_TIMEOUT')
  await eventually('a drop', () => server.log.some(({ from, type }) => from === 'lonely' && type === 'drop'))
  const after = await tab.join(server, 'after', 'drops')
  await after.untilLinked(['lonely'])
  assert.deepEqual(lonely.of('error'), [])
  taker.stop()
  await world.settle()

  // One too many is refused, which this server does not know either.
  const here = [await tab.join(server, 'one', 'refusals'), await native.join(server, 'two', 'refusals')]
  await here[0].untilLinked(['two'])
  const full = await otherNative.join(server, 'full', 'refusals', { maxPeers: 1 })
  assert.equal((await full.untilEvent('failed')).reason, 'TOO_MANY_PEERS')
  await eventually('a refusal', () => server.log.some(({ from, type }) => from === 'full' && type === 'refuse'))
  const newcomer = await native.join(server, 'newcomer', 'refusals')
  await newcomer.untilLinked(['one', 'two'])
  assert.deepEqual(full.of('error'), [])
})

test('with our server the token of a tab is in the query; without one it is refused', async () => {
  const ours = await OurServer.open()
  try {
    const member = await tab.join(ours, 'tab', 'query')
    const other = await native.join(ours, 'native', 'query')
    await member.untilLinked(['native'])
    await other.untilLinked(['tab'])
    const none = { entry: () => ({ url: ours.url }) }
    await assert.rejects(otherTab.join(none, 'nobody', 'query'), /signaling/)
    otherTab.members.delete('nobody')
    const another = { entry: async () => ({ url: ours.url, token: await ours.token('nobody', 'another room') }) }
    const refused = await otherTab.join(another, 'nobody', 'query')
    assert.equal((await refused.untilEvent('signaling lost')).code, 4004)
    await world.settle()
  } finally {
    await ours.stop()
  }
})
