import { checkProcess } from './check-process.ts';
import { checkVolumes } from './check-volumes.ts';
import type { FileDraft, InterfaceDraft, SpecDraft } from './draft.ts';
import { Fault, type Violation } from './fault.ts';
import { checkHealth } from './health.ts';
import { parseAddress } from './ipv4.ts';
import { checkLabelKey, checkLabelValue, shorten } from './labels.ts';
import { parseMac } from './mac.ts';
import { checkMetadata, mmdsOf } from './metadata-rules.ts';
import { collide, MAX_PUBLISHED, publishedText } from './published.ts';
import { PULL_POLICIES, type PublishedPort, type RestartPolicy, type Spec } from './spec.ts';
import { DEFAULT_MEMORY_IN_MB, DEFAULT_NAMESPACE, DEFAULT_VCPU, fillIn, toPublished } from './spec-defaults.ts';
import { parseStatic, wrongRouting } from './static-address.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._=-]{0,252}$/;
/** An interface name has at most 15 bytes (IFNAMSIZ, netdevice(7)). */
const DEVICE_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/;
/** As strict: it becomes an argument of ip(8). */
const BRIDGE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
/** COMMAND_LINE_SIZE of Linux on x86 is 2048; the provider's own words need some of it. */
const MAX_CMDLINE = 1536;
const MAX_LABELS = 256;
const PROVIDER = /^[a-z0-9][a-z0-9-]{0,62}$/;
const MAX_PROVIDER_OPTIONS = 64;
const POLICIES: readonly RestartPolicy[] = ['ON_FAILURE', 'ALWAYS', 'NEVER'];

/**
 * Makes a Spec of what a surface received: everything checked here, what was left out filled in by
 * `spec-defaults.ts`. What only the host or a provider can judge is judged by `service/check-spec`, which knows the daemon's own
 * defaults too.
 * Its metadata is the draft's, as it is.
 *
 * @param newId - the id for a spec that has none
 * @throws Fault `invalid` with all that is wrong, at once, in API field names
 */
export function validate(draft: SpecDraft, newId: string): Spec {
  const wrong: Violation[] = [];
  const bad = (field: string, description: string): void => void wrong.push({ field, description });

  wrong.push(...(draft.wrong ?? []));
  for (const field of draft.outputsSet) bad(field, 'set by the daemon only: leave it out');
  const id = checkName('id', draft.id, bad) || newId;
  const namespace = checkName('namespace', draft.namespace, bad) || DEFAULT_NAMESPACE;
  checkLabels(draft.labels, bad);
  if (draft.vcpu < 0) bad('vcpu', `${draft.vcpu} is negative: give 1 or more, or 0 for ${DEFAULT_VCPU}`);
  if (draft.memoryInMb < 0)
    bad('memory_in_mb', `${draft.memoryInMb} is negative: give MiB, or 0 for ${DEFAULT_MEMORY_IN_MB}`);

  if (!draft.kernel) bad('kernel', 'is required: give kernel.image, an OCI image that holds a kernel');
  else {
    checkFile('kernel', draft.kernel, bad);
    if (draft.kernel.cmdline.length > MAX_CMDLINE)
      bad('kernel.cmdline', `has ${draft.kernel.cmdline.length} characters: at most ${MAX_CMDLINE}`);
    if (/[\p{Cc}]/u.test(draft.kernel.cmdline)) bad('kernel.cmdline', 'must not have control characters');
  }
  if (draft.initrd) checkFile('initrd', draft.initrd, bad);
  checkVolumes(draft, bad);
  checkProcess(draft, bad);
  checkHealth(draft, bad);
  if (draft.kernel) checkOwnWords(draft.kernel.cmdline, draft, bad);
  const macs = checkInterfaces(draft.interfaces, bad);
  checkMetadata(draft.metadata, bad, draft.metadataAnyhow, mmdsOf(draft.providerOptions) !== undefined);
  if (draft.provider !== '' && !PROVIDER.test(draft.provider))
    bad('provider', `"${shorten(draft.provider)}" is no name of a provider: leave it out for the daemon's default`);
  const restartPolicy = POLICIES.find((policy) => policy === draft.restartPolicy);
  if (!restartPolicy) bad('restart_policy', `"${shorten(draft.restartPolicy)}" must be ${POLICIES.join(', ')}`);
  const { pullPolicy: asked = '' } = draft;
  const pullPolicy = PULL_POLICIES.find((policy) => policy === asked);
  if (asked !== '' && !pullPolicy) bad('pull_policy', `"${shorten(asked)}" must be ${PULL_POLICIES.join(', ')}`);
  const options = Object.keys(draft.providerOptions).length;
  if (options > MAX_PROVIDER_OPTIONS)
    bad('provider_options', `has ${options} entries: at most ${MAX_PROVIDER_OPTIONS}`);

  if (wrong.length > 0 || !draft.kernel || !restartPolicy) throw Fault.invalid(wrong);
  const { kernel, pullPolicy: _, ...rest } = draft;
  return fillIn({ ...rest, kernel, id, namespace, restartPolicy, ...(pullPolicy && { pullPolicy }) }, macs);
}

