import { expect, test } from 'vitest';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import type { Vmm } from '../ports/vmm.ts';
import { createServices } from './create-services.ts';

/** A daemon whose providers `first` and `second` are only just being tried. */
function beingTried(patience = 1) {
  const host = new FakeHost();
  host.world.always('image', () => new Promise(() => undefined));
  const { context } = host.life;
  const [made] = context.vmms;
  if (!made) throw new Error('no provider');
  const asked: string[] = [];
  const one = (name: string) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let found = { available: false, unavailableReason: 'It is being tried' };
    const vmm: Vmm = {
      ...made,
      name,
      check: () => [],
      info: async () => ({ ...(await made.info()), name, version: '1', ...found }),
      tried: (signal) => {
        asked.push(name);
        return new Promise((done, fail) => {
          void promise.then(done);
          signal.addEventListener('abort', () => fail(signal.reason), { once: true });
        });
      },
    };
    return {
      vmm,
      finish: (why: string) => {
        found = { available: why === '', unavailableReason: why };
        resolve();
      },
    };
  };
  const [first, second] = [one('first'), one('second')];
  const services = createServices({
    ...context,
    patience,
    vmms: [first.vmm, second.vmm],
    defaultVmms: [first.vmm, second.vmm],
  });
  return { host, services, first, second, asked };
}

test('a create that comes while a provider is tried for the first time waits for it, and is not refused', async () => {
  const { services, first, asked } = beingTried();
  const named = services.create({ ...fullDraft, provider: 'first' }, { uniqueId: true });
  await expect.poll(() => asked).toEqual(['first']);
  first.finish('');
  expect((await named).allocation.provider).toBe('first');
});

test('it goes to the first that proves to be usable, and asks none behind that', async () => {
  const { services, first, second, asked } = beingTried();
  const whichever = services.create({ ...fullDraft, id: 'a' }, { uniqueId: true });
  await expect.poll(() => asked).toEqual(['first']);
  first.finish('');
  expect((await whichever).allocation.provider).toBe('first');
  expect(asked).toEqual(['first']);
  second.finish('');
});

test('one that proves not to be is passed over', async () => {
  const { services, first, second } = beingTried();
  const whichever = services.create({ ...fullDraft, id: 'a' }, { uniqueId: true });
  first.finish('It lacks KVM');
  second.finish('');
  expect((await whichever).allocation.provider).toBe('second');
});

test('one that does not answer holds nobody up for ever', async () => {
  const { services, second } = beingTried(0.001);
  second.finish('');
  const made = await services.create({ ...fullDraft, id: 'a' }, { uniqueId: true });
  expect(made.allocation.provider).toBe('second');
  await expect(services.create({ ...fullDraft, id: 'b', provider: 'first' }, { uniqueId: true })).rejects.toMatchObject(
    { reason: 'ProviderUnavailable', message: expect.stringContaining('It is being tried') },
  );
});
