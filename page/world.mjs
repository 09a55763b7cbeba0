// What the page's test is about: a server, native members, and Chromium, each a process.
import { spawn, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
export const PATIENCE = 30_000;
const SERVER = join(root, 'target/release/rtcswarm-server');
const LIBRARY = join(root, 'target/release', process.platform === 'darwin' ? 'librtcswarm.dylib' : 'librtcswarm.so');
const PYTHON = process.env.PYTHON ?? 'python3';
const PROGRAMS = {
  C: [join(root, 'build/chat-c')],
  'C++': [join(root, 'build/chat-cpp')],
  Python: [PYTHON, join(root, 'examples/chat.py')],
};
const [VIDEO, AUDIO] = ['ivf', 'ogg'].map((kind) => join(root, `examples/clip.${kind}`));

/** Null from a page that is just being loaded anew: there is nothing to ask, and a look may fall into it at any await. */
const unlessReloading = (error) => {
  if (/context was destroyed/.test(error.message)) return null;
  throw error;
};

/** Waits until `look` gives something, with a deadline. */
export async function until(what, look, patience = PATIENCE) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const found = await Promise.resolve(look()).catch(unlessReloading);
    if (found) return found;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`no ${what} within ${patience / 1000} s`);
}

class Process {
  lines = [];

  constructor(command, args) {
    const python = { PYTHONPATH: join(root, 'bindings/python'), PYTHONDONTWRITEBYTECODE: '1' };
    const env = { ...process.env, ...python, RTCSWARM_LIBRARY: LIBRARY };
    this.child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    this.ended = new Promise((done) => this.child.once('exit', (code, signal) => done(signal ?? code)));
  }

  heard(pattern) {
    const what = `line ${pattern} of ${this.child.spawnargs[0]}`;
    return until(what, () => this.lines.find((line) => pattern.test(line))).catch((error) => {
      throw new Error(`${error.message} among:\n${this.lines.join('\n')}`);
    });
  }

  say(line) {
    this.child.stdin.write(`${line}\n`);
  }

  async kill(signal = 'SIGKILL') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.ended;
  }
}

export class World {
  #folder = mkdtempSync(join(tmpdir(), 'rtcswarm-page-'));
  #secret = join(this.#folder, 'secret');
  #processes = [];

  constructor() {
    this.changeSecret();
  }

  changeSecret() {
    writeFileSync(this.#secret, randomBytes(32).toString('hex'), { mode: 0o600 });
  }

  start(command, args) {
    const process = new Process(command, args);
    this.#processes.push(process);
    return process;
  }

  /** On the port that it had before, if it had one. */
  async serve() {
    const page = ['--page', join(root, 'build/mesh.html')];
    const listen = this.address ? this.address.host : '127.0.0.1:0';
    this.server = this.start(SERVER, ['--listen', listen, '--jwt-secret-file', this.#secret, '--log', 'warn', ...page]);
    const line = await this.server.heard(/listening on ws:/);
    this.address = new URL(line.match(/ws:\S+/)[0].replace('ws', 'http'));
  }

  demo() {
    return this.start(PYTHON, [join(root, 'scripts/demo.py'), '--hold']);
  }

  token(user, ...more) {
    const args = ['token', '--secret-file', this.#secret, '--user', user, '--room', 'demo', ...more];
    return execFileSync(SERVER, args, { encoding: 'utf8' }).trim();
  }

  url(user, ...more) {
    return `${this.address}?token=${this.token(user, ...more)}`;
  }

  native(user, language, ...more) {
    const [command, ...script] = PROGRAMS[language];
    return this.start(command, [...script, ...this.#join(user), '--tell-links', '--expect', '1', '--timeout', '60', ...more]);
  }

  /** Gives a stream named clip, with sound or without. */
  sender(user, sound = true) {
    const files = ['--video', VIDEO, ...(sound ? ['--audio', AUDIO] : [])];
    return this.start(join(root, 'build/media-send'), [...this.#join(user), ...files, '--stream', 'clip', '--loop', '--tell-links']);
  }

  /** Writes what it gets into files. */
  recorder(user) {
    return this.start(join(root, 'build/media-record'), [...this.#join(user), '--out', join(this.#folder, 'recorded')]);
  }

  #join(user) {
    const url = this.address.href.replace('http', 'ws');
    return ['--url', url, '--token', this.token(user), '--room', 'demo', '--user', user];
  }

  async close() {
    await Promise.all(this.#processes.map((process) => process.kill()));
    rmSync(this.#folder, { recursive: true });
  }
}

export function browse() {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
  const more = ['--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream'];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...args, ...more] });
}
