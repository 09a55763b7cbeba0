// Rooms of one to three tabs with one to three native peers, in every order of joining: 62 rooms.
//
// `peerBuffer` is 0, 1 or 3 on either side. Not each room with each of the nine pairs: they take turns, so that each pair of
// values is in six rooms or more, and in each of the shapes that have ten orders or more. ROOMS=all makes it the full product.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { shown, World } from './lib/hosts.mjs'
import { LARGEST } from './lib/messages.mjs'
import { OurServer } from './lib/servers.mjs'

const BUFFERS = [0, 1, 3].flatMap((tabs) => [0, 1, 3].map((natives) => [tabs, natives]))
const EVERY = process.env.ROOMS === 'all'

/** What each member sends to each other one, in this order. */
const MESSAGES = [
  ['text', 0], ['binary', 0], ['text', 1], ['binary', 1], ['text', 1200], ['binary', 16_384], ['text', 65_536],
  ['binary', LARGEST], ['binary', 0], ['text', LARGEST], ['text', 0], ['text', 11],
]

let world, server, tabs, natives

before(async () => {
  world = await World.open()
  server = await OurServer.open()
  tabs = await Promise.all([1, 2, 3].map(() => world.tab()))
  natives = await Promise.all([1, 2, 3].map(() => world.native()))
})

afterEach(() => world.settle())

after(async () => {
  await world.stop()
  await server.stop()
})

/** All orders of so many tabs (T) and natives (N). */
function orders(tabCount, nativeCount) {
  if (tabCount === 0) return ['N'.repeat(nativeCount)]
  if (nativeCount === 0) return ['T'.repeat(tabCount)]
  const first = (letter, rest) => rest.map((order) => letter + order)
  return [...first('T', orders(tabCount - 1, nativeCount)), ...first('N', orders(tabCount, nativeCount - 1))]
}

const others = (members, member) => members.filter((other) => other !== member).map((other) => other.user)

/** Each pair has one link, the same at both ends, and never had another. */
async function assertMesh(members) {
  for (const member of members) await member.untilLinked(others(members, member))
  const links = members.flatMap((member) =>
    member.of('open').map(({ user, connection }) => `${[member.user, user].sort().join('-')} ${connection}`),
  )
  const pairs = (members.length * (members.length - 1)) / 2
  assert.equal(new Set(links).size, pairs, links.sort().join('\n'))
  assert.equal(links.length, 2 * pairs)
  for (const member of members) assert.deepEqual(member.closings(), [])
}

async function assertTraffic(members) {
  const pairs = members.flatMap((from) => others(members, from).map((to) => [from, members.find(({ user }) => user === to)]))
  const seed = (from, to) => `${from.user} to ${to.user}`
  const messages = (from, to) => MESSAGES.map(([kind, size]) => [kind, size, seed(from, to)])
  await Promise.all(pairs.map(([from, to]) => from.sendAll(to.user, messages(from, to))))
  for (const [from, to] of pairs) {
    const expected = await Promise.all(messages(from, to).map((message) => shown(...message)))
    await to.until(`all messages of ${from.user}`, () => to.received(from.user).length >= MESSAGES.length)
    assert.deepEqual(to.received(from.user), expected, seed(from, to))
  }
}

/** Every second room is joined in a rush: nobody waits for links. */
async function room(name, hosts, options, rush) {
  const members = []
  for (const [index, host] of hosts.entries()) {
    const member = await host.join(server, `${host.kind}-${index}`, name, options(host))
    members.push(member)
    if (rush) await member.untilEvent(member.native ? 'signaling' : 'init')
    else await member.untilLinked(others(members, member))
  }
  await assertMesh(members)
  await assertTraffic(members)
  await assertMesh(members)
}

let turn = 0
for (const tabCount of [1, 2, 3]) {
  for (const nativeCount of [1, 2, 3]) {
    test(`${tabCount} tabs and ${nativeCount} natives`, async (t) => {
      for (const order of orders(tabCount, nativeCount)) {
        const chosen = EVERY ? BUFFERS : [BUFFERS[turn++ % BUFFERS.length]]
        for (const [tabBuffer, nativeBuffer] of chosen) {
          await t.test(`${order}, peerBuffer ${tabBuffer} and ${nativeBuffer}`, async () => {
            const [freeTabs, freeNatives] = [[...tabs], [...natives]]
            const hosts = [...order].map((kind) => (kind === 'T' ? freeTabs : freeNatives).shift())
            const options = (host) => ({ peerBuffer: host.kind === 'native' ? nativeBuffer : tabBuffer })
            await room(`${order} ${tabBuffer} ${nativeBuffer}`, hosts, options, turn % 2 === 0)
          })
          await world.settle()
        }
      }
    })
  }
}

test('a Node process with wrtc, a tab and two natives', async () => {
  const first = await world.node()
  await room('wrtc', [natives[0], first, tabs[0], natives[1]], () => ({}), false)
  await world.settle()
  await world.discard(first)
  await room('wrtc again', [natives[1], tabs[0], await world.node(), natives[0]], () => ({ peerBuffer: 0 }), true)
})

test('all join at once', async () => {
  const hosts = [...tabs, ...natives]
  const join = (host, index) => host.join(server, `${host.kind}-${index}`, 'at once')
  const members = await Promise.all(hosts.map(join))
  await assertMesh(members)
  await assertTraffic(members)
})
