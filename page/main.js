// The page: a member of the room that shows the room. All that comes from others is put in as text, never as HTML.
import { Graph } from './graph.js';
import { hear, Mesh, tell } from './mesh.js';
import { Room } from './room.js';
import { SOURCES } from './share.js';
import { Tiles } from './tiles.js';

const KEPT = 'rtcswarm.token';
const KIND = 'browser';
const MOST_LINES = 200;
const SHORT = 400;

const $ = (selector) => document.querySelector(selector);
const [rows, log, form, input, problem] = ['tbody', '#chat ol', '#chat form', '#text', '#problem'].map($);
const shareProblem = $('#share-problem');

/** The token leaves the address, which people copy and show, and stays with the tab, for a reload. */
function takeToken() {
  const token = new URLSearchParams(location.search).get('token') ?? sessionStorage.getItem(KEPT);
  if (token) sessionStorage.setItem(KEPT, token);
  history.replaceState(null, '', location.pathname + location.hash);
  return token;
}

/** Who we are and where, by the token, whose signature the server has seen to; or by the address: `#user=…&room=…`. */
function identify(token) {
  let claims = {};
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))));
  } catch {
    // A token of another kind: servers may have an authenticator of their own.
  }
  const said = new URLSearchParams(location.hash.slice(1));
  const named = [claims.rooms ?? []].flat().find((room) => room !== '*');
  return [said.get('user') ?? claims.sub ?? '', said.get('room') ?? named ?? 'lobby'];
}

