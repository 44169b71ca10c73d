import type { Capabilities } from './capabilities.ts';
import type { Violation } from './fault.ts';
import { shorten } from './labels.ts';

type Options = Readonly<Record<string, string>>;

/** Keys of `provider_options` that are the same for every provider: the others begin with a provider's name. */
export const COMMON_OPTIONS = {
  agent: {
    values: ['on', 'off'],
    help: 'off: no port for an agent in the guest, so that `exec` and its like cannot be; absent: there is one where the machine can have it and has a place for it; on: refused where not',
  },
  balloon: {
    values: ['on', 'off'],
    help: 'on: memory that the guest has freed goes back to the host (a balloon of no size, with free page reporting), for which its kernel needs CONFIG_VIRTIO_BALLOON; absent: off',
  },
  mmds: {
    values: ['v1', 'v2', 'off'],
    help: 'v1, v2: metadata is answered by the VMM itself (MMDS, in this version), to interfaces with `allow_metadata_req` on whatever network, and cloud-init has it from a disk with v2, whose tokens it does not know; absent or off: by the daemon, on the managed network',
  },
} as const;

/** Whether the machine has a balloon. It takes a device's place. */
export const wantsBalloon = (options: Options): boolean => options.balloon === 'on';

/** Without those of every provider. */
export const ownOptions = (options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([key]) => !Object.hasOwn(COMMON_OPTIONS, key)));

type CommonKey = keyof typeof COMMON_OPTIONS;

/** What is wrong with those of every provider. */
export function commonOptionsLack(
  options: Options,
  { machine, channels, balloon, mmds }: Pick<Capabilities, 'machine' | 'channels' | 'balloon' | 'mmds'>,
): readonly Violation[] {
  const judge = (key: CommonKey, isThere: boolean, lacks: string): readonly Violation[] => {
    const value = options[key];
    if (value === undefined || value === 'off') return [];
    const field = `provider_options[${key}]`;
    const { values }: { readonly values: readonly string[] } = COMMON_OPTIONS[key];
    if (!values.includes(value)) return [{ field, description: `"${shorten(value)}" must be ${orOf(values)}` }];
    return isThere ? [] : [{ field, description: `is ${value}, and ${machine} ${lacks}` }];
  };
  return [
    ...judge('agent', channels.includes('agent'), 'has no way to an agent in its guest yet'),
    ...judge('balloon', balloon, 'has no balloon'),
    ...judge('mmds', mmds, "answers no metadata itself: leave it out for the daemon's own service"),
  ];
}

const orOf = (values: readonly string[]): string => `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
