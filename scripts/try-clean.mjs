/**
 * Tries the README's two commands on a machine that has nothing: a fresh
 * Debian made with debootstrap, with git and a Node and npm in it, and a clone
 * of the last commit.
 *
 *     sudo node scripts/try-clean.mjs [--suite bookworm|trixie] [--distro-node] [--user] [--keep] [COMMAND …]
 *
 * Without --suite it is this machine's; --distro-node takes the release's own
 * nodejs and npm instead of this machine's; --user runs the commands as a user
 * with sudo instead of root; --keep leaves the directory, --in DIR uses such a
 * one again, with the last commit. Without commands: quickstart twice, then
 * test. Everything runs in a process and mount namespace of its own and ends
 * with it. Needs root, debootstrap, and, without --distro-node, Node installed
 * below /usr.
 */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment, giveNode, inChroot, inside, makeSystem, suiteOf } from './clean-debian.mjs';
import { attended, guarded, isRoot, main, ROOT, Stop, step } from './steps.mjs';

await main({ name: 'try-clean', file: import.meta.filename }, async () => {
  const { suite, distroNode, rest } = suiteOf(process.argv.slice(2));
  const flags = new Set();
  const given = [];
  let kept;
  for (let i = 0; i < rest.length; i++) {
    if (rest[i] === '--in') kept = rest[++i];
    else if (['--user', '--keep'].includes(rest[i])) flags.add(rest[i]);
    else if (rest[i].startsWith('-')) throw new Stop(`there is no option ${rest[i]}`);
    else given.push(rest[i]);
  }
  const commands = given.length > 0 ? given : ['npm run quickstart', 'npm run quickstart', 'npm test'];
  if (!isRoot) throw new Stop('debootstrap and mounts need root');
  const asUser = flags.has('--user');
  const system = kept ?? mkdtempSync('/var/tmp/flintlock-clean-');
  try {
    if (kept === undefined) {
      // It becomes /: services that run as users of their own must get in.
      chmodSync(system, 0o755);
      await makeSystem(suite, system, ['git', 'sudo']);
      await giveNode(system, distroNode);
    }
    await clone(system);
    if (asUser) await addUser(system);
    for (const command of commands) {
      console.log(`\n--- ${command}`);
      const begin = Date.now();
      const shell = [...as(system, asUser), `cd /srv/flintlock && ${command}`];
      const code = await attended(guarded(inside(system, shell)));
      console.log(`--- ${command}: status ${code} after ${((Date.now() - begin) / 1000).toFixed(0)} s`);
      if (code !== 0) return code;
    }
    return 0;
  } finally {
    if (flags.has('--keep') || kept !== undefined) console.log(`kept: ${system}`);
    else rmSync(system, { recursive: true, force: true });
  }
});

/** The last commit; in a directory that is used again without what lies beside it, node_modules and .cache. */
async function clone(system) {
  const to = join(system, 'srv/flintlock');
  if (!existsSync(to)) return step('cloning the last commit', ['git', 'clone', '-q', '--no-hardlinks', ROOT, to]);
  const git = ['git', '-c', 'safe.directory=*', '-C', to];
  await step('fetching the last commit', [...git, 'fetch', '-q', ROOT, 'HEAD']);
  await step('checking it out', [...git, 'checkout', '-q', '--force', '--detach', 'FETCH_HEAD']);
}

async function addUser(system) {
  if (!existsSync(join(system, 'home/tryer')))
    await inChroot(system, 'adding a user with sudo', ['useradd', '--create-home', '--groups', 'sudo', 'tryer']);
  writeFileSync(join(system, 'etc/sudoers.d/tryer'), 'tryer ALL=(ALL) NOPASSWD: ALL\n', { mode: 0o440 });
  await inChroot(system, 'giving it the clone', ['chown', '-R', 'tryer:', '/srv/flintlock']);
}

/** The shell that gets the command. */
function as(system, asUser) {
  const become = asUser ? ['setpriv', '--reuid=tryer', '--regid=tryer', '--init-groups'] : [];
  return [...environment(system, asUser ? '/home/tryer' : '/root'), ...become, 'sh', '-c'];
}
