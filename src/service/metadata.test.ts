import { describe, expect, test } from 'vitest';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';

const nic = (allowMetadata: boolean) => ({ name: 'eth0', type: 'TAP', allowMetadata, publishedPorts: [] });

describe('where metadata comes from', () => {
  test('an interface on a bridge of others cannot ask, and create says what to do', async () => {
    const host = new FakeHost({ context: { network: undefined, bridge: 'br0' } });
    const created = host.life.services.create({ ...fullDraft, interfaces: [nic(true)] }, { uniqueId: true });
    await expect(created).rejects.toMatchObject({
      kind: 'invalid',
      violations: [
        {
          field: 'interfaces[0].allow_metadata_req',
          description: expect.stringContaining('on bridge br0 leave it out, and metadata comes on a disk'),
        },
      ],
    });
  });

  test('a port is taken for who may ask, and for nobody else', async () => {
    const host = new FakeHost();
    const [may, mayNot] = [await host.create({ id: 'a' }), await host.create({ id: 'b', interfaces: [nic(false)] })];
    expect(host.vm(may).allocation.metadataPort).toBe(20_000);
    expect(host.vm(mayNot).allocation).not.toHaveProperty('metadataPort');
    await host.until(mayNot, 'CREATED');
    expect(host.ledgerOf(mayNot).map(({ kind }) => kind)).not.toContain('metadata');
    expect(host.ledgerOf(mayNot).map(({ kind }) => kind)).not.toContain('cidata');
  });

  test('what nobody may ask for is a disk, made before the VMM and last among the disks', async () => {
    const host = new FakeHost();
    const uid = await host.create({ interfaces: [nic(false)], metadata: { 'user-data': 'eA==' } });
    await host.until(uid, 'CREATED');
    const vmm = host.ledgerOf(uid).find(({ kind }) => kind === 'vmm')?.intent as {
      config: { disks: { id: string }[] };
    };
    expect(vmm.config.disks.at(-1)).toEqual({
      ...{ id: 'cidata', format: 'raw', readOnly: true, isRoot: false },
      path: `/state/vm/${uid}/cidata.img`,
    });
    expect(host.world.paths.has(`/state/vm/${uid}/cidata.img`)).toBe(true);
    // Not a word of it in the ledger: it may be a secret.
    expect(JSON.stringify(host.ledgerOf(uid))).not.toContain('eA==');
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
  });
});
