// The page in a real Chromium, with native members beside it. `node page/test.mjs --screenshot FILE` only takes its picture.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { hear, Mesh, tell } from './mesh.js';
import { browse, PATIENCE, until, World } from './world.mjs';

const MEMBERS = { ada: 'C', bo: 'C', cleo: 'C++', dan: 'Python' };
const PHONE = { width: 375, height: 740 };
const DESKTOP = { width: 1200, height: 720 };

let browser;
const rows = (page) =>
  page.locator('tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
const members = (page) => page.locator('[data-member]').evaluateAll((all) => all.map((one) => one.dataset.member).sort());
const log = (page) => page.locator('#chat li').allTextContents();
const status = (page) => page.locator('#status').innerText();
const banner = (page) => page.locator('#banner').innerText();

/** A page in a context of its own; what goes wrong in it is collected. */
async function open(url, viewport, colorScheme = 'light', more = {}) {
  const context = await browser.newContext({ viewport, colorScheme, ...more });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.wrong = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.wrong.push(message.text()));
  page.on('pageerror', (error) => page.wrong.push(String(error)));
  const { origin } = new URL(url);
  page.on('request', (request) => [origin, 'data:'].some((from) => request.url().startsWith(from)) || page.wrong.push(request.url()));
  await page.addInitScript(() =>
    document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective}`)),
  );
  await page.goto(url);
  return page;
}

/** Every pair of these has a link that is measured and, where others have it, told by both ends. */
async function meshed(page, names, patience = PATIENCE) {
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b].sort().join(' – '))).sort();
  const told = ([, trip]) => /^(< )?[\d.]+ ms$/.test(trip);
  await until(`mesh of ${names.join(', ')}`, async () => {
    const found = [await members(page), (await rows(page)).filter(told).map(([ends]) => ends).sort()];
    return JSON.stringify(found) === JSON.stringify([[...names].sort(), pairs]);
  }, patience).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify([await members(page), await rows(page), await banner(page)])}`);
  });
}

