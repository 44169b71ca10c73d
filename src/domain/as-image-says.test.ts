import { expect, test } from 'vitest';
import { FakeHost } from '../../test/support/fake-host.ts';
import { asImageSays } from './as-image-says.ts';
import type { ImageSays } from './process.ts';

const START = {
  ...{ command: 'true', args: [], directory: '', environment: {}, shell: false, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false },
};
const IMAGE = {
  ...{ entrypoint: ['/run.sh'], args: ['x'], environment: ['PATH=/opt/bin:/bin', 'A=image', 'B=image'] },
  ...{ user: 'app', directory: '/srv' },
};

async function begun(says: ImageSays | null | undefined, change: Parameters<FakeHost['create']>[0] = {}) {
  const host = new FakeHost();
  const uid = await host.create(change);
  await host.until(uid, 'CREATED');
  return (start: Partial<typeof START> = {}) => asImageSays(() => says, host.vm(uid), { ...START, ...start });
}

test('what is left out is the image’s, or the spec’s', async () => {
  const environment = { PATH: '/opt/bin:/bin', A: 'image', B: 'image' };
  const as = await begun(IMAGE);
  expect(as()).toEqual({ ...START, environment, user: 'app', directory: '/srv' });
  const given = { environment: { A: 'given' }, user: 'root', directory: '/tmp' };
  expect(as(given)).toMatchObject({ ...given, environment: { ...environment, A: 'given' } });
  const process = { ...{ entrypoint: [], args: [], user: '7', directory: '' }, environment: { B: 'spec', C: 'spec' } };
  const changed = await begun(IMAGE, { process });
  expect(changed({ environment: { C: 'given' } })).toMatchObject({
    ...{ environment: { ...environment, B: 'spec', C: 'given' }, user: '7', directory: '/srv' },
  });
});

test.each([undefined, null, { wrong: 'its Env is no list' }])('an image that says %j changes nothing', async (says) => {
  expect((await begun(says))()).toEqual(START);
});
