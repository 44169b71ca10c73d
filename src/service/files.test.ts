import { expect, test } from 'vitest';
import { allOf } from '../../test/support/all-of.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { sampleFile } from '../../test/support/fake-services.ts';
import { idleAgent } from '../../test/support/idle-agent.ts';
import { Fault } from '../domain/fault.ts';
import type { GuestFiles } from '../ports/guest-files.ts';

const signal = new AbortController().signal;
const place = { path: Buffer.from('/x') };

async function setUp(files?: Partial<GuestFiles>) {
  const idle = idleAgent(['files']);
  const agent = files && { ...idle, files: { ...idle.files, ...files } };
  const host = new FakeHost({ context: { agentOf: () => agent } });
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  return { uid, services: host.life.services };
}

test('the agent does it', async () => {
  const { uid, services } = await setUp({
    stat: async ({ path }) => sampleFile(path),
    async *list() {
      yield [sampleFile(place.path)];
    },
  });
  expect(await services.statFile({ uid, place }, signal)).toMatchObject({ mode: 0o640 });
  expect(await allOf(services.listFiles({ uid, place }, signal))).toHaveLength(1);
});

test('without an agent it is refused; what the guest refused is told as it is', async () => {
  const none = await setUp();
  await expect(none.services.statFile({ uid: none.uid, place }, signal)).rejects.toMatchObject({
    ...{ kind: 'refused', message: expect.stringContaining('no agent has answered') },
  });
  const { uid, services } = await setUp({});
  const change = { is: 'remove', ...place, recursive: false } as const;
  await expect(services.changeFile({ uid, change }, signal)).rejects.toThrow('nothing is known of files');
});

test('an agent that goes away meanwhile cut it off', async () => {
  const { uid, services } = await setUp({
    async *read() {
      yield { is: 'data', data: Buffer.from('begun') };
      throw new Fault('tool', 'The guest agent is gone');
    },
  });
  const reading = allOf(services.readFile({ uid, place, offset: 0n, length: 0n }, signal));
  await expect(reading).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining('was cut off: ') });
});
