// How long from `init` to the open channel, for each combination of who was there and who joins, with signaling that takes 0, 50
// or 100 ms each way, with a spare offer waiting and without. Writes docs/time-to-open.md, or to the file that is given.
//
//     node tests/browser/time-to-open.mjs [FILE]       RUNS=… for more than 12 joins of each kind
//
// Imported by time-to-open.test.mjs, which holds what is claimed to few runs.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { eventually, ROOT, World } from './lib/hosts.mjs'
import { OurServer, Proxy } from './lib/servers.mjs'

export const DELAYS = [0, 50, 100]
export const COMBINATIONS = ['JS–JS', 'JS–native', 'native–JS', 'native–native']

export const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted.length % 2 ? sorted[sorted.length >> 1] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2
}

/**
 * The way of a join through the signaling server: each leg is one message one way, which could not leave before the one above
 * it had arrived. Two legs are a round trip.
 */
function legs(log, connection) {
  const found = (way, user, type) =>
    log.find((m) => m.way === way && m.user === user && m.type === type && (m.id ?? connection) === connection)
  const accept = found('down', 'joiner', 'accept')
  const init = found('up', 'joiner', 'init')
  const request = found('down', 'member', 'offerRequest')
  const offer = found('up', 'member', 'offer')
  // An offer that was there before the joiner is no leg of its.
  const waited = offer.at > init.at ? [request, offer] : []
  return [init, ...waited, accept, found('up', 'joiner', 'answer'), found('down', 'member', 'answer')]
}

/** One join: milliseconds from `init` leaving the joiner to both ends being open, and its legs. */
async function join(proxy, room, [memberHost, joinerHost], peerBuffer) {
  proxy.log.length = 0
  const member = await memberHost.join(proxy, 'member', room, { peerBuffer })
  // Everything that it has to say at first is said, and has arrived.
  const ended = ({ type, candidate }) => type === 'candidate' && candidate === null
  const complete = (said) => said.length > 0 && said.filter(ended).length >= peerBuffer
  await eventually('the member at the server', () => complete(proxy.carried('member')))
  const joiner = await joinerHost.join(proxy, 'joiner', room, { peerBuffer })
  const [atJoiner, atMember] = await Promise.all([joiner.untilEvent('open', 'member'), member.untilEvent('open', 'joiner')])
  const init = proxy.log.find(({ way, user, type }) => way === 'up' && user === 'joiner' && type === 'init')
  const way = legs(proxy.log, atJoiner.connection)
  await Promise.all([member.leave(), joiner.leave()])
  return { time: Math.max(atJoiner.at, atMember.at) - init.at, legs: way }
}

/** All of it, interleaved, so that what disturbs the machine disturbs each alike. */
export async function measure(runs, progress = () => {}) {
  const world = await World.open()
  const server = await OurServer.open('--grace', '0')
  const proxies = await Promise.all(DELAYS.map((delay) => Proxy.open(server, delay)))
  try {
    const tabs = [await world.tab(), await world.tab()]
    const natives = [await world.native(), await world.native()]
    const hosts = {
      'JS–JS': tabs, 'JS–native': [tabs[0], natives[0]], 'native–JS': [natives[0], tabs[0]], 'native–native': natives,
    }
    const results = []
    for (let run = -1; run < runs; run++) {
      for (const peerBuffer of [1, 0]) {
        for (const proxy of proxies) {
          for (const combination of COMBINATIONS) {
            const room = `${combination} ${peerBuffer} ${proxy.delay} ${run}`
            const result = await join(proxy, room, hosts[combination], peerBuffer)
            // The first of each warms up.
            if (run >= 0) results.push({ combination, peerBuffer, delay: proxy.delay, ...result })
          }
        }
      }
      progress(run + 1)
    }
    for (const host of world.hosts) host.assertNoComplaints()
    return results
  } finally {
    await world.stop()
    await Promise.all([...proxies, server].map((each) => each.stop()))
  }
}

/** The times of one cell of the table. */
export const cell = (results, combination, peerBuffer, delay) =>
  results.filter((r) => r.combination === combination && r.peerBuffer === peerBuffer && r.delay === delay).map(({ time }) => time)

/** What each ms of delay costs, over two: round trips through the server. By the medians of the longest delay and of none. */
export const roundTrips = (results, combination, peerBuffer) => {
  const at = (delay) => median(cell(results, combination, peerBuffer, delay))
  return (at(DELAYS.at(-1)) - at(0)) / (2 * DELAYS.at(-1))
}

function table(results, peerBuffer) {
  const legCount = (combination) => {
    const counts = results.filter((r) => r.combination === combination && r.peerBuffer === peerBuffer).map((r) => r.legs.length / 2)
    return [...new Set(counts)].join(' or ')
  }
  const rows = COMBINATIONS.map((combination) => {
    const times = DELAYS.map((delay) => {
      const times = cell(results, combination, peerBuffer, delay)
      return `${median(times).toFixed(0)} (${Math.min(...times).toFixed(0)}–${Math.max(...times).toFixed(0)})`
    })
    return `| ${combination} | ${times.join(' | ')} | ${legCount(combination)} | ${roundTrips(results, combination, peerBuffer).toFixed(2)} |`
  })
  const delays = DELAYS.map((delay) => `${delay} ms`)
  return [
    `| who was there – who joins | ${delays.join(' | ')} | round trips, counted | by the slope |`,
    `|---|${'---:|'.repeat(DELAYS.length + 2)}`,
    ...rows,
  ].join('\n')
}

export function report(results, runs) {
  return `# Time to open

Milliseconds from \`init\` leaving the joiner until the channel is open at both ends: median (least–most) of ${runs} joins of each kind,
interleaved in one run. Signaling goes through a proxy that holds each message for the time in the column's head, each way. JS is
\`@mattkrick/fast-rtc-swarm\` 0.4.1 in Chromium, native is rtcswarm through its Python package; the server is \`rtcswarm-server\`.
Everything is on one machine with two shared cores, so the column of 0 ms is processor time and the noise of other work.

Made by \`make && node tests/browser/time-to-open.mjs\`.

The round trips are counted in the proxy's record (\`init\`, \`accept\`, \`answer\`, the answer at the member; without a spare
also \`offerRequest\` and \`offer\`), and once more from what the delay costs: (t(${DELAYS.at(-1)} ms) − t(0 ms)) / ${2 * DELAYS.at(-1)} ms.

## With a spare offer waiting (\`peerBuffer\` 1)

${table(results, 1)}

## Without one (\`peerBuffer\` 0)

${table(results, 0)}
`
}

if (import.meta.filename === process.argv[1]) {
  const runs = Number(process.env.RUNS ?? 12)
  const results = await measure(runs, (done) => process.stderr.write(`${done} of ${runs}\n`))
  const text = report(results, runs)
  writeFileSync(process.argv[2] ?? path.join(ROOT, 'docs/time-to-open.md'), text)
  process.stdout.write(text)
}
