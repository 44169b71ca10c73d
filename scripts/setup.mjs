/**
 * Makes this machine ready: Debian packages, npm packages by the lockfile,
 * demo images. What is there already is left alone, so a second run does
 * nothing. Runs on Node 20, without any package.
 *
 *     npm run setup
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import {
  describeElsewhere,
  NEEDED,
  NEEDED_BY_IMAGES,
  NEEDED_BY_TESTS,
  NEEDED_TO_BUILD,
  UNPACKED_FOR_TESTS,
} from './packages.mjs';
import { asRoot, attempt, attended, beside, isRoot, main, NODE, ROOT, Stop, step } from './steps.mjs';

const CACHE = join(ROOT, '.cache');
/** What --image-root gets; the demo images are oci:IMAGES/demo:kernel and :root. */
export const IMAGES = join(CACHE, 'images');
const TOOLS = join(CACHE, 'tools');
/** Where the tests' unpacked programs are, for PATH. */
export const TOOLS_PATH = join(TOOLS, 'usr/bin');
const NPM_STAMP = join(ROOT, 'node_modules/.flintlock-stamp');
/** What a nested host is started with. */
const LAB = join(CACHE, 'lab');
/** Of guest/build.ts and test/lab/prepare.ts: apt's lists are missing or too old. */
const STALE_LISTS = 75;
const OLDEST_NODE = 20;
const OLDEST_DEBIAN = 12;

/**
 * Brings everything into step. Two at once: the second waits for the first.
 *
 * @param tests - whether what only the tests need is wanted too
 * @param images - further images: `kernel`, `debian`
 * @param lab - whether the kernel of nested hosts is wanted too
 * @param later - images that `imagesBeside` is to make: of them only the packages are wanted now
 */
export async function setup({ tests = false, images = [], lab = false, later = [] } = {}) {
  checkMachine();
  const isReady = () =>
    missing(wanted(tests, [...images, ...later])).length === 0 &&
    (!tests || toolsInStep()) &&
    npmInStep() &&
    (!lab || labInStep()) &&
    ['demo', ...images].every(imageInStep);
  if (isReady()) return;
  checkDistribution(tests, [...images, ...later]);
  const flags = [
    ...[...(tests ? ['--tests'] : []), ...(lab ? ['--lab'] : [])],
    ...images.map((name) => `--image=${name}`),
    ...later.map((name) => `--later=${name}`),
  ];
  const status = await attended(locked(flags));
  if (status !== 0 || !isReady()) throw new Stop(NOT_READY);
}

/**
 * Makes images while something else is at work; their packages are there, by `setup`.
 *
 * @returns what waits until they are made
 */
export function imagesBeside(images) {
  const isReady = () => images.every(imageInStep);
  if (isReady()) return async () => undefined;
  if (!isRoot) becomeRoot("mmdebstrap, which makes roots of Debian's packages");
  console.log(`Beside the next steps, images are made: ${images.filter((name) => !imageInStep(name)).join(', ')}`);
  const ended = beside(locked(images.map((name) => `--image=${name}`)));
  return async () => {
    if ((await ended()) !== 0 || !isReady()) throw new Stop(NOT_READY);
  };
}

const NOT_READY = 'the set-up did not succeed; what it said is above';

/** The command of a set-up that is alone at work. */
function locked(flags) {
  mkdirSync(CACHE, { recursive: true });
  const lock = join(CACHE, 'setup.lock');
  if (spawnSync('flock', ['--nonblock', lock, 'true']).status === 1)
    console.log('Another set-up is at work here: waiting for it');
  // flock(1) gives the lock back however this process ends; it becomes the set-up, so that a signal reaches that.
  return ['flock', '--no-fork', lock, process.execPath, import.meta.filename, '--locked', ...flags];
}

/** The part that changes something; the lock is held. */
async function bringIntoStep(tests, images, lab, later) {
  // Left by a set-up that was killed; nobody else is at it, the lock is held.
  for (const directory of [CACHE, IMAGES].filter((path) => existsSync(path)))
    for (const name of readdirSync(directory))
      if (name.startsWith('.partial-')) rmSync(join(directory, name), { recursive: true });
  // Both wait for the network, and neither needs the other.
  await allOf([
    async () => {
      await installPackages(missing(wanted(tests, [...images, ...later])));
      if (tests && !toolsInStep()) await unpackTools();
    },
    async () => {
      if (npmInStep()) return;
      // npm ci begins by removing node_modules, the stamp with it: cut off, it is done again.
      await step('installing the npm packages of package-lock.json', [
        ...['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'],
      ]);
      writeFileSync(NPM_STAMP, npmStamp());
    },
  ]);
  if (!imageInStep('demo'))
    await buildUnattended("making the demo images from Debian's kernel and busybox", buildArgv('demo'));
  if (lab && !labInStep()) await buildUnattended("unpacking Debian's kernel for nested hosts", labArgv());
  // Beside each other: compiling wants the processor, Debian's roots the network and the disk.
  await allOf(images.filter((name) => !imageInStep(name)).map((name) => () => buildImage(name)));
}

