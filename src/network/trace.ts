/** What `nft monitor trace` tells of one packet at one point. */
export interface Refusal {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** The rule's own words; undefined: the chain's policy. */
  readonly rule: string | undefined;
  /** The packet, in nft's words. */
  readonly packet: string;
}

export interface Trace {
  readonly refusals: readonly Refusal[];
  /** Where each packet was seen, in order: `ip filter INPUT`. */
  readonly seen: readonly { readonly packet: string; readonly chain: string }[];
}

/** @see nft(8), `nft monitor trace` */
export function parseTrace(lines: readonly string[]): Trace {
  const packets = new Map<string, string>();
  const refusals: Refusal[] = [];
  const seen: { packet: string; chain: string }[] = [];
  for (const line of lines) {
    const [, id = '', family = '', table = '', chain = '', rest = ''] =
      /^trace id (\S+) (\S+) (\S+) (\S+) (.*)$/.exec(line.trim()) ?? [];
    if (id === '') continue;
    const packet = /^packet: (.*)$/.exec(rest)?.[1];
    if (packet !== undefined) {
      packets.set(id, packet);
      seen.push({ packet, chain: `${family} ${table} ${chain}` });
      continue;
    }
    const rule = /^(?:unknown )?rule (.*?)\s*\(verdict drop\)$/.exec(rest)?.[1];
    const isPolicy = /^policy drop\b/.test(rest);
    if (rule !== undefined || isPolicy)
      refusals.push({
        family,
        table,
        chain,
        rule: isPolicy ? undefined : withoutCounts(rule),
        packet: packets.get(id) ?? '',
      });
  }
  return { refusals, seen };
}

/** The same words each time that it refuses. */
const withoutCounts = (rule: string | undefined): string | undefined =>
  rule?.replace(/\bcounter packets \d+ bytes \d+ /, '');

/** The chains and rules of iptables' old kind that counted more than before. */
export function parseLegacy(before: string, after: string): readonly LegacyRefusal[] {
  const old = countsOf(before);
  return [...countsOf(after)].flatMap(([key, { packets, table, chain, rule }]) =>
    packets > (old.get(key)?.packets ?? 0) ? [{ table, chain, rule }] : [],
  );
}

export interface LegacyRefusal {
  readonly table: string;
  readonly chain: string;
  readonly rule: string | undefined;
}

/** Of what refuses, by its place. @see iptables-save(8), with counters */
function countsOf(saved: string): ReadonlyMap<string, LegacyRefusal & { readonly packets: number }> {
  const counts = new Map<string, LegacyRefusal & { readonly packets: number }>();
  let table = '';
  for (const [i, line] of saved.split('\n').entries()) {
    table = /^\*(\S+)$/.exec(line)?.[1] ?? table;
    const policy = /^:(\S+) DROP \[(\d+):/.exec(line);
    const rule = /^\[(\d+):\d+\] -A (\S+) (.*-j (?:DROP|REJECT)\b.*)$/.exec(line);
    if (policy) {
      const [, chain = '', packets = ''] = policy;
      counts.set(`${table} ${chain}`, { table, chain, rule: undefined, packets: Number(packets) });
    }
    if (rule) {
      const [, packets = '', chain = '', words = ''] = rule;
      counts.set(`${table} ${i}`, { table, chain, rule: words, packets: Number(packets) });
    }
  }
  return counts;
}