type Bad = (field: string, description: string) => void;

function checkName(field: string, value: string, bad: Bad): string {
  if (value !== '' && (!NAME.test(value) || value.includes('..')))
    bad(
      field,
      `"${shorten(value)}" must have at most 253 letters, digits, "-", "_", "=" and single ".", and begin with a letter or digit`,
    );
  return value;
}

/** What is wrong with labels, in API field names. */
export function checkLabels(labels: Readonly<Record<string, string>>, bad: Bad): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) bad('labels', `has ${entries.length} entries: at most ${MAX_LABELS}`);
  for (const [key, value] of entries) {
    const field = `labels[${shorten(key)}]`;
    const wrongKey = checkLabelKey(key);
    const wrongValue = checkLabelValue(value);
    if (wrongKey) bad(field, wrongKey);
    if (wrongValue) bad(field, wrongValue);
  }
}

function checkFile(field: string, file: FileDraft, bad: Bad): void {
  if (file.image === '') bad(`${field}.image`, 'is required: an OCI image reference');
  const { filename = '' } = file;
  if (/\p{Cc}/u.test(filename) || filename.length > 1024)
    bad(`${field}.filename`, 'must be a path of at most 1024 characters without control characters');
  else if (filename.split('/').includes('..'))
    bad(`${field}.filename`, `"${shorten(filename)}" leaves the image: give a path inside it, without ".."`);
}

