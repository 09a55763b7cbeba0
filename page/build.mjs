// Makes one file of the page, build/mesh.html: the server that is given it has nothing else to serve.
import { build } from 'esbuild';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? `${here}/../build/mesh.html`);

async function bundle(entry) {
  const options = { bundle: true, minify: true, write: false, format: 'esm', target: 'es2022', charset: 'utf8' };
  const { outputFiles } = await build({ entryPoints: [`${here}/${entry}`], absWorkingDir: here, ...options });
  return outputFiles[0].text.trim();
}

let html = await readFile(`${here}/index.html`, 'utf8');
// By functions: what is put in may have a dollar sign in it. The server puts in the nonce.
const [style, script] = [await bundle('style.css'), await bundle('main.js')];
for (const [mark, made] of [
  ['<link rel="stylesheet" href="style.css">', `<style nonce="{{nonce}}">${style}</style>`],
  ['<script type="module" src="main.js"></script>', `<script type="module" nonce="{{nonce}}">${script}</script>`],
]) {
  if (!html.includes(mark)) throw new Error(`index.html has no ${mark}`);
  html = html.replace(mark, () => made);
}
await mkdir(dirname(target), { recursive: true });
await writeFile(target, html);