function element(name, text, classes = '') {
  const made = document.createElement(name);
  made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

const round = ({ us }) => {
  if (us === null) return '…';
  if (us < 1000 && us % 1000 === 0) return '< 1 ms';
  const ms = us / 1000;
  return `${ms.toFixed(ms < 9.95 ? (ms < 1 ? 2 : 1) : 0)} ms`;
};

const size = (bytes) => {
  const power = bytes < 1000 ? 0 : bytes < 1e6 ? 1 : 2;
  return `${(bytes / 1000 ** power).toFixed(power > 0 && bytes / 1000 ** power < 10 ? 1 : 0)} ${['B', 'kB', 'MB'][power]}`;
};

const many = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;

const token = takeToken();
const [me, roomId] = identify(token);
const room = new Room(token, me, roomId);
const mesh = new Mesh(me, KIND);
const graph = new Graph($('#graph svg'));
const tiles = new Tiles($('#streams ol'), $('#stream-count'));

function write(classes, words, from) {
  const line = element('li', '', classes);
  if (from !== undefined) line.append(element('b', from));
  line.append(words);
  log.append(line);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  follow();
}

/** Who has scrolled back is reading, and stays there. */
let following = true;
const follow = () => following && log.scrollTo(0, log.scrollHeight);
log.addEventListener('scroll', () => (following = log.scrollHeight - log.scrollTop - log.clientHeight < 40));
new ResizeObserver(follow).observe(log);

/** Of many words at once only what comes of them is shown. */
let due = 0;

function show() {
  clearTimeout(due);
  due = 0;
  const view = mesh.view();
  graph.update(view, round);
  const { members, links } = view;
  $('#count').textContent = `${links.length} between ${many(members.length, 'member')}`;
  $('#alone').hidden = members.length > 1 || room.state !== 'connected';
  document.title = `${roomId} · ${many(members.length, 'member')} – rtcswarm`;
  const known = new Map([...rows.children].map((row) => [row.dataset.link, row]));
  links.forEach((link, index) => {
    const row = known.get(link.key) ?? newRow(link);
    known.delete(link.key);
    const { relayed, oneSided, silent } = link;
    const notes = [relayed && 'relayed', oneSided && 'told by one end', silent && 'not answering'].filter(Boolean);
    const [ends, trip, traffic] = row.cells;
    ends.lastElementChild.textContent = notes.length > 0 ? ` ${notes.join(', ')}` : '';
    trip.textContent = round(link);
    traffic.textContent = size(link.bytes);
    if (rows.children[index] !== row) rows.insertBefore(row, rows.children[index] ?? null);
  });
  for (const row of known.values()) row.remove();
}

function newRow({ key, a, b }) {
  const row = element('tr', '');
  row.dataset.link = key;
  const ends = element('th', `${a} – ${b}`);
  ends.scope = 'row';
  ends.append(element('span', '', 'note'));
  row.append(ends, element('td', '', 'number'), element('td', '', 'number'));
  row.addEventListener('pointerenter', () => graph.choose(null, key));
  row.addEventListener('pointerleave', () => graph.choose());
  return row;
}

const BANNERS = {
  away: ['The server is away.', 'Who is connected stays connected; nobody new can join. Trying again until it is back.', 'Try now'],
  superseded: ['Opened elsewhere.', `Another tab or program joined as ${me} and took this place.`, 'Take it back here'],
  refused: ['The server lets us in no more.', 'Ask for a new address.', ''],
};
const STATUS = {
  connecting: 'Connecting to the server…',
  connected: `Connected as ${me}`,
  away: 'Server away',
  superseded: 'Not connected',
  refused: 'Not connected',
};

/** Says what is the matter, and what can be done; nothing: it is well. */
function banner(title = '', words = '', button = '', good = false) {
  $('#banner').hidden = !title;
  $('#banner').classList.toggle('good', good);
  $('#banner-title').textContent = title;
  $('#banner-words').textContent = words;
  $('#banner-button').textContent = button;
  $('#banner-button').hidden = !button;
}

let [wasAway, backTimer] = [false, 0];
room.addEventListener('state', ({ detail: { state, words } }) => {
  $('#status').dataset.state = state;
  $('#status-words').textContent = STATUS[state];
  clearTimeout(backTimer);
  if (state === 'connected') {
    if (wasAway) {
      banner('The server is back.', 'Everybody can join again.', '', true);
      write('news', 'The server is back.');
      backTimer = setTimeout(banner, 6000);
    } else {
      banner();
    }
    wasAway = false;
  } else {
    const [title, then, button] = BANNERS[state];
    banner(title, words ? `${words}. ${then}` : then, button);
    if (!wasAway) write('news', title);
    wasAway = state === 'away';
  }
  if (state === 'superseded') mesh.clear();
  show();
});

$('#banner-button').addEventListener('click', () => {
  if (room.state === 'away') return room.retry();
  room.connect();
});

room.addEventListener('open', ({ detail: userId }) => {
  mesh.add(userId);
  write('news', `${userId} joined`);
  show();
  // As every member of the demo does, with a text and a binary message.
  room.greet(userId, `hello from ${me}`, new TextEncoder().encode('rtcswarm'));
  graph.message(me, userId);
});

room.addEventListener('close', ({ detail: userId }) => {
  mesh.remove(userId);
  write('news', `${userId} left`);
  show();
});

room.addEventListener('data', ({ detail: { from, data } }) => {
  const word = hear(data);
  graph.message(from, me, word !== null);
  if (word) {
    for (const to of mesh.take(from, word)) graph.message(from, to, true);
    due ||= setTimeout(show, 50);
  } else if (typeof data === 'string') {
    write('', short(data), from);
  }
});

room.addEventListener('stream', ({ detail }) => tiles.add(detail));
room.addEventListener('gone', ({ detail: connection }) => tiles.drop(connection));

/** A button begins to give, and ends it. */
function offer(name, { make, tracks, there }) {
  const button = $(`#share-${name}`);
  const word = button.textContent;
  let given = null;
  const end = () => {
    given.stop();
    given.stream.getTracks().forEach((track) => track.stop());
    room.takeBack(name);
    tiles.remove(me, name);
    given = null;
    button.textContent = word;
  };
  const begin = async () => {
    button.disabled = true;
    try {
      given = await make(me);
      const { stream } = given;
      room.give(name, Object.fromEntries(stream.getTracks().map((track) => [tracks[track.kind], track])));
      tiles.add({ from: me, name, stream, mine: true });
      button.textContent = `Stop the ${name}`;
      // Somebody pulled the plug.
      for (const track of stream.getTracks()) track.addEventListener('ended', () => given?.stream === stream && end());
    } catch (error) {
      shareProblem.textContent = error.name === 'NotAllowedError' ? `The ${name} is not allowed.` : `The ${name} is not there.`;
    } finally {
      button.disabled = false;
    }
  };
  button.hidden = !there;
  button.addEventListener('click', () => {
    shareProblem.textContent = '';
    if (given) end();
    else if (room.state === 'connected') begin();
    else shareProblem.textContent = 'Not while the server is away.';
  });
}

function short(text) {
  return text.length > SHORT ? `${text.slice(0, SHORT)}… (${text.length} characters)` : text;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value.trim();
  problem.textContent = '';
  if (!text) return;
  if (text.startsWith('@fast')) {
    problem.textContent = 'Text that begins with @fast belongs to the protocol, and is not sent.';
    return;
  }
  const reached = room.say(text);
  if (reached.length === 0) {
    problem.textContent = 'Nobody is connected yet: not sent.';
    return;
  }
  reached.forEach((userId) => graph.message(me, userId));
  following = true;
  write('mine', text, me);
  input.value = '';
});

/** Once a second, as the native members do with --tell-links. */
async function measure() {
  mesh.measure(await room.links());
  for (const userId of room.say(tell(KIND, mesh.own))) graph.message(me, userId, true);
  show();
  setTimeout(measure, 1000);
}

$('#room').textContent = `room ${roomId}`;
show();
if (me) {
  for (const [name, source] of Object.entries(SOURCES)) offer(name, source);
  room.connect();
  measure();
} else {
  banner('Who are you?', 'The token does not say it: add #user=NAME&room=ROOM to the address.');
}
