// What runs in a Node process: the JS original over @roamhq/wrtc. Commands come and events go over the process's channel.

import { createRequire } from 'node:module'
import wrtc from '@roamhq/wrtc'
import WebSocket from 'ws'
import { createHost } from './js_member.mjs'

const original = createRequire(import.meta.url)('@mattkrick/fast-rtc-swarm')
const call = createHost({ Swarm: original.default ?? original, WebSocket, wrtc }, (event) => process.send(event))

for (const kind of ['uncaughtException', 'unhandledRejection']) {
  process.on(kind, (error) => process.send({ type: 'exception', message: String(error?.stack ?? error) }))
}
process.on('disconnect', () => process.exit())
process.on('message', async ({ id, user, command, args }) => {
  try {
    process.send({ id, result: await call(user, command, args) })
  } catch (error) {
    process.send({ id, error: { name: error.name, message: error.message } })
  }
})
