import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run bench -- [options]

Measures every row of the table of docs/performance.md, each beside a reference
that is measured in the same run, by turns, and says whether its budget is met.
It takes less than 15 minutes on 2 cores. As root; without, and without other
things that a row needs, it says which rows it leaves out.

  --only NAME   only rows whose name begins so, e.g. create-exec, or api
  -o json       print the rows as JSON
  --runs N      at most so many runs of each, for a first look
  --small       a tenth of each crowd: 100 others instead of 1,000
  --page        write the table, plots and bars into docs/performance.md
  --store       keep the ratios, for npm run bench:check
  --list        print the names of the rows
  --help        print this

The exit status is 0 when every row was measured or left out, met or not; 1 when
one failed.

Examples:
  npm run bench
  npm run bench -- --only create
  npm run bench -- --page --store
`;

export const CHECK_HELP = `Usage: npm run bench:check -- [options]

Says which ratios of the bench are worse by over 20 % than those that are
stored in bench/stored.json. Rows that this machine leaves out are not compared.

  --from FILE   what npm run bench -- -o json has printed; without, the bench is run now
  --only NAME   only rows whose name begins so
  --runs N      at most so many runs of each
  --help        print this

The exit status is 0 when none is worse.
`;

export interface Options {
  readonly only?: string;
  readonly json: boolean;
  readonly runs: number;
  readonly isSmall: boolean;
  readonly page: boolean;
  readonly store: boolean;
  readonly list: boolean;
  readonly help: boolean;
  /** Compares instead of printing. */
  readonly check: boolean;
  readonly from?: string;
}

export class Usage extends Error {}

/** @throws Usage, or parseArgs' own error, of what it does not know */
export function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      output: { type: 'string', short: 'o' },
      runs: { type: 'string' },
      small: { type: 'boolean', default: false },
      page: { type: 'boolean', default: false },
      store: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      from: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.output !== undefined && values.output !== 'json') throw new Usage('-o takes json');
  const runs = values.runs === undefined ? Number.POSITIVE_INFINITY : Number(values.runs);
  if (values.runs !== undefined && !(Number.isSafeInteger(runs) && runs > 0))
    throw new Usage('--runs takes a whole number above 0');
  const isPart = values.only !== undefined || values.small;
  // What is kept is what others are compared with: every row, of a whole crowd.
  if (isPart && (values.page || values.store)) throw new Usage('--page and --store are of all rows as they are');
  if (values.from !== undefined && !values.check) throw new Usage('--from belongs to bench:check');
  return {
    ...(values.only !== undefined && { only: values.only }),
    ...(values.from !== undefined && { from: values.from }),
    json: values.output === 'json',
    runs,
    isSmall: values.small,
    page: values.page,
    store: values.store,
    list: values.list,
    help: values.help,
    check: values.check,
  };
}
