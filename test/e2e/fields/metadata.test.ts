import { readFileSync } from 'node:fs';
import { ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { makeImage } from '../../../guest/make-image.ts';
import { demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../../support/daemon.ts';
import { leaveToProofs } from '../../support/proofs.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const MAC = '02:00:00:00:00:0a';
const ADDRESS = '10.77.0.50';
type Interfaces = NonNullable<SpecInit['interfaces']>;
const nic = (name: string, more: object = {}): Interfaces[number] =>
  ({ guestDeviceName: name, type: 1, ...more }) as Interfaces[number];

/** A guest that runs a script once it is up. `ask METHOD PATH [HEADER]` prints the whole answer, `get PATH` what is in it. */
function scripted(host: TestHost, id: string, script: string, more: Partial<SpecInit>): SpecInit {
  const content = `#!/bin/sh
ask() { printf "$1 $2 HTTP/1.1\\r\\nHost: x\\r\\n\${3:+$3\\r\\n}\\r\\n" | nc -w 3 169.254.169.254 80 2>&1; }
get() { ask GET "$1" "$2" | sed '1,/^.$/d'; }
say() { echo "probe: $*"; }
${script}
`;
  const image = makeImage({
    layout: `${host.images}/${id}`,
    tag: 'v1',
    demo: true,
    files: { '/etc/flintlock/run': { mode: 0o755, content } },
  });
  return demoSpec(id, {
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
    ...more,
  } as SpecInit);
}

const ASKING = `
say "id=$(get /latest/meta-data/instance-id) $(get /latest/meta-data/local_hostname)"
say "list=$(get /latest/meta-data/ | tr '\\n' ' ')"
say "root=$(get /latest/ | tr '\\n' ' ')"
say "user=$(get /latest/user-data)"
say "wget=$(wget -q -O - http://169.254.169.254/latest/user-data)"
say "json=$(get /latest/meta-data 'Accept: application/json')"
say "document=$(get /latest/meta-data | tr '\\n' ' ')"
say "network=$(get /latest/network-config | grep set-name | tr '\\n' ' ')"
say "vendor=$(ask GET /latest/vendor-data | head -n 1)"
token=$(ask PUT /latest/api/token 'X-metadata-token-ttl-seconds: 60' | tail -n 1)
say "v2=$(get /latest/user-data "X-metadata-token: $token")"
say "bad=$(ask GET /latest/user-data 'X-metadata-token: nonsense' | head -n 1)"
say "forwarded=$(ask PUT /latest/api/token 'X-Forwarded-For: 10.0.0.1' | head -n 1)"
say "none=$(ask GET /latest/none | head -n 1)"
say "post=$(ask POST /latest | head -n 1)"
ip route add 169.254.169.254/32 dev eth1
say "eth1=$(ask GET /latest/user-data | head -n 1)"
ip route del 169.254.169.254/32 dev eth1
ip route add 169.254.169.254/32 dev eth0
say "link=$(get /latest/user-data)"
while :; do
  case "$(get /latest/user-data)" in
    secret-of-A) [ -z "$outage" ] || { say back; outage=; } ;;
    *) [ -n "$outage" ] || { say outage; outage=1; } ;;
  esac
  sleep 1
done`;

/** Has a disk, and may not ask; then takes the neighbour's MAC and address. */
const STEALING = `
say "disk=$(dd if=/dev/vdb bs=1 skip=43 count=16 2>/dev/null)"
say "data=$(grep -a -o 'secret-of-[A-Z]' /dev/vdb)"
echo x 2>/dev/null >/dev/vdb && say written
say "own=$(ask GET /latest/user-data | head -n 1)"
ip addr flush dev eth0
ip link set eth0 down
ip link set eth0 address ${MAC}
ip addr add ${ADDRESS}/24 dev eth0
ip link set eth0 up
ip route add default via 10.77.0.1
say "as-neighbour=$(ask GET /latest/user-data | head -n 1)"
say done`;

test('a guest asks through the interface that may, one that may not has a disk, and none has another’s', async (t) => {
  leaveToProofs(t); // conformance's metadata/allow_metadata_req, disk and each-its-own rows
  const host = await startHost(t);
  const metadata = {
    'user-data': base64('secret-of-A'),
    'meta-data': base64('instance_id: i-1\nlocal-hostname: alpha\n'),
    own: base64('x'),
  };
  const interfaces = [
    nic('eth0', { allowMetadataReq: true, guestMac: MAC, address: ADDRESS }),
    nic('eth1', { allowMetadataReq: false }),
  ];
  const a = (await host.create(scripted(host, 'a', ASKING, { metadata, interfaces }))).spec?.uid ?? '';
  expect((await host.get(a)).spec?.metadata).toEqual(metadata);
  const secret = { 'user-data': base64('secret-of-B') };
  const b = await host.create(scripted(host, 'b', STEALING, { metadata: secret, interfaces: [nic('eth0')] }));
  const bUid = b.spec?.uid ?? '';

  for (const expected of [
    /probe: id=i-1 alpha/,
    /probe: list=instance-id instance_id local-hostname local_hostname/,
    /probe: root=meta-data\/ network-config own user-data vendor-data/,
    /probe: user=secret-of-A/,
    /probe: wget=secret-of-A/,
    /probe: json=\{"instance-id":"i-1","instance_id":"i-1","local-hostname":"alpha","local_hostname":"alpha"\}/,
    /probe: document=instance_id: i-1 local-hostname: alpha instance-id: i-1 local_hostname: alpha /,
    /probe: network= *set-name: eth0 *set-name: eth1/,
    /probe: vendor=HTTP\/1.1 200 OK/,
    /probe: v2=secret-of-A/,
    /probe: bad=HTTP\/1.1 401 Unauthorized/,
    /probe: forwarded=HTTP\/1.1 400 Bad Request/,
    /probe: none=HTTP\/1.1 404 Not Found/,
    /probe: post=HTTP\/1.1 405 Method Not Allowed/,
    /probe: eth1=(?!HTTP).*/,
    /probe: link=secret-of-A/,
  ])
    await host.untilConsole(a, expected);

  for (const expected of [
    /probe: disk=CIDATA {5}FAT12/,
    /probe: data=secret-of-B/,
    /probe: own=(?!HTTP).*/,
    /probe: as-neighbour=(?!HTTP).*/,
    /probe: done/,
  ])
    await host.untilConsole(bUid, expected);
  expect(await host.console(bUid)).not.toMatch(/secret-of-A|probe: written/);

  // The next daemon serves on, on the same port; the way there was never gone.
  await host.kill9();
  await poll('the guest notices', 30_000, async () => {
    const text = readFileSync(`${host.state}/vm/${a}/console.log`, 'utf8');
    return text.includes('probe: outage') ? { is: undefined } : { not: text.slice(-200) };
  });
  await host.start();
  await host.untilConsole(a, /probe: back/);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  const rules = await host.tool('ip', 'rule', 'show');
  expect(rules).toMatch(/1500:\tfrom all to 169\.254\.169\.254 iif \w+ lookup \d+/);

  for (const uid of [a, bUid]) await host.vms.deleteMicroVM({ uid });
  for (const uid of [a, bUid]) await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  expect(await host.tool('nft', 'list', 'ruleset')).not.toContain('20000');
  await host.stop();
  await host.tool(`${ROOT}/bin/flintlockd`, 'teardown', '--state-dir', host.state, '--run-dir', host.run);
  expect(await host.tool('ip', 'rule', 'show')).not.toContain('169.254.169.254');
  expect(await host.tool('nft', 'list', 'tables')).not.toContain('flintlock');
});

test('metadata that cannot be served is refused, with the reason', async (t) => {
  const host = await startHost(t);
  const said = async (more: Partial<SpecInit>): Promise<string> =>
    host.create(demoSpec('x', more)).then(
      () => 'accepted',
      (error: unknown) => ConnectError.from(error).rawMessage,
    );
  expect(await said({ metadata: { 'user-data': '#!/bin/sh\n' } })).toContain('metadata[user-data]: is no base64');
  expect(await said({ metadata: { '../x': '' } })).toContain('metadata[../x]: the key must');
  const [most, more] = [1_000_000, 1_048_577].map((size) => ({ 'user-data': base64('x'.repeat(size)) }));
  expect(await said({ metadata: more ?? {} })).toMatch(/metadata: has 1048586 bytes.*at most 1048576/);
  const { spec } = await host.create(demoSpec('big', { metadata: most ?? {} }));
  await host.until(spec?.uid ?? '', 'CREATED');
});
