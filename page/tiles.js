// What members give to be seen and heard: a tile for each stream, muted until somebody wants to hear it.

const MOST = 8;
/** Known beside those that are shown, and waiting for a place. */
const MOST_KNOWN = 64;
const LONGEST_NAME = 80;

const short = (text) => (text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text);

function make(name, parent, classes = '', text = '') {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  element.textContent = text;
  parent.append(element);
  return element;
}

export class Tiles {
  #list;
  #count;
  /** By member and name, in the order in which they came. */
  #known = new Map();
  #stillness = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(list, count) {
    this.#list = list;
    this.#count = count;
    this.#stillness.addEventListener('change', ({ matches }) => {
      if (matches) for (const { tile } of this.#known.values()) tile?.video.pause();
    });
    this.#show();
  }

  /** Once more when it has come by another connection, or a track of it came back. `mine` has nothing that we would hear. */
  add({ from, name, stream, connection = null, mine = false }) {
    const key = JSON.stringify([from, name]);
    const known = this.#known.get(key) ?? { from, name, key, mine, live: mine, tile: null };
    if (!this.#known.has(key) && this.#known.size >= MOST_KNOWN) return;
    this.#known.set(key, Object.assign(known, { stream, connection }));
    if (known.tile && known.tile.video.srcObject !== stream) this.#put(known);
    for (const track of stream.getTracks()) {
      // As properties: the same track comes more than once.
      track.onmute = track.onunmute = track.onended = () => this.#known.get(key)?.stream === stream && this.#show();
    }
    this.#show();
  }

  remove(from, name) {
    this.#forget((known) => known.from === from && known.name === name);
  }

  /** A connection is over, and what came by it. */
  drop(connection) {
    this.#forget((known) => known.connection === connection);
  }

  #forget(gone) {
    for (const known of [...this.#known.values()].filter(gone)) {
      this.#known.delete(known.key);
      this.#close(known);
    }
    this.#show();
  }

  #close(known) {
    if (!known.tile) return;
    known.tile.video.srcObject = null;
    known.tile.element.remove();
    known.tile = null;
  }

  #show() {
    const all = [...this.#known.values()].map((known) => {
      const tracks = known.stream.getTracks().filter(({ readyState }) => readyState === 'live');
      // The original tells of streams that never carry anything: they are shown from their first packet on.
      known.live ||= tracks.some(({ muted }) => !muted);
      return { known, tracks, live: known.live && tracks.length > 0 };
    });
    for (const { known, live } of all) if (!live) this.#close(known);
    // Whose first packet comes late does not take the place of one that is seen already.
    let shown = all.filter(({ known }) => known.tile).length;
    let waiting = 0;
    for (const { known, tracks, live } of all) {
      if (!live) continue;
      if (known.tile || shown < MOST) {
        if (!known.tile) {
          known.tile = this.#open(known);
          shown += 1;
        }
        const quiet = tracks.filter(({ muted }) => muted).map(({ kind }) => kind);
        const without = tracks.every(({ kind }) => kind === 'audio');
        known.tile.element.classList.toggle('blank', without || quiet.includes('video'));
        const words = [quiet.includes('video') && 'Picture muted', quiet.includes('audio') && 'Sound muted', without && 'Sound only'];
        known.tile.note.textContent = words.filter(Boolean).join(', ');
        known.tile.sound.hidden = known.mine || !tracks.some(({ kind }) => kind === 'audio');
      } else {
        waiting += 1;
      }
    }
    this.#count.textContent = [shown || '', waiting && `and ${waiting} more that are not shown`].filter(Boolean).join(' ');
    this.#list.hidden = shown === 0;
  }

  #open(known) {
    const { from, name, mine } = known;
    const element = make('li', this.#list, 'tile');
    const who = mine ? 'You' : short(from);
    const label = `${who}, ${short(name)}`;
    const video = make('video', element);
    video.setAttribute('aria-label', label);
    Object.assign(video, { muted: true, playsInline: true, disablePictureInPicture: true });
    const foot = make('div', element, 'foot');
    const caption = make('p', foot, 'caption');
    make('b', caption, '', who);
    make('span', caption, 'muted', short(name));
    const note = make('p', element, 'note');
    note.setAttribute('role', 'status');
    const buttons = make('div', foot, 'buttons');
    const button = (act) => {
      const made = make('button', buttons, 'quiet');
      made.type = 'button';
      made.addEventListener('click', act);
      return made;
    };
    const play = () => video.play().catch(() => {}); // it is shown as it is: paused
    const run = button(() => (video.paused ? play() : video.pause()));
    const sound = button(() => {
      video.muted = !video.muted;
      if (!video.muted) play();
    });
    const word = () => {
      for (const [one, text] of [[run, video.paused ? 'Play' : 'Pause'], [sound, video.muted ? 'Hear' : 'Mute']]) {
        one.textContent = text;
        one.setAttribute('aria-label', `${text} ${label}`);
      }
    };
    for (const change of ['play', 'pause', 'volumechange']) video.addEventListener(change, word);
    word();
    known.tile = { element, video, note, sound };
    this.#put(known);
    return known.tile;
  }

  #put({ stream, tile: { video } }) {
    const wasPaused = video.srcObject ? video.paused : this.#stillness.matches;
    video.srcObject = stream;
    if (!wasPaused) video.play().catch(() => {});
  }
}
