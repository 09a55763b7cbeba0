// The picture of the mesh: members on an ellipse, ourselves below; a line for each link, a dot for each message.

const SVG = 'http://www.w3.org/2000/svg';
const MOST_DOTS = 80;
const MOST_LABELS = 28;
const FLIGHT = 700;
/** Between members and the frame. */
const EDGE = 18;
const LABEL = { width: 54, height: 20 };
/** Along the line. */
const LABEL_SPOTS = [0.5, 0.38, 0.62, 0.3, 0.7];

const make = (name, parent, classes = '') => {
  const element = document.createElementNS(SVG, name);
  if (classes) element.setAttribute('class', classes);
  parent.append(element);
  return element;
};
const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
};
const overlap = (a, b) => Math.abs(a.x - b.x) * 2 < a.width + b.width && Math.abs(a.y - b.y) * 2 < a.height + b.height;
const short = (text, most) => ([...text].length > most ? `${[...text].slice(0, most - 1).join('')}…` : text);

export class Graph {
  #svg;
  #layers;
  #members = new Map();
  /** The same, as they stand around. */
  #order = [];
  #edges = new Map();
  #dots = new Set();
  #size = { width: 600, height: 400 };
  #frame = 0;
  #compact = false;
  #longest = 14;
  #stillness = matchMedia('(prefers-reduced-motion: reduce)');
  #pen = document.createElement('canvas').getContext('2d');

