import { describe, expect, test } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { ownedBy } from '../../test/support/ledger-rows.ts';

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
    const vmm = host.life.ledger.find(ownedBy(uid), 'vmm', '');
    expect(vmm?.intent.config.disks.at(-1)).toEqual({
      ...{ id: 'cidata', format: 'raw', readOnly: true, isRoot: false },
      path: `/state/vm/${uid}/cidata.img`,
    });
    expect(host.world.paths.has(`/state/vm/${uid}/cidata.img`)).toBe(true);
    // Not a word of it in the ledger: it may be a secret.
    expect(JSON.stringify(host.ledgerOf(uid))).not.toContain('eA==');
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
  });

  test('who cannot say who may ask has it on a disk, and from the service where that reaches', async () => {
    const host = new FakeHost();
    const metadata = { 'user-data': '#!/bin/sh' };
    const interfaces = [nic(false), { ...nic(false), name: 'eth1', bridge: 'br7' }];
    const uid = await host.create({ interfaces, metadata, metadataAnyhow: true });
    await host.until(uid, 'CREATED');
    expect(host.vm(uid).spec.interfaces.map(({ allowMetadata }) => allowMetadata)).toEqual([true, false]);
    const kinds = host.ledgerOf(uid).map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(['cidata', 'metadata']));
    expect(host.ledgerOf(uid).filter(({ kind }) => kind === 'tap')).toMatchObject([
      { intent: { bridge: 'flabcdbr' } },
      { intent: { bridge: 'br7' } },
    ]);
    expect(host.vm(uid).allocation.interfaces.eth1).toEqual({ mac: expect.any(String) });

    const without = await host.create({ id: 'b', interfaces: [nic(false)], metadataAnyhow: true });
    expect(host.vm(without).spec.interfaces.map(({ allowMetadata }) => allowMetadata)).toEqual([false]);
  });

  test('on a bridge of others it is the disk alone', async () => {
    const host = new FakeHost({ context: { network: undefined, bridge: 'br0' } });
    const draft = { ...fullDraft, interfaces: [nic(false)], metadata: { a: 'raw!' }, metadataAnyhow: true };
    const { spec } = await host.life.services.create(draft, { uniqueId: false });
    expect(spec.interfaces).toMatchObject([{ allowMetadata: false }]);
  });
});

