import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import type { ServerInfoResponse } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import { WaitMicroVMRequest_Until } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import {
  type MicroVM,
  type MicroVMSpec,
  MicroVMSpec_RestartPolicy as RestartPolicy,
} from '../../gen/types/microvm_pb.ts';
import { attach } from '../attach.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { timeoutOption } from '../options.ts';
import { isFailed, nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { addProcessFlags, type ProcessFlags, processBy } from '../process-flags.ts';
import { addSpecFlags, parseNic, parseRoot, type SpecFlags, specOf } from '../spec-flags.ts';
import { waitFor } from '../waiting.ts';

interface Options extends SpecFlags, ProcessFlags {
  readonly name?: string;
  readonly rm?: boolean;
  readonly after?: string;
  readonly timeout: number;
}

const VCPU = 1;
/** Enough for the demo guest with something in it (MiB). */
const MEMORY = 256;
/** The delete of --rm goes on without us; so long its end is waited for. */
const REMOVE_MS = 60_000;

export const configure: Configure = (command, act) => {
  command
    .argument('<image[,ro]>', 'the image of the root volume; also ,size=SIZE')
    .argument('[arguments...]', "in the place of the image's own arguments, behind its entrypoint: after --")
    .usage('[options] <image[,ro]> [--] [arguments...]')
    .option('--rm', 'delete it when it has ended')
    .option('--name <id>', 'its id (default: one is made)')
    .option('--after <text>', 'hold standard input until the guest has written this');
  addSpecFlags(addProcessFlags(command))
    .addOption(timeoutOption())
    .addHelpText('after', EXAMPLES)
    .action((image: string, words: string[], options: Options) =>
      act((context) => run(context, image, words, options)),
    );
};

async function run(context: Context, image: string, words: readonly string[], options: Options): Promise<number> {
  const { io } = context;
  const clients = await context.clients();
  const { vms } = clients;
  const host = await clients.host();
  const info = await host.serverInfo({}, quick(io.interrupt));
  const spec = wanted(image, options, info);
  const process = processBy(options, words, io.env);
  if (process) spec.process = process;
  if (io.interrupt.aborted) throw new Problem(EXIT.failed, 'interrupted');
  // Ctrl-C must not leave it open whether there is one now: what was asked for is waited for.
  const { microvm: vm } = await vms.createMicroVM({ microvm: spec }, quick(new AbortController().signal));
  if (!vm) throw new Problem(EXIT.failed, 'The daemon answered without a record');
  const name = printable(nameOf(vm));
  let isKept = !options.rm;
  try {
    try {
      await waitFor(context, vm, 'created', options.timeout);
    } catch (error) {
      // A guest that does its work at once may have ended before anybody looked.
      if (io.interrupt.aborted && options.rm) throw new Problem(EXIT.failed, `interrupted; ${name} is being deleted`);
      if (!(await hasRun(context, vm))) throw error;
    }
    const end = await attachOrRead(context, vm, options);
    if (end === 'detached') {
      isKept = true;
      await context.err(
        `\nDetached: ${name} goes on${options.rm ? ' and is not deleted' : ''}. Next: flintlock console -i ${name}; flintlock delete ${name}\n`,
      );
      return EXIT.done;
    }
    if (end === 'interrupted') {
      if (!options.rm) await context.err(`flintlock: interrupted; ${name} goes on: flintlock delete ${name}\n`);
      return EXIT.failed;
    }
    return await verdict(context, vm, name);
  } finally {
    if (!isKept) await remove(context, vm, name);
  }
}

/**
 * The spec of the run: the demo kernel unless another is given, and an interface where there is a network.
 * @throws Problem `usage`
 */
function wanted(image: string, options: Options, info: ServerInfoResponse): MicroVMSpec {
  const { name, kernelImage } = options;
  if (kernelImage === undefined && info.demoKernel === '')
    throw new Problem(EXIT.usage, 'This daemon knows no demo kernel', {
      hints: [
        'Start flintlockd with --demo-kernel REF (from a checkout: with --image-root CHECKOUT/.cache/images after "npm run setup"),',
        'or give one: flintlock run --kernel-image IMAGE --initrd-image IMAGE …',
      ],
    });
  const demo = kernelImage === undefined ? { kernelImage: info.demoKernel, initrdImage: info.demoKernel } : {};
  const nic = info.managedNetwork === '' ? {} : { nic: [parseNic('eth0')] };
  if (options.publish && options.nic === undefined && info.managedNetwork === '')
    throw new Problem(EXIT.usage, '--publish needs a network, and this daemon has none of its own');
  // It is attached to one run, and tells how that ended.
  const ours: SpecFlags = { vcpu: VCPU, memory: MEMORY, restart: RestartPolicy.NEVER, ...demo, ...nic };
  return specOf(name, { ...ours, ...options, root: parseRoot(image) });
}

/** Whether it has run and ended in order. */
async function hasRun(context: Context, vm: MicroVM): Promise<boolean> {
  const now = await latest(context, vm);
  return now?.status?.reason === 'GuestShutdown';
}

/** Attached, or where the run is over already what it wrote. */
async function attachOrRead(context: Context, vm: MicroVM, { after = '' }: Options): ReturnType<typeof attach> {
  try {
    return await attach(context, vm, { tailBytes: 0, after });
  } catch (error) {
    if (!(error instanceof ConnectError && error.code === Code.FailedPrecondition)) throw error;
    const now = await latest(context, vm);
    if (!now || (now.status?.reason !== 'GuestShutdown' && !isFailed(now))) throw error;
    const { vms } = await context.clients();
    for await (const { data } of vms.readConsole({ uid: uidOf(vm) }, { signal: context.io.interrupt }))
      await context.io.stdout.write(data);
    return 'over';
  }
}

async function latest(context: Context, vm: MicroVM): Promise<MicroVM | undefined> {
  const { vms } = await context.clients();
  return (await vms.getMicroVM({ uid: uidOf(vm), showDeleted: true }, quick(new AbortController().signal))).microvm;
}

/** How the run ended: with the status of the image's program where the guest told it, and else with 0 where that powered off. */
async function verdict(context: Context, vm: MicroVM, name: string): Promise<number> {
  const now = await latest(context, vm);
  const { reason = '', message = '' } = now?.status ?? {};
  if (isFailed(now))
    throw new Problem(EXIT.vmFailed, `${name} is FAILED (${printable(reason)}): ${printable(message)}`);
  return now?.status?.exitCode ?? EXIT.done;
}

/** Deletes it and waits until nothing is left. It is done after Ctrl-C too, so it obeys none. */
async function remove(context: Context, vm: MicroVM, name: string): Promise<void> {
  const { vms } = await context.clients();
  const uid = uidOf(vm);
  const { signal } = new AbortController();
  try {
    await vms.deleteMicroVM({ uid }, quick(signal));
    const until = WaitMicroVMRequest_Until.GONE;
    await vms.waitMicroVM({ uid, until, timeout: durationFromMs(REMOVE_MS) }, { signal, timeoutMs: REMOVE_MS + 5_000 });
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return; // somebody was quicker
    const problem = await context.explain(error, `Cannot delete ${name}`);
    await context.err(problem.text());
  }
}

const EXAMPLES = `
It boots the image with the daemon's demo kernel and its initrd (or those of --kernel-image and --initrd-image), one
interface where the daemon has a network, ${VCPU} CPU and ${MEMORY} MiB unless you say otherwise, and attaches to its console.

On a terminal every key goes to the guest, Ctrl-C too: leave it with Ctrl-], or with Enter ~ . ; it then goes on, and is
not deleted. Standard input that is no terminal is sent as it is, and its end ends nothing. A guest loses what is typed
while its kernel boots: --after holds it until the guest has written a text. It ends when the guest powers off, with 0,
or dies, with 5, and is not started again unless --restart says so. With --rm it is deleted then, and also where Ctrl-C comes first. --timeout is for the start. To run one
program of the image as the first one: --cmdline 'init=/bin/prog -- its arguments'; it must power off in the end, else the kernel panics.

An image without an init runs what it says, as a container runtime runs it: its Entrypoint with its Cmd, or with the
arguments that are given here, with its Env, User and WorkingDir, on the console. When that ends the guest powers off, and
its exit status is this command's: 127 where there is no such program, 126 where it cannot be started, 128 + n where the
signal n ended it. With arguments or --entrypoint it is so in an image that has an init, too. docs/guests.md says more.

Examples:
  flintlock run --rm docker.io/library/python:3 -- python -c 'print(1)'
  flintlock run --rm --memory 512M --env POSTGRES_PASSWORD docker.io/library/postgres:17
  flintlock run --rm --entrypoint /bin/sh --user 1000:1000 --workdir /tmp docker.io/library/redis:8 -- -c 'id; pwd'
  flintlock run --rm oci:images:root
  flintlock run --name web --memory 512M --publish 8080:80 registry.example:5000/web:1
  echo 'uname -a; poweroff' | flintlock run --rm --after 'flintlock-guest: up' oci:images:root
`;
