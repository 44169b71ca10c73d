import { describe, expect, test } from 'vitest';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { hang } from '../../test/support/fake-world.ts';
import type { SpecDraft } from '../domain/draft.ts';
import type { PULL_POLICIES } from '../domain/spec.ts';

const KERNEL = 'registry.test/kernel:v1';
const ROOT = 'registry.test/root:v1';
const digest = `sha256:${'a'.repeat(64)}`;
const volume = { isRoot: false, isReadOnly: false, mountPoint: '' };
const draft: SpecDraft = {
  ...fullDraft,
  kernel: { image: KERNEL, cmdline: '', addNetworkConfig: false },
  initrd: { image: KERNEL },
  volumes: [
    { ...volume, id: 'data', image: 'oci:/images:data' },
    { ...volume, id: 'root', image: ROOT, isRoot: true },
  ],
};

/** On which nothing goes on by itself. @param pullPolicy - the daemon's */
function hostWith(pullPolicy: (typeof PULL_POLICIES)[number] = 'ALWAYS'): FakeHost {
  const host = new FakeHost({ context: { pullPolicy } });
  host.world.always('image', hang);
  for (const image of [KERNEL, ROOT])
    host.world.imageWays.set(`NEVER ${image}`, { is: 'refused', why: `image "${image}": pull it first` });
  return host;
}
const create = (host: FakeHost, changes: Partial<SpecDraft> = {}, uniqueId = true) =>
  host.life.services.create({ ...draft, ...changes }, { uniqueId });

describe('a create', () => {
  test('keeps its policy, or the one that the daemon had then', async () => {
    const host = hostWith('MISSING');
    const { uid, spec } = await create(host);
    expect(spec.pullPolicy).toBe('MISSING');
    expect(host.vm(uid).spec.pullPolicy).toBe('MISSING');
    const others = { id: 'other', interfaces: [] };
    expect((await create(host, { ...others, pullPolicy: 'ALWAYS' })).spec.pullPolicy).toBe('ALWAYS');
    // Of a surface that has no word for it.
    expect((await create(host, others, false)).spec.pullPolicy).toBe('MISSING');
  });

  test('that may pull nothing is refused at once for what is not here, by its fields, and nothing is stored', async () => {
    const host = hostWith();
    for (const act of ['create', 'planCreate'] as const)
      await expect(
        host.life.services[act]({ ...draft, pullPolicy: 'NEVER' }, { uniqueId: true }),
      ).rejects.toMatchObject({
        ...{ kind: 'refused', reason: 'ImageNotPulled' },
        message: `Cannot create microVM default/web: image "${KERNEL}": pull it first; image "${ROOT}": pull it first`,
        violations: [
          { field: 'kernel.image' },
          { field: 'initrd.image' },
          { field: 'volumes[1].source.container_source' },
        ],
      });
    await expect(create(hostWith('NEVER'), {}, false)).rejects.toMatchObject({ reason: 'ImageNotPulled' });
    expect(host.life.store.count()).toBe(0);
    for (const image of [KERNEL, ROOT]) host.world.imageWays.set(`NEVER ${image}`, { is: 'cached', digest });
    expect((await create(host, { pullPolicy: 'NEVER' })).state.is).toBe('PENDING');
  });

  test('sent again with the same key is the same whatever the daemon does by default, and another with another policy', async () => {
    const host = hostWith();
    const keyed = { uniqueId: true, idempotencyKey: 'k1' };
    const first = await host.life.services.create(draft, keyed);
    expect((await host.life.services.create({ ...draft, pullPolicy: '' }, keyed)).uid).toBe(first.uid);
    await expect(host.life.services.create({ ...draft, pullPolicy: 'MISSING' }, keyed)).rejects.toMatchObject({
      kind: 'refused',
    });
  });
});

test('a dry run says for each image whether a registry would be asked, and what would be pulled', async () => {
  const host = hostWith();
  const { imageWays } = host.world;
  imageWays.set(`ALWAYS ${KERNEL}`, { is: 'look-up', digest });
  imageWays.set(`ALWAYS ${ROOT}`, { is: 'look-up' });
  imageWays.set(`MISSING ${KERNEL}`, { is: 'cached', digest });
  imageWays.set(`MISSING ${ROOT}`, { is: 'pull' });
  const lines = async (pullPolicy: string) => {
    const { plan } = await host.life.services.planCreate({ ...draft, pullPolicy }, { uniqueId: true });
    return plan.filter((line) => line.startsWith('image: ') && !line.startsWith('image: hold '));
  };
  const local = 'image: oci:/images:data is read from this host, and unpacked unless it is in the cache';
  expect(await lines('')).toEqual([
    `image: the registry is asked where ${KERNEL} leads, and it is pulled unless that is still ${digest}`,
    `image: the registry is asked where ${ROOT} leads, and it is pulled: it is not in the cache`,
    local,
  ]);
  expect(await lines('MISSING')).toEqual([
    `image: ${KERNEL} is in the cache (${digest}): no registry is asked`,
    `image: ${ROOT} is pulled: it is not in the cache`,
    local,
  ]);
  expect(host.world.calls).toEqual([]);
});