describe('metadata that the VMM answers with', () => {
  const told = (host: FakeHost, uid: string) => host.world.answered.get(uid);
  const untilTold = (host: FakeHost, uid: string, words: string) =>
    eventually(`its VMM was told ${words}`, () => JSON.stringify(told(host, uid)).includes(words) || undefined);
  const text = (content: string): string => Buffer.from(content).toString('base64');

  test('is told at the start and after each update, on whatever bridge, and is in no row', async () => {
    const host = new FakeHost();
    const metadata = { 'user-data': text('#!/bin/sh\n'), 'meta-data': text('instance-id: one\n') };
    const providerOptions = { mmds: 'v1' };
    const uid = await host.create({ interfaces: [{ ...nic(true), bridge: 'br7' }], metadata, providerOptions });
    await host.until(uid, 'CREATED');
    expect(host.vm(uid).allocation).not.toHaveProperty('metadataPort');
    expect(host.ledgerOf(uid).map(({ kind }) => kind)).not.toContain('cidata');
    expect(host.ledgerOf(uid).map(({ kind }) => kind)).not.toContain('metadata');
    expect(JSON.stringify(host.ledgerOf(uid))).not.toMatch(/instance-id: one|IyEvYmluL3NoCg/);
    const vmm = host.life.ledger.find(ownedBy(uid), 'vmm', '');
    expect(vmm?.intent.config.guestWords).toContain('ds=nocloud;dsmode=net;s=http://169.254.169.254/latest/');
    expect(told(host, uid)).toMatchObject({
      latest: { 'user-data': '#!/bin/sh\n', 'meta-data': expect.stringContaining('instance-id: one\n') },
    });

    const draft = { ...fullDraft, id: '', metadata: { x: text('later') } };
    await host.life.services.update({ target: { uid }, draft, mask: ['metadata.x'], expectedGeneration: 0 });
    await untilTold(host, uid, '"x":"later"');
    expect(told(host, uid)).toMatchObject({ latest: { x: 'later', 'user-data': '#!/bin/sh\n' } });
  });

  test('by tokens it is there part by part, and on a disk for cloud-init, which knows none', async () => {
    const host = new FakeHost();
    const metadata = { 'meta-data': text('instance-id: one\ntags: [a, b]\n') };
    const uid = await host.create({ interfaces: [nic(true)], metadata, providerOptions: { mmds: 'v2' } });
    await host.until(uid, 'CREATED');
    expect(host.ledgerOf(uid).map(({ kind }) => kind)).toContain('cidata');
    const vmm = host.life.ledger.find(ownedBy(uid), 'vmm', '');
    expect(vmm?.intent.config.guestWords.join(' ')).not.toContain('ds=nocloud');
    expect(told(host, uid)).toMatchObject({ latest: { 'meta-data': { 'instance-id': 'one', tags: ['a', 'b'] } } });

    const change = (mask: string[], values: Record<string, string>) =>
      host.life.services.update({
        ...{ target: { uid }, mask, expectedGeneration: 0 },
        draft: { ...fullDraft, id: '', metadata: values },
      });
    await change(['metadata.x'], { x: text('later') });
    await untilTold(host, uid, '"x":"later"');
    // There would be a disk without anything on it.
    await expect(change(['metadata'], {})).rejects.toThrow(/metadata: cannot be changed/);
    await expect(change(['metadata.x'], { x: text('y'.repeat(60_000)) })).rejects.toThrow(/at most 51200/);
  });

  test('one that was taken over is told anew', async () => {
    const host = new FakeHost();
    const uid = await host.create({ interfaces: [nic(true)], providerOptions: { mmds: 'v1' } });
    await host.until(uid, 'CREATED');
    const right = told(host, uid);
    host.world.answered.set(uid, {});
    await host.restart();
    await untilTold(host, uid, 'instance-id');
    expect(told(host, uid)).toEqual(right);
  });
});

describe('an interface on a bridge of its own', () => {
  test('is refused where the bridge is not there, or is the daemon’s', async () => {
    const host = new FakeHost();
    Object.assign(host.life.context, {
      surroundings: { ...host.life.context.surroundings, bridgeMissing: async (name: string) => `no ${name}` },
    });
    const created = host.create({
      interfaces: ['br7', 'flabcdbr'].map((bridge, i) => ({ ...nic(false), name: `eth${i}`, bridge })),
    });
    await expect(created).rejects.toMatchObject({
      violations: [
        { field: 'interfaces[0].overrides.bridge_name', description: 'no br7' },
        { field: 'interfaces[1].overrides.bridge_name', description: expect.stringContaining("the managed network's") },
      ],
    });
  });

  test('a gateway outside the managed network is refused', async () => {
    const host = new FakeHost();
    const interfaces = [{ ...nic(false), address: '10.9.0.5', gateway: '10.8.0.1' }];
    await expect(host.create({ interfaces })).rejects.toMatchObject({
      violations: expect.arrayContaining([expect.objectContaining({ field: 'interfaces[0].address.gateway' })]),
    });
  });
});

