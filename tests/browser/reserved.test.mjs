// What the original would swallow or choke on is refused on the native side, with a status and words that say why.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { World } from './lib/hosts.mjs'
import { LARGEST } from './lib/messages.mjs'
import { OurServer } from './lib/servers.mjs'

let world, server, member, peer

before(async () => {
  world = await World.open()
  server = await OurServer.open()
  const [tab, native] = [await world.tab(), await world.native()]
  for (const [index, order] of [[tab, native], [native, tab]].entries()) {
    const members = []
    for (const host of order) members.push(await host.join(server, host.kind, `reserved ${index}`))
    await members[0].untilLinked([members[1].user])
    await members[1].untilLinked([members[0].user])
    member = members.find(({ native }) => native)
    peer = members.find(({ native }) => !native)
    if (index === 0) await world.settle()
  }
})

/** Nothing of what was refused has arrived, and the link is well. */
afterEach(async () => {
  const before = peer.of('data').length
  await member.send('tab', 'text', 20, 'well')
  await peer.until('a message', () => peer.of('data').length > before)
  assert.equal(peer.of('data').length, before + 1)
  assert.equal(peer.of('data').at(-1).size, 20)
  for (const host of world.hosts) host.assertNoComplaints()
})

after(async () => {
  await world.stop()
  await server.stop()
})

const refused = (name, status, words) => (error) => {
  assert.equal(error.name, name)
  assert.equal(error.status, status)
  assert.match(error.message, words)
  return true
}

test('text that begins @fast', async () => {
  for (const text of ['@fast', '@fast/{"type":"close"}', '@fastest']) {
    await assert.rejects(member.sendText('tab', text), refused('Reserved', -16, /begins? .*@fast/))
  }
})

test('more than 262,144 bytes, as text and as binary', async () => {
  for (const kind of ['text', 'binary']) {
    await assert.rejects(member.call('try_send', { to: 'tab', kind, size: LARGEST + 1 }), refused('TooLarge', -15, /262144/))
  }
})

test('a further channel', async () => {
  const open = member.call('open_channel', { to: 'tab', label: 'more' })
  await assert.rejects(open, refused('Unsupported', -18, /channel/))
})
