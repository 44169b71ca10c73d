import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import type { SpecDraft } from '../domain/draft.ts';
import type { Condition, Uid } from '../domain/microvm.ts';
import type { Files } from '../ports/host.ts';

const FULL = 'the disk is full';

/** Every console's file, as one: it only grows. */
class Console {
  data = Buffer.alloc(0);
  reads = 0;
  broken = false;
  /** A look at the file begins, and takes as long as this says. */
  onLook: () => Promise<void> = async () => undefined;
  readonly watchers = new Set<() => void>();

  write(text: string): void {
    this.data = Buffer.concat([this.data, Buffer.from(text)]);
    for (const changed of this.watchers) changed();
  }

  readonly files: Files = {
    ...fakeFiles({}),
    stat: async () => {
      await this.onLook();
      return { kind: 'file', sizeBytes: this.data.length, diskBytes: 0, mode: 0o600 };
    },
    read: async (_path, { offset = 0, maxBytes = Number.POSITIVE_INFINITY } = {}) => {
      this.reads++;
      if (this.broken) throw new Error(FULL);
      return this.data.subarray(offset, Math.min(offset + maxBytes, this.data.length));
    },
    watch: (_path, changed) => {
      this.watchers.add(changed);
      return () => this.watchers.delete(changed);
    },
  };
}

const lan: Partial<SpecDraft> = {
  interfaces: [{ name: 'lan0', type: 'TAP', allowMetadata: false, publishedPorts: [] }],
};
const said = (state = 'dhcp'): string => `flintlock-guest: configured nics=lan0:${state} mounts=none\r\n`;

async function setUp(changes = lan) {
  const console_ = new Console();
  const host = new FakeHost({ context: { files: console_.files } });
  const uid = await host.create(changes);
  await host.until(uid, 'CREATED');
  const now = (one: Uid = uid): Condition | undefined =>
    host.vm(one).conditions.find(({ type }) => type === 'GuestConfigured');
  /** Lets time go on, from timer to timer, until it is so. */
  const becomes = async (status: string, reason?: string, one: Uid = uid): Promise<void> => {
    const isSo = () => now(one)?.status === status && (reason === undefined || now(one)?.reason === reason);
    for (let i = 0; i < 400 && !isSo(); i++) {
      for (let turns = 0; turns < 10 && !isSo(); turns++) await turn();
      const { next } = host.clock;
      if (next !== undefined && !isSo()) host.clock.advance(next - host.clock.now());
    }
    await eventually(`it is ${status}, not ${JSON.stringify(now(one))}`, isSo);
  };
  const pid = (): number => host.world.vmmsOf(uid)[0] ?? -1;
  return { console_, host, uid, now, becomes, pid };
}
const settle = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await turn();
};

test('it is Unknown until the guest says so, and is taken back where the guest takes it back', async () => {
  const { console_, now, becomes } = await setUp();
  expect(now()).toMatchObject({ status: 'Unknown', reason: 'NotReported' });
  console_.write('booting\n');
  console_.write(said().slice(0, 20)); // it comes in pieces
  await settle();
  expect(now()?.status).toBe('Unknown');
  console_.write(said().slice(20));
  await becomes('True', 'Configured');
  console_.write(said('failed'));
  await becomes('False', 'ConfigurationFailed');
  console_.write(said());
  await becomes('True', 'Configured');
});

test('where the spec leaves the guest nothing to do it is True, and no console is read for long', async () => {
  const { console_, host, now } = await setUp({});
  await settle();
  expect(now()).toMatchObject({ status: 'True', reason: 'NothingToConfigure' });
  for (let written = 0; written < 512 << 10 && console_.watchers.size > 0; written += 64 << 10) {
    console_.write(`${'x'.repeat(1023)}\n`.repeat(64));
    await settle();
    host.clock.advance(1_000);
  }
  await eventually('nobody watches', () => console_.watchers.size === 0);
});

test('another init than the first is told, until a boot that has that', async () => {
  const { console_, host, uid, pid } = await setUp({});
  const init = (): Condition | undefined => host.vm(uid).conditions.find(({ type }) => type === 'GuestInit');
  const until = async (what: string, isSo: () => boolean): Promise<void> => {
    for (let i = 0; i < 50 && !isSo(); i++) {
      await settle();
      host.clock.advance(100);
    }
    await eventually(what, isSo);
  };
  console_.write(
    'flintlock-initrd: the init is /init, because /sbin/init: it is a directory; /bin/init: it is empty\r\n',
  );
  await until('it is told', () => init() !== undefined);
  expect(init()).toMatchObject({
    status: 'True',
    reason: 'InitPassedOver',
    message: "The guest's init is /init, because of /sbin/init: it is a directory; /bin/init: it is empty",
  });
  host.world.reset(pid(), console_.data.length);
  console_.write('flintlock-initrd: the init is /sbin/init\n');
  await until('it is gone', () => init() === undefined);
});

test('an initrd that gives up is told, with what went wrong before, until the next boot', async () => {
  const { console_, host, uid, pid } = await setUp({});
  const init = (): Condition | undefined => host.vm(uid).conditions.find(({ type }) => type === 'GuestInit');
  const until = async (what: string, isSo: () => boolean): Promise<void> => {
    for (let i = 0; i < 50 && !isSo(); i++) {
      await settle();
      host.clock.advance(100);
    }
    await eventually(what, isSo);
  };
  console_.write('[  5.1] dracut-initqueue[275]: Warning: /dev/vdz does not exist\r\n');
  await settle();
  host.clock.advance(100);
  console_.write('Entering emergency mode. Exit the shell to continue.\r\n');
  await until('it is told', () => init() !== undefined);
  expect(init()).toMatchObject({ status: 'False', reason: 'EmergencyShell' });
  expect(init()?.message).toContain('"/dev/vdz does not exist", and then "Entering emergency mode. Exit the');
  expect(host.log.lines.some(({ message }) => message === 'the initrd or init of a guest gave up')).toBe(true);
  host.world.reset(pid(), console_.data.length);
  await until('it is gone', () => init() === undefined);
});

