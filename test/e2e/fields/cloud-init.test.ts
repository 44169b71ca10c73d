import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeImage } from '../../../guest/make-image.ts';
import { ROOT, type SpecInit, startHost, type TestHost } from '../../support/daemon.ts';
import { leaveToProofs } from '../../support/proofs.ts';

const DEBIAN = `${ROOT}/.cache/images/debian`;
const KERNEL = `${ROOT}/.cache/images/kernel`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const say = (what: string): string => `[sh, -c, "echo probe: ${what} >/dev/console"]`;

const metadata = {
  'meta-data': base64('local-hostname: alpha\nplatform: liquid_metal\n'),
  'user-data': base64(
    `#cloud-config\nruncmd:\n${[
      'user-data on $(hostname)',
      'id=$(cat /var/lib/cloud/data/instance-id)',
      "mounts=$(grep -c ' /data ' /proc/mounts) $(cat /data/what)",
      "nics=$(ls /sys/class/net | tr '\\\\n' ' ')",
      "address=$(ip -4 -o addr show lan0 | tr -s ' ' | cut -d ' ' -f 4)",
    ]
      .map((what) => `  - ${say(what)}\n`)
      .join('')}`,
  ),
  'vendor-data': base64(`#cloud-config\nbootcmd:\n  - ${say('vendor-data')}\nunknown_key: [kept]\n`),
};

function spec(host: TestHost, id: string, change: Partial<SpecInit>): SpecInit {
  const data = makeImage({
    layout: `${host.images}/data`,
    tag: 'v1',
    files: { '/what': { mode: 0o644, content: 'a volume' } },
  });
  return {
    id,
    vcpu: 2,
    memoryInMb: 512,
    kernel: { image: `oci:${KERNEL}:latest`, addNetworkConfig: true },
    volumes: [
      { id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: `oci:${DEBIAN}:latest` } },
      { id: 'data', mountPoint: '/data', source: { containerSource: data } },
    ],
    metadata,
    ...change,
  } as SpecInit;
}

// Each boots systemd under software emulation: 30 s on an idle host.
const areMade = [DEBIAN, KERNEL].every((layout) => existsSync(`${layout}/index.json`));

// Each boots systemd under software emulation: 30 s on an idle host.
test.skipIf(!areMade).for([
  ['the service', true],
  ['a disk', false],
] as const)('cloud-init obeys what it has from %s', { timeout: 300_000 }, async ([, allowMetadataReq], context) => {
  // In `npm test` the conformance suite has one that boots with each.
  leaveToProofs(context);
  const host = await startHost(context);
  const interfaces = [{ guestDeviceName: 'lan0', type: 1, allowMetadataReq, address: '10.77.0.70' }];
  const vm = await host.create(spec(host, 'cloud', { interfaces } as Partial<SpecInit>));
  const uid = vm.spec?.uid ?? '';
  for (const expected of [
    /probe: vendor-data/,
    /probe: user-data on alpha/,
    new RegExp(`probe: id=${uid}`),
    /probe: mounts=1 a volume/,
    /probe: nics=lan0 lo/,
    /probe: address=10\.77\.0\.70\/24/,
  ])
    await host.untilConsole(uid, expected, 240_000);
  expect(await host.console(uid)).not.toMatch(/Failed loading yaml|Unhandled non-multipart/);
});
