/**
 * Tries the README's two commands on a machine that has nothing: a fresh
 * Debian made with debootstrap, with git and this machine's Node and npm in
 * it, and a clone of the last commit.
 *
 *     sudo node scripts/try-clean.mjs [--user] [--keep] [COMMAND …]
 *
 * --user runs the commands as a user with sudo instead of root; --keep leaves
 * the directory. Without commands: quickstart twice, then test. Everything
 * runs in a process and mount namespace of its own and ends with it.
 * Needs root, debootstrap, and Node installed below /usr.
 */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyNode, MIRROR, SUITE } from './clean-debian.mjs';
import { attended, isRoot, main, ROOT, Stop, step } from './steps.mjs';

await main('try-clean', async () => {
  const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
  const given = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
  const commands = given.length > 0 ? given : ['npm run quickstart', 'npm run quickstart', 'npm test'];
  if (!isRoot) throw new Stop('debootstrap and mounts need root');
  const asUser = flags.includes('--user');
  const system = mkdtempSync('/var/tmp/flintlock-clean-');
  // It becomes /: services that run as users of their own must get in.
  chmodSync(system, 0o755);
  try {
    const include = asUser ? 'git,sudo' : 'git';
    await step(`making a Debian ${SUITE} in ${system}`, [
      ...['debootstrap', '--variant=minbase', `--include=${include}`, SUITE, system, MIRROR],
    ]);
    const sources = [
      `deb ${MIRROR} ${SUITE} main`,
      `deb ${MIRROR} ${SUITE}-updates main`,
      `deb http://deb.debian.org/debian-security ${SUITE}-security main`,
    ];
    writeFileSync(join(system, 'etc/apt/sources.list'), `${sources.join('\n')}\n`);
    copyNode(system);
    await step('cloning the last commit', [
      ...['git', 'clone', '-q', '--no-hardlinks', ROOT, join(system, 'srv/flintlock')],
    ]);
    if (asUser) await addUser(system);
    for (const command of commands) {
      console.log(`\n--- ${command}`);
      const begin = Date.now();
      const code = await attended(inside(system, asUser, command));
      console.log(`--- ${command}: status ${code} after ${((Date.now() - begin) / 1000).toFixed(0)} s`);
      if (code !== 0) return code;
    }
    return 0;
  } finally {
    if (flags.includes('--keep')) console.log(`kept: ${system}`);
    else rmSync(system, { recursive: true, force: true });
  }
});

async function addUser(system) {
  await step('adding a user with sudo', ['chroot', system, 'useradd', '--create-home', '--groups', 'sudo', 'tryer']);
  writeFileSync(join(system, 'etc/sudoers.d/tryer'), 'tryer ALL=(ALL) NOPASSWD: ALL\n', { mode: 0o440 });
  await step('giving it the clone', ['chroot', system, 'chown', '-R', 'tryer:', '/srv/flintlock']);
}

/**
 * unshare's namespaces take every mount and every process with them. The
 * system is mounted on itself: a / that is no mount is refused by unshare(1).
 */
function inside(system, asUser, command) {
  const certificates = existsSync(join(system, 'etc/node-certificates.pem'))
    ? ['NODE_EXTRA_CA_CERTS=/etc/node-certificates.pem', 'npm_config_cafile=/etc/node-certificates.pem']
    : [];
  const script = `
    set -e
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmp "$1/tmp"
    shift
    exec "$@"`;
  const become = asUser ? ['setpriv', '--reuid=tryer', '--regid=tryer', '--init-groups'] : [];
  const home = asUser ? '/home/tryer' : '/root';
  return [
    ...['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', system],
    ...[
      'chroot',
      system,
      'env',
      '-i',
      `HOME=${home}`,
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ],
    ...['LANG=C.UTF-8', ...certificates, ...become, 'sh', '-c', `cd /srv/flintlock && ${command}`],
  ];
}
