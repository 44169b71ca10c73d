import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { writeInitrd } from './initrd.ts';
import { type LongRunOptions, longRun } from './long-run.ts';

/** What the kernel is made from, beside its source. */
export const FRAGMENT = join(import.meta.dirname, 'kernel/microvm.config');

/** As counted in a build of 6.1.192, and not far off in later ones; to say how far it is. */
const ABOUT_FILES = 1_400;

/** Same source, same configuration, same compiler: same kernel. */
const REPRODUCIBLE = [
  'KBUILD_BUILD_TIMESTAMP=2026-01-01',
  'KBUILD_BUILD_USER=flintlock',
  'KBUILD_BUILD_HOST=flintlock',
];

/**
 * Makes the small kernel's image: `boot/vmlinux`, the ELF file, stripped;
 * `boot/vmlinuz`, the bzImage; `config`; and `initrd`, which the kernel does
 * not need but an image without an init may.
 *
 * @param deb - Debian's package of the kernel's source
 * @param directory - not there yet; `scratch` likewise, for 1.8 GB of what is in between
 * @param cache - where compiled kernels are kept, by what they are made from
 */
export async function writeSmallKernelTree(
  deb: string,
  directory: string,
  scratch: string,
  cache: string,
  signal: AbortSignal,
): Promise<void> {
  mkdirSync(scratch, { recursive: true });
  const fragment = readFileSync(FRAGMENT, 'utf8');
  const key = createHash('sha256')
    .update(JSON.stringify([basename(deb), fragment, REPRODUCIBLE]))
    .digest('hex');
  const compiled = join(cache, `kernel-${key.slice(0, 16)}`);
  if (!existsSync(compiled)) {
    await compile(deb, fragment, join(scratch, 'compiled'), scratch, signal);
    mkdirSync(cache, { recursive: true });
    // Of another configuration or source: nobody asks for it again.
    for (const name of readdirSync(cache))
      if (name.startsWith('kernel-')) rmSync(join(cache, name), { recursive: true });
    renameSync(join(scratch, 'compiled'), compiled);
  } else console.log(`compiled already: ${compiled}`);
  cpSync(compiled, directory, { recursive: true });
  writeInitrd(join(directory, 'initrd'), join(scratch, 'initrd'));
}

async function compile(deb: string, fragment: string, to: string, scratch: string, signal: AbortSignal): Promise<void> {
  const options: LongRunOptions = { cwd: scratch, signal };
  await longRun('unpacking the source package', ['dpkg-deb', '-x', deb, scratch], options);
  const archives = join(scratch, 'usr/src');
  const archive = readdirSync(archives).find((name) => name.endsWith('.tar.xz'));
  if (archive === undefined) throw new Error(`There is no .tar.xz in usr/src of ${deb}`);
  await longRun('unpacking the source', ['tar', '-xf', join(archives, archive)], options);
  const source = join(scratch, archive.replace(/\.tar\.xz$/, ''));

  const make = (title: string, ...args: readonly string[]): Promise<void> => {
    let files = 0;
    // Gentle: whoever waits for a kernel may want to work meanwhile.
    return longRun(title, ['nice', '-n', '19', 'make', `-j${availableParallelism()}`, ...REPRODUCIBLE, ...args], {
      signal,
      cwd: source,
      // Nothing of the user's may find its way in: ARCH, CROSS_COMPILE, KCFLAGS, MAKEFLAGS.
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      onLine: (line) => (/^ {2}(CC|AS) /.test(line) ? `${++files} of about ${ABOUT_FILES} files` : undefined),
    });
  };
  await make('configuring the kernel', `KCONFIG_ALLCONFIG=${FRAGMENT}`, 'allnoconfig');
  const known = optionsOf(source);
  const lost = unmet(fragment, readFileSync(join(source, '.config'), 'utf8'), (option) => known.has(option));
  if (lost.length > 0) throw new Error(`These lines of ${FRAGMENT} do not hold in ${archive}:\n${lost.join('\n')}`);
  await make('compiling the kernel', 'bzImage');

  mkdirSync(join(to, 'boot'), { recursive: true });
  // What only a debugger reads is a third of it.
  await longRun('packing the kernel', ['strip', '-o', join(to, 'boot/vmlinux'), join(source, 'vmlinux')], options);
  copyFileSync(join(source, 'arch/x86/boot/bzImage'), join(to, 'boot/vmlinuz'));
  copyFileSync(join(source, '.config'), join(to, 'config'));
}

/**
 * The lines of a fragment that are not so in a kernel's configuration: Kconfig
 * drops what it does not know, or cannot have. The head of the fragment says
 * what `# Either:` and `# Where known:` mean; both end with the next comment or
 * empty line.
 *
 * @param isKnown - whether the kernel's Kconfig files have an option, `CONFIG_` left out
 */
export function unmet(fragment: string, config: string, isKnown: (option: string) => boolean): readonly string[] {
  const has = new Set(config.split('\n'));
  const wrong: string[] = [];
  let kind: 'each' | 'known' | 'either' = 'each';
  let either: string[] = [];
  for (const line of [...fragment.split('\n'), '']) {
    const off = /^# (CONFIG_\w+) is not set$/.exec(line)?.[1];
    if (off !== undefined) {
      if ([...has].some((other) => other.startsWith(`${off}=`))) wrong.push(line);
      continue;
    }
    const option = /^CONFIG_(\w+)=/.exec(line)?.[1];
    if (option === undefined) {
      if (either.length > 0 && !either.some((one) => has.has(one))) wrong.push(either.join(' or '));
      either = [];
      kind = line === '# Either:' ? 'either' : line === '# Where known:' ? 'known' : 'each';
    } else if (kind === 'either') either.push(line);
    else if (!has.has(line) && (kind === 'each' || isKnown(option))) wrong.push(line);
  }
  return wrong;
}

/** Every option that the Kconfig files of a kernel's source name. */
function optionsOf(source: string): ReadonlySet<string> {
  const options = new Set<string>();
  for (const path of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!basename(path).startsWith('Kconfig')) continue;
    const file = join(source, path);
    if (!statSync(file).isFile()) continue;
    for (const [, option] of readFileSync(file, 'utf8').matchAll(/^[ \t]*(?:menu)?config[ \t]+(\w+)/gm))
      if (option !== undefined) options.add(option);
  }
  return options;
}
