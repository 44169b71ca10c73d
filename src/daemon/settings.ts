import { z } from 'zod';
import { parseDuration, parseSize } from '../base/quantity.ts';
import { parseCidr } from '../domain/ipv4.ts';
import { MAX_RUN_DIRECTORY } from '../domain/names.ts';
import { parseUserRange } from '../domain/user-ranges.ts';
import type { ProviderSetting } from '../vmm/provider.ts';
import { PROVIDERS, type ProviderSettingName } from '../vmm/registry.ts';

/** `90s`, `15m`, `24h`, `7d` in milliseconds; a bare number is seconds. */
const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms === undefined) {
    context.addIssue({ code: 'custom', message: `"${text}" is no duration: write for instance 90s, 15m or 24h` });
    return z.NEVER;
  }
  return ms;
});

const absolute = z
  .string()
  .refine((path) => path.startsWith('/') && !path.split('/').includes('..'), 'must be an absolute path without ".."')
  .transform((path) => path.replace(/(?<=.)\/+$/, ''));

const fileOrNone = z.union([absolute, z.literal('')], 'must be an absolute path without ".."');

const uidRange = z.string().transform((text, context) => {
  const range = text === 'auto' ? text : parseUserRange(text);
  if (range !== undefined) return range;
  const message = `"${text}" is no range of users: write for instance 700000-765535, or auto`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** `10G`, `500M`, a bare number is bytes; powers of 1024. In bytes. */
const size = z.string().transform((text, context) => {
  const bytes = parseSize(text, 'B');
  if (bytes === undefined) {
    context.addIssue({ code: 'custom', message: `"${text}" is no size: write for instance 500M, 20G or 1T` });
    return z.NEVER;
  }
  return bytes;
});

/** A size in bytes, or what it is derived from. 0 would refuse everything: elsewhere it is no limit. */
const limitSize = z.union([z.enum(['auto', 'none']), size.refine((bytes) => bytes >= 1 << 20)], {
  error: 'must be auto, none, or a size from 1M: write for instance 12G',
});

const countOrNone = z.union([
  z.literal('none'),
  z.coerce.number('must be a whole number, or none').int().min(1).max(1_000_000),
]);

const PROVIDER_NAMES: readonly string[] = PROVIDERS.map(({ name }) => name);

/** In the order in which they are tried. */
const providers = z.string().transform((text, context): readonly string[] => {
  if (text === 'auto') return PROVIDER_NAMES;
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.find((name, i) => !PROVIDER_NAMES.includes(name) || names.indexOf(name) !== i);
  if (wrong === undefined) return names;
  const what = PROVIDER_NAMES.includes(wrong) ? 'is there twice' : 'is no provider';
  context.addIssue({ code: 'custom', message: `"${wrong}" ${what}: there are ${PROVIDER_NAMES.join(', ')}` });
  return z.NEVER;
});

export interface Setting {
  readonly schema: z.ZodType;
  readonly help: string;
  /** As in --help: what stands for the value. Absent: a flag without one. */
  readonly value?: string;
  readonly repeatable?: boolean;
  /** Its value is told to nobody. */
  readonly secret?: boolean;
  readonly default: string | boolean | number | readonly string[];
}

type TextSetting = Setting & { readonly schema: z.ZodType<string> };

/** What the providers bring. */
function providerSettings(): Readonly<Record<ProviderSettingName, TextSetting>> {
  const all = PROVIDERS.flatMap(({ settings }) => Object.entries<ProviderSetting>(settings));
  const made = all.map(([name, { choices, value, default: standard, help }]): readonly [string, TextSetting] => {
    const schema = choices ? z.enum(choices) : z.string().min(1);
    return [name, { schema, value, default: standard, help }];
  });
  return Object.fromEntries(made) as Record<ProviderSettingName, TextSetting>;
}

/** Every setting of the daemon, once: flags, environment, file, help and checks are made from it. */
export const SETTINGS = {
  'state-dir': {
    schema: absolute,
    value: 'DIR',
    default: '/var/lib/flintlock',
    help: 'records, images and disks; one daemon for each',
  },
  'run-dir': {
    schema: absolute.refine(
      (path) => Buffer.byteLength(path) <= MAX_RUN_DIRECTORY,
      `must have at most ${MAX_RUN_DIRECTORY} bytes, so that the sockets below it have valid names`,
    ),
    value: 'DIR',
    default: '/run/flintlock',
    help: 'sockets; api.sock in it serves local users',
  },
  'grpc-endpoint': {
    schema: z.array(z.string()).min(1),
    value: 'HOST:PORT|unix:///PATH',
    repeatable: true,
    default: ['localhost:9090'],
    help: 'where gRPC is served, beside api.sock',
  },
  'http-endpoint': {
    schema: z.array(z.string()),
    value: 'HOST:PORT|unix:///PATH',
    repeatable: true,
    default: ['localhost:8090'],
    help: 'where HTTP/JSON is served',
  },
  'http-name': {
    schema: z.array(
      z.string().regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$/, 'must be a name of this host, without a port'),
    ),
    value: 'NAME',
    repeatable: true,
    default: [],
    help: "what HTTP on TCP may be asked by (Host) while neither tokens nor TLS are, beside addresses, localhost, the host's own names and those of --http-endpoint; others are refused, so that no web page gets in by calling itself so",
  },
  'socket-group': {
    schema: z.string().regex(/^([a-z_][a-z0-9_-]{0,31}\$?|\d{1,10})$/, 'must be the name of a group, or its number'),
    value: 'GROUP',
    default: 'flintlock',
    help: 'members of this group may use the unix sockets without being root; the default is left out where there is no such group',
  },
  insecure: { schema: z.boolean(), default: false, help: 'serve plain text on TCP endpoints' },
  'tls-cert': {
    schema: fileOrNone,
    value: 'FILE',
    default: '',
    help: 'serve TLS 1.3 on TCP endpoints, gRPC and HTTP, with this certificate and those after it in the file (PEM); read again when it changes',
  },
  'tls-key': { schema: fileOrNone, value: 'FILE', default: '', help: "the certificate's private key (PEM)" },
  'tls-client-validate': {
    schema: z.boolean(),
    default: false,
    help: 'clients on TCP need a certificate that --tls-client-ca has signed',
  },
  'tls-client-ca': {
    schema: fileOrNone,
    value: 'FILE',
    default: '',
    help: 'the authorities whose certificates clients may have (PEM)',
  },
  'basic-auth-token': {
    schema: z.string().regex(/^[\x21-\x7e]*$/, 'must be printable ASCII without spaces'),
    value: 'TOKEN',
    secret: true,
    default: '',
    help: 'who calls over TCP must give this token; as a flag everybody on the host can see it: better the variable, or the file',
  },
  'basic-auth-token-file': {
    schema: fileOrNone,
    value: 'FILE',
    default: '',
    help: 'the same from a file of mode 0600, read again when it changes',
  },
  'tokens-file': {
    schema: fileOrNone,
    value: 'FILE',
    default: '',
    help: 'several tokens with names, rights and namespaces (YAML, mode 0600), read again when it changes',
  },
  'image-root': {
    schema: z.array(absolute),
    value: 'DIR',
    repeatable: true,
    default: [],
    help: 'images may come from OCI layouts and archives below it',
  },
  'demo-kernel': {
    schema: z.string().min(1, 'must be a reference, auto or none'),
    value: 'REF',
    default: 'auto',
    help: 'the image with kernel and initrd that "flintlock run" boots; auto: the layout "demo" below an --image-root, or that of the checkout that the daemon runs from if it is below one; or none',
  },
  'insecure-registry': {
    schema: z.array(z.string().regex(/^[A-Za-z0-9.-]+(:\d+)?$/, 'must be HOST or HOST:PORT')),
    value: 'HOST:PORT',
    repeatable: true,
    default: [],
    help: 'a registry that is spoken to without TLS',
  },
  'registry-auth-file': {
    schema: fileOrNone,
    value: 'FILE',
    default: '',
    help: 'credentials for registries, in the format that Docker and Podman share (auth.json, config.json)',
  },
  pull: {
    schema: z.enum(['always', 'missing', 'never']).transform((text) => text.toUpperCase() as Uppercase<typeof text>),
    value: 'always|missing|never',
    default: 'always',
    help: 'when registries are asked for the images of a create that does not say (pull_policy, flintlock create --pull): always, where each tag leads; missing, only for what is not in the cache; never, what is not in the cache is refused',
  },
  'image-cache-max': {
    schema: size,
    value: 'SIZE',
    default: '0',
    help: 'images that nothing uses are dropped, used last longest ago first, while all images take more, e.g. 20G; 0: no limit',
  },
  'managed-network': {
    schema: z.string().refine((text) => text === 'auto' || text === 'none' || parseCidr(text) !== undefined, {
      message: 'must be a network such as 10.77.0.0/24 (/8 to /29, host bits 0), auto, or none',
    }),
    value: 'CIDR',
    default: 'auto',
    help: 'the network of TAP interfaces: a bridge with DHCP and NAT, made when first needed; auto: the first of 10.77.0.0/24, 10.78.0.0/24, … that no route of the host meets',
  },
  'bridge-name': {
    // IFNAMSIZ, netdevice(7); the kernel allows more characters, `ip` and a rule file do not.
    schema: z.string().regex(/^(|[A-Za-z0-9_][A-Za-z0-9_.-]{0,14})$/, 'must be the name of an interface, as br0 is'),
    value: 'BRIDGE',
    default: '',
    help: 'plug TAP interfaces into this bridge, which is there already, and change nothing on it: no DHCP, no NAT, no addresses; instead of a managed network',
  },
  'parent-iface': {
    schema: z.string().regex(/^(|[A-Za-z0-9_][A-Za-z0-9_.-]{0,14})$/, 'must be the name of an interface, as eth0 is'),
    value: 'IFACE',
    default: '',
    help: 'make MACVTAP interfaces on this interface of the host, so that guests are on its network; beside a managed network or a bridge',
  },
  'default-provider': {
    schema: providers,
    value: 'NAME[,NAME]|auto',
    default: 'auto',
    help: `the VMM of a spec that names none; of several the first that this host can use and that can do all that the spec asks; auto: ${PROVIDER_NAMES.join(', ')}`,
  },
  ...providerSettings(),
  'vmm-uid-range': {
    schema: uidRange,
    value: 'FIRST-LAST|auto',
    default: 'auto',
    help: "the unprivileged users that VMMs run as, one each; those that accounts of the host or their containers (/etc/subuid) have are left out; auto: the first 65536 from 700000 on of which none is somebody else's",
  },
  'vmm-cgroups': {
    schema: z.enum(['auto', 'off']),
    value: 'auto|off',
    default: 'auto',
    help: 'auto: each VMM is in a cgroup of its own, with limits of memory and tasks, where the host lets the daemon make one',
  },
  'max-memory': {
    schema: limitSize,
    value: 'SIZE|auto|none',
    default: 'auto',
    help: 'memory that may be promised to microVMs together, by the memory_in_mb of those that run or will, e.g. 12G; auto: all that the host, or the smallest cgroup that VMMs are in, has but 512 MiB',
  },
  'max-vcpu': {
    schema: countOrNone,
    value: 'N|none',
    default: 'none',
    help: 'virtual CPUs that may be promised to the microVMs that run or will',
  },
  'max-disk': {
    schema: limitSize,
    value: 'SIZE|auto|none',
    default: 'auto',
    help: 'what the writable volumes of all microVMs may grow to together, e.g. 200G; auto: the size of the file system that the state directory is on; none: more may be promised than there is',
  },
  'max-microvms': {
    schema: countOrNone,
    value: 'N|none',
    default: 'none',
    help: 'how many microVMs there may be, whatever their state',
  },
  'maximum-retry': {
    schema: z.coerce.number('must be a whole number').int().min(1).max(1_000),
    value: 'N',
    default: 10,
    help: 'attempts to create a microVM before it is FAILED',
  },
  patience: {
    schema: z.coerce.number('must be a number').min(1).max(100),
    value: 'N',
    default: 1,
    help: 'multiplies the limits of time that tools and steps have, on a slow host',
  },
  'retain-deleted': {
    schema: duration,
    value: 'TIME',
    default: '24h',
    help: 'how long deleted microVMs can still be read',
  },
  'audit-period': {
    schema: duration,
    value: 'TIME',
    default: '15m',
    help: 'how often the host is compared with the ledger; what is found is told in the log and in the metrics, and nothing is changed; 0: never',
  },
  'network-probe-period': {
    schema: duration,
    value: 'TIME',
    default: '1m',
    help: 'how often, at the most, the ways of guests on the managed network are tried (DHCP, DNS, metadata, ports, the outside), beside soon after each change; 0: never',
  },
  verbosity: {
    schema: z.coerce.number('must be a whole number').int().min(0).max(9),
    value: 'N',
    default: 0,
    help: '0: info, 2: debug',
  },
  'log-format': {
    schema: z.enum(['text', 'json']),
    value: 'text|json',
    default: 'text',
    help: 'how the log on standard error is written',
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
export type Config = { readonly [K in SettingName]: z.output<(typeof SETTINGS)[K]['schema']> };
export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];
export const settingOf = (name: SettingName): Setting => SETTINGS[name];

/** `FLINTLOCKD_STATE_DIR`; several values of a repeatable one are split at commas. */
export const environmentName = (name: SettingName): string => `FLINTLOCKD_${name.toUpperCase().replaceAll('-', '_')}`;
