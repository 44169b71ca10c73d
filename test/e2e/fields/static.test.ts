import { ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { makeImage } from '../../../guest/make-image.ts';
import { demoSpec, type SpecInit, startHost, type TestHost } from '../../support/daemon.ts';

const nic = (address: string): SpecInit =>
  demoSpec('x', { interfaces: [{ guestDeviceName: 'eth0', type: 1, address }] });

async function refusal(host: TestHost, spec: SpecInit): Promise<string> {
  return host.create(spec).then(
    () => 'accepted',
    (error: unknown) => ConnectError.from(error).rawMessage,
  );
}

test('a static address is the guest’s, also when it asks by DHCP, and nobody else’s', async (t) => {
  const host = await startHost(t);
  const image = makeImage({
    layout: `${host.images}/static`,
    tag: 'root',
    demo: true,
    files: {
      '/etc/flintlock/run': {
        mode: 0o755,
        content: `#!/bin/sh
echo "probe: addr=$(ip -4 -o addr show eth0 | awk '{ print $4 }')"
echo "probe: gateway=$(ip route | awk '/^default/ { print $3 }')"
echo "probe: dns=$(awk '/^nameserver/ { print $2 }' /etc/resolv.conf)"
ping -c 1 -W 5 10.77.0.1 >/dev/null && echo "probe: reaches the host"
# What a guest without the helper does: it is given the same.
udhcpc -n -q -t 5 -i eth0 -s /bin/true 2>&1 | sed -n 's/.*lease of \\([0-9.]*\\) obtained.*/probe: dhcp=\\1/p'
`,
      },
    },
  });
  const vm = await host.create(
    demoSpec('fixed', {
      interfaces: [{ guestDeviceName: 'eth0', type: 1, address: '10.77.0.77' }],
      volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
    }),
  );
  const uid = vm.spec?.uid ?? '';
  await host.untilConsole(uid, /probe: addr=10\.77\.0\.77\/24/);
  await host.untilConsole(uid, /probe: gateway=10\.77\.0\.1/);
  await host.untilConsole(uid, /probe: dns=10\.77\.0\.1/);
  await host.untilConsole(uid, /probe: reaches the host/);
  await host.untilConsole(uid, /probe: dhcp=10\.77\.0\.77/);
  const { microvm } = await host.vms.waitMicroVM({ uid, until: 4 });
  expect(microvm?.status?.networkInterfaces.eth0?.addresses).toEqual(['10.77.0.77']);
  expect(await refusal(host, { ...nic('10.77.0.77'), id: 'second' })).toContain('is taken by microVM default/');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('an address that cannot be had is refused, with the reason', async (t) => {
  const host = await startHost(t);
  for (const [address, why] of [
    ['10.78.0.5', 'outside the network'],
    ['10.77.0.1', 'gateway'],
    ['10.77.0.255', 'broadcast'],
    ['10.77.0.5/16', 'prefix'],
    ['fd00::5', 'IPv6 is not built yet'],
    ['nonsense', 'no IPv4 address'],
  ] as const) {
    const said = await refusal(host, nic(address));
    expect(said).toContain('interfaces[0].address');
    expect(said).toContain(why);
  }
  expect((await host.vms.listMicroVMs({ showDeleted: true })).microvm).toEqual([]);
});
