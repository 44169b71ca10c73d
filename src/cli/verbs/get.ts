import { MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { recordText } from '../print/record.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly deleted?: boolean;
  readonly output?: Structured;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .option('--deleted', 'one that is gone too, while it is remembered')
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) => act((context) => get(context, name, options)));
};

async function get(context: Context, name: string, { deleted, output }: Options): Promise<number> {
  const vm = await find(context, parseTarget(name), deleted ?? false);
  await context.out(
    output
      ? await structuredText(jsonOf(MicroVMSchema, vm), output)
      : recordText(vm, { now: context.io.now(), colour: context.colour.stdout }),
  );
  return EXIT.done;
}

const EXAMPLES = `
Examples:
  flintlock get web
  flintlock get team-a/db -o json
  flintlock get web --deleted
`;
