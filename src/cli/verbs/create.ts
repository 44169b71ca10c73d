import { readFile } from 'node:fs/promises';
import { toJson } from '@bufbuild/protobuf';
import { Option } from 'commander';
import { errorMessage } from '../../base/error-text.ts';
import { CreateMicroVMResponseSchema } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { type MicroVM, MicroVMSchema, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import { faultsOf } from '../check-spec.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { parseSpecs, type SpecDocument } from '../documents.ts';
import { EXIT, Problem } from '../exit.ts';
import { outputOption, timeoutOption } from '../options.ts';
import { addressesOf, lifelessText, nameOf, stateOf, uidOf, unconfiguredText } from '../print/microvm.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { secondsText } from '../print/units.ts';
import { addSpecFlags, parseRoot, type SpecFlags, specOf } from '../spec-flags.ts';
import { UNTIL, type UntilName, waitFor } from '../waiting.ts';

interface Options extends SpecFlags {
  readonly file?: string;
  readonly dryRun?: boolean;
  readonly printSpec?: boolean;
  readonly idempotencyKey?: string;
  readonly wait?: boolean;
  /** By --wait=WHAT. */
  readonly waitUntil?: UntilName;
  readonly timeout: number;
  readonly output?: Structured | 'name';
}

/** The daemon takes no larger request. */
const MAX_BYTES = 4 << 20;

export const configure: Configure = (command, act) => {
  command
    .argument('[name]', 'where the spec is given by flags: ID or NAMESPACE/ID (default: one is made)')
    .option('-f, --file <file>', 'the spec in YAML or JSON, one or several documents; - is standard input')
    .option('--root <image[,ro]>', 'the root volume; also ,size=SIZE', parseRoot);
  addSpecFlags(command)
    .option('--dry-run', 'have the daemon check it all and say what it would do; nothing is made')
    .option('--print-spec', 'print the spec as it would be sent and look it over here; the daemon is not asked')
    .option('--idempotency-key <key>', 'sent again with the same key, it makes no second one and gets the first answer')
    .option(
      '--wait',
      'wait until the guest runs, and show what goes on; --wait=agent, =alive and so on as "wait --for"',
    )
    .addOption(new Option('--wait-until <what>').choices(Object.keys(UNTIL)).hideHelp())
    .addOption(timeoutOption())
    .addOption(outputOption('json', 'yaml', 'name'))
    .addHelpText('after', EXAMPLES)
    .action((name: string | undefined, options: Options) => act((context) => create(context, name, options)));
};

/** What is no part of the spec, or goes with one from a file too. */
const OTHER_FLAGS: readonly string[] = [
  ...['file', 'dryRun', 'printSpec', 'idempotencyKey', 'pull', 'provider', 'providerOption'],
  ...['wait', 'waitUntil', 'timeout', 'output'],
];

async function specsOf(context: Context, name: string | undefined, options: Options): Promise<SpecDocument[]> {
  const { file } = options;
  const flags = Object.keys(options).filter((key) => !OTHER_FLAGS.includes(key));
  const isByFlags = name !== undefined || flags.length > 0;
  if (file !== undefined && isByFlags)
    throw new Problem(EXIT.usage, 'Give the spec by -f or by a name and flags, not by both', {
      details: [...(name === undefined ? [] : [`name ${name}`]), ...flags.map((key) => `flag --${dashed(key)}`)],
    });
  if (file !== undefined) {
    const specs = parseSpecs(await read(context, file), file === '-' ? 'standard input' : file);
    for (const { spec } of specs) {
      spec.pullPolicy = options.pull ?? spec.pullPolicy;
      spec.provider = options.provider ?? spec.provider;
      Object.assign(spec.providerOptions, options.providerOption);
    }
    return specs;
  }
  if (isByFlags) return [{ from: 'flags', spec: specOf(name, options) }];
  throw new Problem(EXIT.usage, 'There is no spec: give a file, or a name and flags', {
    hints: ['For instance: flintlock create -f spec.yaml', 'Try: flintlock create --help'],
  });
}

const dashed = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

async function create(context: Context, name: string | undefined, options: Options): Promise<number> {
  const { io } = context;
  const specs = await specsOf(context, name, options);
  if (options.printSpec) return printSpecs(context, specs, options);
  if (options.idempotencyKey !== undefined && specs.length > 1)
    throw new Problem(EXIT.usage, `An idempotency key is for one microVM: here are ${specs.length}`);
  if (options.dryRun) return dryRun(context, specs, options);
  const started = io.now();
  const created: MicroVM[] = [];
  let exit: number = EXIT.done;
  const fail = async (error: unknown, what: string): Promise<void> => {
    const problem = await context.explain(error, what);
    await context.err(problem.text());
    exit ||= problem.exit;
  };

  for (const document of specs) {
    try {
      const vm = await createOne(context, document, options);
      created.push(vm);
      if (options.output === undefined)
        await context.out(`${printable(nameOf(vm))} accepted, uid ${printable(uidOf(vm))}\n`);
    } catch (error) {
      await fail(error, `Cannot create ${describe(document)}`);
      if (io.interrupt.aborted) break;
    }
  }
  // All of them start side by side; the time limit is for them together.
  const finals: MicroVM[] = [];
  for (const vm of created) {
    const until = options.waitUntil ?? (options.wait ? 'created' : undefined);
    if (until === undefined || io.interrupt.aborted) {
      finals.push(vm);
      continue;
    }
    try {
      const remaining = Math.max(0, options.timeout - (io.now() - started));
      const final = (await waitFor(context, vm, until, remaining)) ?? vm;
      finals.push(final);
      if (options.output === undefined) await context.out(runningText(final, io.now() - started));
    } catch (error) {
      await fail(error, `Cannot wait for ${printable(nameOf(vm))}`);
      finals.push(await latest(context, vm));
    }
  }
  if (options.output === 'name') await context.out(finals.map((vm) => `${printable(nameOf(vm))}\n`).join(''));
  else if (options.output !== undefined && finals.length > 0) {
    const values = finals.map((vm) => jsonOf(MicroVMSchema, vm));
    await context.out(await structuredText(specs.length === 1 ? values[0] : values, options.output));
  } else if (created.length > 0) await context.hint(nextSteps(finals, options));
  return exit;
}

/** Prints the specs so that `create -f` takes them, then what is wrong with them as far as it can be told here. */
async function printSpecs(context: Context, specs: readonly SpecDocument[], { output }: Options): Promise<number> {
  const values = specs.map(({ spec }) => toJson(MicroVMSpecSchema, spec, { useProtoFieldName: true }));
  if (output === 'name')
    for (const { spec } of specs)
      await context.out(`${printable(`${spec.namespace || 'default'}/${spec.id || '(made by the daemon)'}`)}\n`);
  else if (output === 'json') await context.out(await structuredText(specs.length === 1 ? values[0] : values, 'json'));
  else {
    const texts = await Promise.all(values.map((value) => structuredText(value, 'yaml')));
    await context.out(texts.join('---\n'));
  }
  const wrong = specs.flatMap(({ from, spec }) =>
    faultsOf(spec).map((line) => (specs.length > 1 ? `${from}: ${line}` : line)),
  );
  if (wrong.length === 0) return EXIT.done;
  throw new Problem(EXIT.usage, 'A daemon would refuse this', { details: wrong.map((line) => printable(line)) });
}

/** What the daemon would do, one line a step; each document for itself, as if the others were not. */
async function dryRun(context: Context, specs: readonly SpecDocument[], options: Options): Promise<number> {
  const { output, idempotencyKey = '' } = options;
  const { vms } = await context.clients();
  const values: unknown[] = [];
  let exit: number = EXIT.done;
  for (const document of specs) {
    try {
      const request = { microvm: document.spec, idempotencyKey, validateOnly: true };
      const answer = await vms.createMicroVM(request, quick(context.io.interrupt));
      values.push(jsonOf(CreateMicroVMResponseSchema, answer));
      const name = `${answer.microvm?.spec?.namespace ?? ''}/${answer.microvm?.spec?.id || '(made by the daemon)'}`;
      if (output === 'name') await context.out(`${printable(name)}\n`);
      else if (output === undefined)
        await context.out(
          `${printable(name)} would be created:\n${answer.plan.map((step) => `  ${printable(step)}\n`).join('')}`,
        );
    } catch (error) {
      const problem = await context.explain(error, `Cannot create ${describe(document)}`);
      await context.err(problem.text());
      exit ||= problem.exit;
      if (context.io.interrupt.aborted) break;
    }
  }
  if ((output === 'json' || output === 'yaml') && values.length > 0)
    await context.out(await structuredText(specs.length === 1 ? values[0] : values, output));
  return exit;
}

async function createOne(context: Context, { spec }: SpecDocument, { idempotencyKey = '' }: Options): Promise<MicroVM> {
  const { vms } = await context.clients();
  const { microvm } = await vms.createMicroVM({ microvm: spec, idempotencyKey }, quick(context.io.interrupt));
  if (!microvm) throw new Problem(EXIT.failed, 'The daemon answered without a record');
  return microvm;
}

/** The record after a wait that went wrong: what was created is printed all the same. */
async function latest(context: Context, vm: MicroVM): Promise<MicroVM> {
  try {
    const { vms } = await context.clients();
    const call = quick(AbortSignal.timeout(5_000)); // Ctrl-C may have ended the wait: its signal is used up
    return (await vms.getMicroVM({ uid: uidOf(vm), showDeleted: true }, call)).microvm ?? vm;
  } catch {
    return vm;
  }
}

async function read({ io }: Context, file: string): Promise<string> {
  try {
    const parts: Uint8Array[] = [];
    if (file !== '-') parts.push(await readFile(file));
    else {
      let bytes = 0;
      for await (const part of io.stdin()) {
        parts.push(part);
        bytes += part.length;
        if (bytes > MAX_BYTES) break;
      }
    }
    const data = Buffer.concat(parts);
    if (data.length > MAX_BYTES)
      throw new Problem(EXIT.usage, `${file} is larger than ${MAX_BYTES} bytes: is that a spec?`);
    return new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const why = errorMessage(error);
    throw new Problem(EXIT.usage, `Cannot read the spec: ${why}`, { cause: error });
  }
}

const describe = ({ from, spec }: SpecDocument): string =>
  spec.id === '' ? `the microVM in ${from}` : `${printable(`${spec.namespace || 'default'}/${spec.id}`)} (${from})`;

function runningText(vm: MicroVM, ms: number): string {
  const addresses = addressesOf(vm);
  const where = addresses.length > 0 ? `, address ${addresses.join(', ')}` : '';
  const unconfigured = unconfiguredText(vm);
  const more = [lifelessText(vm), unconfigured]
    .flatMap((text) => (text === '' ? [] : [`  ${printable(text)}\n`]))
    .join('');
  return `${printable(nameOf(vm))} is ${stateOf(vm.status)} after ${secondsText(ms)}${printable(where)}\n${more}`;
}

function nextSteps([first]: readonly MicroVM[], { wait }: Options): string {
  const name = first ? printable(nameOf(first)) : 'VM';
  return wait
    ? `Next: flintlock console -f ${name}; flintlock wait ${name} --for ${first && unconfiguredText(first) ? 'configured' : 'address'}; flintlock delete ${name}`
    : `Next: flintlock wait ${name}; flintlock get ${name}; flintlock console -f ${name}`;
}

const EXAMPLES = `
The spec comes from a file or from flags. In a file it is a MicroVMSpec (docs/reference/spec.md), its names in snake
or camel case, for instance:
  id: web
  memory_in_mb: 256
  kernel: { image: "oci:/srv/images/kernel:demo" }
  volumes: [{ id: root, is_root: true, source: { container_source: "oci:/srv/images/root:demo" } }]
  interfaces: [{ guest_device_name: eth0, type: TAP }]

Images are oci:DIR:TAG, oci-archive:FILE:TAG or docker-archive:FILE:TAG (below an --image-root of the daemon), or
REGISTRY/NAME:TAG.

--pull is the spec's pull_policy, and wins over it in a file. With always (the daemon's default, unless flintlockd was started
with another --pull) a registry is asked at each create where a tag leads; with missing only for what is not in the
cache; with never no registry is asked, and what is not in the cache is refused. A digest that is in the cache, and an image
of the daemon's host, need no registry. It is kept: a microVM that is started again has the images that it had.

--provider and --provider-option go with a file too, and win over what it says. Without a provider the microVM goes to the
first VMM of the daemon's --default-provider that can be used and can do all that it asks; flintlock get shows which.

--dry-run has the daemon check all that a create checks, and prints the steps that would run, which registries would be
asked, and what would be pulled; nothing is stored, taken or pulled, and whether a registry has an image shows only when it
is asked. --print-spec prints the spec as it would be sent, in
YAML or with -o json, asks no daemon, and exits with 2 where something is missing or given twice.

A create whose answer was lost may be sent again with the same --idempotency-key: it gets the first answer. The daemon
keeps a key for 24 hours; for another spec it is refused.

Ctrl-C ends the waiting only: the microVM is not deleted. With several documents, one that is refused does not
keep the others from being created.

Examples:
  flintlock create -f spec.yaml
  flintlock create -f spec.yaml --wait --timeout 2m
  flintlock create -f spec.yaml --wait=agent
  flintlock create -f - -o json < spec.json
  flintlock create web --kernel-image oci:images:kernel --initrd-image oci:images:kernel --root oci:images:root \\
    --memory 256M --nic eth0 --publish 8080:80 --label app=demo --wait
  flintlock create web --kernel-image oci:images:kernel --root oci:images:root,ro --print-spec > web.yaml
  flintlock create -f spec.yaml --dry-run
  flintlock create -f spec.yaml --pull missing
  flintlock create -f spec.yaml --idempotency-key "$JOB_ID"
`;
