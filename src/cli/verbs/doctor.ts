import type { CheckHost, Result } from '../../doctor/check.ts';
import { CHECKS, examine, PROGRAM_SETTINGS } from '../../doctor/doctor.ts';
import { PRODUCTION_CHECKS } from '../../doctor/production/production.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import { run } from '../../host/run.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { askLocalDaemon, configured } from '../local-daemon.ts';
import { outputOption } from '../options.ts';
import { type Structured, structuredText } from '../print/structured.ts';
import { type Colour, paint, printable } from '../print/style.ts';
import { tableText } from '../print/table.ts';

interface Options {
  readonly stateDir?: string;
  readonly runDir?: string;
  readonly output?: Structured;
  readonly production?: true;
  /** Of a setting by which a provider's program is named, in camel case. */
  readonly [setting: string]: string | true | undefined;
}

const [STATE_DIRECTORY, RUN_DIRECTORY] = ['/var/lib/flintlock', '/run/flintlock'];
const AS_SET = 'as the daemon that is asked has it, or as its settings say';

export const configure: Configure = (command, act) => {
  command
    .option('--state-dir <directory>', `the daemon's state directory (default: ${AS_SET}, else ${STATE_DIRECTORY})`)
    .option('--run-dir <directory>', `the daemon's run-time directory (default: ${AS_SET}, else ${RUN_DIRECTORY})`);
  for (const { name, help } of PROGRAM_SETTINGS)
    command.option(
      `--${name} <path>`,
      `${help}, where no daemon runs that says which (default: what its settings say)`,
    );
  command
    .option('--production', "also look whether this host is fit for strangers' code: docs/production.md")
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => act((context) => doctor(context, options)));
};

async function doctor(context: Context, options: Options): Promise<number> {
  const { stateDir, runDir, output, production } = options;
  const { env } = context.io;
  const settings = PROGRAM_SETTINGS.map(({ name, standard }) => {
    const flag = options[name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    return [name, (typeof flag === 'string' ? flag : undefined) ?? configured(env, name) ?? standard] as const;
  });
  const wanted = runDir ?? configured(env, 'run-dir') ?? RUN_DIRECTORY;
  const { findings: daemon, trouble } = await askLocalDaemon(context.reach(), wanted, context.io.interrupt);
  const fix = 'Name a daemon of this host (--host unix:///path), or leave --host, FLINTLOCK_HOST and the context out';
  const asked: Result[] = trouble === undefined ? [] : [{ name: 'daemon', status: 'warn', found: trouble, fix }];
  const vmmUsers = configured(env, 'vmm-uid-range');
  const host: CheckHost = {
    run,
    files,
    signal: context.io.interrupt,
    path: env.PATH ?? '',
    stateDirectory: stateDir ?? daemon?.stateDirectory ?? configured(env, 'state-dir') ?? STATE_DIRECTORY,
    runDirectory: runDir ?? daemon?.runDirectory ?? wanted,
    clock,
    settings: Object.fromEntries(settings),
    ...(vmmUsers !== undefined && { vmmUsers }),
    ...(daemon && { daemon }),
  };
  const examined = await examine(host, production ? [...CHECKS, ...PRODUCTION_CHECKS] : CHECKS);
  const results = [...asked, ...examined];
  const failed = results.filter(({ status }) => status === 'fail').length;
  const report = { ok: failed === 0, checks: results };
  await context.out(output ? await structuredText(report, output) : reportText(results, failed, context.colour.stdout));
  return failed === 0 ? EXIT.done : EXIT.failed;
}

const COLOURS: Readonly<Record<Result['status'], Colour>> = { ok: 'green', warn: 'yellow', fail: 'red' };

function reportText(results: readonly Result[], failed: number, colour: boolean): string {
  const rows = results.map(({ name, status, found }) => [{ text: status, colour: COLOURS[status] }, name, found]);
  const table = tableText(rows, { colour }).trimEnd().split('\n');
  const lines = results.flatMap(({ fix }, i) => [
    table[i] ?? '',
    ...(fix === '' ? [] : [`      fix: ${printable(fix)}`]),
  ]);
  const warned = results.filter(({ status }) => status === 'warn').length;
  const verdict = `${results.length} checks: ${failed} failed, ${warned} to look at`;
  return `${lines.join('\n')}\n\n${paint(verdict, failed > 0 ? 'red' : 'green', colour)}\n`;
}

const EXAMPLES = `
It looks at this host itself, needs no daemon and changes nothing: each tool is tried as the daemon uses it, in a
directory that is gone afterwards. Where a daemon of this host runs (--host, or --run-dir) it is asked how its tools do,
which may be others, and its directories and network are looked at. Some checks need root. The exit status is 1 when a
check fails; what only limits the daemon is a warning.

Examples:
  sudo flintlock doctor
  sudo flintlock doctor --production
  flintlock doctor -o json | jq '.checks[] | select(.status != "ok")'
`;
