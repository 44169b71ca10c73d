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
} as const;

/** Without those of every provider. */
export const ownOptions = (options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([key]) => !Object.hasOwn(COMMON_OPTIONS, key)));

/** What is wrong with those of every provider. */
export function commonOptionsLack(
  { agent }: Options,
  { machine, channels }: Pick<Capabilities, 'machine' | 'channels'>,
): readonly Violation[] {
  const field = 'provider_options[agent]';
  if (agent === undefined || agent === 'off') return [];
  if (agent !== 'on') return [{ field, description: `"${shorten(agent)}" must be on or off` }];
  return channels.includes('agent')
    ? []
    : [{ field, description: `is on, and ${machine} has no way to an agent in its guest yet` }];
}
