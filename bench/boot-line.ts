/**
 * How long any command line that boots a VM takes to a line of its guest:
 *
 *     node bench/boot-line.ts [--runs N] [--line TEXT] [--console FILE] -- COMMAND [ARGUMENT …]
 *
 * The line is looked for in what the command prints, or in FILE where its
 * console goes; without --line any byte will do. Each run is killed then.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { figuresOf } from './figures.ts';
import { lineIn } from './floor/lines.ts';
import { numberText } from './table.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    line: { type: 'string', default: '' },
    console: { type: 'string' },
  },
});
const [program, ...args] = positionals;
const runs = Number(values.runs);
if (program === undefined || !Number.isSafeInteger(runs) || runs < 1) {
  process.stderr.write(
    'usage: node bench/boot-line.ts [--runs N] [--line TEXT] [--console FILE] -- COMMAND [ARGUMENT …]\n',
  );
  process.exit(2);
}

/** Milliseconds from the start of the command to its guest's line. */
async function boot(command: string): Promise<number> {
  if (values.console !== undefined) rmSync(values.console, { force: true });
  const began = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const early = ended.then(([code]) => Promise.reject(new Error(`${command} ended with ${code} before the line came`)));
  early.catch(() => undefined);
  const printed = new Promise<void>((resolve) => {
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      if (values.console === undefined && text.includes(values.line)) resolve();
    });
  });
  try {
    await Promise.race([values.console === undefined ? printed : lineIn(values.console, values.line), early]);
    return performance.now() - began;
  } finally {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
  }
}

const took: number[] = [];
for (let i = 0; i < runs; i++) took.push(await boot(program));
const figures = figuresOf(took);
if (figures) {
  const { min, median, p99 } = figures;
  process.stdout.write(`${[min, median, p99].map(numberText).join(' / ')} ms, min / median / p99 of ${runs}\n`);
}
