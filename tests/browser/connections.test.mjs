// Fresh connections whose first message leaves in the very `open` handler, and large messages back and forth.
//
// CONNECTIONS says how many are made (60); 500 is the figure that was checked.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { World } from './lib/hosts.mjs'
import { LARGEST } from './lib/messages.mjs'
import { OurServer } from './lib/servers.mjs'

const CONNECTIONS = Number(process.env.CONNECTIONS ?? 60)

let world, server, tab, native

before(async () => {
  world = await World.open()
  server = await OurServer.open()
  tab = await world.tab()
  native = await world.native()
})

afterEach(() => world.settle())

after(async () => {
  await world.stop()
  await server.stop()
})

/** Both greet in their open handler. What is lost is told with the browser's own count of what it sent and got. */
async function greet(room, hosts) {
  const members = []
  for (const [index, host] of hosts.entries()) {
    members.push(await host.join(server, `${host.kind}-${index}`, room, { greeting: `hello from ${index}` }))
  }
  const losses = []
  for (const [to, from] of [members, [...members].reverse()]) {
    await to.untilEvent('open', from.user)
    const lost = await to.until('a greeting', () => to.of('data').length > 0, 10_000).then(() => false, () => true)
    if (!lost) continue
    const counters = await Promise.all(members.map(async (member) => {
      const [open] = member.of('open')
      return { user: member.user, ...(await member.call('counters', { to: open.user })) }
    }))
    losses.push(`${room}: ${from.user} to ${to.user}; ${JSON.stringify(counters)}`)
  }
  for (const member of members) await member.leave()
  return losses
}

for (const [name, hosts] of [
  ['a native peer joins a tab', () => [tab, native]],
  ['a tab joins a native peer', () => [native, tab]],
]) {
  test(`no first message is lost: ${name}, ${CONNECTIONS / 2} times`, async () => {
    const losses = []
    for (let i = 0; i < CONNECTIONS / 2; i++) losses.push(...(await greet(`${name} ${i}`, hosts())))
    assert.deepEqual(losses, [])
  })
}

test('256 KiB there and back 200 times, each way: no stalls', async (t) => {
  for (const [from, to] of [[tab, native], [native, tab]]) {
    const room = `echo from ${from.kind}`
    const echo = await to.join(server, `echo-${to.kind}`, room, { echo: true })
    const member = await from.join(server, `ping-${from.kind}`, room)
    await member.untilLinked([echo.user])
    await echo.untilLinked([member.user])
    const times = await member.call('ping', { to: echo.user, size: LARGEST, count: 200 })
    times.sort((a, b) => a - b)
    const [p50, p99, most] = [times[100], times[197], times[199]].map((time) => time.toFixed(1))
    t.diagnostic(`${from.kind} to ${to.kind} and back: p50 ${p50} ms, p99 ${p99} ms, most ${most} ms`)
    assert.ok(times[197] < 200, `p99 ${p99} ms`)
    await Promise.all([member.leave(), echo.leave()])
  }
})
