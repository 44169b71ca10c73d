import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cgroupsOf } from '../support/cgroups.ts';
import type { TestHost } from '../support/daemon.ts';

/** What is there, a line a thing; a thing that is there twice is there twice. */
export type Seen = readonly string[];

/** What differs between two runs that end alike: a uid, an address. */
export type Aliases = Readonly<Record<string, string>>;

/**
 * Looks at a host with none of the product's own eyes: no ledger, no audit, no
 * API. Names that change from run to run are replaced, so that what two runs
 * leave can be compared line by line.
 *
 * @param except - a microVM that is passed over
 */
export async function look(host: TestHost, aliases: Aliases, except?: string): Promise<Seen> {
  const [links, addresses, rules, routes, firewall, forwarding] = await Promise.all([
    host.tool('ip', '-d', '-o', 'link'),
    host.tool('ip', '-4', '-o', 'addr'),
    host.tool('ip', '-4', 'rule'),
    host.tool('ip', '-4', 'route', 'show', 'table', 'all'),
    host.tool('nft', '-s', 'list', 'ruleset'),
    host.tool('cat', '/proc/sys/net/ipv4/ip_forward'),
  ]);
  const lines = [
    // A child of the daemon is called as it until it becomes a tool.
    ...host
      .processes()
      .filter(({ argv }) => !argv.some((word) => /\/(?:daemon\/main\.ts|bundle\/flintlockd\.cjs)$/.test(word)))
      .filter((one) => !isTool(host, one))
      .filter(({ argv }) => except === undefined || !argv.some((word) => word.includes(except)))
      .map(({ argv }) => `process ${basename(argv[0] ?? '')}`),
    ...linesOf(links).map(linkOf),
    ...linesOf(addresses).map((line) => `address ${line.split(/\s+/).slice(1, 4).join(' ')}`),
    ...linesOf(rules).map((line) => `rule ${line.replace(/\s+/g, ' ').trim()}`),
    ...linesOf(routes).map((line) => `route ${line.replace(/\s+linkdown/, '').trim()}`),
    ...firewallLines(firewall),
    `forwarding ${forwarding.trim()}`,
    ...pathsBelow(host.state, host),
    ...pathsBelow(host.run, host),
    ...linesOf(readFileSync('/proc/mounts', 'utf8'))
      .filter((line) => line.includes(host.directory))
      .map((line) => `mount ${line}`),
    ...loopDevices(host.directory),
    ...cgroupsOf(host.state).map((path) => `cgroup ${path.replace(/\/flintlock-[a-z2-7]{4}/, '/flintlock-INSTANCE')}`),
  ];
  const others = lines.filter((line) => except === undefined || !line.includes(except));
  return others.map((line) => withAliases(line, { ...aliases, [host.directory]: 'HOST' })).toSorted();
}

/**
 * Those that the living daemon has are as many as it has at once to do, and some seconds later fewer. Of a daemon that was killed none may be left:
 * they are nobody's children then.
 */
