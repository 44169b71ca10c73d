import { expect, test } from 'vitest';
import { type Fake, fakeHost } from '../../../test/support/fake-check-host.ts';
import type { Check } from '../../doctor/check.ts';
import { check, productionCheck } from './doctor-check.ts';
import { LANDLOCK_TRIAL } from './perl.ts';

const PROGRAM = '/usr/bin/cloud-hypervisor';

/** Of one who is not root: /dev/kvm is not tried. */
const host = (version: string, landlock: string, more: Fake = {}): Fake => ({
  files: { [PROGRAM]: '' },
  tools: { [`${PROGRAM} --version`]: `cloud-hypervisor ${version}\n`, [`perl -e ${LANDLOCK_TRIAL}`]: `${landlock}\n` },
  ...more,
});

const told = (capabilities: readonly string[]): Fake => ({
  daemon: {
    tools: [],
    providers: [{ name: 'cloudhypervisor', program: PROGRAM, version: '53.0', available: true, why: '', capabilities }],
  },
});

const examined = async (one: Check, fake: Fake): Promise<string> =>
  (await one.examine(fakeHost(fake))).map(({ status, found }) => `${status} ${found}`).join('; ');

test('says whether it is confined, and why not', async () => {
  const of = (fake: Fake) => examined(check, fake);
  expect(await of({})).toBe('ok Cloud Hypervisor is not installed: microVMs go to the other providers');
  expect(await of(host('v53.0', 'ok'))).toMatch(/^ok .* can be used; only root .*, confined by Landlock$/);
  expect(await of(host('v53.0', 'old 2'))).toMatch(/^ok .*, not confined by Landlock: this kernel has version 2/);
  expect(await of(host('v50.0', 'ok'))).toMatch(/^warn In version 50\.0 .* take 51 or later/);
  expect(await of(host('v38.0', 'ok'))).toMatch(/^warn .* 39 is the oldest/);
  // The daemon's own finding goes before what is tried here.
  expect(await of(host('v53.0', 'absent x', told(['landlock'])))).toMatch(
    /as the daemon finds it, confined by Landlock$/,
  );
  expect(await of(host('v53.0', 'ok', told([])))).toMatch(
    /not confined .*: the daemon has --cloudhypervisor-landlock off$/,
  );
});

test('for strangers that is a warning', async () => {
  const of = (fake: Fake) => examined(productionCheck, fake);
  expect(await of({})).toMatch(/^ok Cloud Hypervisor is not used on this host/);
  expect(await of(host('v53.0', 'ok'))).toMatch(
    /^ok each Cloud Hypervisor can open the files of its guest and no other/,
  );
  expect(await of(host('v53.0', 'useless Operation not permitted'))).toMatch(
    /^warn Landlock confines no Cloud Hypervisor: Landlock does nothing here: Operation not permitted/,
  );
  expect(await of(host('v47.0', 'ok'))).toMatch(
    /^warn .*needs its version 48 or later; each Cloud Hypervisor is a user of its own/,
  );
});
