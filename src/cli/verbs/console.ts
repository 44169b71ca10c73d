import { Code, ConnectError } from '@connectrpc/connect';
import { InvalidArgumentError } from 'commander';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { uidOf } from '../print/microvm.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly follow?: boolean;
  readonly tail?: number;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .option('-f, --follow', 'go on with what the guest writes, until it is gone or Ctrl-C')
    .option('--tail <bytes>', 'begin at most this many bytes before the end', parseBytes)
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) => act((context) => read(context, name, options)));
};

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

function parseBytes(text: string): number {
  const bytes = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(bytes) || bytes === 0)
    throw new InvalidArgumentError('Write a number of bytes, at least 1.');
  return bytes;
}

const EXAMPLES = `
What was recorded is printed byte for byte. Ctrl-C ends the reading and does not touch the microVM.

Examples:
  flintlock console web
  flintlock console -f team-a/db
  flintlock logs web --tail 2000
`;
