/**
 * Tries the package on a machine that has nothing of ours: a Debian made with
 * debootstrap, whose systemd is booted in namespaces of its own, without any
 * network but loopback.
 *
 *     sudo node scripts/try-install.mjs [--suite bookworm|trixie] [--distro-node] [--package FILE.tgz] [--keep]
 *
 * Without --suite it is this machine's; --distro-node takes the release's own
 * nodejs and npm instead of this machine's.
 * Installs the package, starts the daemon by its unit, creates a microVM,
 * installs a newer build and restarts the daemon under the running guest,
 * stops it and starts it again, deletes the microVM, removes the package, and
 * looks for what is left. The Debian is kept in .cache/systems and used again.
 * Needs root, debootstrap, and, without --distro-node, Node with npm installed
 * below /usr.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { giveNode, inChroot, makeSystem, suiteOf } from './clean-debian.mjs';
import { NEEDED } from './packages.mjs';
import { IMAGES, setup } from './setup.mjs';
import { attempt, isRoot, MORE_PATIENCE, main, PATIENCE, ROOT, Stop, step } from './steps.mjs';

const SYSTEMS = join(ROOT, '.cache/systems');
/** Of the machine itself; what Flintlock needs comes by apt-get, as on any. */
const BASE = ['systemd', 'systemd-sysv', 'dbus', 'kmod', 'procps'];
/** A guest takes seconds without KVM; on a busy machine minutes. */
const PATIENTLY = ['--timeout', `${Math.ceil(10 * PATIENCE)}m`];
const NEWER = '0.1.1-newer';
/** By systemd-analyze, of 10: 5.3 with systemd 252. */
const MOST_EXPOSURE = 6;
/** In the daemon's log: restrictions of its unit that are in its way. */
const HINDERED = 'could not be tried|Operation not permitted|Permission denied|taken from what it holds now';
const SPEC = `
id: web
vcpu: 1
memory_in_mb: 256
kernel: { image: "oci:/var/lib/flintlock-images/demo:kernel", cmdline: quiet }
initrd: { image: "oci:/var/lib/flintlock-images/demo:kernel" }
volumes:
  - { id: root, is_root: true, source: { container_source: "oci:/var/lib/flintlock-images/demo:root" } }
interfaces:
  - { guest_device_name: eth0, type: TAP }
`;

await main({ name: 'try-install', file: import.meta.filename }, async () => {
  const { suite, distroNode, rest } = suiteOf(process.argv.slice(2));
  const isKept = rest.includes('--keep');
  const given = rest.indexOf('--package');
  if (!isRoot) throw new Stop('debootstrap, namespaces and mounts need root');
  await setup();
  const system = await madeSystem(suite, distroNode);
  const scratch = mkdtempSync('/var/tmp/flintlock-install-');
  let machine;
  try {
    const { older, newer } = await packages(scratch, given < 0 ? undefined : rest[given + 1]);
    const root = await overlay(system, scratch);
    machine = await boot(root, scratch);
    await tryIt(machine, { root, older, newer });
    console.log('try-install: ok');
    return 0;
  } finally {
    await machine?.end();
    await attempt('unmounting', ['umount', '-l', join(scratch, 'root')], { anyway: true });
    if (isKept) console.log(`kept: ${scratch}`);
    else rmSync(scratch, { recursive: true, force: true });
  }
});