/** Beside each other, each to its end, also where another fails. */
async function allOf(works) {
  const ended = await Promise.allSettled(works.map((work) => work()));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}

function checkMachine() {
  const node = Number(process.versions.node.split('.')[0]);
  if (node < OLDEST_NODE)
    throw new Stop(`Node ${process.versions.node} is too old: Node ${OLDEST_NODE} or later is needed`);
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Stop(`Flintlock needs Linux on x86_64; this is ${process.platform} on ${process.arch}`);
}

const isDebian = () => osRelease().ID === 'debian';

/** Elsewhere it goes on as long as nothing is to be installed or made that only Debian has. */
function checkDistribution(tests, images) {
  const os = osRelease();
  if (isDebian() && !(Number(os.VERSION_ID) < OLDEST_DEBIAN)) return;
  const packages = missing(wanted(tests, images));
  const unmade = ['demo', ...images].filter((name) => !existsSync(join(IMAGES, name, 'index.json')));
  if (packages.length + unmade.length === 0) return;
  throw new Stop(describeElsewhere(os, packages).join('\n'));
}

/** @see os-release(5) */
function osRelease() {
  const file = ['/etc/os-release', '/usr/lib/os-release'].find((path) => existsSync(path));
  if (file === undefined) return {};
  const lines = readFileSync(file, 'utf8').matchAll(/^([A-Z_]+)=["']?([^"'\n]*)/gm);
  return Object.fromEntries([...lines].map(([, key, value]) => [key, value]));
}

function wanted(tests, images) {
  const byImages = images.flatMap((name) => NEEDED_BY_IMAGES[name]);
  return [...NEEDED, ...NEEDED_TO_BUILD, ...(tests ? NEEDED_BY_TESTS : []), ...byImages];
}

function missing(packages) {
  return packages.filter(([, , probe]) => !existsSync(probe) && (isDebian() || !isElsewhere(probe)));
}

/** Other distributions have the same programs in other directories. */
function isElsewhere(probe) {
  const name = basename(probe).replace(/^busybox-static\.list$/, 'busybox');
  const directories = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin', '/usr/lib64', '/usr/lib'];
  return directories.some((directory) => existsSync(join(directory, name)));
}

function describe(packages) {
  const width = Math.max(...packages.map(([name]) => name.length));
  return packages.map(([name, why]) => `  ${name.padEnd(width)}  ${why}`);
}

/**
 * What dpkg has begun it ends: cut off, the machine would be left with packages that are half there. In a session of its
 * own a signal to our group does not reach it; sudo needs the terminal and stays.
 */
const WHOLE = { anyway: true, detached: isRoot };

async function installPackages(packages) {
  if (packages.length === 0) return;
  console.log(`These Debian packages are missing:\n${describe(packages).join('\n')}`);
  const names = packages.map(([name]) => name);
  const install = ['apt-get', 'install', '-y', '-q', '--no-install-recommends', ...names];
  becomeRoot(`apt-get update && ${install.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const title = `installing ${names.join(', ')}`;
  const argv = asRoot(['env', 'DEBIAN_FRONTEND=noninteractive', ...install]);
  // Lists that know the packages are good enough, unless what they name is gone from the mirror.
  if ((await attempt(title, argv, { env, ...WHOLE })).code !== 0) {
    await updateLists();
    await step(title, argv, { env, ...WHOLE });
  } else console.log(`${title}: done`);
  const still = missing(packages);
  if (still.length > 0)
    throw new Stop(
      `apt-get installed ${names.join(', ')}, but there is no ${still.map(([, , probe]) => probe).join(', ')}`,
    );
}

async function updateLists() {
  becomeRoot('apt-get update');
  await step("updating apt's lists", asRoot(['apt-get', 'update', '-q']));
}

/** Asks for sudo's password now, where it can be seen. Not by -v: that asks where a command would not. */
function becomeRoot(command) {
  if (isRoot) return;
  const { status, error } = spawnSync('sudo', ['-p', '[sudo] password for %u, to install packages: ', 'true'], {
    stdio: 'inherit',
  });
  if (error || status !== 0) throw new Stop(`this needs root, and sudo does not help; run as root: ${command}`);
}

function toolsInStep() {
  return UNPACKED_FOR_TESTS.every(([, , program]) => existsSync(join(TOOLS, program)));
}

async function unpackTools() {
  const partial = mkdtempSync(join(CACHE, '.partial-'));
  try {
    for (const [name, why] of UNPACKED_FOR_TESTS) {
      const title = `unpacking ${name}, which ${why}`;
      const download = ['apt-get', 'download', '-q', name];
      if ((await attempt(title, download, { cwd: partial })).code !== 0) {
        await updateLists();
        await step(title, download, { cwd: partial });
      }
      const deb = readdirSync(partial).find((file) => file.startsWith(`${name}_`));
      if (deb === undefined) throw new Stop(`apt-get download ${name} left no package`);
      await step(title, ['dpkg-deb', '-x', join(partial, deb), join(partial, 'tools')]);
    }
    rmSync(TOOLS, { recursive: true, force: true });
    renameSync(join(partial, 'tools'), TOOLS);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

function npmStamp() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
}

function npmInStep() {
  return existsSync(NODE) && read(NPM_STAMP) === npmStamp();
}

/**
 * Which files below guest/ an image is made from. Not the versions of Debian's
 * packages: newer ones are no reason to build again, `rm -r .cache` is.
 */
const MADE_FROM = {
  demo: (path) => !/^(debian|kernel)\/|^(debian|stock|small-kernel|long-run)\.ts$/.test(path),
  kernel: (path) => !/^debian(\/|\.ts$)|^(stock|kernel|vmlinux|unpack|lz4)\.ts$/.test(path),
  debian: (path) => /^(debian|agent)(\/|\.ts$)/.test(path),
  stock: (path) => path === 'stock.ts',
  'stock-bookworm': (path) => path === 'stock.ts',
};
/** What is said while it is made. */
const ABOUT = {
  kernel: 'compiling the small kernel takes 5 to 15 minutes, once',
  debian: 'making the Debian root takes 2 to 5 minutes, once',
  stock: 'making the stock root of Debian 13 takes 2 to 5 minutes, once',
  'stock-bookworm': 'making the stock root of Debian 12 takes 2 to 5 minutes, once',
};

function imageStamp(name) {
  const hash = createHash('sha256');
  const guest = join(ROOT, 'guest');
  for (const file of readdirSync(guest, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(guest.length + 1))
    .filter((path) => path !== 'agent/flintlock-agent' && MADE_FROM[name](path))
    .sort())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(guest, file)))
      .update('\0');
  if (!['debian', 'stock', 'stock-bookworm'].includes(name))
    hash.update(read('/var/lib/dpkg/info/busybox-static.md5sums') ?? '');
  return hash.digest('hex');
}

/** Elsewhere than on Debian an image is made nowhere: one that was copied there will do. */
function imageInStep(name) {
  if (!isDebian() && existsSync(join(IMAGES, name, 'index.json'))) return true;
  return read(join(IMAGES, name, 'stamp')) === imageStamp(name);
}

const buildArgv = (name) => [
  ...[NODE, 'guest/build.ts', name, join(IMAGES, name), join(CACHE, 'packages'), imageStamp(name)],
];

async function buildUnattended(title, argv) {
  const first = await attempt(title, argv);
  if (first.code === STALE_LISTS) await updateLists();
  if (first.code === 0) console.log(`${title}: done in ${first.seconds.toFixed(1)} s`);
  else await step(title, argv);
}

/** What nested hosts are made from, their guest too. Not the version of Debian's kernel, as with images. */
function labStamp() {
  const files = ['prepare.ts', 'kernel.ts', 'guest.ts', 'init.sh'].map((name) => read(join(ROOT, 'test/lab', name)));
  return createHash('sha256')
    .update([imageStamp('demo'), ...files].join('\0'))
    .digest('hex');
}

const labInStep = () => read(join(LAB, 'stamp')) === labStamp();

const labArgv = () => [NODE, 'test/lab/prepare.ts', LAB, join(CACHE, 'packages'), labStamp()];

/** Shows its progress itself. */
async function buildImage(name) {
  console.log(ABOUT[name]);
  let code = await attended(buildArgv(name));
  if (code === STALE_LISTS) {
    await updateLists();
    code = await attended(buildArgv(name));
  }
  if (code !== 0) throw new Stop(`the image ${name} could not be made; what was said is above`);
}

/** The programs in one file each, which start in a fraction of the time. The npm packages are there. */
export async function bundleInStep() {
  const { bundle, isBundleOld } = await import('./bundle.mjs');
  if (isBundleOld()) await bundle('src');
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

if (process.argv[1] === import.meta.filename)
  await main({ name: 'setup', file: import.meta.filename }, async () => {
    const tests = process.argv.includes('--tests');
    const [images, later] = ['image', 'later'].map((flag) =>
      process.argv.flatMap((argument) => new RegExp(`^--${flag}=(.*)`).exec(argument)?.[1] ?? []),
    );
    const lab = process.argv.includes('--lab');
    if (process.argv.includes('--locked')) await bringIntoStep(tests, images, lab, later);
    else {
      await setup({ tests, images, lab });
      // Not before every script: who edits the sources runs them as they are until he asks for this.
      await bundleInStep();
      console.log('setup: everything is in place');
    }
  });
