// The room, joined by the JS original; beside it what the original leaves to its user: the WebSocket to the server.
import * as original from '@mattkrick/fast-rtc-swarm';

// The package is CommonJS: what `default` is depends on the bundler.
const FastRTCSwarm = original.default?.default ?? original.default;

const MAX_WAIT = 5000;
/** Close codes of the server that another attempt would not change. */
const FINAL = new Set([4003, 4004, 4006, 4007]);
const SUPERSEDED = 4001;
const ROOM_FULL = 4005;

/**
 * Events: `state` (connecting, connected, away, superseded or refused, with words), `open` and `close` of a member, `data`;
 * `stream` of a member, and `gone`, a connection by which one may have come.
 *
 * When the server goes away the connections live on. When it is back it is told which of them there are, as native members do
 * (`init.connections`), so that nobody is paired anew.
 */
export class Room extends EventTarget {
  #token;
  #socket = null;
  #swarm = null;
  #wait = 0;
  #timer = null;
  /** Open peers of the original. */
  #open = new Set();
  /** What we give, by name: a new swarm of the original gives it too. */
  #given = {};

  constructor(token, userId, roomId) {
    super();
    this.#token = token;
    this.userId = userId;
    this.roomId = roomId;
    this.state = 'connecting';
    addEventListener('online', () => this.retry());
    // Who closes the tab leaves, and does not just fall silent.
    addEventListener('pagehide', () => this.leave());
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  }

  /** To the server, for the first time or again. */
  connect() {
    clearTimeout(this.#timer);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/`, ['rtcswarm', `token.${this.#token}`]);
    this.#socket = socket;
    socket.onopen = () => this.#enter(socket);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'error') console.info(`server: ${message.code}: ${message.message}`);
      this.#swarm.dispatch(message);
    };
    socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
  }

  /** Now rather than when its time comes. */
  retry() {
    if (this.state === 'away') this.#probe();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#swarm?.close();
    this.#forget();
    this.#socket?.close();
    this.#socket = null;
  }

  #forget() {
    this.#swarm = null;
    const peers = [...this.#open];
    this.#open.clear();
    for (const peer of peers) this.#tellClosed(peer);
  }

  /** The init is written here, since it is said again whenever the server is back. */
  #enter(socket) {
    const connections = [...this.#open].map((peer) => peer.id);
    socket.send(JSON.stringify({ type: 'init', userId: this.userId, roomId: this.roomId, connections }));
    if (this.#swarm) {
      this.#renewSpares();
    } else {
      this.#swarm = this.#join();
    }
    this.#wait = 0;
    this.#turn('connected');
  }

  #join() {
    // Without STUN: the page is for one machine or one network, and asks nobody outside of it.
    const [userId, roomId, rtcConfig, streams] = [this.userId, this.roomId, { iceServers: [] }, { ...this.#given }];
    const swarm = new FastRTCSwarm({ userId, roomId, rtcConfig, streams });
    swarm.on('signal', (signal) => {
      const socket = this.#socket;
      if (signal.type !== 'init' && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(signal));
    });
    swarm.on('open', (peer) => {
      const known = this.#peersOf(peer.userId).length > 0;
      this.#open.add(peer);
      if (!known) this.#emit('open', peer.userId);
    });
    swarm.on('close', (peer) => this.#closed(peer));
    swarm.on('data', (data, peer) => this.#emit('data', { from: peer.userId, data }));
    swarm.on('stream', (stream, name, peer) => {
      this.#emit('stream', { from: peer.userId, name, stream, connection: peer.id });
      this.#attach(name, peer);
    });
    swarm.on('error', (error) => console.warn(error));
    return swarm;
  }

  /** The server has forgotten the spare offers of before. */
  #renewSpares() {
    for (const [id, peer] of this.#swarm.peers) {
      if (!this.#open.has(peer) && peer.peerConnection?.localDescription) {
        peer.close();
        this.#swarm.peers.delete(id);
      }
    }
    this.#swarm.dispatch({ type: 'offerRequest' });
  }

  #closed(peer) {
    if (this.#open.delete(peer)) this.#tellClosed(peer);
  }

  #tellClosed(peer) {
    this.#emit('gone', peer.id);
    if (this.#peersOf(peer.userId).length === 0) this.#emit('close', peer.userId);
  }

  #peersOf(userId) {
    return [...this.#open].filter((peer) => peer.userId === userId);
  }

  async #lost(code) {
    this.#socket = null;
    if (code === SUPERSEDED) {
      this.leave();
      this.#turn('superseded');
    } else if (FINAL.has(code)) {
      this.#turn('refused', code === 4007 ? 'The token is over' : 'The token does not open this room');
    } else {
      this.#turn('away', code === ROOM_FULL ? 'The room is full' : '');
      this.#later();
    }
  }

  #later() {
    this.#wait = Math.min(MAX_WAIT, this.#wait * 2 || 500);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#probe(), this.#wait * (0.75 + Math.random() / 2));
  }