/** The Debian with what the package needs of the distribution, made once. */
async function madeSystem(suite, distroNode) {
  const made = join(SYSTEMS, distroNode ? `${suite}-node` : suite);
  const stamp = [...BASE, ...NEEDED.map(([name]) => name)].join(' ');
  if (existsSync(join(made, 'stamp')) && readFileSync(join(made, 'stamp'), 'utf8') === stamp) return join(made, 'root');
  mkdirSync(SYSTEMS, { recursive: true });
  const partial = mkdtempSync(join(SYSTEMS, '.partial-'));
  try {
    const root = join(partial, 'root');
    await makeSystem(suite, root, BASE);
    await giveNode(root, distroNode);
    await inChroot(root, "updating its apt's lists", ['apt-get', 'update', '-q']);
    await inChroot(root, 'installing what Flintlock needs of it', [
      ...['apt-get', 'install', '-y', '-q', '--no-install-recommends', ...NEEDED.map(([name]) => name)],
    ]);
    writeFileSync(join(partial, 'stamp'), stamp);
    rmSync(made, { recursive: true, force: true });
    renameSync(partial, made);
  } catch (cause) {
    rmSync(partial, { recursive: true, force: true });
    throw cause;
  }
  return join(made, 'root');
}

/** The package of this checkout, or the one that was given; and the same with a later version. */
async function packages(scratch, given) {
  let older = given;
  if (older === undefined) {
    await step('making the package', ['npm', 'pack', '--pack-destination', scratch]);
    older = join(scratch, readdirSync(scratch).find((name) => name.endsWith('.tgz')) ?? '');
  }
  const unpacked = join(scratch, 'unpacked');
  mkdirSync(unpacked);
  await step('unpacking it', ['tar', 'xzf', older, '-C', unpacked]);
  const manifest = join(unpacked, 'package/package.json');
  const fields = JSON.parse(readFileSync(manifest, 'utf8'));
  writeFileSync(manifest, JSON.stringify({ ...fields, version: NEWER }));
  const newer = join(scratch, `flintlock-${NEWER}.tgz`);
  await step('making a newer one', ['tar', 'cf', newer, '-I', 'gzip -1', '-C', unpacked, 'package']);
  rmSync(unpacked, { recursive: true });
  return { older, newer };
}

/** What is written goes away with the scratch directory. */
async function overlay(system, scratch) {
  for (const name of ['upper', 'work', 'root']) mkdirSync(join(scratch, name), { mode: 0o755 });
  const options = `lowerdir=${system},upperdir=${join(scratch, 'upper')},workdir=${join(scratch, 'work')}`;
  await step('laying a directory over it', ['mount', '-t', 'overlay', '-o', options, 'overlay', join(scratch, 'root')]);
  return join(scratch, 'root');
}

/**
 * Boots systemd of a tree. State and images lie on a file system that is no
 * overlay, as on a real machine; cgroups below ones of its own.
 */
async function boot(root, scratch) {
  const disk = join(scratch, 'disk');
  for (const name of ['lib', 'images']) mkdirSync(join(disk, name), { recursive: true, mode: 0o755 });
  const script = `
    set -e
    for hierarchy in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
      [ -e "$hierarchy" ] || continue
      own=\${hierarchy%/cgroup.procs}/$2
      mkdir "$own"
      case $own in
      */cpuset/*) for file in cpuset.cpus cpuset.mems; do cat "$own/../$file" > "$own/$file"; done ;;
      esac
      echo $$ > "$own/cgroup.procs"
    done
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private sh -c "$3" sh "$0" "$1"`;
  const inside = `
    set -e
    mount --bind "$1" "$1"
    mkdir -p "$1/var/lib/flintlock" "$1/var/lib/flintlock-images"
    mount --bind "$2/lib" "$1/var/lib/flintlock"
    mount --bind "$2/images" "$1/var/lib/flintlock-images"
    cd "$1"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mkdir -p var/before
    pivot_root . var/before
    umount -l /var/before
    ip link set lo up
    exec env -i container=lxc PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
      /lib/systemd/systemd --system --log-target=console --unit=multi-user.target`;
  const cgroup = `flintlock-install-${process.pid}`;
  const log = openSync(join(scratch, 'systemd.log'), 'w');
  const child = spawn('sh', ['-c', script, root, disk, cgroup, inside], { stdio: ['ignore', log, log] });
  closeSync(log);
  const gone = new Promise((resolve) => child.once('close', resolve));
  /** Runs a program in the machine. */
  const enter = async (argv) => {
    const init = await initOf(child.pid);
    return [
      'nsenter',
      '--target',
      String(init),
      '--mount',
      '--pid',
      '--net',
      '--uts',
      '--ipc',
      '--cgroup',
      '--',
      ...argv,
    ];
  };
  const end = async () => {
    child.kill('SIGKILL'); // unshare's --kill-child takes init with it, and init everything
    await gone;
    const named = ['find', '/sys/fs/cgroup', '-depth', '-type', 'd', '-path', `*/${cgroup}*`];
    const left = async () => (await attempt('looking for its cgroups', named, { anyway: true })).output.trim();
    // The last of its processes leave them a moment after its end.
    await until(
      'its cgroups are gone',
      async () => {
        await attempt('removing its cgroups', [...named, '-exec', 'rmdir', '{}', ';'], { anyway: true });
        return (await left()) === '';
      },
      left,
    );
  };
  const machine = {
    end,
    /** @returns the output */
    async run(title, argv, options) {
      return step(title, await enter(argv), options);
    },
    /** @returns the output and the status */
    async ask(argv) {
      return attempt(argv.join(' '), await enter(argv));
    },
  };
  await until(
    'systemd runs',
    async () => {
      const { output } = await machine.ask(['systemctl', 'is-system-running']).catch(() => ({ output: '' }));
      return /running|degraded/.test(output);
    },
    () => readFileSync(join(scratch, 'systemd.log'), 'utf8').slice(-2_000),
  );
  return machine;
}

