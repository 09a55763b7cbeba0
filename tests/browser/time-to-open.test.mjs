// Two signaling round trips to an open channel where a spare offer waits, three where none does, in every combination; and no
// combination with a native peer is slower than two tabs. The figures are made by time-to-open.mjs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cell, COMBINATIONS, DELAYS, measure, median, report, roundTrips } from './time-to-open.mjs'

const RUNS = Number(process.env.RUNS ?? 4)
/** What the same join differs by from one time to the next on a busy machine, in ms. */
const NOISE = 50
/** And what the median over all delays does: less than half of the time from one of Chromium's checks to the next. */
const NOISE_OF_ALL = 20

test('time to open', async (t) => {
  const results = await measure(RUNS)
  for (const line of report(results, RUNS).split('\n')) if (line.startsWith('|')) t.diagnostic(line)
  for (const [peerBuffer, expected] of [[1, 2], [0, 3]]) {
    for (const combination of COMBINATIONS) {
      const what = `${combination}, peerBuffer ${peerBuffer}`
      for (const { legs, time, delay } of results.filter((r) => r.combination === combination && r.peerBuffer === peerBuffer)) {
        assert.equal(legs.length / 2, expected, `${what}: ${legs.map(({ way, type }) => `${type} ${way}`).join(', ')}`)
        for (const [index, leg] of legs.slice(1).entries()) assert.ok(leg.at >= legs[index].at, `${what}: ${leg.type} too early`)
        // All legs were waited for: it is no figure of something else.
        assert.ok(time >= legs.length * delay, `${what} took ${time} ms at ${delay} ms`)
      }
      const slope = roundTrips(results, combination, peerBuffer)
      assert.ok(Math.abs(slope - expected) < 0.45, `${what}: ${slope} round trips by the slope`)
      const behind = DELAYS.map((delay) => {
        const [here, js] = [combination, 'JS–JS'].map((each) => median(cell(results, each, peerBuffer, delay)))
        assert.ok(here <= js + NOISE, `${what} at ${delay} ms: ${here} ms, JS–JS ${js} ms`)
        return here - js
      })
      assert.ok(median(behind) <= NOISE_OF_ALL, `${what} is ${behind.map(Math.round).join(', ')} ms behind JS–JS`)
    }
  }
})
