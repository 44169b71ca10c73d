import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import { expected, type Tool } from './tool.ts';

const isList = (text: string): boolean => {
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
};

/** Links, addresses, routes and rules, in JSON. */
export const ip: Tool = {
  program: 'ip',
  package: 'iproute2',
  need: 'networks',
  version: ['-Version'],
  async trial({ run, limits }) {
    const told = await run(['ip', '-j', '-d', 'link', 'show'], limits);
    expected(`ip does not tell links as JSON: ${JSON.stringify(told.slice(0, 80))}`, isList(told));
    await run(['ip', '-j', '-d', '-batch', '-'], { ...limits, input: 'link show\naddress show\n' });
    await run(['ip', '-j', '-4', 'route', 'show', 'table', 'all'], limits);
    await run(['ip', '-j', '-4', 'rule', 'show'], limits);
  },
};

/** The same as a process that stays: it goes on after what it cannot understand. Else it is started for each act. */
export const livingIp: Tool = {
  program: 'ip',
  form: '-force -batch',
  package: 'iproute2',
  need: 'none',
  async trial({ run, limits }) {
    try {
      await run(['ip', '-j', '-d', '-force', '-batch', '-'], {
        ...limits,
        input: 'zz1\nlink set dev fl-no-such up\nzz3\n',
      });
    } catch (error) {
      // Its status is that of its worst command.
      const said = error instanceof Fault ? error.message : '';
      const isAsExpected =
        /Object "zz1" is unknown[\s\S]*Cannot find device "fl-no-such"[\s\S]*Object "zz3" is unknown/.test(said);
      if (!isAsExpected) throw error;
      return;
    }
    expected('ip does not say what it cannot do', false);
  },
};

/** Who listens on which port of the host. */
export const ss: Tool = {
  program: 'ss',
  package: 'iproute2',
  need: 'managed',
  version: ['-Version'],
  trial: async ({ run, limits }) => void (await run(['ss', '-Hlntup'], limits)),
};

/** Words of each kind that our rules are made of. Nothing of it is applied. */
const RULES = `table inet flintlock_trial {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  set counts { type ipv4_addr; size 65535; flags dynamic; }
  chain counted { ct state new add @counts { ip saddr ct count over 8192 } drop; }
  chain nat { type nat hook postrouting priority 100; ip saddr 198.51.100.0/24 masquerade; }
}
table bridge flintlock_trial {
  set guests { type ifname . ether_addr; }
  set clients { typeof iifname . @th,288,48; }
  set rates { type ifname; size 65535; flags dynamic,timeout; timeout 1m; }
  chain forward {
    type filter hook forward priority 0;
    iifname . ether saddr @guests accept
    udp dport 67 iifname . @th,288,48 @clients accept
    ip option lsrr exists drop
    udp dport 67 update @rates { iifname limit rate over 5/second burst 30 packets } drop
  }
}
`;

/** Firewall and address translation. */
export const nft: Tool = {
  program: 'nft',
  package: 'nftables',
  need: 'networks',
  version: ['--version'],
  rootOnly: true,
  async trial({ run, limits }) {
    const told = await run(['nft', '-j', 'list', 'tables'], limits);
    expected(`nft does not tell tables as JSON: ${JSON.stringify(told.slice(0, 80))}`, told.startsWith('{"nftables"'));
    await run(['nft', '--check', '-f', '-'], { ...limits, input: RULES });
  },
};

/** The same as a process that stays: some are made without. Else it is started for each act. */
export const livingNft: Tool = {
  program: 'nft',
  form: '-i',
  package: 'nftables',
  need: 'none',
  rootOnly: true,
  async trial({ run, limits }) {
    const told = await run(['sh', '-c', 'exec "$@" 2>&1', 'sh', 'nft', '-i'], { ...limits, input: 'zz1\nzz2\n' });
    const isAsExpected = /Error: [^\n]*\nzz1\n *\^~*\nError: [^\n]*\nzz2\n *\^~*\n$/.test(told);
    expected(`nft does not say what it cannot understand: ${JSON.stringify(told.slice(0, 200))}`, isAsExpected);
  },
};

/** DHCP and DNS of the managed network: its flags are read, nothing is served. */
export const dnsmasq: Tool = {
  program: 'dnsmasq',
  package: 'dnsmasq-base',
  need: 'managed',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const hosts = join(directory, 'hosts');
    await files.makeDirectory(hosts, 0o755);
    await run(
      [
        'dnsmasq',
        ...[
          '--test',
          '--conf-file=/dev/null',
          '--keep-in-foreground',
          '--log-facility=-',
          '--user=root',
          '--group=root',
        ],
        ...[`--pid-file=${directory}/pid`, '--bind-interfaces', '--interface=lo', '--except-interface=lo'],
        ...['--listen-address=127.0.0.1', '--dhcp-range=198.51.100.0,static,255.255.255.0,1h'],
        ...[`--dhcp-hostsdir=${hosts}`, `--hostsdir=${hosts}`, `--dhcp-leasefile=${directory}/leases`],
        ...['--dhcp-option=option:router,198.51.100.1', '--dhcp-authoritative', '--dhcp-lease-max=1000000'],
        ...[
          '--no-ping',
          '--quiet-dhcp',
          '--no-hosts',
          '--dhcp-ignore-names',
          '--dhcp-ignore-clid',
          '--domain=flintlock.internal',
        ],
        ...[`--resolv-file=${directory}/resolv.conf`, '--no-poll', '--dns-forward-max=10000'],
        ...['--dhcp-option=option:mtu,1400', '--local=/flintlock.internal/', '--domain-needed', '--bogus-priv'],
      ],
      limits,
    );
  },
};

/** Ends the flows of a published port with the port. */
export const conntrack: Tool = {
  program: 'conntrack',
  package: 'conntrack',
  need: 'none',
  version: ['--version'],
  rootOnly: true,
  async trial({ run, limits }) {
    await run(['conntrack', '-L', '-f', 'ipv4', '-p', 'tcp', '--orig-port-dst', '1'], limits);
    try {
      // An address of nobody's (RFC 5737): there is nothing to delete, and it says so by failing.
      const match = ['--orig-dst', '198.51.100.1', '--reply-src', '198.51.100.1', '--orig-port-dst', '1'];
      await run(['conntrack', '-D', '-f', 'ipv4', '-p', 'tcp', ...match, '--dst-nat', '198.51.100.1'], limits);
    } catch (error) {
      if (!(error instanceof Fault) || !/ 0 flow entries have been deleted/.test(error.message)) throw error;
    }
  },
};

/** Ends a lease of a microVM that is gone. It has no way to do nothing but to be called wrongly. */
export const dhcpRelease: Tool = {
  program: 'dhcp_release',
  package: 'dnsmasq-utils',
  need: 'managed',
  async trial({ run, limits }) {
    try {
      await run(['dhcp_release'], limits);
    } catch (error) {
      if (!(error instanceof Fault) || !/usage: dhcp_release/.test(error.message)) throw error;
    }
  },
};
