/** What it is told, as JSON in its first argument. */
export interface ProbeOrder {
  readonly mac: string;
  readonly address: string;
  readonly prefix: number;
  readonly gateway: string;
  readonly mtu: number;
  /** A name of our own DNS zone, and one that is not. */
  readonly ownName: string;
  readonly otherName: string;
  readonly ownPort: number;
  /** An address that nobody has: what is sent there is counted on its way and dropped. */
  readonly outside: string;
  readonly patienceMs: number;
}

/** `code`: what the DNS server answered (RFC 1035, 4.1.1). */
export type ProbeReport = Readonly<Record<'dhcp' | 'dns' | 'metadata' | 'large', boolean>> & {
  readonly names: { readonly answered: boolean; readonly code: number };
};