  constructor(svg) {
    this.#svg = svg;
    this.#layers = ['edges', 'dots', 'labels', 'members'].map((name) => make('g', svg, name));
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      if (width === 0 || height === 0) return;
      this.#size = { width, height };
      svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
      this.#arrange(true);
    }).observe(svg);
    svg.addEventListener('pointerover', ({ target }) => this.choose(target.closest('[data-member]')?.dataset.member));
    svg.addEventListener('pointerleave', () => this.choose());
  }

  /** `format` words a round trip. */
  update({ members, links }, format) {
    const [edges, , labels, nodes] = this.#layers;
    this.#keep(this.#members, members.map(({ id }) => id), (id) => this.#newMember(nodes, id));
    this.#keep(this.#edges, links.map(({ key }) => key), () => ({
      elements: [make('line', edges), make('text', labels)],
    }));
    // On a phone, many have room for their names only, and short ones, in a taller picture.
    this.#svg.classList.toggle('many', members.length > 6);
    const narrow = this.#size.width < 480;
    this.#longest = narrow && members.length > 6 ? 8 : 14;
    this.#compact = narrow && members.length > 9;
    this.#order = members.map((member) => this.#dress(this.#members.get(member.id), member));
    for (const link of links) {
      const edge = this.#edges.get(link.key);
      Object.assign(edge, { a: this.#members.get(link.a), b: this.#members.get(link.b), link });
      const [line, label] = edge.elements;
      const flags = [link.own && 'own', link.oneSided && 'one-sided', link.silent && 'silent'].filter(Boolean);
      line.setAttribute('class', ['edge', ...flags].join(' '));
      label.setAttribute('class', 'edge-label');
      // A picture full of figures tells nothing: the table has them all.
      label.textContent = links.length <= MOST_LABELS ? format(link) : '';
    }
    this.#light();
    this.#arrange();
  }

  /** A message on its way. */
  message(from, to, small = false) {
    const [start, end] = [this.#members.get(from), this.#members.get(to)];
    if (!start || !end || this.#stillness.matches || document.hidden || this.#dots.size >= MOST_DOTS) return;
    const element = make('circle', this.#layers[1], small ? 'message small' : 'message');
    element.setAttribute('r', small ? 2.5 : 5);
    this.#dots.add({ element, start, end, began: performance.now() });
    this.#wake();
  }

  /** Lights the links of a member, or one link; nothing: none. */
  choose(member, key) {
    this.chosen = { member, key };
    this.#light();
  }

  #light() {
    const { member, key } = this.chosen ?? {};
    const lit = ({ link }) => (key ? link.key === key : link.a === member || link.b === member);
    let any = false;
    for (const edge of this.#edges.values()) {
      const on = Boolean(member || key) && lit(edge);
      any ||= on;
      edge.elements.forEach((element) => element.classList.toggle('lit', on));
    }
    this.#svg.classList.toggle('chosen', any);
  }

  /** Makes what is new, removes what is gone. */
  #keep(known, ids, make) {
    const wanted = new Set(ids);
    for (const [id, item] of known) {
      if (!wanted.has(id)) {
        item.elements.forEach((element) => element.remove());
        known.delete(id);
      }
    }
    for (const id of wanted) if (!known.has(id)) known.set(id, make(id));
  }

  #newMember(layer, id) {
    const group = make('g', layer);
    group.dataset.member = id;
    const [box, name, kind] = [make('rect', group), make('text', group, 'name'), make('text', group, 'kind')];
    box.setAttribute('rx', 12);
    const title = make('title', group);
    title.textContent = id;
    return { elements: [group], box, name, kind, at: null, to: { x: 0, y: 0 } };
  }

  #dress(item, { id, kind, me, hearsay, silent }) {
    const flags = [me && 'me', hearsay && 'hearsay', silent && 'silent'].filter(Boolean);
    item.elements[0].setAttribute('class', ['member', ...flags].join(' '));
    const notes = [kind, me && 'you', hearsay && 'not linked to you', silent && 'not answering'].filter(Boolean);
    const below = this.#compact ? '' : notes.join(' · ');
    item.name.textContent = short(id, this.#longest);
    item.kind.textContent = below;
    const family = getComputedStyle(this.#svg).fontFamily;
    const measure = (font, text) => {
      this.#pen.font = `${font} ${family}`;
      return this.#pen.measureText(text).width;
    };
    const width = Math.max(measure('600 14px', item.name.textContent), measure('11.5px', below)) + 28;
    item.width = Math.max(64, width);
    item.height = below ? 44 : 32;
    set(item.box, { x: -item.width / 2, y: -item.height / 2, width: item.width, height: item.height });
    item.name.setAttribute('y', below ? -3 : 5);
    item.kind.setAttribute('y', 13);
    return item;
  }

  #arrange(atOnce = false) {
    const { width, height } = this.#size;
    // The first is ourselves, below. The others go round, and all take the room that there is.
    const corners = this.#order.map((_, index) => {
      const angle = Math.PI / 2 + (2 * Math.PI * index) / this.#order.length;
      return [Math.cos(angle), Math.sin(angle)];
    });
    const [across, down] = [0, 1].map((axis) => {
      const values = corners.map((corner) => corner[axis]);
      const [least, most] = [Math.min(...values), Math.max(...values)];
      // From where to where, for one that is so large.
      return (value, whole, size) => {
        const part = most - least < 0.01 ? 0.5 : (value - least) / (most - least);
        return EDGE + size / 2 + part * (whole - 2 * EDGE - size);
      };
    });
    this.#order.forEach((item, index) => {
      const [x, y] = corners[index];
      item.to = { x: across(x, width, item.width), y: down(y, height, item.height) };
      if (atOnce || !item.at || this.#stillness.matches) item.at = { ...item.to };
    });
    this.#wake();
  }

  #wake() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    let moving = this.#dots.size > 0;
    for (const { at, to, elements } of this.#members.values()) {
      const [dx, dy] = [to.x - at.x, to.y - at.y];
      const close = Math.abs(dx) + Math.abs(dy) < 0.5;
      at.x += close ? dx : dx * 0.14;
      at.y += close ? dy : dy * 0.14;
      moving ||= !close;
      elements[0].setAttribute('transform', `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`);
    }
    // Figures must not lie upon each other, nor under a member: our own links' come first, and who finds no place has none.
    const taken = this.#order.map(({ at, width, height }) => ({ ...at, width, height }));
    const edges = [...this.#edges.values()].sort((one, other) => other.link.own - one.link.own);
    for (const { a: { at: from }, b: { at: to }, elements: [line, label] } of edges) {
      set(line, { x1: from.x, y1: from.y, x2: to.x, y2: to.y });
      const at = (part) => ({ x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part, ...LABEL });
      const spot = LABEL_SPOTS.map(at).find((spot) => !taken.some((other) => overlap(spot, other)));
      label.toggleAttribute('hidden', !spot);
      if (!spot) continue;
      taken.push(spot);
      set(label, { x: spot.x, y: spot.y });
    }
    const now = performance.now();
    for (const dot of this.#dots) {
      const part = (now - dot.began) / FLIGHT;
      if (part >= 1) {
        dot.element.remove();
        this.#dots.delete(dot);
        continue;
      }
      const eased = part * part * (3 - 2 * part);
      const { start: { at: from }, end: { at: to } } = dot;
      set(dot.element, { cx: from.x + (to.x - from.x) * eased, cy: from.y + (to.y - from.y) * eased });
    }
    if (moving) this.#wake();
  }
}