test('a failure shows, and is mended by a later word', async () => {
  const { console_, now, becomes } = await setUp();
  console_.write(said('failed'));
  await becomes('False', 'ConfigurationFailed');
  expect(now()?.message).toContain('lan0');
  console_.write(said());
  await becomes('True');
});

test('a guest that boots anew begins Unknown, whatever it said before', async () => {
  const { console_, host, becomes, pid } = await setUp();
  console_.write(said());
  await becomes('True');
  host.world.reset(pid(), console_.data.length);
  await becomes('Unknown', 'NotReported');
  console_.write(said());
  await becomes('True');
});

test('each guest’s word is its own, and changes nothing else of it', async () => {
  const { console_, host, becomes, now, uid } = await setUp();
  const other = await host.create({ id: 'other', ...lan, provider: '' });
  await host.until(other, 'CREATED');
  const before = host.vm(uid);
  console_.write(said());
  await becomes('True');
  await becomes('True', undefined, other); // the test's file is both consoles
  const after = host.vm(uid);
  expect(after.version).toBe(before.version + 1);
  expect(after).toEqual({ ...before, version: after.version, conditions: after.conditions });
  expect(now()?.lastTransitionAt).toBeGreaterThanOrEqual(before.createdAt);
});

describe('over a restart of the daemon', () => {
  test('what was said while none ran is read', async () => {
    const { console_, host, becomes, now, uid } = await setUp();
    host.life.dead = true;
    console_.write(said());
    await host.restart();
    await host.until(uid, 'CREATED');
    await becomes('True', 'Configured');
    expect(now()?.message).toContain('lan0');
  });

  test('what was known stays known, also where the console is not kept so far back', async () => {
    const { console_, host, becomes, now, uid } = await setUp();
    console_.write(said());
    await becomes('True');
    const { lastTransitionAt } = now() ?? {};
    console_.data = Buffer.from('much later\n');
    host.clock.advance(60_000);
    await host.restart();
    await eventually('it is taken over', () => host.life.guests.of(uid) !== undefined);
    await settle();
    expect(now()).toMatchObject({ status: 'True', lastTransitionAt });
  });

  test('a boot that began meanwhile is Unknown', async () => {
    const { console_, host, becomes, uid } = await setUp();
    console_.write(said());
    await becomes('True');
    host.life.dead = true;
    console_.write('[    0.000000] Linux version 6.1.0\n');
    await host.restart();
    await eventually('it is taken over', () => host.life.guests.of(uid) !== undefined);
    await becomes('Unknown', 'NotReported');
  });
});

test('a guest that floods its console is read a piece at a time, and not for ever', async () => {
  const { console_, host, now } = await setUp();
  const line = `${'x'.repeat(1023)}\n`;
  for (let written = 0; written < 10 << 20; written += 1 << 20) {
    const before = console_.reads;
    console_.write(line.repeat(1 << 10));
    await settle();
    expect(console_.reads - before).toBeLessThanOrEqual(1); // however much there is, until time goes on
    for (let i = 0; i < 20; i++) {
      const { next } = host.clock;
      if (next !== undefined) host.clock.advance(next - host.clock.now());
      await settle();
    }
  }
  expect(console_.watchers.size).toBe(0);
  console_.write(said());
  await settle();
  expect(now()?.status).toBe('Unknown');
});

test('a line without an end is not kept', async () => {
  const { console_, becomes } = await setUp();
  console_.write('x'.repeat(300_000));
  await settle();
  console_.write(`\n${said()}`);
  await becomes('True');
});

test('what cannot be read is tried again, and says so in the log', async () => {
  const { console_, host, becomes } = await setUp();
  console_.broken = true;
  console_.write(said());
  for (let i = 0; i < 3; i++) {
    await settle();
    host.clock.advance(5_000);
  }
  expect(host.log.lines.some(({ fields }) => String(Object(fields).error).includes(FULL))).toBe(true);
  console_.broken = false;
  await becomes('True');
});

test('what a guest said last is heard when it ends', async () => {
  const { console_, host, becomes, uid, pid } = await setUp();
  console_.write(said());
  host.world.kill(pid(), { reason: 'GuestShutdown', message: 'off' });
  await host.until(uid, 'STOPPED');
  await becomes('True');
  expect(console_.watchers.size).toBe(0);
});

test('a delete lets go of the console', async () => {
  const { console_, host, uid } = await setUp();
  await host.delete(uid);
  await host.until(uid, 'gone');
  expect(console_.watchers.size).toBe(0);
});

test('a run that ends while its console is being read is told all the same', async () => {
  const { console_, host, uid, pid } = await setUp();
  await settle();
  // The next look at the file takes until we say so.
  let looks = 0;
  const release = Promise.withResolvers<void>();
  console_.onLook = () => {
    looks++;
    return release.promise;
  };
  console_.write('more\n');
  await settle();
  host.clock.advance(1_000);
  await eventually('the console is being looked at', () => looks > 0);
  host.world.kill(pid(), { reason: 'VmmKilled', message: 'ended by SIGKILL' });
  await settle();
  release.resolve();
  await eventually('its end is in the record', () => host.vm(uid).lastEnd !== undefined);
});