function isTool(host: TestHost, { pid, argv }: { readonly pid: number; readonly argv: readonly string[] }): boolean {
  const isNamed = ['nft', 'ip', 'perl', 'setpriv'].includes(basename(argv[0] ?? ''));
  const isOthers = argv.includes('monitor') || argv.some((word) => word.includes(host.directory));
  return isNamed && !isOthers && host.isBelowDaemon(pid);
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

/** Name, master, kind and mark of one interface. */
function linkOf(line: string): string {
  const [, name = ''] = /^\d+:\s+([^:@\s]+)/.exec(line) ?? [];
  const master = / master (\S+)/.exec(line)?.[1] ?? '-';
  const alias = /\balias (\S+)/.exec(line)?.[1] ?? '-';
  const kind = /\b(tun type tap|bridge|macvtap)\b/.exec(line)?.[1] ?? '-';
  return `interface ${name} master ${master} kind ${kind} alias ${alias}`;
}

/** Each line with the table and chain, set or map that it stands in: a rule that is there twice is two lines. */
function firewallLines(ruleset: string): string[] {
  const inside: string[] = [];
  return linesOf(ruleset).flatMap((raw) => {
    const line = raw.trim();
    if (line === '}') {
      inside.pop();
      return [];
    }
    if (line.endsWith('{') && !line.includes('=')) {
      inside.push(line.slice(0, -1).trim());
      return [`firewall ${inside.join(' / ')}`];
    }
    return [`firewall ${inside.join(' / ')}: ${line}`];
  });
}

/** Of trees of images only what is in them all together; the database is no thing that a step makes. */
function pathsBelow(root: string, host: TestHost): string[] {
  const found: string[] = [];
  const walk = (directory: string): void => {
    for (const name of namesIn(directory)) {
      const path = join(directory, name);
      const info = lstatSync(path, { throwIfNoEntry: false });
      if (!info) continue;
      if (directory === host.state && /^(flintlock|lock)\.db/.test(name)) continue;
      // Made only where the host has no node of that number, which other namespaces decide.
      if (/^macvtap\d+$/.test(name) && info.isCharacterDevice()) continue;
      const mode = (info.mode & 0o7777).toString(8);
      if (directory.startsWith(join(host.state, 'images/trees/')) && info.isDirectory()) {
        found.push(`tree ${path} ${mode} ${treeDigest(path)}`);
        continue;
      }
      const shown = path.replace(/dnsmasq-\d+/, 'dnsmasq-INDEX');
      if (info.isDirectory()) {
        found.push(`directory ${shown} ${mode}`);
        walk(path);
      } else if (info.isFile()) {
        const isReservation = directory === join(host.run, 'network/hosts');
        found.push(`file ${shown} ${mode}${isReservation ? ` ${readFileSync(path, 'utf8').trim()}` : ''}`);
      } else found.push(`${info.isSocket() ? 'socket' : 'other'} ${shown} ${mode}`);
    }
  };
  walk(root);
  return found;
}

const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    return []; // gone meanwhile, or never there
  }
};

function treeDigest(root: string): string {
  const hash = createHash('sha256');
  const walk = (directory: string): void => {
    for (const name of namesIn(directory)) {
      const path = join(directory, name);
      const info = lstatSync(path);
      hash.update(
        `${path.slice(root.length)} ${info.mode} ${info.uid}:${info.gid} ${info.size}\n`.repeat(
          info.isDirectory() ? 0 : 1,
        ),
      );
      if (info.isDirectory()) walk(path);
      else if (info.isFile()) hash.update(readFileSync(path));
    }
  };
  walk(root);
  return hash.digest('hex').slice(0, 16);
}

function loopDevices(directory: string): string[] {
  return namesIn('/sys/block').flatMap((name) => {
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
      return file.includes(directory) ? [`loop device of ${file}`] : [];
    } catch {
      return []; // not in use
    }
  });
}

function withAliases(line: string, aliases: Aliases): string {
  let text = line;
  // The longest first: one may be a part of another.
  for (const name of Object.keys(aliases).toSorted((a, b) => b.length - a.length))
    text = text.replaceAll(name, aliases[name] ?? '');
  for (const [pattern, name] of NUMBERS) text = text.replaceAll(pattern, name);
  return text;
}

/** What the daemon gives out anew for each microVM, and numbers by the instance. */
const NUMBERS = [
  [/\b10\.77\.0\.(?!(?:0|1|255)\b)\d+/g, 'ADDRESS'],
  [/\b(?:table|lookup) [1-4]\d{6}\b/g, 'table TABLE'],
  [/\b127\.(?!0\.0\.)\d+\.\d+\.\d+\b/g, 'SERVICE'],
  [/(map service: elements = .* : )(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, '$1MAC'],
  [/\b0x0000[0-9a-f]{4}\b/g, 'MARK'],
  [/\b2\d{4}\b/g, 'PORT'],
  // Which of a set's elements comes first and last is by their values.
  [/((?:set|map) \S+: )elements = \{ /g, '$1'],
  [/(?:,| \})$/g, ''],
] as const;

export interface Difference {
  /** There once where it should be, and once more. */
  readonly doubled: readonly string[];
  /** There, and should not be. */
  readonly leaked: readonly string[];
  /** Not there, and should be. */
  readonly lost: readonly string[];
}

export function compare(expected: Seen, found: Seen): Difference {
  const count = (seen: Seen, line: string): number => seen.filter((one) => one === line).length;
  const doubled: string[] = [];
  const leaked: string[] = [];
  const lost: string[] = [];
  for (const line of new Set([...expected, ...found])) {
    const wanted = count(expected, line);
    const there = count(found, line);
    if (there > wanted) (wanted > 0 ? doubled : leaked).push(line);
    if (there < wanted) lost.push(line);
  }
  return { doubled, leaked, lost };
}