/** Words that the daemon would add for a field, and the user has written himself: one of the two would be ignored. */
function checkOwnWords(cmdline: string, { volumes, interfaces }: SpecDraft, bad: Bad): void {
  const has = (key: string): boolean =>
    cmdline.split(/\s/).some((word) => word.replace(/^"/, '').startsWith(`${key}=`));
  if (has('flintlock.mount') && volumes.some((v) => v.mountPoint !== '' && !v.isRoot))
    bad('kernel.cmdline', "gives flintlock.mount, which the volumes' mount_point makes: leave one of the two out");
  if (has('flintlock.nic') && interfaces.length > 0)
    bad('kernel.cmdline', 'gives flintlock.nic, which the interfaces make: leave it out');
}

/** @returns the MAC addresses in one form, by index */
function checkInterfaces(interfaces: readonly InterfaceDraft[], bad: Bad): readonly (string | undefined)[] {
  const names = new Set<string>();
  const macs = new Set<string>();
  const addresses = new Set<string>();
  checkPublished(interfaces, bad);
  const asking = interfaces.flatMap((nic, i) => (nic.type === 'MACVTAP' && nic.allowMetadata ? [i] : []));
  for (const i of asking.slice(1))
    bad(
      `interfaces[${i}].allow_metadata_req`,
      `interfaces[${asking[0]}], MACVTAP like this one, may ask already: all are on one network, and one is enough`,
    );
  return interfaces.map((nic, i) => {
    const at = `interfaces[${i}]`;
    if (!DEVICE_NAME.test(nic.name))
      bad(
        `${at}.guest_device_name`,
        `"${shorten(nic.name)}" must have 1 to 15 letters, digits, "_", "-", "." and begin with a letter`,
      );
    else if (names.has(nic.name))
      bad(`${at}.guest_device_name`, `"${nic.name}" is used twice: each interface needs its own`);
    names.add(nic.name);
    if (nic.type === 'MACVTAP') checkMacvtap(nic, at, bad);
    else if (nic.type !== 'TAP') bad(`${at}.type`, `${shorten(nic.type)} is no interface type: give TAP or MACVTAP`);
    if (nic.address) {
      const fixed = parseStatic(nic.address);
      if ('wrong' in fixed) bad(`${at}.address`, fixed.wrong);
      else if (addresses.has(fixed.address))
        bad(`${at}.address`, `${fixed.address} is used twice: each interface needs its own`);
      else addresses.add(fixed.address);
    }
    for (const [field, description] of wrongRouting(nic)) bad(`${at}.address.${field}`, description);
    if (nic.bridge && !BRIDGE_NAME.test(nic.bridge))
      bad(
        `${at}.overrides.bridge_name`,
        `"${shorten(nic.bridge)}" is no name of a bridge: 1 to 15 letters, digits, "_", "-", "."`,
      );
    if (!nic.mac) return undefined;
    const mac = parseMac(nic.mac);
    if (typeof mac !== 'string') bad(`${at}.guest_mac`, mac.wrong);
    else if (macs.has(mac)) bad(`${at}.guest_mac`, `${mac} is used twice: each interface needs its own`);
    else macs.add(mac);
    return typeof mac === 'string' ? mac : undefined;
  });
}

/** What an interface on the network of a parent cannot have. */
function checkMacvtap(nic: InterfaceDraft, at: string, bad: Bad): void {
  nic.publishedPorts.forEach((_, k) => {
    bad(
      `${at}.published_ports[${k}]`,
      "ports are published on the managed network only: a MACVTAP interface is reached at its own address on the parent's network; leave them out, or set type: TAP",
    );
  });
  if (nic.bridge) bad(`${at}.overrides.bridge_name`, 'is for TAP interfaces: a MACVTAP interface is plugged into none');
  const fixed = nic.address ? parseStatic(nic.address) : undefined;
  if (fixed && 'address' in fixed && fixed.prefix === undefined)
    bad(
      `${at}.address`,
      `${fixed.address} needs its prefix on the parent's network: write ${fixed.address}/24, for instance`,
    );
}

function checkPublished(interfaces: readonly InterfaceDraft[], bad: Bad): void {
  const before: { readonly at: string; readonly port: PublishedPort }[] = [];
  interfaces.forEach(({ publishedPorts }, i) => {
    publishedPorts.forEach((draft, k) => {
      const at = `interfaces[${i}].published_ports[${k}]`;
      const isPort = (value: number): boolean => value >= 1 && value <= 65_535;
      if (!isPort(draft.hostPort)) bad(`${at}.host_port`, `${draft.hostPort} is no port: give 1 to 65535`);
      if (!isPort(draft.guestPort)) bad(`${at}.guest_port`, `${draft.guestPort} is no port: give 1 to 65535`);
      if (!['', 'tcp', 'udp'].includes(draft.protocol))
        bad(`${at}.protocol`, `"${shorten(draft.protocol)}" must be tcp or udp, in lower case`);
      if (draft.hostIp !== '' && parseAddress(draft.hostIp) === undefined)
        bad(
          `${at}.host_ip`,
          `"${shorten(draft.hostIp)}" must be an IPv4 address of the host, or empty for all of them`,
        );
      const port = toPublished(draft);
      const same = before.find((other) => collide(other.port, port));
      if (same) bad(`${at}.host_port`, `${publishedText(port)} is published twice: ${same.at} has it too`);
      before.push({ at, port });
    });
  });
  if (before.length > MAX_PUBLISHED)
    bad('interfaces', `publish ${before.length} ports together: at most ${MAX_PUBLISHED}`);
}
