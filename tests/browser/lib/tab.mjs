// What runs in a tab: the JS original, bundled from its package at test time.

import Swarm from '@mattkrick/fast-rtc-swarm'
import { createHost } from './js_member.mjs'
import * as media from './tab_media.mjs'

const parts = { Swarm: Swarm.default ?? Swarm, WebSocket: window.WebSocket, media }
window.call = createHost(parts, (event) => window.tell(event))
