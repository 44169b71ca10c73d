import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type MicroVM, NetworkInterface_IfaceType } from '../../../src/gen/types/microvm_pb.ts';
import { KERNEL, poll, ROOT, startHost, type TestHost } from '../../support/daemon.ts';
import { leaveToProofs } from '../../support/proofs.ts';

const STOCK = `${ROOT}/.cache/images/stock`;
const ADDRESS = '10.77.0.80/24';
/** It boots systemd twice, under software emulation, beside others. */
const BOOT_MS = 400_000;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** At each boot, once cloud-init has ended: says who it is, and then does what is typed. */
const SCRIPT = `#!/bin/sh
case $1 in
  run) ;;
  *) exec systemd-run --no-block --unit=typed "$0" run ;;
esac
cloud-init status --wait >/dev/null
systemctl stop serial-getty@ttyS0
exec >/dev/ttyS0 2>&1 </dev/ttyS0
stty -echo
ls /var/lib/dhcpcd/duid && duid=$(cat /var/lib/dhcpcd/duid)
echo "typed: machine=$(cat /etc/machine-id) duid=$duid name=$(uname -n) up"
while read -r line; do sh -c "$line"; done
`;
const metadata = {
  'meta-data': base64('local-hostname: stock-host\n'),
  'user-data': base64(
    `#cloud-config\nlocale: C.UTF-8\nssh_genkeytypes: [ed25519]\nwrite_files:\n- ${JSON.stringify({
      ...{ path: '/var/lib/cloud/scripts/per-boot/typed', permissions: '0755', content: SCRIPT },
    })}\n`,
  ),
};

const configuredOf = ({ status }: MicroVM): string =>
  status?.conditions.find(({ type }) => type === 'GuestConfigured')?.status ?? 'none';

async function untilConfigured(host: TestHost, uid: string, status: string): Promise<void> {
  await poll(`GuestConfigured of ${uid} is ${status}`, BOOT_MS, async () => {
    const found = configuredOf(await host.get(uid));
    return found === status ? { is: true } : { not: found };
  });
}

test.skipIf(!existsSync(`${STOCK}/index.json`))(
  'a Debian as it comes says what it has lost, powers itself off, and is the same machine after it',
  { timeout: 1_500_000 },
  async (t) => {
    // In `npm test` the conformance suite boots Debians as they come, and what the script says is run on this host.
    leaveToProofs(t);
    const host = await startHost(t);
    const vm = await host.create({
      ...{ id: 'stock', vcpu: 1, memoryInMb: 512, metadata },
      kernel: { image: KERNEL, cmdline: 'quiet systemd.show_status=no' },
      initrd: { image: KERNEL },
      volumes: [{ id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: `oci:${STOCK}:trixie` } }],
      interfaces: [
        { guestDeviceName: 'lan0', type: NetworkInterface_IfaceType.TAP, address: ADDRESS },
        { guestDeviceName: 'dhcp0', type: NetworkInterface_IfaceType.TAP },
      ],
    });
    const uid = vm.spec?.uid ?? '';
    const said = /typed: machine=([0-9a-f]{32}) duid=([0-9a-f:]+) name=stock-host up/;
    const [, machine, duid] = said.exec(await host.untilConsole(uid, said, BOOT_MS)) ?? [];
    await untilConfigured(host, uid, 'True');

    await host.type(uid, `ip address del ${ADDRESS} dev lan0`, untilConfigured(host, uid, 'False'));
    await host.type(uid, `ip address add ${ADDRESS} dev lan0`, untilConfigured(host, uid, 'True'));

    // Nobody in it hears the button: there is no logind without dbus.
    await host.type(uid, 'systemctl --no-block poweroff', host.until(uid, 'STOPPED', BOOT_MS));
    await host.vms.startMicroVM({ uid });
    const again = await poll('it has said so twice', BOOT_MS, async () => {
      const all = [...(await host.console(uid)).matchAll(new RegExp(said, 'g'))];
      return all.length > 1 ? { is: all.at(-1) } : { not: `${all.length} times` };
    });
    expect(again?.slice(1)).toEqual([machine, duid]);
    await untilConfigured(host, uid, 'True');
  },
);
