import { describe, expect, test, vi } from 'vitest';
import { turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';

const many = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn();
};

describe('who waits for one microVM', () => {
  test('looks at its changes, and at no other’s', async () => {
    const host = new FakeHost({ look: () => async () => undefined });
    const [one, other] = [await host.create({ id: 'one' }), await host.create({ id: 'other' })];
    const { store, services } = host.life;
    const waiting = services.wait({ uid: one, until: 'ADDRESS', timeoutMs: 60_000 }, new AbortController().signal);
    await many();
    const get = vi.spyOn(store, 'get');
    for (let i = 1; i <= 10; i++) {
      store.update(other, (vm) => ({ ...vm, retry: i }));
      await many();
    }
    expect(get).not.toHaveBeenCalled();
    store.update(one, (vm) => ({ ...vm, addresses: { eth0: ['10.77.0.2'] } }));
    expect((await waiting).addresses).toEqual({ eth0: ['10.77.0.2'] });
  });

  test('sees what is stored in one transaction with another’s change, and after one that was rolled back', async () => {
    const host = new FakeHost({ look: () => async () => undefined });
    const [one, other] = [await host.create({ id: 'one' }), await host.create({ id: 'other' })];
    const { store, services } = host.life;
    const waiting = services.wait({ uid: one, until: 'ADDRESS', timeoutMs: 60_000 }, new AbortController().signal);
    await many();
    expect(() =>
      host.database.transact(() => {
        store.update(one, (vm) => ({ ...vm, addresses: { eth0: ['10.77.0.9'] } }));
        throw new Error('no');
      }),
    ).toThrow('no');
    await many();
    host.database.transact(() => {
      store.update(one, (vm) => ({ ...vm, addresses: { eth0: ['10.77.0.2'] } }));
      store.update(other, (vm) => ({ ...vm, retry: 1 }));
    });
    expect((await waiting).addresses).toEqual({ eth0: ['10.77.0.2'] });
  });
});
