import { execFileSync, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { asUser } from './argv.ts';
import { JAIL_STARTER } from './jail-perl.ts';
import { OPEN_STARTER, readyWords } from './ready-perl.ts';

const USER = 77_006;
const RIGHTS = /^(?:Uid|Gid|Groups|NoNewPrivs|Cap\w+):.*$/gm;
const rightsOf = (argv: readonly [string, ...string[]]): string[] =>
  execFileSync(argv[0], argv.slice(1), { encoding: 'utf8' }).match(RIGHTS) ?? [];

/** Directories and files of a microVM; gone at the end of the test. */
function makeBed() {
  const directory = mkdtempSync(join(tmpdir(), 'fl-ready-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [runDirectory, stateDirectory] = [join(directory, 'run'), join(directory, 'state')];
  for (const path of [runDirectory, stateDirectory]) mkdirSync(path, { mode: 0o700 });
  const golden = join(directory, 'golden');
  const disks = [join(stateDirectory, 'disk0'), join(stateDirectory, 'gone'), golden].map((path) => ({
    ...({ id: path, path, format: 'raw', readOnly: path === golden, isRoot: false } as const),
  }));
  for (const path of [join(stateDirectory, 'firecracker.log'), join(stateDirectory, 'disk0'), golden])
    writeFileSync(path, '');
  const config = { ...{ user: USER, nics: [], runDirectory, stateDirectory, disks } };
  return { ...config, directory, golden, words: readyWords(config) };
}

test('what it becomes has the rights that setpriv would have left it', () => {
  const { words } = makeBed();
  const status = ['cat', '/proc/self/status'] as const;
  const open = rightsOf(['perl', '-e', OPEN_STARTER, '--', ...words, '7', '--', ...status]);
  expect(open).toEqual(rightsOf([...asUser(USER, [7]), ...status]));
  expect(open).toContain('NoNewPrivs:\t1');

  const bed = makeBed();
  const kept = '+chown,+dac_override,+fowner,+mknod,+setgid,+setuid,+sys_admin,+sys_chroot,+sys_resource';
  const jailed = rightsOf([
    ...(['perl', '-e', JAIL_STARTER, '--', ...bed.words, bed.runDirectory, 'jail', '4096', '--'] as const),
    ...status,
  ]);
  const least = ['--no-new-privs', `--bounding-set=-all,${kept}`, '--inh-caps=-all', '--ambient-caps=-all'] as const;
  expect(jailed).toEqual(rightsOf(['setpriv', ...least, ...status]));
});

test('pipes are made, and what is the microVM’s own becomes its user’s: no other file, and none behind a link', () => {
  const { words, runDirectory, stateDirectory, golden, directory } = makeBed();
  const secret = join(directory, 'secret');
  writeFileSync(secret, '');
  symlinkSync(secret, join(stateDirectory, 'gone'));
  // What is typed comes on its standard input, to which itself may write.
  const typed = 'echo typed > console.in && read -r word && echo "$word" && id -u';
  const started = spawnSync('perl', ['-e', OPEN_STARTER, '--', ...words, '--', 'sh', '-c', typed], {
    ...{ cwd: runDirectory, encoding: 'utf8' },
  });
  const owner = (path: string): number => lstatSync(path).uid;
  expect(started).toMatchObject({ status: 2, stdout: '' }); // it is not its user's to open
  expect(lstatSync(join(runDirectory, 'console.in')).isFIFO()).toBe(true);
  expect([join(runDirectory, 'console.in'), golden, secret].map(owner)).toEqual([0, 0, 0]);
  const own = [
    join(runDirectory, 'metrics'),
    runDirectory,
    join(stateDirectory, 'disk0'),
    join(stateDirectory, 'gone'),
  ];
  expect(own.map(owner)).toEqual(own.map(() => USER));
});

test('what it cannot do it says, and becomes nothing', () => {
  const { words, runDirectory } = makeBed();
  const start = (argv: readonly string[]) =>
    spawnSync('perl', ['-e', OPEN_STARTER, '--', ...argv], { encoding: 'utf8' });
  expect(start([...words, '--', '/no/firecracker'])).toMatchObject({
    ...{
      status: 125,
      stderr: 'flintlock: before Firecracker, cannot run /no/firecracker: No such file or directory\n',
    },
  });
  expect(start([...words, '--', 'true'])).toMatchObject({
    status: 125,
    stderr: `flintlock: before Firecracker, cannot make the FIFO ${runDirectory}/console.in: File exists\n`,
  });
});
