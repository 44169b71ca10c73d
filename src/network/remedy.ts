import type { Way } from '../ports/network-probe.ts';

/** Who refused a packet, and on which way it was. */
export interface Refused {
  readonly way: Way;
  /** To the guest, or from it. */
  readonly isAnswer: boolean;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly rule: string | undefined;
  /** Of the old kind, which nftables does not show. */
  readonly isLegacy: boolean;
}

export interface Around {
  readonly bridge: string;
  /** What the names of all taps begin with. */
  readonly prefix: string;
  /** The ports of the metadata service. */
  readonly metadataPorts: string;
  /** The chains of the table that refuses. */
  readonly chains: readonly string[];
}

/** What guests send to the host on a way, as protocol and port; empty: it is led on. */
const TO_HOST: Readonly<Record<Way, readonly (readonly ['udp' | 'tcp', string])[]>> = {
  dhcp: [['udp', '67']],
  dns: [
    ['udp', '53'],
    ['tcp', '53'],
  ],
  names: [['udp', '53']],
  large: [['udp', '53']],
  metadata: [['tcp', 'METADATA']],
  published: [],
  out: [],
};

/** What lets guests through, in the words of the firewall that refuses. */
export function remedyFor(refused: Refused, around: Around): string {
  const { way, family, table, chain, isLegacy } = refused;
  const { bridge, chains, prefix } = around;
  const to = TO_HOST[way].map(
    ([protocol, port]) => [protocol, port.replace('METADATA', around.metadataPorts)] as const,
  );
  const isLedOn = to.length === 0;
  if (table === 'firewalld')
    return `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`;
  const isIptables = isLegacy || (family === 'ip' && IPTABLES_TABLES.includes(table) && isUpperCase(chain, chains));
  if (isIptables && (chain.startsWith('ufw') || chains.some((one) => one.startsWith('ufw-'))))
    return isLedOn
      ? `ufw route allow in on ${bridge} && ufw route allow out on ${bridge}`
      : to
          .map(
            ([protocol, port]) => `ufw allow in on ${bridge} to any port ${port.replace('-', ':')} proto ${protocol}`,
          )
          .join(' && ');
  if (isIptables) {
    const at = `${isLegacy ? 'iptables-legacy' : 'iptables'}${table === 'filter' ? '' : ` -t ${table}`} -I`;
    // Docker leaves a chain to the administrator, which its own rules come after.
    const place = isLedOn && chains.includes('DOCKER-USER') ? 'DOCKER-USER' : chain;
    if (isLedOn) return `${at} ${place} -i ${bridge} -j ACCEPT && ${at} ${place} -o ${bridge} -j ACCEPT`;
    const side = refused.isAnswer ? ['-o', '--sport'] : ['-i', '--dport'];
    return to
      .map(
        ([protocol, port]) =>
          `${at} ${place} ${side[0]} ${bridge} -p ${protocol} ${side[1]} ${port.replace('-', ':')} -j ACCEPT`,
      )
      .join(' && ');
  }
  if (family === 'bridge' && table === 'filter' && isUpperCase(chain, chains))
    return `ebtables -I ${chain} --logical-in ${bridge} -j ACCEPT && ebtables -I ${chain} --logical-out ${bridge} -j ACCEPT`;
  const at = `nft insert rule ${family} ${table} ${chain}`;
  const [incoming, outgoing] = family === 'bridge' ? [`"${prefix}*"`, `"${prefix}*"`] : [`"${bridge}"`, `"${bridge}"`];
  if (isLedOn) return `${at} iifname ${incoming} accept && ${at} oifname ${outgoing} accept`;
  const [name, port] = refused.isAnswer ? ['oifname', 'sport'] : ['iifname', 'dport'];
  return to.map(([protocol, number]) => `${at} ${name} ${incoming} ${protocol} ${port} ${number} accept`).join(' && ');
}

const IPTABLES_TABLES: readonly string[] = ['filter', 'mangle', 'raw', 'nat', 'security'];
/** iptables' and ebtables' own chains are in capitals, and nobody else's are. */
const isUpperCase = (chain: string, chains: readonly string[]): boolean =>
  [chain, ...chains].some((one) => ['INPUT', 'FORWARD', 'OUTPUT', 'PREROUTING', 'POSTROUTING'].includes(one));
