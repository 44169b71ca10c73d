/** What KVM changes, with real guests, on a host that has it. Needs root. See --help. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestOf } from '../lab/guest.ts';
import { demoSpec, ROOT, type SpecInit, TestHost } from '../support/daemon.ts';
import { guestRows } from './guest-rows.ts';
import { hostRows } from './host-rows.ts';
import { flagsFor, TRIED } from './providers.ts';
import type { Row } from './rows.ts';

const HELP = `Usage: npm run e2e:kvm -- [options]

Boots guests under KVM and looks whether all is so that depends on it. On a
machine without KVM: npm run lab -- npm run e2e:kvm

  --only NAME  one row; more than once for several
  --list       print the rows
  --help       print this

Rows of a VMM that the distribution has not are skipped unless a variable names
its program: FLINTLOCK_TEST_FIRECRACKER, FLINTLOCK_TEST_CLOUDHYPERVISOR.
FLINTLOCK_TEST_JAILER names the jailer that the first is to run in.

The exit status is 0 when every row is as it must be, 1 when one is not, 2 for a
wrong option and where nothing can be tried.

Examples:
  npm run lab -- npm run e2e:kvm
  npm run lab -- npm run e2e:kvm -- --only life-qemu
`;

const GUEST = join(ROOT, '.cache/lab/guest');
const ROWS: readonly Row[] = [...hostRows(TRIED), ...guestRows(TRIED)];

class Usage extends Error {}

function chosen(names: readonly string[]): readonly Row[] {
  for (const name of names)
    if (!ROWS.some((row) => row.name === name))
      throw new Usage(`there is no row "${name}"; there are ${ROWS.map((row) => row.name).join(', ')}`);
  return names.length === 0 ? ROWS : ROWS.filter(({ name }) => names.includes(name));
}

function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it makes network devices and guests: run it as root';
  if (!existsSync('/dev/kvm')) return 'there is no /dev/kvm here: npm run lab -- npm run e2e:kvm';
  if (!existsSync(join(GUEST, 'index.json')))
    return `there is no ${GUEST}: npm run lab makes it before it starts its host`;
  return undefined;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const rows = chosen(values.only);
  if (values.list) {
    for (const { name, promises } of rows) say(`${name.padEnd(22)}  ${promises}`);
    return 0;
  }
  const missing = obstacle();
  if (missing !== undefined) throw new Usage(missing);

  const begin = performance.now();
  const own = ['--managed-network', '10.77.0.0/24', '--image-root', dirname(GUEST)];
  const host = new TestHost({ flags: [...own, ...flagsFor(process.env)] });
  let failed = 0;
  let skipped = 0;
  try {
    const spec = (id: string): SpecInit => demoSpec(id, guestOf(GUEST));
    await host.start();
    say(`daemon ready after ${seconds(begin)}`);
    for (const { name, needs, run } of rows) {
      if (needs !== undefined && !process.env[needs]) {
        skipped++;
        say(`skip  ${name}: ${needs} names no program`);
        continue;
      }
      const at = performance.now();
      try {
        await run({ host, spec, say: (text) => say(`      ${name} after ${seconds(at)}: ${text}`) });
        say(`ok    ${name}  ${seconds(at)}`);
      } catch (error) {
        failed++;
        say(`WRONG ${name}  ${seconds(at)}: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
    if (failed > 0) say(`the daemon's log:\n${host.log.slice(-4_000)}`);
  } finally {
    await host.close();
  }
  say(
    `e2e:kvm: ${rows.length - failed - skipped} as they must be, ${failed} wrong, ${skipped} skipped, ${seconds(begin)}`,
  );
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof Usage || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (!isUsage) throw error;
  process.stderr.write(`e2e:kvm: ${(error as Error).message}\nTry --help.\n`);
  process.exitCode = 2;
}