  /** By HTTP first: a WebSocket does not say whether the server is away or refuses the token. */
  async #probe() {
    clearTimeout(this.#timer);
    try {
      const headers = { accept: 'application/json', authorization: `Bearer ${this.#token}` };
      const response = await fetch('/', { headers, cache: 'no-store', signal: AbortSignal.timeout(MAX_WAIT) });
      if (response.ok) {
        await response.body?.cancel();
        return this.connect();
      }
      if (response.status === 401 || response.status === 403) {
        return this.#turn('refused', (await response.json()).message);
      }
    } catch {
      // Not there.
    }
    this.#later();
  }

  #turn(state, words = '') {
    this.state = state;
    this.#emit('state', { state, words });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** To everybody; gives to whom. */
  say(data) {
    // A connection that does not answer would only pile it up.
    const peers = [...this.#open].filter((peer) => peer.peerConnection?.iceConnectionState !== 'disconnected');
    for (const peer of peers) peer.send(data);
    return peers.map((peer) => peer.userId);
  }

  greet(userId, ...messages) {
    for (const peer of this.#peersOf(userId)) messages.forEach((message) => peer.send(message));
  }

  /** Gives a stream to everybody there is and will be: tracks by names that no other stream has. */
  give(name, tracks) {
    this.#given[name] = Object.fromEntries(Object.entries(tracks).map(([called, track]) => [called, { track }]));
    this.#swarm?.addStreams({ [name]: this.#given[name] });
  }

  /** The original forgets to when it had to ask the other end for the transceivers, which is told as a stream of the other's. */
  #attach(name, peer) {
    const attached = new Set(peer.peerConnection.getSenders().map((sender) => sender.track));
    const missing = Object.entries(this.#given[name] ?? {}).filter(([, { track }]) => !attached.has(track));
    if (missing.length > 0) peer.addStreams({ [name]: Object.fromEntries(missing) });
  }

  takeBack(name) {
    const tracks = Object.keys(this.#given[name] ?? {});
    delete this.#given[name];
    if (!this.#swarm) return;
    // Not by the swarm's muteTrack, which ends at the first peer that does not have the track, and keeps it for who comes.
    delete this.#swarm.peerConfig.streams[name];
    // What is negotiated now would get lost. Who has ended the tracks sends nothing anyway.
    if (this.state !== 'connected') return;
    for (const peer of this.#swarm.peers.values()) {
      for (const track of tracks) {
        try {
          peer.muteTrack(track);
        } catch {
          // That one has it not yet, or is closed.
        }
      }
    }
  }

  /** What the browser knows of each of our links. */
  async links() {
    // A connection that failed is closed by the original without a word.
    [...this.#open].filter((peer) => !peer.peerConnection).forEach((peer) => this.#closed(peer));
    const links = await Promise.all([...this.#open].map(describe));
    return new Map(links.filter(Boolean).map((link) => [link.to, link]));
  }
}

async function describe(peer) {
  const connection = peer.peerConnection;
  const stats = await connection?.getStats().catch(() => null);
  if (!stats) return null;
  let [pair, sent, received] = [null, 0, 0];
  for (const report of stats.values()) {
    if (report.type === 'transport') pair = stats.get(report.selectedCandidatePairId) ?? pair;
    if (report.type === 'candidate-pair' && report.nominated && report.state === 'succeeded') pair ??= report;
    if (report.type === 'data-channel') [sent, received] = [sent + report.bytesSent, received + report.bytesReceived];
  }
  const ends = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => stats.get(id)?.candidateType);
  return {
    to: peer.userId,
    us: pair?.currentRoundTripTime === undefined ? -1 : Math.round(pair.currentRoundTripTime * 1e6),
    way: ends.includes('relay') ? 'relayed' : 'direct',
    sent,
    received,
    silent: connection.iceConnectionState === 'disconnected',
  };
}
