import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run conformance [-- OPTIONS]

Boots real guests with every field of the spec, asks them and the host what
they see, and prints a table: row | expected | seen in guest | seen on host | ok.

  --provider NAME  the provider to try; default: the daemon's own default. firecracker and cloudhypervisor are
                   stood in for, unless FLINTLOCK_TEST_FIRECRACKER or FLINTLOCK_TEST_CLOUDHYPERVISOR names the program
  --only PATTERN   rows whose name matches this regular expression
  --sample         without what others stand for: as npm test does it
  --parallel N     scenes at once, 1 to 16 (2); a scene boots one to three guests
  -o json          one JSON array on standard output and nothing else
  --list           only the names of the rows
  -h, --help       this text

The basis of a row, in JSON: "guest", a booted guest said so; "request", what
the VMM was told, and what the host sees, where a stand-in has no guest: "seen_in_guest" is null; "refused", it cannot be, and create
said so. Where CI is set, a scene that was not in time is tried once more: it is
said, and stands in the table and in "tried_again_after". Exit status: 0 all rows are ok, 1 one is wrong, 2 usage.

Examples:
  npm run conformance
  npm run conformance -- --only '^volumes/' --parallel 4
  npm run --silent conformance -- -o json | jq '.[] | select(.ok | not)'
`;

/** Wrong arguments, with what to give instead. */
export class Usage extends Error {}

export interface Options {
  readonly provider: string;
  readonly only: RegExp;
  readonly sample: boolean;
  readonly parallel: number;
  readonly json: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

/** @throws Usage */
export function optionsOf(args: readonly string[]): Options {
  const { provider, only, sample, parallel, output, list, help } = parsed(args);
  const count = Number(parallel);
  if (!Number.isInteger(count) || count < 1 || count > 16)
    throw new Usage(`--parallel ${parallel}: give a number from 1 to 16`);
  if (output !== 'json' && output !== 'table')
    throw new Usage(`-o ${output}: give json, or leave it out for the table`);
  try {
    return { provider, only: new RegExp(only), sample, parallel: count, json: output === 'json', list, help };
  } catch (error) {
    throw new Usage(`--only: ${(error as Error).message}`);
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        provider: { type: 'string', default: '' },
        only: { type: 'string', default: '' },
        sample: { type: 'boolean', default: false },
        parallel: { type: 'string', default: '2' },
        output: { type: 'string', short: 'o', default: 'table' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new Usage((error as Error).message);
  }
}
