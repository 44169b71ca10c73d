/**
 * The DNS servers that a resolv.conf(5) names, in order. Whatever else it has
 * is for programs of the host: search domains are theirs, not the guests'.
 */
export const serversIn = (text: string): readonly string[] =>
  text
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+([0-9a-fA-F:.]+(?:%[\w.-]+)?)\s*(?:[#;].*)?$/.exec(line)?.[1] ?? []);
