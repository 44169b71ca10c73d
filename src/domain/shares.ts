/**
 * What one guest may have of what all share, and where the figures come from.
 * Each is far above what an honest guest asks for, and far enough below what
 * there is that some guests may take all of theirs at once.
 */
export const SHARES = {
  /**
   * Questions to the DNS server a second and at once, over UDP. A question whose upstream server is silent is held
   * for ten seconds (dnsmasq's own time), so that one guest holds at most 1,500 of {@link DNS_OPEN}. A machine asks
   * some ten at a boot and one for each new name; clouds that say so give a network card 1,024 packets a second.
   */
  dns: { each: 100, burst: 500 },
  /** Connections to the DNS server over TCP at a time: it serves 20, and resolvers need one for a long answer. */
  dnsConnections: 4,
  /** DHCP messages a second and at once: a client waits four seconds and longer between two (RFC 2131, 4.1), the impatient one. */
  dhcp: { each: 5, burst: 30 },
  /** New connections to the metadata service: cloud-init makes some ten. */
  metadata: { each: 50, burst: 100 },
  /**
   * Connections and UDP flows that the host's connection tracking knows of. It holds 65,536 on a host with 1 to 4 GiB
   * of memory and 262,144 on larger ones (nf_conntrack_max), and when it is full nobody on the host begins another.
   * A new one of a guest that has so many costs the host under a millisecond, since all of its are looked through.
   */
  connections: 8_192,
  /** Frames to all on the network, a second and at once: each is copied to every neighbour. ARP of a busy guest are some ten. */
  broadcast: { each: 1_000, burst: 2_000 },
} as const;

/** How many questions the DNS server may hold for all: 150 by default, which one guest can take within two seconds. */
export const DNS_OPEN = 10_000;

export type Share = keyof typeof SHARES;

/** For sentences: what it is that a guest asks more of than its share. */
export const SHARE_TEXT: Readonly<Record<Share, string>> = {
  dns: `DNS questions (${SHARES.dns.each} a second, ${SHARES.dns.burst} at once)`,
  dnsConnections: `connections to the DNS server (${SHARES.dnsConnections} at a time)`,
  dhcp: `DHCP messages (${SHARES.dhcp.each} a second, ${SHARES.dhcp.burst} at once)`,
  metadata: `connections to the metadata service (${SHARES.metadata.each} a second, ${SHARES.metadata.burst} at once)`,
  connections: `tracked connections (${SHARES.connections} at a time)`,
  broadcast: `broadcast and multicast frames (${SHARES.broadcast.each} a second, ${SHARES.broadcast.burst} at once)`,
};