/** WCAG 2: of what is seen of the text upon what is seen behind it. */
const contrasts = (page, selectors) =>
  page.evaluate((selectors) => {
    const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (color) => {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = color;
      pen.fillRect(0, 0, 1, 1);
      return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) => {
      const shares = color.map((value) => value / 255);
      const [r, g, b] = shares.map((share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      const box = element.closest('.member')?.querySelector('rect');
      if (box) return rgba(getComputedStyle(box).fill);
      for (let at = element; at; at = at.parentElement) {
        const color = rgba(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return rgba('Canvas');
    };
    return selectors.map((selector) => {
      const [name, pseudo] = selector.split('::');
      const element = document.querySelector(name);
      if (!element) return [selector, 0];
      const style = getComputedStyle(element, pseudo && `::${pseudo}`);
      const [a, b] = [luminance(rgba(element instanceof SVGElement ? style.fill : style.color)), luminance(behind(element))];
      return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
  }, selectors);

const TEXTS = [
  ...['h1', '#room', '#status-words', 'h2', '#count', 'thead th', 'tbody th', 'tbody td', '.key'],
  ...['#chat li.news', '#chat li.mine', '#chat li.mine b', '#chat button', '#text', '#text::placeholder', '#problem'],
  ...['.edge-label', '.member .name', '.member .kind', '.member.me .name', '.member.me .kind'],
];

const narrow = (page) =>
  page.evaluate(() => [document.documentElement, document.body].every(({ scrollWidth }) => scrollWidth <= innerWidth));

const tiles = (page) => page.locator('.tile video').evaluateAll((all) => all.map((video) => video.ariaLabel));
const tile = (page, label) => page.locator('.tile', { has: page.locator(`video[aria-label="${label}"]`) });
const press = (page, name) => page.getByRole('button', { name, exact: true }).press('Enter');

/** How many frames of a tile were decoded, and a sum of what is on it. */
const looked = (page, label) =>
  tile(page, label).locator('video').evaluate((video) => {
    const pen = new OffscreenCanvas(32, 18).getContext('2d');
    pen.drawImage(video, 0, 0, 32, 18);
    const sum = pen.getImageData(0, 0, 32, 18).data.reduce((sum, value, at) => (sum * 31 + value * at) % 1e9, 0);
    return { frames: video.getVideoPlaybackQuality().totalVideoFrames, sum, width: video.videoWidth, paused: video.paused };
  });

/** A tile is there, and the picture on it moves. */
async function seen(page, label) {
  await until(`tile of ${label}`, async () => (await tiles(page)).includes(label));
  const pictures = new Set();
  let first;
  await until(`${label} to move`, async () => {
    const { frames, sum } = await looked(page, label);
    first ??= frames;
    pictures.add(sum);
    return frames >= first + 20 && pictures.size >= 5;
  }).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await looked(page, label))}`);
  });
}

/** All but what the original says when the other end's offer came before its own was set: it makes another one then. */
const ofOurs = (line) => !/Called in wrong state: have-remote-offer/.test(line);

async function room() {
  const world = new World();
  await world.serve();
  fill(world);
  return world;
}

function fill(world) {
  world.members = Object.fromEntries(Object.entries(MEMBERS).map(([name, language]) => [name, world.native(name, language)]));
}

async function screenshot(path) {
  const world = new World();
  try {
    await world.serve();
    const page = await open(world.url('grace'), DESKTOP);
    await until('page', () => page.locator('#alone').isVisible());
    fill(world);
    world.sender('eve');
    await meshed(page, ['grace', 'eve', ...Object.keys(MEMBERS)]);
    await press(page, 'Share a picture');
    for (const label of ['eve, clip', 'You, picture']) await seen(page, label);
    // The first round trips are those of processes that are starting.
    const slow = ([, trip]) => parseFloat(trip.replace('< ', '')) > 5;
    await until('quiet', async () => !(await rows(page)).some(slow), 2 * PATIENCE);
    for (const text of ['Good morning, all of you', 'Who is on the train?']) {
      await page.fill('#text', text);
      await page.keyboard.press('Enter');
    }
    await world.members.dan.heard(/Who is on the train/);
    world.members.cleo.say('I am. The link holds.');
    await until('answer', async () => (await log(page)).some((line) => line.includes('The link holds')));
    await page.evaluate(() => document.activeElement.blur());
    // Between two words of everybody, when the dots are on their way.
    await until('dots', () => page.evaluate(() => document.querySelectorAll('circle.message').length >= 6));
    await page.screenshot({ path });
  } finally {
    await world.close();
  }
}

const wanted = process.argv.indexOf('--screenshot');
if (wanted > 0) {
  browser = await browse();
  await screenshot(process.argv[wanted + 1]).finally(() => browser.close());
} else {
  before(async () => (browser = await browse()));
  after(() => browser.close());

  for (const [device, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    for (const scheme of ['light', 'dark']) {
      test(`${device}, ${scheme}: the mesh is seen, by eye and by text, and talked in by keyboard`, async (t) => {
        const world = await room();
        t.after(() => world.close());
        const page = await open(world.url('grace'), viewport, scheme);
        await meshed(page, ['grace', ...Object.keys(MEMBERS)]);
        assert.equal(await status(page), 'Connected as grace');
        assert.equal(await page.locator('#count').innerText(), '10 between 5 members');
        assert.ok(!page.url().includes('token'), 'the token is not left in the address');
        for (const [name, language] of Object.entries(MEMBERS)) {
          await world.members[name].heard(/open grace/);
          assert.equal(await page.locator(`[data-member="${name}"] .kind`).textContent(), language);
        }
        await until('links told by both ends', async () => (await page.locator('.edge:not(.one-sided)').count()) === 10);

        // By keyboard alone, from the top of the page.
        await page.evaluate(() => document.activeElement.blur());
        const reached = async () => page.evaluate(() => document.activeElement.id);
        for (let presses = 0; (await reached()) !== 'text'; presses++) {
          assert.ok(presses < 6, 'Tab comes to the chat line');
          await page.keyboard.press('Tab');
          const outline = await page.evaluate(() => {
            const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            return outlineStyle === 'none' ? 0 : parseFloat(outlineWidth);
          });
          assert.ok(outline >= 2, `the focus is seen on ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 80))}`);
        }
        await page.keyboard.type('good morning');
        await page.keyboard.press('Enter');
        for (const member of Object.values(world.members)) await member.heard(/text from grace: good morning$/);
        world.members.bo.say('and to you <b>');
        await until('answer', async () => (await log(page)).includes('boand to you <b>'));
        await page.keyboard.type('@fast/{"type":"close"}');
        await page.keyboard.press('Enter');
        assert.match(await page.locator('#problem').innerText(), /@fast/);

        assert.ok(await narrow(page), 'it is no wider than the screen');
        for (const [selector, contrast] of await contrasts(page, TEXTS)) {
          assert.ok(contrast >= 4.5, `${selector} has a contrast of ${contrast.toFixed(2)}`);
        }

        world.members.bo.say('leave');
        await meshed(page, ['grace', 'ada', 'cleo', 'dan']);
        assert.ok((await log(page)).includes('bo left'));
        assert.deepEqual(page.wrong, []);
        await page.context().close();
        for (const name of ['ada', 'cleo', 'dan']) await world.members[name].heard(/closed grace/);
      });
    }
  }

  test('the address that the demo prints opens the page beside its members', async (t) => {
    const world = new World();
    t.after(() => world.close());
    const demo = world.demo();
    const url = (await demo.heard(/^ +http:.*token=/)).trim();
    const page = await open(url, DESKTOP);
    // Swift's and Kotlin's are there where they are built.
    const further = Object.entries({ fay: 'chat-swift', gus: 'chat-kotlin' });
    const built = further.filter(([, program]) => existsSync(new URL(`../build/${program}`, import.meta.url)));
    await meshed(page, ['ada', 'cleo', 'dan', 'eve', 'guest', ...built.map(([name]) => name)].sort());
    await demo.heard(/open guest/);
    await seen(page, 'eve, clip');
    assert.deepEqual(page.wrong, []);
    await demo.kill('SIGINT');
    assert.equal(demo.child.exitCode, 0, demo.lines.join('\n'));
    await until('word of its end', async () => /server is away/.test(await banner(page)));
  });

  test('who comes, goes, or falls silent is seen, whatever its name', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const page = await open(world.url('grace'), PHONE);
    await until('nobody', () => page.locator('#alone').isVisible());
    assert.ok(await narrow(page));
    world.native('ada', 'C');
    await meshed(page, ['ada', 'grace']);
    assert.ok(await page.locator('#alone').isHidden());
    world.native('bo', 'Python', '--expect', '2');
    await meshed(page, ['ada', 'bo', 'grace']);
    // A name as long as they may be, which says it is HTML.
    const name = `<img src=x onerror=alert(1)>${'m'.repeat(200)}`;
    const vandal = world.native(name, 'C++');
    await until('the long name', async () => (await members(page)).includes(name));
    await until('its links', async () => (await rows(page)).length === 6);
    assert.ok(await narrow(page), 'a long name makes it no wider');
    assert.equal(await page.locator('img').count(), 0);
    // Killed, it says no word: our link to it does not answer, those of the others are told by one end, and then it is gone.
    await vandal.kill();
    await until('silence', async () => (await page.locator('.edge.silent').count()) === 1);
    await until('one side', async () => (await page.locator('.edge.one-sided').count()) === 2);
    await until('notes', async () => {
      const notes = await page.locator('.note').allTextContents();
      return notes.filter((note) => /told by one end/.test(note)).length === 2;
    });
    // Its link fails after half a minute, and for one more it might have come back as the same.
    await meshed(page, ['ada', 'bo', 'grace'], 4 * PATIENCE);
    assert.deepEqual(page.wrong, []);
  });

  test('a server that goes away is said, and so is its return; who is connected stays so', async (t) => {
    const world = await room();
    t.after(() => world.close());
    const page = await open(world.url('grace'), PHONE);
    const everybody = ['grace', ...Object.keys(MEMBERS)];
    await meshed(page, everybody);
    assert.deepEqual(page.wrong, []);
    await world.server.kill();
    await until('word of it', async () => /server is away/.test(await banner(page)));
    assert.equal(await status(page), 'Server away');
    for (const [selector, contrast] of await contrasts(page, ['#banner strong', '#banner-words', '#banner-button'])) {
      assert.ok(contrast >= 4.5, `${selector} has a contrast of ${contrast.toFixed(2)}`);
    }
    assert.ok(await narrow(page));
    await page.fill('#text', 'are you there?');
    await page.keyboard.press('Enter');
    for (const member of Object.values(world.members)) await member.heard(/text from grace: are you there/);
    await meshed(page, everybody);

    await world.serve();
    await until('word of its return', async () => /server is back/.test(await banner(page)));
    assert.equal(await status(page), 'Connected as grace');
    await until('the end of that word', () => page.locator('#banner').isHidden());
    // The newcomer meets everybody, the page too; nobody else was connected anew.
    world.native('eve', 'C', '--expect', '5');
    await meshed(page, [...everybody, 'eve']);
    assert.deepEqual((await log(page)).filter((line) => line.endsWith(' left')), []);
    for (const member of Object.values(world.members)) {
      assert.equal(member.lines.filter((line) => line.includes('open grace')).length, 1, member.lines.join('\n'));
    }
    // The browser itself complains of a server that it does not reach, and nothing else is wrong.
    assert.deepEqual(page.wrong.filter((line) => !/ERR_CONNECTION|WebSocket connection to/.test(line)), []);

    // One with another secret does not take our token.
    await world.server.kill('SIGTERM');
    world.changeSecret();
    await world.serve();
    await until('refusal', async () => /lets us in no more/.test(await banner(page)));
    assert.equal(await status(page), 'Not connected');
  });

  test('a second tab of the same member takes its place, and the first says so and can take it back', async (t) => {
    const world = await room();
    t.after(() => world.close());
    const everybody = ['grace', ...Object.keys(MEMBERS)];
    const [url, first] = [world.url('grace'), await open(world.url('grace'), DESKTOP)];
    await meshed(first, everybody);
    const second = await open(url, DESKTOP);
    await meshed(second, everybody);
    await until('word of it', async () => /Opened elsewhere/.test(await banner(first)));
    assert.deepEqual(await members(first), ['grace']);
    await first.getByRole('button', { name: 'Take it back here' }).press('Enter');
    await meshed(first, everybody);
    await until('word of it there', async () => /Opened elsewhere/.test(await banner(second)));
    assert.deepEqual([first.wrong, second.wrong], [[], []]);
  });

  test('it opens with a token only, takes one by hand, and lives through a reload', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    world.native('ada', 'C', '--stay');
    const page = await open(world.address.href, PHONE);
    assert.equal(page.wrong.splice(0).length, 1, 'Chromium says that there was a 401');
    assert.ok(await narrow(page));
    await page.getByLabel('Token').fill('nonsense');
    await page.keyboard.press('Enter');
    await until('why not', async () => /token/i.test(await page.locator('main p').innerText()));
    page.wrong.length = 0;
    await page.getByLabel('Token').fill(world.token('grace'));
    await page.keyboard.press('Enter');
    await meshed(page, ['ada', 'grace']);
    await page.reload();
    await meshed(page, ['ada', 'grace']);
    assert.equal(page.wrong.filter((line) => !/401/.test(line)).length, 0, page.wrong.join('\n'));
    assert.ok(!page.url().includes('token'));
  });

  test('a token that runs out is said', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const page = await open(world.url('grace', '--ttl', '1s'), PHONE);
    await until('end of the token', async () => /The token is over/.test(await banner(page)));
    assert.deepEqual(page.wrong, []);
  });

  test('what others tell is bounded, and what makes no sense is left out', () => {
    const senseless = ['bo\tsoon\tdirect\t1\t1', '\t1\tdirect\t1\t1', `${'m'.repeat(257)}\t1\tdirect\t1\t1`, 'cleo', ''];
    const lines = ['ada\t310\tdirect\t10\t20', ...senseless];
    const word = hear(['links\tC', ...lines].join('\n'));
    assert.deepEqual([word.kind, [...word.links.keys()]], ['C', ['ada']]);
    for (const other of ['links', 'hello', '', new ArrayBuffer(8)]) assert.equal(hear(other), null);
    const mesh = new Mesh('me', 'browser');
    for (let i = 0; i < 100; i++) {
      mesh.add(`peer ${i}`);
      const many = Array.from({ length: 5000 }, (_, j) => `${i} ${j}\t1\tdirect\t1\t1`);
      mesh.take(`peer ${i}`, hear(['links\tC', ...many].join('\n')));
    }
    const { members, links } = mesh.view();
    assert.ok(members.length <= 128 && links.length <= 1024, `${members.length} members, ${links.length} links`);
    const link = { to: 'ada', us: -1, way: 'relayed', sent: 1, received: 2 };
    assert.deepEqual(hear(tell('C', new Map([['ada', link]]))), { kind: 'C', links: new Map([['ada', link]]) });
  });

  for (const [device, viewport, scheme] of [['phone', PHONE, 'light'], ['desktop', DESKTOP, 'dark']]) {
    test(`${device}, ${scheme}: what a native member gives is seen and heard, until it goes`, async (t) => {
      const world = new World();
      t.after(() => world.close());
      await world.serve();
      world.native('ada', 'C');
      const page = await open(world.url('grace'), viewport, scheme);
      await meshed(page, ['ada', 'grace']);
      assert.deepEqual(await tiles(page), []);
      const eve = world.sender('eve');
      await seen(page, 'eve, clip');
      assert.equal((await looked(page, 'eve, clip')).width, 320);
      assert.equal(await tile(page, 'eve, clip').locator('.caption').innerText(), 'eve\nclip');
      assert.equal(await page.locator('#stream-count').innerText(), '1');
      assert.ok(await narrow(page), 'it is no wider than the screen');
      const texts = ['#streams h2', '#stream-count', '.tile b', '.tile .muted', '.tile button', '#share-picture'];
      for (const [selector, contrast] of await contrasts(page, texts)) {
        assert.ok(contrast >= 4.5, `${selector} has a contrast of ${contrast.toFixed(2)}`);
      }

      // Sound when it is wanted, by keyboard.
      const video = tile(page, 'eve, clip').locator('video');
      const loudness = () =>
        video.evaluate(async ({ srcObject }) => {
          const context = new AudioContext();
          const analyser = new AnalyserNode(context);
          context.createMediaStreamSource(srcObject).connect(analyser);
          await new Promise((done) => setTimeout(done, 300));
          const samples = new Float32Array(analyser.fftSize);
          analyser.getFloatTimeDomainData(samples);
          await context.close();
          return Math.max(...samples);
        });
      assert.ok(await video.evaluate((video) => video.muted), 'silent before');
      await press(page, 'Hear eve, clip');
      assert.ok(await video.evaluate((video) => !video.muted && !video.paused));
      await until('sound', async () => (await loudness()) > 0.01);
      await press(page, 'Mute eve, clip');
      assert.ok(await video.evaluate((video) => video.muted));
      await press(page, 'Pause eve, clip');
      assert.ok(await video.evaluate((video) => video.paused));
      await press(page, 'Play eve, clip');
      await seen(page, 'eve, clip');

      await eve.kill('SIGTERM');
      await until('its end', async () => (await tiles(page)).length === 0);
      await meshed(page, ['ada', 'grace']);
      assert.equal(await page.locator('#stream-count').innerText(), '');
      assert.deepEqual(page.wrong, []);
    });
  }

  test('of more pictures than eight, eight are shown, the others counted, and they move up', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const page = await open(world.url('grace'), PHONE);
    await until('nobody', () => page.locator('#alone').isVisible());
    const senders = Array.from({ length: 10 }, (_, at) => world.sender(`eve ${at}`, false));
    await until('word of them', async () => (await page.locator('#stream-count').innerText()) === '8 and 2 more that are not shown');
    const shown = await tiles(page);
    assert.equal(shown.length, 8);
    for (const label of shown) await seen(page, label);
    assert.ok(await narrow(page));
    const [first] = shown;
    await senders[first.match(/\d/)[0]].kill('SIGTERM');
    await until('another', async () => (await page.locator('#stream-count').innerText()) === '8 and 1 more that are not shown');
    const after = await tiles(page);
    assert.ok(after.length === 8 && !after.includes(first), after.join('\n'));
    await seen(page, after[7]);
    assert.deepEqual(page.wrong, []);
  });

  test('of those that are told of, the first eight that carry something are shown, in whatever order', async (t) => {
    const page = await (await browser.newContext()).newPage();
    t.after(() => page.context().close());
    await page.setContent('<ul id="list"></ul><p id="count"></p>');
    await page.addScriptTag({ type: 'module', content: `${readFileSync(new URL('tiles.js', import.meta.url), 'utf8')}; globalThis.Tiles = Tiles;` });
    await page.waitForFunction(() => globalThis.Tiles);
    const { words, labels } = await page.evaluate(() => {
      const [list, count] = ['list', 'count'].map((id) => document.getElementById(id));
      const tiles = new Tiles(list, count);
      const tracks = Array.from({ length: 10 }, () => ({ kind: 'video', readyState: 'live', muted: true }));
      tracks.forEach((track, at) => {
        const stream = Object.assign(new MediaStream(), { getTracks: () => [track] });
        tiles.add({ from: `eve ${at}`, name: 'clip', stream });
      });
      const words = [];
      for (const at of [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]) {
        tracks[at].muted = false;
        tracks[at].onunmute();
        words.push(count.textContent);
      }
      tracks[9].readyState = 'ended';
      tracks[9].onended();
      words.push(count.textContent);
      return { words, labels: [...list.querySelectorAll('video')].map((video) => video.getAttribute('aria-label')).sort() };
    });
    const some = [1, 2, 3, 4, 5, 6, 7, 8].map(String);
    assert.deepEqual(words, [...some, '8 and 1 more that are not shown', '8 and 2 more that are not shown', '8 and 1 more that are not shown']);
    assert.deepEqual(labels, [0, 2, 3, 4, 5, 6, 7, 8].map((at) => `eve ${at}, clip`), 'what is shown stays, and the first that waits moves up');
  });

  test('a tab gives a picture, which native members and tabs get, and takes it back', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const early = world.recorder('rob');
    const page = await open(world.url('grace'), DESKTOP);
    await early.heard(/open grace/);
    await press(page, 'Share a picture');
    await seen(page, 'You, picture');
    await early.heard(/recording picture of grace/);
    // By the offer that waited since before there was a picture.
    const late = world.recorder('roy');
    await late.heard(/recording picture of grace/);
    const tab = await open(world.url('heidi'), PHONE);
    await seen(tab, 'grace, picture');
    assert.equal(await tile(tab, 'grace, picture').getByRole('button', { name: /Hear/ }).count(), 0, 'it has no sound');

    // From the one that joined later: by the original alone it would never come.
    await tab.context().grantPermissions(['camera', 'microphone']);
    await press(tab, 'Share camera');
    await seen(page, 'heidi, camera');
    await until('its sound', () => tile(page, 'heidi, camera').getByRole('button', { name: /Hear/ }).isVisible());

    await press(page, 'Stop the picture');
    assert.deepEqual(await tiles(page), ['heidi, camera']);
    await until('word of it', async () => (await tile(tab, 'grace, picture').locator('.note').innerText()) === 'Picture muted');
    for (const [selector, contrast] of await contrasts(tab, ['.tile .note'])) {
      assert.ok(contrast >= 4.5, `${selector} has a contrast of ${contrast.toFixed(2)}`);
    }
    await press(page, 'Share a picture');
    await until('the end of it', async () => (await tile(tab, 'grace, picture').locator('.note').innerText()) === '');
    await seen(tab, 'grace, picture');
    await page.context().close();
    await until('its end', async () => (await tiles(tab)).join() === 'You, camera');
    for (const recorder of [early, late]) {
      await recorder.kill('SIGINT');
      const frames = recorder.lines.map((line) => line.match(/wrote \S*grace-picture\S*: (\d+) frames/)?.[1]).filter(Boolean);
      assert.ok(frames.length > 0 && frames.every((count) => count > 20), recorder.lines.join('\n'));
    }
    assert.deepEqual([...page.wrong, ...tab.wrong].filter(ofOurs), []);
  });

  test('a camera is asked for, and given with its sound', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const recorder = world.recorder('rob');
    const page = await open(world.url('grace'), PHONE);
    await recorder.heard(/open grace/);
    await press(page, 'Share camera');
    await until('a no', async () => (await page.locator('#share-problem').innerText()) === 'The camera is not allowed.');
    await page.context().grantPermissions(['camera', 'microphone']);
    await press(page, 'Share camera');
    await seen(page, 'You, camera');
    for (const track of ['camera', 'microphone']) await recorder.heard(new RegExp(`recording ${track} of grace`));
    assert.equal(await page.locator('#share-problem').innerText(), '');
    assert.ok(await narrow(page));
    await press(page, 'Stop the camera');
    assert.deepEqual(await tiles(page), []);
    assert.deepEqual(page.wrong.filter(ofOurs), []);
    await world.server.kill();
    await until('word of it', async () => /server is away/.test(await banner(page)));
    await press(page, 'Share a picture');
    assert.equal(await page.locator('#share-problem').innerText(), 'Not while the server is away.');
  });

  test('who wants no motion gets none', async (t) => {
    const world = new World();
    t.after(() => world.close());
    await world.serve();
    const page = await open(world.url('grace'), DESKTOP, 'dark', { reducedMotion: 'reduce' });
    await page.evaluate(() => {
      window.dots = 0;
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) window.dots += [...addedNodes].filter((node) => node.nodeName === 'circle').length;
      }).observe(document.querySelector('svg'), { childList: true, subtree: true });
    });
    world.native('ada', 'C');
    await meshed(page, ['ada', 'grace']);
    assert.equal(await page.evaluate(() => window.dots), 0);
    world.sender('eve');
    await until('tile', async () => (await tiles(page)).includes('eve, clip'));
    await new Promise((done) => setTimeout(done, 1000));
    assert.ok((await looked(page, 'eve, clip')).paused);
    await press(page, 'Play eve, clip');
    await seen(page, 'eve, clip');
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await until('dots', () => page.evaluate(() => window.dots > 0));
  });
}
