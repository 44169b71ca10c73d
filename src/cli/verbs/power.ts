import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { type MicroVM, MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { outputOption, timeoutOption } from '../options.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly timeout: number;
  readonly output?: Structured | 'name';
}

interface Verb {
  readonly name: 'start' | 'stop' | 'reboot' | 'pause' | 'resume';
  readonly method: 'startMicroVM' | 'stopMicroVM' | 'rebootMicroVM' | 'pauseMicroVM' | 'resumeMicroVM';
  /** For "web …". */
  readonly done: string;
  readonly timeout: string;
  readonly help: string;
  /** Whether what the state's message says beyond the usual is shown. */
  readonly tellsMessage?: true;
}

/** How much longer than it was told the daemon may take: it ends what does not obey. */
const GRACE_MS = 40_000;

const configureFor =
  (verb: Verb): Configure =>
  (command, act) => {
    const timeout = timeoutOption();
    timeout.description = verb.timeout;
    command
      .argument('<vm...>', 'the microVMs: ID, NAMESPACE/ID or uid')
      .addOption(timeout)
      .addOption(outputOption('json', 'yaml', 'name'))
      .addHelpText('after', verb.help)
      .action((names: string[], options: Options) => act((context) => power(context, verb, names, options)));
  };

/** One after the other: what is asked of one is done, or told of, before the next. */
async function power(context: Context, verb: Verb, names: readonly string[], options: Options): Promise<number> {
  const { io } = context;
  const { timeout, output } = options;
  const targets = names.map(parseTarget);
  let exit: number = EXIT.done;
  for (const target of targets) {
    if (io.interrupt.aborted) break;
    try {
      const { vms } = await context.clients();
      const uid = uidOf(await find(context, target));
      const limits = { signal: io.interrupt, timeoutMs: timeout + GRACE_MS };
      const { microvm } = await vms[verb.method]({ uid, timeout: durationFromMs(timeout) }, limits);
      if (!microvm) throw new Problem(EXIT.failed, 'The daemon answered without a record');
      await print(context, verb, microvm, output);
    } catch (error) {
      const problem = io.interrupt.aborted
        ? new Problem(EXIT.failed, `Stopped waiting; what was asked of ${printable(target.text)} is done all the same`)
        : await context.explain(error, `Cannot ${verb.name} ${printable(target.text)}`);
      await context.err(problem.text());
      exit ||= problem.exit;
    }
  }
  return exit;
}

async function print(context: Context, verb: Verb, vm: MicroVM, output: Options['output']): Promise<void> {
  const name = printable(nameOf(vm));
  const message = vm.status?.message ?? '';
  // What a guest's clock has missed only the guest can mend: it is told where it happens.
  const said = verb.tellsMessage && message !== 'The guest runs' ? `: ${printable(message)}` : '';
  if (output === 'name') await context.out(`${name}\n`);
  else if (output) await context.out(await structuredText(jsonOf(MicroVMSchema, vm), output));
  else await context.out(`${name} ${verb.done}${said}\n`);
}

export const start = configureFor({
  name: 'start',
  method: 'startMicroVM',
  done: 'runs',
  timeout: 'how long to wait until it runs: 500ms, 60s, 2m, 1h',
  help: `
It starts what is STOPPED or FAILED, on the disks that it has, and at once what waits for its next start. When the time
is up the start goes on.

Examples:
  flintlock start web
  flintlock start web team-a/db --timeout 2m
  flintlock start web -o json
`,
});

export const stop = configureFor({
  name: 'stop',
  method: 'stopMicroVM',
  done: 'is STOPPED',
  timeout: 'how long the guest may take: 500ms, 60s, 2m, 1h; 0s ends it at once',
  help: `
It presses the guest's power button, again every few seconds, and ends the guest when the time is up. A guest without
one (flintlock info says which VMMs have one) is ended at once. It stays STOPPED, whatever its restart policy says and
also when the host is booted anew, until "flintlock start". Ctrl-C ends only the waiting.

Examples:
  flintlock stop web
  flintlock stop web team-a/db --timeout 20s
  flintlock stop web --timeout 0s      # as if its plug was pulled
`,
});

export const reboot = configureFor({
  name: 'reboot',
  method: 'rebootMicroVM',
  done: 'has rebooted',
  timeout: 'how long the guest may take to shut down: 500ms, 60s, 2m, 1h; 0s resets it at once',
  help: `
It presses the guest's power button (ACPI) and starts the guest again in place when it is off: the monitor's process,
console and taps stay. A guest that takes longer, or has no ACPI, is reset.

Examples:
  flintlock reboot web
  flintlock reboot web --timeout 0s      # the reset button
`,
});

export const pause = configureFor({
  name: 'pause',
  method: 'pauseMicroVM',
  tellsMessage: true,
  done: 'is PAUSED',
  timeout: 'how long its monitor may take to answer: 500ms, 60s, 2m, 1h',
  help: `
It stops the guest's CPUs where they are; memory and disks are kept. Its clock stands still, and falls behind for good:
nothing in a guest sets it unless it has NTP (chrony, systemd-timesyncd), somebody does by "date -s", or it is rebooted.

Examples:
  flintlock pause web
  flintlock pause web team-a/db
`,
});

export const resume = configureFor({
  name: 'resume',
  method: 'resumeMicroVM',
  tellsMessage: true,
  done: 'runs',
  timeout: 'how long its monitor may take to answer: 500ms, 60s, 2m, 1h',
  help: `
It says how far the guest's clock is behind. Nothing sets it but NTP in the guest, "date -s", or a reboot.

Examples:
  flintlock resume web
  flintlock resume web -o name
`,
});
