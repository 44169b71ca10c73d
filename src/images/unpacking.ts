import { Fault } from '../domain/fault.ts';
import type { Outcome } from '../unpack/job.ts';
import { fromOutput } from '../unpack/program.ts';
import { PullFault } from './failures.ts';
import { invalid } from './image-faults.ts';

type Done = Extract<Outcome, { is: 'done' }>;
type Beyond = Extract<Outcome, { is: 'beyond' }>;

/**
 * What the unpacker's outcome means for an image.
 * @param beyond - of limits that the caller set
 * @throws Fault ImageInvalid, StorageFull, ImagePullFailed; the signal's reason
 */
export async function settle(
  name: string,
  directory: string,
  work: () => Promise<string>,
  beyond?: (outcome: Beyond) => Fault,
): Promise<Done> {
  let output: string;
  try {
    output = await work();
  } catch (error) {
    throw explainUnpacker(error, name);
  }
  const outcome = fromOutput(output);
  switch (outcome.is) {
    case 'done':
      return outcome;
    case 'beyond':
      throw beyond?.(outcome) ?? full(name, `${directory} has no room for what it unpacks to`);
    case 'refused':
      if (outcome.kind === 'full') throw full(name, `${outcome.why}; ${directory} lies on that disk`);
      if (outcome.kind === 'invalid') throw invalid(name, outcome.why);
      throw new PullFault('tool', `Cannot unpack image "${name}": ${outcome.why}`, { soon: false });
  }
}

const full = (name: string, why: string): Fault =>
  new Fault('full', `Cannot store image "${name}": no space left on the disk: ${why}`, { reason: 'StorageFull' });

function explainUnpacker(error: unknown, name: string): unknown {
  if (!(error instanceof Fault) || error.reason !== undefined) return error;
  const options = { soon: /ended by SIG/.test(error.message), cause: error };
  if (error.kind === 'timeout')
    return new PullFault('timeout', `Cannot unpack image "${name}" in time: ${error.message}`, options);
  return new PullFault(
    'tool',
    `Cannot unpack image "${name}": ${error.message.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, 400)}`,
    options,
  );
}
