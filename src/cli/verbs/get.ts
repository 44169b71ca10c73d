import { MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { headOf, rowOf } from '../print/list.ts';
import { nameOf } from '../print/microvm.ts';
import { recordText } from '../print/record.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { tableText } from '../print/table.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly deleted?: boolean;
  readonly output?: Structured | 'wide' | 'name';
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .option('--deleted', 'one that is gone too, while it is remembered')
    .addOption(outputOption('json', 'yaml', 'wide', 'name'))
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) => act((context) => get(context, name, options)));
};

async function get(context: Context, name: string, { deleted, output }: Options): Promise<number> {
  const vm = await find(context, parseTarget(name), deleted ?? false);
  const now = context.io.now();
  const colour = context.colour.stdout;
  if (output === 'name') await context.out(`${printable(nameOf(vm))}\n`);
  else if (output === 'wide') await context.out(tableText([headOf(true), rowOf(vm, true, now)], { colour }));
  else if (output) await context.out(await structuredText(jsonOf(MicroVMSchema, vm), output));
  else await context.out(recordText(vm, { now, colour }));
  return EXIT.done;
}

const EXAMPLES = `
Examples:
  flintlock get web
  flintlock get team-a/db -o json
  flintlock get web --deleted      # what it was before it was deleted, and its last console lines
`;
