import { Code, ConnectError } from '@connectrpc/connect';
import { InvalidArgumentError } from 'commander';
import { parseSize } from '../../base/quantity.ts';
import { attach } from '../attach.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly interactive?: boolean;
  readonly follow?: boolean;
  readonly tail?: number;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .option('-f, --follow', 'go on with what the guest writes, until it is gone or Ctrl-C')
    .option('-i, --interactive', 'type on it too, until its end or Ctrl-]')
    .option('--tail <bytes>', 'begin at most this many bytes before the end', tailBytes)
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) =>
      act((context) => (options.interactive ? type(context, name, options) : read(context, name, options))),
    );
};

/** So much of what was before is shown to who begins to type: about a screen. */
const SCREEN_BYTES = 2_000;

async function type(context: Context, name: string, { tail = SCREEN_BYTES }: Options): Promise<number> {
  const vm = await find(context, parseTarget(name));
  const shown = printable(nameOf(vm));
  try {
    const end = await attach(context, vm, { tailBytes: tail });
    if (end === 'over') await context.hint(`\n${shown} has ended. See: flintlock get ${shown}`);
    else await context.hint(`\nDetached from ${shown}, which goes on.`);
    return EXIT.done;
  } catch (error) {
    throw await context.explain(error, `Cannot attach to the console of ${shown}`);
  }
}

async function read(context: Context, name: string, { follow = false, tail }: Options): Promise<number> {
  const { io } = context;
  const signal = AbortSignal.any([io.interrupt, io.unread]);
  const uid = uidOf(await find(context, parseTarget(name)));
  const { vms } = await context.clients();
  try {
    for await (const { data } of vms.readConsole({ uid, follow, tailBytes: BigInt(tail ?? 0) }, { signal })) {
      await io.stdout.write(data); // as the guest wrote it
      if (signal.aborted) break;
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    // The reader has had enough, or what was followed has gone.
    if (signal.aborted) return io.interrupt.aborted && !follow ? EXIT.failed : EXIT.done;
    if (follow && error.code === Code.NotFound) return EXIT.done;
    throw error;
  }
  return EXIT.done;
}

function tailBytes(text: string): number {
  const bytes = parseSize(text, 'B');
  if (bytes === undefined || bytes === 0)
    throw new InvalidArgumentError('Write a number of bytes, at least 1, or for instance 64K.');
  return bytes;
}

const EXAMPLES = `
What was recorded is printed byte for byte. Ctrl-C ends the reading and does not touch the microVM.

With -i it begins with the last 2000 bytes, and on a terminal every key goes to the guest, Ctrl-C too: leave it with
Ctrl-], or with Enter ~ . (Enter ~ ~ types a tilde). Several may be attached at once. Standard input that is no
terminal is sent as it is; its end ends nothing.

Examples:
  flintlock console web
  flintlock console -i web
  flintlock console -f team-a/db
  flintlock logs web --tail 2000
`;
