import { Option } from 'commander';
import {
  type MicroVMEvent,
  MicroVMEvent_TypeSchema,
  MicroVMEventSchema,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Configure, Context } from '../context.ts';
import { duration } from '../duration.ts';
import { follow, RETRY_MS } from '../following.ts';
import { namespaceOf, namespaceOptions, outputOption, selectorOption } from '../options.ts';
import { colourOf, nameOf, situationText, stateOf } from '../print/microvm.ts';
import { jsonOf } from '../print/structured.ts';
import { paint, printable } from '../print/style.ts';
import { millisOf } from '../print/units.ts';

interface Options {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly retry: number;
  readonly output?: 'json';
}

export const configure: Configure = (command, act) => {
  for (const option of namespaceOptions()) command.addOption(option);
  command
    .addOption(selectorOption())
    .addOption(
      new Option('--retry <time>', 'how long to look for a daemon that went away; 0: not at all')
        .argParser(duration)
        .default(RETRY_MS, '60s'),
    )
    .addOption(outputOption('json'))
    .addHelpText('after', EXAMPLES)
    .action((options: Options) =>
      act((context) =>
        follow(
          context,
          { namespace: namespaceOf(options), labelSelector: options.selector ?? '', retryMs: options.retry },
          (event) => context.out(options.output === 'json' ? jsonLine(event) : eventLine(context, event)),
        ),
      ),
    );
};

const jsonLine = (event: MicroVMEvent): string => `${JSON.stringify(jsonOf(MicroVMEventSchema, event))}\n`;

/** `23:42:01 MODIFIED default/web CREATED (Running): …`, in UTC; a bookmark is no news for a person. */
function eventLine({ io, colour }: Context, event: MicroVMEvent): string {
  const { microvm } = event;
  if (!microvm) return '';
  const at = new Date(millisOf(event.at) ?? io.now()).toISOString().slice(11, 19);
  const type = MicroVMEvent_TypeSchema.values.find(({ number }) => number === event.type)?.name ?? String(event.type);
  const text = printable(situationText(microvm, io.now()));
  return `${at} ${type.padEnd(8)} ${printable(nameOf(microvm))} ${paint(text, colourOf(stateOf(microvm.status)), colour.stdout)}\n`;
}

const EXAMPLES = `
It begins with every microVM there is, as ADDED, and goes on until Ctrl-C. With -o json it prints one MicroVMEvent
in protobuf JSON a line. With -l a microVM comes and goes with its labels.

When the daemon is restarted or killed, it goes on after the last change that it has shown: none is left out, and none
comes twice. Where the daemon knows that change no more it ends, with 1.

Examples:
  flintlock watch -A
  flintlock watch -n default -l app=web -o json | jq .microvm.status.state
`;
