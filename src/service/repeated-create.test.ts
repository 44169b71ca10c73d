import { describe, expect, test } from 'vitest';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { hang } from '../../test/support/fake-world.ts';
import type { SpecDraft } from '../domain/draft.ts';

/** A host whose microVMs stay as they were made. */
function quietHost(): FakeHost {
  const host = new FakeHost();
  host.world.always('image', hang);
  return host;
}

const nic = { type: 'TAP', allowMetadata: false, publishedPorts: [] };
const withMac: SpecDraft = { ...fullDraft, interfaces: [{ ...nic, name: 'eth1', mac: '2a:76:d1:e0:64:15' }] };
const dropin = { uniqueId: false };

describe('a create without a key that comes again', () => {
  test('is answered with the microVM that it made, as that is now', async () => {
    const host = quietHost();
    const first = await host.life.services.create(withMac, dropin);
    const cursor = host.life.store.cursor();
    const again = await host.life.services.create(withMac, dropin);
    expect(again.uid).toBe(first.uid);
    expect(host.life.store.cursor()).toEqual(cursor);
    expect(host.life.store.count()).toBe(1);
  });

  test('is known by the next daemon, and however the MAC address is written', async () => {
    const host = quietHost();
    const loud = { ...withMac, interfaces: [{ ...nic, name: 'eth1', mac: '2A-76-D1-E0-64-15' }] };
    const first = await host.life.services.create(loud, dropin);
    await host.restart();
    expect((await host.life.services.create(loud, dropin)).uid).toBe(first.uid);
  });

  test('is known still when its labels were changed meanwhile', async () => {
    const host = quietHost();
    const { uid } = await host.life.services.create(withMac, dropin);
    const draft = { ...fullDraft, labels: { app: 'other' } };
    await host.life.services.update({ target: { uid }, draft, mask: ['labels'], expectedGeneration: 0 });
    expect((await host.life.services.create(withMac, dropin)).uid).toBe(uid);
  });

  test('beside itself makes one', async () => {
    const host = quietHost();
    const all = await Promise.all(Array.from({ length: 8 }, () => host.life.services.create(withMac, dropin)));
    expect(new Set(all.map(({ uid }) => uid)).size).toBe(1);
    expect(host.life.store.count()).toBe(1);
  });

  test('makes a second one where it gives no MAC address', async () => {
    const host = quietHost();
    const draft = { ...fullDraft, interfaces: [{ ...nic, name: 'eth1' }] };
    const [a, b] = [await host.life.services.create(draft, dropin), await host.life.services.create(draft, dropin)];
    expect(a.uid).not.toBe(b.uid);
  });

  test.each<[string, Partial<SpecDraft>]>([
    ['another id', { id: 'other' }],
    ['another namespace', { namespace: 'team-b' }],
    ['more CPUs', { vcpu: 2 }],
    ['other metadata', { metadata: { 'user-data': 'YQ==' } }],
    ['a second interface', { interfaces: [...withMac.interfaces, { ...nic, name: 'eth2' }] }],
  ])('is none where it has %s: it says who has the address', async (_, change) => {
    const host = quietHost();
    const { uid } = await host.life.services.create(withMac, dropin);
    await expect(host.life.services.create({ ...withMac, ...change }, dropin)).rejects.toMatchObject({
      kind: 'invalid',
      violations: [
        { field: 'interfaces[0].guest_mac', description: expect.stringContaining(`microVM default/web (${uid})`) },
      ],
    });
  });

  test('of two addresses of two microVMs is nobody’s', async () => {
    const host = quietHost();
    const second = { ...nic, name: 'eth2', mac: '2a:76:d1:e0:64:16' };
    await host.life.services.create(withMac, dropin);
    await host.life.services.create({ ...withMac, id: 'b', interfaces: [second] }, dropin);
    await expect(
      host.life.services.create({ ...withMac, interfaces: [...withMac.interfaces, second] }, dropin),
    ).rejects.toMatchObject({ kind: 'invalid' });
    expect(host.life.store.count()).toBe(2);
  });

  test('while its microVM is being deleted is to come later, and then makes another', async () => {
    const host = quietHost();
    const { uid } = await host.life.services.create(withMac, dropin);
    await host.delete(uid);
    await expect(host.life.services.create(withMac, dropin)).rejects.toMatchObject({
      kind: 'full',
      message: expect.stringMatching(/2a:76:d1:e0:64:15 is that of microVM default\/web .* being deleted: try again/),
    });
    await host.until(uid, 'gone');
    expect((await host.life.services.create(withMac, dropin)).uid).not.toBe(uid);
  });

  test('is refused where the name is that of one only, which is named', async () => {
    const host = quietHost();
    const { uid } = await host.life.services.create(withMac, { uniqueId: true });
    await expect(host.life.services.create(withMac, { uniqueId: true })).rejects.toMatchObject({
      kind: 'exists',
      message: expect.stringContaining(uid),
    });
  });

  test('of who may not know of others names nothing of them', async () => {
    const host = quietHost();
    await host.life.services.create(withMac, dropin);
    const error = host.life.services.create({ ...withMac, namespace: 'team-b' }, { ...dropin, knows: 'team-b' });
    await expect(error).rejects.toMatchObject({
      violations: [{ description: expect.stringContaining('taken by a microVM of another namespace') }],
    });
  });
});
