import { readFile } from 'node:fs/promises';
import { create } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { errorMessage } from '../../base/error-text.ts';
import { UpdateMicroVMResponseSchema } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMSchema, MicroVMSpec_RestartPolicy, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { outputOption } from '../options.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { find, parseTarget } from '../target.ts';

/** An entry of a map and its new value; undefined takes it away. */
type Change = readonly [key: string, value: string | undefined];

interface Options {
  readonly label?: readonly Change[];
  readonly metadata?: readonly Change[];
  readonly restartPolicy?: keyof typeof POLICIES;
  readonly expectGeneration?: bigint;
  readonly dryRun?: boolean;
  readonly output?: Structured | 'name';
}

const POLICIES = {
  ON_FAILURE: MicroVMSpec_RestartPolicy.ON_FAILURE,
  ALWAYS: MicroVMSpec_RestartPolicy.ALWAYS,
  NEVER: MicroVMSpec_RestartPolicy.NEVER,
} as const;

/** The daemon takes no larger request. */
const MAX_BYTES = 4 << 20;

export const configure: Configure = (command, act) => {
  addOptions(command)
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .addHelpText('after', EXAMPLES)
    .action((name: string, options: Options) => act((context) => update(context, name, options)));
};

const addOptions = (command: Command): Command =>
  command
    .option('--label <key=value>', 'set a label, or with KEY- take it away (repeatable)', changes)
    .option(
      '--metadata <key=value>',
      'set an entry of the metadata to a text, or with KEY=@FILE to what a file holds, or with KEY- take it away (repeatable)',
      changes,
    )
    .addOption(
      new Option('--restart-policy <policy>', 'when it is started again after its end').choices(Object.keys(POLICIES)),
    )
    .option(
      '--expect-generation <number>',
      'only if nobody has written the spec since that generation',
      parseGeneration,
    )
    .option('--dry-run', 'have the daemon check it and say what would change')
    .addOption(outputOption('json', 'yaml', 'name'));

async function update(context: Context, name: string, options: Options): Promise<number> {
  const { label = [], metadata = [], restartPolicy, output } = options;
  if (label.length + metadata.length === 0 && restartPolicy === undefined)
    throw new Problem(EXIT.usage, 'There is nothing to change: give --label, --metadata or --restart-policy');
  const values = await Promise.all(metadata.map(async ([key, text]) => [key, await encoded(text)] as const));
  const before = await find(context, parseTarget(name));
  const { vms } = await context.clients();
  const answer = await vms.updateMicroVM(
    {
      microvm: create(MicroVMSpecSchema, {
        uid: uidOf(before),
        labels: given(label),
        metadata: given(values),
        restartPolicy: POLICIES[restartPolicy ?? 'ON_FAILURE'],
      }),
      // Entry by entry: what others change meanwhile stays.
      updateMask: {
        paths: [
          ...label.map(([key]) => `labels.${key}`),
          ...metadata.map(([key]) => `metadata.${key}`),
          ...(restartPolicy === undefined ? [] : ['restart_policy']),
        ],
      },
      expectedGeneration: options.expectGeneration ?? 0n,
      validateOnly: options.dryRun ?? false,
    },
    quick(context.io.interrupt),
  );
  const vm = answer.microvm;
  if (!vm) throw new Problem(EXIT.failed, 'The daemon answered without a record');
  const shown = printable(nameOf(vm));
  if (output === 'name') await context.out(`${shown}\n`);
  else if (output && options.dryRun)
    await context.out(await structuredText(jsonOf(UpdateMicroVMResponseSchema, answer), output));
  else if (output) await context.out(await structuredText(jsonOf(MicroVMSchema, vm), output));
  else if (options.dryRun)
    await context.out(`${shown} would be updated:\n${answer.plan.map((line) => `  ${printable(line)}\n`).join('')}`);
  else if (vm.spec?.generation === before.spec?.generation) await context.out(`${shown} is so already\n`);
  else await context.out(`${shown} updated, generation ${vm.spec?.generation}\n`);
  return EXIT.done;
}

const given = (entries: readonly Change[]): Record<string, string> =>
  Object.fromEntries(entries.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));

/** @returns base64 of a text or, behind an @, of a file */
async function encoded(text: string | undefined): Promise<string | undefined> {
  if (text === undefined) return undefined;
  if (!text.startsWith('@')) return Buffer.from(text).toString('base64');
  const file = text.slice(1);
  const content = await readFile(file).catch((cause: unknown) => {
    const why = errorMessage(cause);
    throw new Problem(EXIT.usage, `Cannot read the metadata: ${why}`, { cause });
  });
  if (content.length > MAX_BYTES) throw new Problem(EXIT.usage, `${file} is larger than ${MAX_BYTES} bytes`);
  return content.toString('base64');
}

function changes(text: string, before: readonly Change[] = []): readonly Change[] {
  const at = text.indexOf('=');
  const isAway = at < 0 && text.endsWith('-');
  const key = isAway ? text.slice(0, -1) : at < 0 ? text : text.slice(0, at);
  if (key === '') throw new InvalidArgumentError('Write KEY=VALUE, or KEY- to take it away.');
  const value = at < 0 ? '' : text.slice(at + 1);
  return [...before.filter(([other]) => other !== key), [key, isAway ? undefined : value]];
}

function parseGeneration(text: string): bigint {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('Write a number, as "get" shows it as generation.');
  return BigInt(text);
}

const EXAMPLES = `
Labels, metadata and the restart policy can be changed; all else is for ever. What is not named stays as it is, so that
two updates at once do not undo each other. A guest reads its new metadata from 169.254.169.254 at once; what is on a
CIDATA disk cannot be changed.

Examples:
  flintlock update web --label tier=front --label old-
  flintlock update web --metadata user-data=@cloud-init.yaml
  flintlock update web --restart-policy NEVER --dry-run
  flintlock update web --label owner=me --expect-generation 3   # ABORTED if somebody else was quicker
`;
