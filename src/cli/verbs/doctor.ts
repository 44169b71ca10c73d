import type { Result } from '../../doctor/check.ts';
import { examine } from '../../doctor/doctor.ts';
import { files } from '../../host/files.ts';
import { run } from '../../host/run.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { type Structured, structuredText } from '../print/structured.ts';
import { type Colour, paint, printable } from '../print/style.ts';
import { tableText } from '../print/table.ts';

interface Options {
  readonly stateDir: string;
  readonly runDir: string;
  readonly output?: Structured;
}

export const configure: Configure = (command, act) => {
  command
    .option('--state-dir <directory>', "the daemon's state directory", '/var/lib/flintlock')
    .option('--run-dir <directory>', "the daemon's run-time directory", '/run/flintlock')
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => act((context) => doctor(context, options)));
};

async function doctor(context: Context, { stateDir, runDir, output }: Options): Promise<number> {
  const results = await examine({
    run,
    files,
    signal: context.io.interrupt,
    path: context.io.env.PATH ?? '',
    stateDirectory: stateDir,
    runDirectory: runDir,
  });
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
It looks at this host itself, needs no daemon and changes nothing. Some checks need root. The exit status is 1 when
a check fails; what only limits the daemon is a warning.

Examples:
  sudo flintlock doctor
  flintlock doctor -o json | jq '.checks[] | select(.status != "ok")'
`;
