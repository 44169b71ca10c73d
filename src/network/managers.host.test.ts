import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createNetns } from '../../test/support/netns.ts';

const PACKAGING = join(import.meta.dirname, '../../packaging');
const NETWORKD = '/lib/systemd/systemd-networkd';
const { signal } = new AbortController();

/**
 * A host whose systemd-networkd configures whatever comes. /sys is read-only, so that it waits for no udev; files and
 * devices are of namespaces that go with it. Prints each interface with what became of it.
 */
const SCRIPT = `
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd/network
mount -t sysfs -o ro sysfs /sys
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chmod -R a+rwX /run/systemd
[ "$1" = '' ] || cp "$1"/networkd/*.network /etc/systemd/network/
printf '[Match]\\nName=*\\n[Network]\\nDHCP=ipv4\\nAddress=10.99.0.1/24\\n' > /etc/systemd/network/05-all.network
${NETWORKD} 2> /run/log &
trap "kill $!" EXIT
ip -batch - <<'LINKS'
link add eth7 type veth peer name eth8
link set eth7 up
link set eth8 up
link add flabcdbr type bridge
link set flabcdbr up
tuntap add dev flabcdk3x9aq0 mode tap
link set flabcdk3x9aq0 master flabcdbr up
link add link eth7 name flabcdk3x9ar1 type macvtap mode bridge
link set flabcdk3x9ar1 up
link add link eth7 name flabcdmd type macvlan mode bridge
link set flabcdmd up
link add flabcdprobe type veth peer name x0
link set flabcdprobe up
LINKS
for device in flabcdbr flabcdk3x9aq0 flabcdk3x9ar1 flabcdmd flabcdprobe eth8; do
  for try in $(seq 600); do
    index=$(ip -o link show dev $device | cut -d: -f1)
    state=$(sed -n 's/^ADMIN_STATE=//p' /run/systemd/netif/links/$index 2>/dev/null || true)
    case $state in '' | pending | initialized) sleep 0.05 ;; *) break ;; esac
  done
  echo "$device $state"
done
`;

// As the package ships it, on a distribution that has it.
test.skipIf(!existsSync(NETWORKD))('systemd-networkd leaves our interfaces alone, and no others', async () => {
  await using host = await createNetns();
  const told = (packaging: string) =>
    host.run(['unshare', '--mount', '--', 'sh', '-c', SCRIPT, 'sh', packaging], { signal, timeoutMs: 120_000 });
  const with_ = await told(PACKAGING);
  expect(with_.match(/^flabcd\S+ (?!unmanaged$).*$/gm)).toBeNull();
  expect(with_.match(/^flabcd/gm)).toHaveLength(5);
  expect(with_).toMatch(/^eth8 configur/m);
  await using other = await createNetns();
  const without = await other.run(['unshare', '--mount', '--', 'sh', '-c', SCRIPT, 'sh', ''], {
    signal,
    timeoutMs: 120_000,
  });
  expect(without).not.toMatch(/^flabcd\S+ unmanaged$/m);
});
