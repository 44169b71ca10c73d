import type { MicroVM } from '../../gen/types/microvm_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption, timeoutOption } from '../options.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { secondsText } from '../print/units.ts';
import { find, parseTarget } from '../target.ts';
import { waitFor } from '../waiting.ts';

interface Options {
  readonly wait?: boolean;
  readonly timeout: number;
  readonly output?: 'name';
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm...>', 'the microVMs: ID, NAMESPACE/ID or uid')
    .option('--wait', 'wait until nothing of them is left')
    .addOption(timeoutOption())
    .addOption(outputOption('name'))
    .addHelpText('after', EXAMPLES)
    .action((names: string[], options: Options) => act((context) => remove(context, names, options)));
};

async function remove(context: Context, names: readonly string[], options: Options): Promise<number> {
  const { wait, timeout, output } = options;
  const { io } = context;
  const targets = names.map(parseTarget);
  const started = io.now();
  let exit: number = EXIT.done;
  const attempt = async <T>(what: string, act: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await act();
    } catch (error) {
      const problem = await context.explain(error, what);
      await context.err(problem.text());
      exit ||= problem.exit;
      return undefined;
    }
  };

  const accepted: MicroVM[] = [];
  for (const target of targets) {
    if (io.interrupt.aborted) break;
    const vm = await attempt(`Cannot delete ${printable(target.text)}`, async () => {
      const { vms } = await context.clients();
      const record = await find(context, target);
      await vms.deleteMicroVM({ uid: uidOf(record) }, quick(io.interrupt));
      return record;
    });
    if (!vm) continue;
    accepted.push(vm);
    if (!wait) await context.out(`${printable(nameOf(vm))}${output ? '' : ' is being deleted'}\n`);
  }
  if (!wait) {
    const [first] = accepted;
    if (first) await context.hint(`Next: flintlock wait ${printable(nameOf(first))} --for gone`);
    return exit;
  }
  for (const vm of accepted) {
    const name = printable(nameOf(vm));
    await attempt(`Cannot wait for the end of ${name}`, async () => {
      await waitFor(context, vm, 'gone', Math.max(0, timeout - (io.now() - started)));
      await context.out(output ? `${name}\n` : `${name} is gone after ${secondsText(io.now() - started)}\n`);
    });
  }
  return exit;
}

const EXAMPLES = `
A delete is accepted at once and always ends; Ctrl-C ends only the waiting.

Examples:
  flintlock delete web
  flintlock delete web team-a/db --wait
`;
