/** What the DHCP and DNS server (dnsmasq) says after its start that means something for guests. */
export interface ServerTrouble {
  readonly kind: TroubleKind;
  /** Its own, of one line. */
  readonly words: string;
}

/** What each means, and what helps. */
export const TROUBLE_TEXT = {
  full: 'the DNS server has as many questions open as it may, and refuses others: do its upstream servers answer?',
  'no-resolvers': 'the DNS server has nobody to ask: guests find the names of guests only',
  'resolver-refused': "one of the host's DNS servers is not asked any more: see its /etc/resolv.conf",
  'not-sent': 'the DHCP and DNS server could not send: look for other firewalls and what `flintlock audit` misses',
  'address-withheld':
    'an address is not given to its guest for ten minutes: another machine, or the guest itself, said that it is taken',
  'not-served': "the bridge's own address is not the one that the DHCP server serves: guests get no address",
  'leases-unwritten':
    'the DHCP server cannot write down who has which address: is the disk of the run-time directory full?',
  other: 'the DHCP and DNS server complains',
} as const satisfies Record<string, string>;
export type TroubleKind = keyof typeof TROUBLE_TEXT;

/** A word of dnsmasq's, of 2.89 to 2.91, and what it means for guests. */
const TROUBLES: readonly (readonly [RegExp, TroubleKind])[] = [
  [/^Maximum number of concurrent (?:DNS|TCP) (?:queries|connections)/, 'full'],
  [/^no servers found in |^failed to (?:access|read) .*resolv/, 'no-resolvers'],
  [/^ignoring nameserver |^nameserver \S+ refused to do a recursive query/, 'resolver-refused'],
  [/^failed to send packet: |^failed to (?:bind|create) .*socket/, 'not-sent'],
  [/^not using configured address |^disabling DHCP static address /, 'address-withheld'],
  [/^no address range available |^DHCP packet received on \S+ which has no address/, 'not-served'],
  [/lease file|lease database|^failed to write .*leases/, 'leases-unwritten'],
  [/^(?:bad|duplicate|error|cannot read|failed to) |inotify.*(?:fail|overflow)|^FAILED /i, 'other'],
];

/** What dnsmasq says while all is well: at its start, and of files that it reads. */
const LINE = /^dnsmasq(?:-dhcp|-tftp|-script)?(?:\[\d+\])?: (.+)$/;

/** The lines of its log that mean trouble, in their order; what is said while all is well is left out. */
export const troublesIn = (log: string): readonly ServerTrouble[] =>
  log.split('\n').flatMap((line) => {
    const words = LINE.exec(line)?.[1];
    const kind = words && TROUBLES.find(([pattern]) => pattern.test(words))?.[1];
    return words && kind ? [{ kind, words: words.slice(0, 300) }] : [];
  });
