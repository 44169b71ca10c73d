import { Code, ConnectError } from '@connectrpc/connect';
import { Option } from 'commander';
import { MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption, timeoutOption } from '../options.ts';
import { addressesOf, nameOf } from '../print/microvm.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { find, parseTarget } from '../target.ts';
import { UNTIL, type UntilName, waitFor, wanted } from '../waiting.ts';

interface Options {
  readonly for: UntilName;
  readonly timeout: number;
  readonly output?: Structured | 'name';
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .addOption(new Option('--for <what>', 'what to wait for').choices(Object.keys(UNTIL)).default('created'))
    .addOption(timeoutOption())
    .addOption(outputOption('json', 'yaml', 'name'))
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) => act((context) => wait(context, name, options)));
};

async function wait(context: Context, text: string, options: Options): Promise<number> {
  const until = options.for;
  const target = parseTarget(text);
  try {
    const vm = await find(context, target, until === 'gone' && target.uid !== '');
    const final = await waitFor(context, vm, until, options.timeout);
    if (options.output === 'name') await context.out(`${printable(nameOf(vm))}\n`);
    else if (options.output)
      await context.out(await structuredText(jsonOf(MicroVMSchema, final ?? vm), options.output));
    else {
      const addresses = until === 'address' && final ? addressesOf(final).join(', ') : '';
      const what = addresses === '' ? wanted(until) : `at ${addresses}`;
      await context.out(`${printable(nameOf(vm))} is ${printable(what)}\n`);
    }
    return EXIT.done;
  } catch (error) {
    // What is not there is gone, by whatever name it was asked for.
    if (until === 'gone' && error instanceof ConnectError && error.code === Code.NotFound) {
      if (!options.output) await context.out(`${printable(text)} is gone\n`);
      return EXIT.done;
    }
    throw error;
  }
}

const EXAMPLES = `
It fails with exit status 5 as soon as the microVM is FAILED, and with 4 when the time is up. Ctrl-C ends the
waiting and nothing else.

"configured" is when the guest has said that it applied the names, mounts and static addresses of its spec, or there are
none. A guest that cannot say so (docs/guests.md) never is. "alive" is when something was seen of the guest itself: words on
its console, reads of its disks, packets. "agent" is when its agent answers: flintlock exec works then.

Examples:
  flintlock wait web
  flintlock wait web --for address --timeout 2m
  flintlock wait web --for alive --timeout 1m
  flintlock wait web --for agent && flintlock exec web -- uname -a
  flintlock wait web --for configured
  flintlock wait team-a/db --for gone
`;
