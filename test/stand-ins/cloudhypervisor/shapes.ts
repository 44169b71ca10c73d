/** What a field may hold, as serde takes it: `?` one that may be left out or be null. */
export type Shape =
  | 'text'
  | 'flag'
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 'mac'
  | { readonly of: readonly string[] }
  | Fields
  | readonly [Fields];
export interface Fields {
  readonly [name: string]: Shape;
}

const console: Fields = {
  mode: { of: ['Off', 'Pty', 'Tty', 'File', 'Socket', 'Null'] },
  'file?': 'text',
  'socket?': 'text',
};

export const NET: Fields = {
  ...{
    'id?': 'text',
    'tap?': 'text',
    'ip?': 'text',
    'mask?': 'text',
    'mac?': 'mac',
    'host_mac?': 'mac',
    'mtu?': 'u16',
  },
  ...{ 'num_queues?': 'u64', 'queue_size?': 'u16', 'vhost_user?': 'flag', 'iommu?': 'flag' },
};

/** The part of it that is looked at; other fields are passed over, as the program does. @see vmm/src/vm_config.rs, VmConfig */
export const VM: Fields = {
  'cpus?': { boot_vcpus: 'u32', max_vcpus: 'u32', 'max_phys_bits?': 'u8' },
  'memory?': { size: 'u64', 'shared?': 'flag', 'hugepages?': 'flag' },
  'payload?': { 'kernel?': 'text', 'firmware?': 'text', 'cmdline?': 'text', 'initramfs?': 'text' },
  'disks?': [
    {
      ...{
        'id?': 'text',
        'path?': 'text',
        'readonly?': 'flag',
        'direct?': 'flag',
        'serial?': 'text',
        'iommu?': 'flag',
      },
      ...{ 'image_type?': { of: ['FixedVhd', 'Qcow2', 'Raw', 'Vhdx', 'Unknown'] }, 'backing_files?': 'flag' },
      ...{ 'num_queues?': 'u64', 'queue_size?': 'u16' },
    },
  ],
  'net?': [NET],
  'rng?': { src: 'text', 'iommu?': 'flag' },
  'balloon?': { size: 'u64', 'deflate_on_oom?': 'flag', 'free_page_reporting?': 'flag' },
  'vsock?': { cid: 'u32', socket: 'text', 'id?': 'text', 'iommu?': 'flag' },
  'serial?': console,
  'console?': console,
  ...{ 'pvpanic?': 'flag', 'watchdog?': 'flag', 'iommu?': 'flag', 'landlock_enable?': 'flag' },
  'landlock_rules?': [{ path: 'text', access: 'text' }],
};

const MOST: Readonly<Record<string, number>> = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, u64: 2 ** 64 };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Why a value has not that shape; undefined: it has. */
export function wrongIn(value: unknown, shape: Shape): string | undefined {
  const wrong = (wanted: string): string => `invalid type: ${kindOf(value)}, expected ${wanted}`;
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return wrong('a sequence');
    return value.map((one) => wrongIn(one, shape[0])).find((why) => why !== undefined);
  }
  if (shape === 'flag') return typeof value === 'boolean' ? undefined : wrong('a boolean');
  if (shape === 'text') return typeof value === 'string' ? undefined : wrong('a string');
  if (shape === 'mac') {
    if (typeof value !== 'string') return wrong('a string');
    return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value)
      ? undefined
      : `invalid value: string "${value}", expected a MAC`;
  }
  if (typeof shape === 'string') {
    const isWhole = typeof value === 'number' && Number.isInteger(value) && value >= 0;
    return isWhole && value <= (MOST[shape] ?? 0) ? undefined : wrong(shape);
  }
  if ('of' in shape && Array.isArray(shape.of)) {
    const words: readonly string[] = shape.of;
    return typeof value === 'string' && words.includes(value) ? undefined : `unknown variant \`${String(value)}\``;
  }
  if (!isObject(value)) return wrong('a struct');
  for (const [name, of] of Object.entries(shape)) {
    const key = name.replace(/\?$/, '');
    const given = value[key];
    if (given === undefined || (given === null && name.endsWith('?'))) {
      if (!name.endsWith('?')) return `missing field \`${key}\``;
      continue;
    }
    const why = wrongIn(given, of);
    if (why !== undefined) return why;
  }
  return undefined;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `string "${value}"`;
  if (typeof value === 'boolean') return `boolean \`${value}\``;
  if (typeof value === 'number')
    return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
  return Array.isArray(value) ? 'sequence' : 'map';
}