/** The process below unshare, which is 1 in its namespace. */
async function initOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  if (children === '') throw new Stop('systemd is not there yet');
  return Number(children.split(' ')[0]);
}

async function until(what, holds, evidence, seconds = 300 * PATIENCE) {
  const end = Date.now() + seconds * 1_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Stop(`waited ${seconds} s in vain: ${what}; ${MORE_PATIENCE}\n${await evidence()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function tryIt(machine, { root, older, newer }) {
  const { run, ask } = machine;
  const install = async (file, title) => {
    cpSync(file, join(root, 'srv/flintlock.tgz'));
    // --offline: the package brings all that it needs.
    await run(title, ['npm', 'install', '--global', '--offline', '--no-audit', '--no-fund', '/srv/flintlock.tgz']);
  };
  const journal = async () => (await ask(['journalctl', '--unit=flintlockd', '--no-pager', '--lines=40'])).output;
  const said = async (argv) => JSON.parse(await run(argv.join(' '), argv));
  const vmm = async () => {
    const { output } = await ask(['pgrep', '--full', 'qemu-system-x86_64.*web|qemu-system-x86_64']);
    return output.trim();
  };
  const mustBe = (what, found, wanted) => {
    if (found !== wanted) throw new Stop(`${what}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
    console.log(`${what}: ${found}`);
  };

  await install(older, 'installing the package');
  // Where it cannot be made: without the archives of Debian.
  cpSync(join(IMAGES, 'demo'), join(root, '../disk/images/demo'), { recursive: true });
  // Debian's npm installs below /usr/local, others below /usr.
  const modules = (await run('asking npm where it installs', ['npm', 'root', '--global'])).trim();
  const unit = `${modules}/flintlock/packaging/systemd/flintlockd.service`;
  mkdirSync(join(root, 'etc/flintlock'));
  writeFileSync(join(root, 'etc/flintlock/flintlockd.env'), 'FLINTLOCKD_IMAGE_ROOT=/var/lib/flintlock-images\n');
  await run('installing the unit', ['install', '-m', '644', unit, '/etc/systemd/system/']);
  const { output: verified } = await ask(['systemd-analyze', 'verify', '/etc/systemd/system/flintlockd.service']);
  mustBe('systemd-analyze verify says', verified.trim(), '');
  const start = async (verb) => {
    const { code, output } = await ask(['systemctl', verb, 'flintlockd']);
    if (code !== 0) throw new Stop(`systemctl ${verb} flintlockd: ${output}\n${await journal()}`);
    mustBe(`after systemctl ${verb}`, (await ask(['systemctl', 'is-active', 'flintlockd'])).output.trim(), 'active');
  };
  await start('start');
  const { output: exposure } = await ask(['systemd-analyze', 'security', 'flintlockd', '--no-pager']);
  console.log(exposure.trim().split('\n').at(-1));
  // What is left is root, networks and other users' processes: see docs/security.md.
  if (!(Number(/exposure level for \S+: ([\d.]+)/.exec(exposure)?.[1]) <= MOST_EXPOSURE))
    throw new Stop(`the unit is hardened less than it was, ${MOST_EXPOSURE}:\n${exposure}`);

  writeFileSync(join(root, 'srv/web.yaml'), SPEC);
  await run('creating a microVM', ['flintlock', 'create', '-f', '/srv/web.yaml', '--wait', ...PATIENTLY]);
  await run('waiting for its address', ['flintlock', 'wait', 'web', '--for', 'address', ...PATIENTLY]);
  // What the daemon tries for its guests it must be able to under the unit's restrictions, too.
  const ways = async () => (await ask(['cat', '/run/flintlock/network/ways.json'])).output;
  await until('the ways of guests were tried', async () => (await ways()).startsWith('{'), journal);
  const { found } = JSON.parse(await ways());
  mustBe('ways that are shut', JSON.stringify(found.filter(({ is }) => is === 'blocked')), '[]');
  const hindered = (await ask(['journalctl', '--unit=flintlockd', '--no-pager', '--grep', HINDERED])).output;
  mustBe('what the daemon could not do', /^-- No entries --$/m.test(hindered) ? '' : hindered.trim(), '');
  const guest = await vmm();
  if (!/^\d+$/.test(guest)) throw new Stop(`there is not one VMM: ${guest}\n${await journal()}`);

  await install(newer, 'installing a newer build');
  await start('restart');
  const info = await said(['flintlock', 'info', '-o', 'json']);
  mustBe('the daemon is now', info.version, NEWER);
  const state = async () => (await said(['flintlock', 'get', 'web', '-o', 'json'])).status.state;
  mustBe('the microVM is', await state(), 'CREATED');
  mustBe('its VMM is the same process', await vmm(), guest);

  await run('stopping the daemon', ['systemctl', 'stop', 'flintlockd']);
  mustBe('its VMM runs on', await vmm(), guest);
  await start('start');
  mustBe('the microVM is', await state(), 'CREATED');

  await run('deleting the microVM', ['flintlock', 'delete', 'web', '--wait', ...PATIENTLY]);
  await run('the audit', ['flintlock', 'audit']);
  mustBe('VMMs left', await vmm(), '');
  await run('stopping the daemon', ['systemctl', 'stop', 'flintlockd']);
  await run('removing the network', ['flintlockd', 'teardown']);
  await run('removing the unit', ['rm', '/etc/systemd/system/flintlockd.service']);
  await run('removing the package', ['npm', 'uninstall', '--global', 'flintlock']);
  // RuntimeDirectoryPreserve= keeps the directory itself.
  const looked = ['/usr/bin', '/usr/local/bin', modules, '/run/flintlock', '/etc/systemd/system'];
  const left = await ask([
    'find',
    ...looked,
    '-name',
    '*flintlock*',
    '-o',
    '-path',
    '/run/flintlock/*',
    '-not',
    '-type',
    'd',
  ]);
  mustBe('what is left of it', left.output.replaceAll(/^\/run\/flintlock$/gm, '').trim(), '');
  const { output: links } = await ask(['ip', '-brief', 'link']);
  mustBe('interfaces left', links.trim().split('\n').length, 1);
  const { output: rules } = await ask(['nft', 'list', 'tables']);
  mustBe('firewall tables left', rules.trim(), '');
}
