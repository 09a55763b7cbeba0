// Who is connected to whom: our own links, and those that the others tell of. Everything that comes from others is bounded.

const STALE = 5000;
const MOST = 128;
const MOST_LINKS = 1024;
const LONGEST_NAME = 256;
const PREFIX = 'links\t';

/** A member's word about its links: a line with what it is, then one each link: to whom, round trip in us, way, bytes. */
export function tell(kind, links) {
  const lines = [...links.values()].map(({ to, us, way, sent, received }) => [to, us, way, sent, received].join('\t'));
  return [PREFIX + kind, ...lines].join('\n');
}

/** None if it is some other text. */
export function hear(text) {
  if (typeof text !== 'string' || !text.startsWith(PREFIX)) return null;
  const [kind, ...lines] = text.slice(PREFIX.length).split('\n', MOST + 1);
  const links = new Map();
  for (const line of lines) {
    const [to, us, way, sent, received] = line.split('\t');
    const numbers = [us, sent, received].map(Number);
    if (to && to.length <= LONGEST_NAME && numbers.every(Number.isFinite)) {
      links.set(to, { to, us: numbers[0], way: way === 'relayed' ? way : 'direct', sent: numbers[1], received: numbers[2] });
    }
  }
  return { kind: kind.slice(0, 24), links };
}

const pairOf = (a, b) => (a < b ? [a, b] : [b, a]);
const keyOf = (a, b) => pairOf(a, b).join('\n');

export class Mesh {
  #me;
  #kind;
  #own = new Map();
  /** By user id: what that member told last. */
  #told = new Map();

  constructor(me, kind) {
    this.#me = me;
    this.#kind = kind;
  }

  add(userId) {
    if (!this.#own.has(userId)) this.#own.set(userId, { to: userId, us: -1, way: 'direct', sent: 0, received: 0, silent: false });
  }

  remove(userId) {
    this.#own.delete(userId);
    this.#told.delete(userId);
  }

  clear() {
    this.#own.clear();
    this.#told.clear();
  }

  measure(links) {
    for (const [userId, link] of links) if (this.#own.has(userId)) this.#own.set(userId, link);
  }

  get own() {
    return this.#own;
  }

  /** Takes a member's word, and gives whom of the others it has sent something since. */
  take(from, word) {
    const before = this.#told.get(from)?.links;
    this.#told.set(from, { ...word, at: performance.now() });
    const others = [...word.links.values()].filter(({ to }) => to !== this.#me);
    return others.filter(({ to, sent }) => before?.has(to) && before.get(to).sent < sent).map(({ to }) => to);
  }

  /** Members and links as they are to be shown. */
  view() {
    const words = new Map([[this.#me, { kind: this.#kind, links: this.#own }]]);
    for (const [userId, word] of this.#told) {
      if (performance.now() - word.at < STALE) words.set(userId, word);
    }
    const members = new Map();
    const meet = (id, hearsay) => {
      if (members.size >= MOST || (members.has(id) && hearsay)) return;
      const { kind = '' } = words.get(id) ?? this.#told.get(id) ?? {};
      members.set(id, { id, kind, hearsay, me: id === this.#me, silent: !!this.#own.get(id)?.silent });
    };
    meet(this.#me, false);
    for (const id of this.#own.keys()) meet(id, false);
    const links = new Map();
    for (const [teller, word] of words) {
      for (const link of word.links.values()) {
        if (link.to === teller) continue;
        // Whom we do not see ourselves. Our own links we know best.
        meet(link.to, true);
        if (!members.has(link.to) || (link.to === this.#me && !this.#own.has(teller))) continue;
        const key = keyOf(teller, link.to);
        if (links.size >= MOST_LINKS && !links.has(key)) break;
        const [a, b] = pairOf(teller, link.to);
        const known = links.get(key) ?? { key, a, b, told: [], own: teller === this.#me, silent: false };
        known.told.push(link);
        known.silent ||= !!link.silent;
        links.set(key, known);
      }
    }
    const byName = (x, y) => x.a.localeCompare(y.a) || x.b.localeCompare(y.b);
    return {
      members: [...members.values()].sort((x, y) => y.me - x.me || x.id.localeCompare(y.id)),
      links: [...links.values()].map(summary).sort(byName),
    };
  }
}

function summary({ key, a, b, told, own, silent }) {
  // Browsers count round trips in whole milliseconds: the finer word wins.
  const measured = told.map(({ us }) => us).filter((us) => us >= 0);
  const fine = measured.filter((us) => us % 1000 !== 0);
  const of = fine.length > 0 ? fine : measured;
  return {
    key,
    a,
    b,
    own,
    silent,
    oneSided: !own && told.length < 2,
    relayed: told.some(({ way }) => way === 'relayed'),
    us: of.length > 0 ? of.reduce((sum, us) => sum + us) / of.length : null,
    bytes: Math.max(...told.map(({ sent, received }) => sent + received)),
  };
}
