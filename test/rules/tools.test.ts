import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TOOLS } from '../../src/tools/list.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Rooms that run the host's programs for microVMs. */
const ROOMS = ['images', 'volumes', 'metadata', 'network', 'host'];
/** What each host has, or what is a comfort. */
const OTHERS = ['sh', 'setpriv', 'mknod', 'tee', 'stat', 'modprobe', 'unshare', 'nsenter', 'iptables-legacy-save'];
/** Of tools that are several programs. */
const PARTS: Readonly<Record<string, string>> = {
  truncate: 'cp',
  readlink: 'cp',
  cat: 'cp',
  debugfs: 'mke2fs',
  prlimit: 'setpriv',
};

const sources = ROOMS.flatMap((room) =>
  readdirSync(join(ROOT, 'src', room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => ({ path: `src/${room}/${name}`, text: readFileSync(join(ROOT, 'src', room, name), 'utf8') })),
);
const trials = readdirSync(join(ROOT, 'src/tools'))
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(ROOT, 'src/tools', name), 'utf8'))
  .join('\n');

/** Arrays that are a command line: they begin with a program's name, as one that is run or one that is a tuple. */
const COMMAND = /(?:run\(\s*|argv = |show = |return )\[\s*'([a-z][\w.-]*)'((?:[^[\]]|\[[^\]]*\])*)\]/g;

const commands = sources.flatMap(({ path, text }) =>
  [...text.matchAll(COMMAND)].map(([, program = '', rest = '']) => ({ path, program, rest })),
);

test('each program that is run has a trial', () => {
  const known = new Set([...TOOLS.map(({ program }) => program), ...OTHERS, ...Object.keys(PARTS)]);
  expect(commands.length).toBeGreaterThan(20);
  expect(
    commands.filter(({ program }) => !known.has(program)).map(({ path, program }) => `${path}: ${program}`),
  ).toEqual([]);
});

test('each flag that is used is tried', () => {
  const untried = commands.flatMap(({ path, program, rest }) =>
    OTHERS.includes(program)
      ? []
      : [...rest.matchAll(/['`](--?[a-zA-Z0-9][\w-]*)/g)]
          .map(([, flag = '']) => flag)
          .filter((flag) => !trials.includes(`'${flag}`) && !trials.includes(`\`${flag}`))
          .map((flag) => `${path}: ${program} ${flag} is in no trial of src/tools`),
  );
  expect(untried).toEqual([]);
});
