import { type MicroVM, MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { namespaceOf, namespaceOptions, outputOption, selectorOption } from '../options.ts';
import { headOf, rowOf } from '../print/list.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { jsonOf, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { rowText, tableText, widthsOf } from '../print/table.ts';

interface Options {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly deleted?: boolean;
  readonly watch?: boolean;
  readonly output?: 'json' | 'yaml' | 'wide' | 'name';
}

export const configure: Configure = (command, act) => {
  for (const option of namespaceOptions()) command.addOption(option);
  command
    .addOption(selectorOption())
    .option('--deleted', 'show those that are gone too, while they are remembered')
    .option('-w, --watch', 'go on and show each change, until Ctrl-C')
    .addOption(outputOption('json', 'yaml', 'wide', 'name'))
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => act((context) => list(context, options)));
};

async function list(context: Context, options: Options): Promise<number> {
  const { io } = context;
  const namespace = namespaceOf(options);
  const labelSelector = options.selector ?? '';
  const { vms } = await context.clients();
  const found: MicroVM[] = [];
  let pageToken = '';
  do {
    const wanted = { namespace, labelSelector, showDeleted: options.deleted ?? false, pageToken };
    const page = await vms.listMicroVMs(wanted, quick(io.interrupt));
    found.push(...page.microvm);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  const wide = options.output === 'wide';
  const table = [headOf(wide), ...found.map((vm) => rowOf(vm, wide, io.now()))];

  if (options.watch && options.output === 'json') await context.out(found.map(jsonLine).join(''));
  else if (options.output === 'json' || options.output === 'yaml')
    await context.out(
      await structuredText(
        found.map((vm) => jsonOf(MicroVMSchema, vm)),
        options.output,
      ),
    );
  else if (options.output === 'name') await context.out(found.map(nameLine).join(''));
  else if (found.length > 0 || options.watch) await context.out(tableText(table, { colour: context.colour.stdout }));
  else await context.err(nothing(namespace, labelSelector));
  if (!options.watch) return EXIT.done;

  const widths = widthsOf(table);
  const line = (vm: MicroVM): string | Promise<string> => {
    if (options.output === 'json') return jsonLine(vm);
    if (options.output === 'yaml') return structuredText([jsonOf(MicroVMSchema, vm)], 'yaml');
    if (options.output === 'name') return nameLine(vm);
    return `${rowText(rowOf(vm, wide, io.now()), widths, context.colour.stdout)}\n`;
  };
  // The stream begins with every microVM: what has been printed is not news.
  const printed = new Set(found.map((vm) => `${uidOf(vm)}/${vm.version}`));
  const { follow } = await import('../following.ts');
  return follow(context, { namespace, labelSelector }, async ({ microvm }) => {
    if (microvm && !printed.delete(`${uidOf(microvm)}/${microvm.version}`)) await context.out(await line(microvm));
  });
}

const jsonLine = (vm: MicroVM): string => `${JSON.stringify(jsonOf(MicroVMSchema, vm))}\n`;
const nameLine = (vm: MicroVM): string => `${printable(nameOf(vm))}\n`;

function nothing(namespace: string, selector: string): string {
  const which = selector === '' ? '' : ' with these labels';
  return namespace === ''
    ? `There are no microVMs${which}.\n`
    : `There are no microVMs${which} in the namespace "${namespace}"; -A lists all namespaces.\n`;
}

const EXAMPLES = `
With -o json it prints an array of MicroVM in protobuf JSON; with -w one object a line.

Examples:
  flintlock list
  flintlock list -A -o wide
  flintlock list -l 'app=web,tier in (a,b)'
  flintlock list -o name | xargs flintlock delete --wait
`;