describe('an interface on a parent', () => {
  const lan = { ...nic(true), type: 'MACVTAP' };

  test('without a parent is refused with both remedies', async () => {
    const host = new FakeHost({ context: { parent: undefined } });
    await expect(host.create({ interfaces: [lan] })).rejects.toMatchObject({
      violations: [
        {
          field: 'interfaces[0].type',
          description: expect.stringMatching(/also when left out.*type: TAP.*--parent-iface IFACE/),
        },
      ],
    });
  });

  test('a parent that has vanished is named', async () => {
    const host = new FakeHost();
    host.world.parentUnfit = 'There is no interface par0';
    await expect(host.create({ interfaces: [lan] })).rejects.toMatchObject({
      kind: 'refused',
      reason: 'NetworkFailed',
      message: expect.stringContaining('There is no interface par0'),
    });
  });

  test('has a MAC address and no address of the managed network', async () => {
    const host = new FakeHost();
    const interfaces = [nic(true), { ...lan, name: 'lan0', address: '10.77.0.9/24' }];
    const uid = await host.create({ interfaces });
    await host.until(uid, 'CREATED');
    expect(host.vm(uid).allocation.interfaces.lan0).toEqual({ mac: expect.any(String) });
    expect(host.ledgerOf(uid).map(({ kind, key }) => `${kind} ${key}`)).toEqual(
      expect.arrayContaining(['tap eth0', 'macvtap lan0', 'metadata ', 'macvtap-metadata ']),
    );
    const again = host.create({ id: 'other', interfaces: interfaces.slice(1) });
    await expect(again).rejects.toMatchObject({ violations: [{ field: 'interfaces[0].address' }] });
  });
});

describe('what is shown of it', () => {
  const asked = { namespace: '', labelSelector: '', pageSize: 0, pageToken: '', showDeleted: false };
  /** A host on which nothing goes on by itself. */
  const quiet = (): FakeHost => new FakeHost({ look: () => async () => undefined });

  async function set(host: FakeHost, uid: string, x: string): Promise<void> {
    const draft = { ...fullDraft, id: '', metadata: { x } };
    await host.life.services.update({ target: { uid }, draft, mask: ['metadata.x'], expectedGeneration: 0 });
  }

  test('every answer has it, and each event what there was of it then', async () => {
    const host = quiet();
    const { services } = host.life;
    const made = await services.create({ ...fullDraft, metadata: { x: 'b25l' } }, { uniqueId: true });
    const { uid } = made;
    await set(host, uid, 'dHdv');
    host.life.store.update(uid, (vm) => ({ ...vm, retry: 1 }));
    await services.delete({ uid });
    const all = [made, await services.get({ uid }, { showDeleted: false }), ...(await services.list(asked)).vms];
    expect(all.map((vm) => vm.spec.metadata)).toEqual([{ x: 'b25l' }, { x: 'dHdv' }, { x: 'dHdv' }]);

    const { epoch } = host.life.store.cursor();
    const events = services.watch({ ...asked, cursor: `${epoch}.0` }, AbortSignal.timeout(10_000));
    const seen: unknown[] = [];
    for await (const { type, vm } of events) {
      if (type !== 'BOOKMARK') seen.push([type, vm?.spec.metadata.x]);
      if (seen.length === 4) break;
    }
    expect(seen).toEqual([
      ['ADDED', 'b25l'],
      ['MODIFIED', 'dHdv'],
      ['MODIFIED', 'dHdv'],
      ['MODIFIED', 'dHdv'],
    ]);
  });

  test('one whose metadata cannot be read hides no other in a list or a watch, and is told by its own', async () => {
    const host = quiet();
    const [one, two] = [await host.create({ id: 'a', metadata: { x: '' } }), await host.create({ id: 'b' })];
    host.database.sql.exec('DELETE FROM metadata');
    const { services, store } = host.life;
    expect((await services.list(asked)).vms.map(({ uid }) => uid)).toEqual([two]);
    await expect(services.get({ uid: one }, { showDeleted: false })).rejects.toMatchObject({ kind: 'tool' });
    for (const cursor of ['', `${store.cursor().epoch}.0`]) {
      const seen: unknown[] = [];
      for await (const { type, vm } of services.watch({ ...asked, cursor }, AbortSignal.timeout(10_000))) {
        if (type === 'ADDED') seen.push(vm?.uid);
        if (seen.length > 0) break;
      }
      expect(seen).toEqual([two]);
    }
  });
});
