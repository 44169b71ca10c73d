/**
 * Makes src/gen from proto/, and from the protos that other packages publish (buf.gen.yaml).
 *
 *   node scripts/generate.mjs            writes src/gen
 *   node scripts/generate.mjs --check    changes nothing; fails when src/gen is stale, a proto has a fault of
 *                                        style, or the wire would break against proto/image.binpb
 *   node scripts/generate.mjs --accept   stores the protos as the new image, if they break nothing
 *
 * Plain JavaScript: it runs on the system's Node (20 or later), before anything is set up.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { headOf, MORE_PATIENCE, PATIENCE } from './steps.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');
const LIMIT_MS = 120_000 * PATIENCE;
const image = join('proto', 'image.binpb');
const generated = join('src', 'gen');

/** Runs buf in the repository. Its plugin, protoc-gen-es, is found beside it. */
function buf(...args) {
  const { status, error } = spawnSync(join(bin, 'buf'), args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` },
    timeout: LIMIT_MS,
  });
  if (error?.code === 'ETIMEDOUT') console.error(`buf did not end in ${LIMIT_MS / 1_000} s; ${MORE_PATIENCE}`);
  else if (error) console.error(`Cannot run ${join(bin, 'buf')}: ${error.message}. Is "npm ci" done?`);
  return status === 0;
}

/** Every file below a directory: path → content. */
function filesBelow(directory) {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      return [relative(directory, path), readFileSync(path, 'utf8')];
    }),
  );
}

/** Says which files of src/gen are not what the protos make. */
function isFresh() {
  const scratch = mkdtempSync(join(tmpdir(), 'flintlock-gen-'));
  try {
    if (!buf('generate', '-o', scratch)) return false;
    const wanted = filesBelow(join(scratch, generated));
    const found = filesBelow(join(root, generated));
    const stale = [...new Set([...wanted.keys(), ...found.keys()])].filter(
      (path) => wanted.get(path) !== found.get(path),
    );
    for (const path of stale.sort())
      console.error(`${join(generated, path)} is not what the protos make: run "npm run generate"`);
    return stale.length === 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

// buf ends by the same signal, or by itself; what it was for is taken away before we follow it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const { values } = parseArgs({
  options: { check: { type: 'boolean' }, accept: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  process.stdout.write(headOf(import.meta.filename));
  process.exit();
}
const breaksNothing = () => buf('breaking', '--against', image);
let ok;
if (values.check) ok = [buf('lint'), breaksNothing(), isFresh()].every(Boolean);
else if (values.accept) ok = buf('lint') && breaksNothing() && buf('build', '-o', image);
else ok = buf('generate');
process.exitCode = ok ? 0 : 1;
