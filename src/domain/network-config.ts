/** One interface as its guest is to set it up. */
export interface GuestNic {
  /** Its name in the guest. */
  readonly name: string;
  /** Lower case, with colons. */
  readonly mac: string;
  /** Absent: the guest asks by DHCP. */
  readonly fixed?: FixedAddress;
  /** A boot does not wait for it: perhaps nobody gives it an address. */
  readonly isOptional?: true;
}

/** An address that is set without asking anybody. */
export interface FixedAddress {
  /** IPv4 with its prefix: `10.77.0.5/24`. */
  readonly address: string;
  /** Where what is not on its network is sent; absent: nowhere. */
  readonly gateway?: string;
  readonly dns: readonly string[];
}

/** What a YAML 1.1 reader takes for a truth value, nothing or a number where a name may stand. */
const YAML_WORD = /^(?:y|yes|n|no|on|off|true|false|null|nan|inf)$/i;

/**
 * The network of a guest as netplan's version 2, in YAML: what cloud-init reads
 * from `network-config=` on the kernel's command line (in base64) and from a
 * NoCloud seed. An interface is found by its MAC address and given its name.
 *
 * There is no `network:` around it: every cloud-init reads it so, in both places.
 * @see https://cloudinit.readthedocs.io/en/latest/reference/network-config-format-v2.html
 */
export function networkConfig(nics: readonly GuestNic[]): string {
  const lines = ['version: 2', nics.length === 0 ? 'ethernets: {}' : 'ethernets:'];
  for (const { name, mac, fixed, isOptional } of nics)
    lines.push(
      `  ${word(name)}:`,
      '    match:',
      `      macaddress: "${mac}"`,
      `    set-name: ${word(name)}`,
      ...(fixed ? fixedLines(fixed) : ['    dhcp4: true']),
      ...(isOptional ? ['    optional: true'] : []),
    );
  return `${lines.join('\n')}\n`;
}

function fixedLines({ address, gateway, dns }: FixedAddress): readonly string[] {
  return [
    '    dhcp4: false',
    '    addresses:',
    `      - "${address}"`,
    // Not `gateway4`, which netplan gave up, nor `to: default`, which older ones do not know.
    ...(gateway === undefined ? [] : ['    routes:', '      - to: "0.0.0.0/0"', `        via: "${gateway}"`]),
    ...(dns.length === 0 ? [] : ['    nameservers:', '      addresses:', ...dns.map((one) => `        - "${one}"`)]),
  ];
}

const word = (name: string): string => (YAML_WORD.test(name) ? `"${name}"` : name);
