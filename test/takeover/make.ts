/**
 * Makes a state directory with one microVM in each state and one entry of each
 * ledger kind, and prints its database as SQL. Needs root. What it printed for
 * a version of the program is kept beside it: `src/daemon/takeover.test.ts`
 * takes each of them over. Once a schema of `src/steps/` or `src/store/schema/`
 * has changed, run it again and keep both:
 *
 *     node_modules/.bin/node test/takeover/make.ts > test/takeover/database-VERSION.sql
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { idleLayer } from '../faults/idle-kernel.ts';
import { ROOT, type SpecInit, TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';

const PARENT = 'up0';
/** Nobody answers there. */
const NO_REGISTRY = '127.0.0.1:1';

const host = new TestHost({
  flags: [
    ...['--managed-network', '10.77.0.0/24', '--parent-iface', PARENT, '--maximum-retry', '100'],
    ...['--insecure-registry', NO_REGISTRY],
  ],
  prepare: async ({ tool }) => {
    const ip = tool.bind(host, 'ip', 'link');
    await ip('add', PARENT, 'type', 'veth', 'peer', 'name', 'wire0');
    await ip('set', PARENT, 'up');
  },
});

const image = `oci:${host.images}/idle:v1`;

/** Asks for its metadata on both interfaces. */
const served = (id: string, hostPort: number, change: object = {}): SpecInit =>
  ({
    id,
    vcpu: 1,
    memoryInMb: 32,
    labels: { app: 'idle' },
    kernel: { image },
    volumes: [{ id: 'root', isRoot: true, sizeInMb: 16, source: { containerSource: image } }],
    metadata: { 'user-data': Buffer.from('#cloud-config\n').toString('base64') },
    interfaces: [
      { guestDeviceName: 'eth0', type: 1, allowMetadataReq: true, publishedPorts: [{ hostPort, guestPort: 80 }] },
      { guestDeviceName: 'eth1', type: 0, allowMetadataReq: true },
    ],
    ...change,
  }) as SpecInit;

/** Has its metadata on a disk, a static address, and volumes of each sort. */
const onDisk = (id: string, address: string): SpecInit =>
  served(id, 0, {
    kernel: { image: `oci:${host.images}/pvh:v1` },
    volumes: [
      {
        id: 'root',
        isRoot: true,
        partitionId: '6c1f1a1e-0000-4000-8000-000000000001',
        source: { containerSource: image },
      },
      { id: 'shared', isReadOnly: true, mountPoint: '/mnt', source: { containerSource: image } },
    ],
    interfaces: [
      { guestDeviceName: 'eth0', type: 1, address },
      { guestDeviceName: 'eth1', type: 0 },
    ],
  });

async function make(): Promise<void> {
  await writeLayout(join(host.images, 'idle'), { v1: { layers: [idleLayer('linux')] } });
  await writeLayout(join(host.images, 'pvh'), { v1: { layers: [idleLayer('pvh')] } });
  await host.start();
  const uidOf = async (spec: SpecInit): Promise<string> => (await host.create(spec)).spec?.uid ?? '';
  const until = async (spec: SpecInit, state: 'CREATED' | 'FAILED'): Promise<string> => {
    const uid = await uidOf(spec);
    await host.until(uid, state);
    return uid;
  };
  const gone = await until(onDisk('gone', '10.77.0.201/24'), 'CREATED');
  await host.vms.deleteMicroVM({ uid: gone });
  await host.untilGone(gone);
  await until(served('created', 8_080), 'CREATED');
  const paused = await until(onDisk('paused', '10.77.0.200/24'), 'CREATED');
  await host.vms.pauseMicroVM({ uid: paused });
  await host.until(paused, 'PAUSED');
  const stopped = await until(served('stopped', 8_081), 'CREATED');
  await host.vms.stopMicroVM({ uid: stopped, timeout: { seconds: 0n } });
  await host.until(stopped, 'STOPPED');
  await until(served('failed', 8_082, { kernel: { image, filename: 'none' } }), 'FAILED');
  const pending = await uidOf(served('pending', 8_083, { kernel: { image: `${NO_REGISTRY}/kernel:v1` } }));
  await host.untilReason(pending, 'ImagePullFailed');
  const deleting = await until(served('deleting', 8_084), 'CREATED');
  await host.stop();
  host.env = { FLINTLOCK_TEST_FAULT: 'tap:unmake:before:1:kill', FLINTLOCK_TEST_FAULTS: 'allow' };
  await host.start();
  await host.vms.deleteMicroVM({ uid: deleting }).catch(() => undefined); // it may be answered or not
  if ((await host.ended(60_000)) !== 'SIGKILL') throw new Error('the daemon did not break');
}

/** Where this very process is. */
const ownCgroups = new RegExp(
  readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .map((line) => line.split(':')[2] ?? '')
    .filter((path) => path.length > 1)
    .join('|') || '(?!)',
  'g',
);

/** Tables, rows and version, the newest events, and no place of this machine. */
function dump(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  const all = (sql: string) => database.prepare(sql).all();
  const lines: string[] = [];
  const things = all("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'");
  for (const { sql } of things) lines.push(`${sql};`);
  for (const { name } of [...things.filter(({ type }) => type === 'table'), { name: 'sqlite_sequence' }])
    for (const row of all(`SELECT * FROM ${name}`).slice(name === 'events' ? -10 : 0))
      lines.push(
        `INSERT INTO ${name} (${Object.keys(row).join(', ')}) VALUES (${Object.values(row).map(literal).join(', ')});`,
      );
  lines.push(`PRAGMA user_version=${all('PRAGMA user_version')[0]?.user_version};`);
  database.close();
  return `${lines.join('\n').replaceAll(ROOT, '/checkout').replaceAll(ownCgroups, '')}\n`;
}

function literal(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'bigint') return String(value ?? 'NULL');
  return `'${String(value).replaceAll("'", "''")}'`;
}

try {
  await make();
  process.stdout.write(dump(join(host.state, 'flintlock.db')));
} catch (error) {
  process.stderr.write(`${host.log}\n`);
  throw error;
} finally {
  await host.close();
}
