/**
 * Names that somebody looks up who means something else than a microVM: who
 * is called so would be sent what is meant for that. Exact labels, in lower case.
 */
const RESERVED: ReadonlySet<string> = new Set([
  // Special-use names and those kept for private networks: RFC 6761, 6762 (with appendix G), 7686, 8375, 8880, 9462,
  // 9476; ICANN SAC113.
  ...['localhost', 'local', 'invalid', 'test', 'example', 'onion', 'home', 'arpa', 'ipv4only', 'resolver', 'alt'],
  ...['internal', 'intranet', 'private', 'corp', 'lan', 'mail', 'localdomain', 'domain', 'workgroup', 'belkin'],
  // In the hosts files of Debian, Fedora, Alpine and macOS (hosts(5), networks(5)).
  ...['localhost4', 'localhost6', 'localdomain4', 'localdomain6', 'broadcasthost', 'loopback', 'link-local', 'default'],
  ...['ip6-localhost', 'ip6-loopback', 'ip6-localnet', 'ip6-mcastprefix', 'ip6-allnodes', 'ip6-allrouters'],
  ...['ip6-allhosts', 'loghost', 'mailhost', 'newshost', 'timehost'],
  // Looked up by systems and browsers without being asked: proxies (WPAD), tunnels (RFC 5214), mail and device set-up
  // (Microsoft, Mozilla), whether DNS may be replaced (Mozilla), mail policy (RFC 8461) and keys (WKD).
  ...['wpad', 'proxy', 'isatap', 'teredo', 'autodiscover', 'autoconfig', 'autoconf', 'use-application-dns'],
  ...['enterpriseregistration', 'enterpriseenrollment', 'lyncdiscover', 'lyncdiscoverinternal', 'sip', 'sipinternal'],
  ...['sipexternal', 'mta-sts', 'openpgpkey'],
  // Where agents look for a server that tells them what to run, when nobody has told them another name.
  ...['puppet', 'salt', 'unifi', 'docker', 'ipa-ca', 'kerberos'],
  // Metadata services: of Google, Amazon (cloud-init asks for it), CloudStack, and others.
  ...['metadata', 'instance-data', 'data-server', 'metadata-server', 'rancher-metadata', 'wireserver'],
  // The host and the network themselves, as Docker, systemd (with an underscore before) and we call them.
  ...['host', 'gateway', 'router', 'outbound', 'localdnsstub', 'localdnsproxy', 'dns', 'dhcp', 'ns', 'broadcast'],
  ...['flintlock', 'flintlockd'],
]);

/**
 * Whether a name means something else than the microVM that asks for it.
 *
 * @param name - one label, in lower case
 * @param own - the host's own names
 */
export const isReserved = (name: string, own: ReadonlySet<string> = new Set()): boolean =>
  RESERVED.has(name) ||
  own.has(name) ||
  // What a microVM is called when it cannot have its name: nobody else is.
  /^vm-[0-9a-z]{26}(?:-\d+)?$/.test(name) ||
  // Of interfaces of ours.
  /^fl[a-z2-7]{4}(?:br|md)$/.test(name) ||
  // Two hyphens there stand for another way to write it (RFC 5890, 2.3.1): what is shown is not what was asked for.
  /^..--/.test(name);
