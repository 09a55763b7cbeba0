// What runs in a tab: the JS original, bundled from its package at test time.

import Swarm from '@mattkrick/fast-rtc-swarm'
import { createHost } from './js_member.mjs'

window.call = createHost({ Swarm: Swarm.default ?? Swarm, WebSocket: window.WebSocket }, (event) => window.tell(event))
