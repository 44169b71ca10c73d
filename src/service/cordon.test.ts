import { expect, test } from 'vitest';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';

const cordoned = { kind: 'full', reason: 'HostCordoned', message: expect.stringContaining('(new kernel)') };
const draft = { ...fullDraft, interfaces: [] };

test('a cordoned host takes no more, whoever asks, and keeps what it has', async () => {
  const host = new FakeHost();
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const { services } = host.life;
  const since = host.clock.now();
  expect(await services.cordonHost('new kernel')).toEqual({ since, reason: 'new kernel' });
  for (const uniqueId of [true, false])
    await expect(services.create({ ...draft, id: 'b' }, { uniqueId })).rejects.toMatchObject(cordoned);
  await expect(services.planCreate({ ...draft, id: 'b' }, { uniqueId: true })).rejects.toMatchObject(cordoned);
  expect((await services.info()).cordon).toEqual({ since, reason: 'new kernel' });

  // The next daemon keeps it; what is there goes on, down to its end and up again.
  await host.restart();
  const next = host.life.services;
  await expect(next.create({ ...draft, id: 'b' }, { uniqueId: true })).rejects.toMatchObject(cordoned);
  const stopped = next.power('stop', { uid, timeoutMs: 0 }, new AbortController().signal);
  await host.until(uid, 'STOPPED');
  await stopped;
  const started = next.power('start', { uid, timeoutMs: 60_000 }, new AbortController().signal);
  await host.until(uid, 'CREATED');
  await started;

  await next.uncordonHost();
  await next.uncordonHost();
  expect((await next.info()).cordon).toBeUndefined();
  await next.create({ ...draft, id: 'b' }, { uniqueId: true });
});

test('a second cordon has its own reason and the time of the first', async () => {
  const host = new FakeHost();
  const since = host.clock.now();
  await host.life.services.cordonHost('one');
  host.clock.advance(1_000);
  expect(await host.life.services.cordonHost('two')).toEqual({ since, reason: 'two' });
});

test('an answer that was lost is given again by a cordoned host', async () => {
  const host = new FakeHost();
  const keyed = { uniqueId: true, idempotencyKey: 'k' };
  const { uid } = await host.life.services.create(draft, keyed);
  await host.life.services.cordonHost('');
  expect((await host.life.services.create(draft, keyed)).uid).toBe(uid);
});
