/**
 * Makes dist/bundle/: each program in one file, with what V8 made of it. That
 * starts in a fraction of the time that some hundred modules take.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import { dirname, join, relative } from 'node:path';
import { rolldown } from 'rolldown';
import { NODE, ROOT, Stop } from './steps.mjs';

const BUNDLE = join(ROOT, 'dist/bundle');

/** [program, its module, a command line that does without root what most others do, with a daemon at a socket]. */
const programsAt = (socket) => [
  ['flintlock', 'cli/main', ['--host', `unix://${socket}`, 'list']],
  ['flintlockd', 'daemon/main', ['run', '--insecure', '--config-check']],
];
/** The answer to a list: a microVM in state CREATED with the id "a". */
const ANSWER = Buffer.from([0, 0, 0, 0, 11, 0x0a, 9, 0x12, 3, 0x0a, 1, 0x61, 0x1a, 2, 0x08, 1]);

/** The daemon's own helper, which it starts for each image: it lies beside, and is found there. */
const UNPACKER = 'unpack.mjs';

/** As CommonJS is wrapped by Node; what stands before the program is on its first line, so that lines are counted right. */
const WRAPPED = ['(function (exports, require, module, __filename, __dirname) {', '\n})'];

/**
 * Runs a program with the compiled code that lies beside it. V8 takes that only from its own version and for a text of
 * this length: else it compiles the text. It is as trusted as the text, which has the same owner.
 */
const startOf = (name) => `'use strict';
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const filename = \`\${__dirname}/${name}.bundle.cjs\`;
const code = ${JSON.stringify(WRAPPED[0])} + readFileSync(filename, 'latin1') + ${JSON.stringify(WRAPPED[1])};
let cachedData;
try {
  cachedData = readFileSync(\`\${__dirname}/${name}.cache\`);
} catch {}
const script = new Script(code, { filename, cachedData });
script.runInThisContext()(exports, require, module, filename, __dirname);
module.exports.script = script;
`;

/** Whether something that it was made of is newer, as `bin/flintlock` judges it, or there is none. */
export function isBundleOld() {
  const made = statSync(join(BUNDLE, 'flintlock.cjs'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const src = join(ROOT, 'src');
  const below = readdirSync(src, { recursive: true }).map((name) => join(src, name));
  return [src, join(ROOT, 'package-lock.json'), ...below].some((path) => statSync(path).mtimeMs > made);
}

/**
 * @param from - from the checkout: its `src`, or the `dist` of a package
 * @param to - a directory, made anew
 */
export async function bundle(from, to = BUNDLE) {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  await bundleUnpacker(from, to);
  const socket = join(to, 'warm.sock');
  for (const [name, module, argv] of programsAt(socket)) {
    const input = join(ROOT, from, `${module}.${from === 'src' ? 'ts' : 'js'}`);
    const made = await rolldown({
      input,
      platform: 'node',
      plugins: [whenItIsUsed(), whereItWas(to, join(ROOT, from))],
    });
    const output = await made.generate({
      format: 'cjs',
      codeSplitting: false,
      minify: { compress: false, mangle: false },
    });
    await made.close();
    writeFileSync(join(to, `${name}.bundle.cjs`), ascii(output.output[0].code));
    writeFileSync(join(to, `${name}.cjs`), `${startOf(name)}module.exports.start();\n`);
    await warmUp(to, name, argv, socket);
  }
}

/** It is small, and waits at its top level for what it is to do: a module, without what V8 makes of it. */
async function bundleUnpacker(from, to) {
  const extension = from === 'src' ? 'ts' : 'js';
  const made = await rolldown({ input: join(ROOT, from, `unpack/main.${extension}`), platform: 'node' });
  await made.write({ file: join(to, UNPACKER), format: 'esm', codeSplitting: false });
  await made.close();
}

/** Read byte by byte it is half as long in memory, and needs no decoding. */
const ascii = (code) =>
  code.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Modules of Node that take long to load, each as long as all else that a verb does: by who needs them, not at the start. */
const SLOW = [
  'http',
  'http2',
  'https',
  'tls',
  'crypto',
  'zlib',
  'child_process',
  'fs/promises',
  'timers/promises',
  'os',
];

function whenItIsUsed() {
  const mark = '\0slow:';
  return {
    name: 'when-it-is-used',
    resolveId(source, importer) {
      const name = source.replace(/^node:/, '');
      if (!SLOW.includes(name)) return null;
      return importer?.startsWith(mark) ? { id: `node:${name}`, external: true } : `${mark}${name}`;
    },
    load: (id) => (id.startsWith(mark) ? `module.exports = require('node:${id.slice(mark.length)}');` : null),
  };
}

/** A module finds what lies beside it where it was, not where the bundle is. */
function whereItWas(to, from) {
  const at = (path) => `require('node:path').join(__dirname, ${JSON.stringify(relative(to, path))})`;
  return {
    name: 'where-it-was',
    load(id) {
      if (relative(from, id).replace(/\.[jt]s$/, '') !== 'unpack/where') return null;
      return `export const UNPACKER = require('node:path').join(__dirname, ${JSON.stringify(UNPACKER)});`;
    },
    transform(code, id) {
      if (!id.startsWith(from) || id.includes('/node_modules/') || !code.includes('import.meta')) return null;
      return code
        .replaceAll('import.meta.main', 'false')
        .replaceAll('import.meta.dirname', at(dirname(id)))
        .replaceAll('import.meta.filename', at(id))
        .replaceAll('import.meta.url', `require('node:url').pathToFileURL(${at(id)}).href`);
    },
  };
}

/** As `bin/NAME` starts Node: V8 takes nothing that was compiled under other flags. */
const flagsOf = (name) =>
  [...readFileSync(join(ROOT, 'bin', name), 'utf8').matchAll(/^buffers=(--\S+)$/gm)].map(([, flag]) => flag);

/** Functions that have run are compiled in what is kept. */
async function warmUp(to, name, argv, socket) {
  const start = `${startOf(name)}
process.argv = [process.execPath, ${JSON.stringify(name)}, ...${JSON.stringify(argv)}];
process.on('exit', () => require('node:fs').writeFileSync(\`\${__dirname}/${name}.cache\`, script.createCachedData()));
module.exports.start();`;
  const path = join(to, `${name}.warm.cjs`);
  writeFileSync(path, start);
  const daemon = createServer().on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(ANSWER);
  });
  await once(daemon.listen(socket), 'listening');
  try {
    const program = spawn(NODE, [...flagsOf(name), path], { stdio: ['ignore', 'ignore', 'inherit'], cwd: to });
    const [status] = await once(program, 'exit');
    if (status !== 0) throw new Stop(`${name} does not run as a bundle: status ${status}`);
  } finally {
    daemon.close();
    rmSync(path);
  }
}
