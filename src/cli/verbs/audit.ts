import { type AuditItem, type AuditResponse, AuditResponseSchema } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { paint } from '../print/style.ts';
import { tableText } from '../print/table.ts';

/** The daemon looks at every process, interface and file of its own, and with `--fix` undoes some. */
const TIMEOUT_MS = 300_000;

interface Options {
  readonly fix?: boolean;
  readonly output?: Structured;
}

export const configure: Configure = (command, act) => {
  command
    .option('--fix', 'undo what is leaked, one by one')
    .addOption(outputOption('json', 'yaml'))
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => act((context) => audit(context, options)));
};

async function audit(context: Context, { fix = false, output }: Options): Promise<number> {
  const host = await (await context.clients()).host();
  const report = await host.audit({ fix }, { signal: context.io.interrupt, timeoutMs: TIMEOUT_MS });
  const left = remaining(report);
  await context.out(
    output
      ? await structuredText(jsonOf(AuditResponseSchema, report), output)
      : auditText(report, left, context.colour.stdout),
  );
  const clean = left.length === 0 && report.missing.length === 0;
  const mayFix = left.some((item) => !item.unclear);
  if (!output && !fix && mayFix) await context.hint('Undo what is leaked: flintlock audit --fix');
  return clean ? EXIT.done : EXIT.failed;
}

/** Leaked, and not undone by this call. */
function remaining({ leaked, fixed }: AuditResponse): AuditItem[] {
  const key = ({ kind, name }: AuditItem): string => `${kind}\0${name}`;
  const undone = new Set(fixed.map(key));
  return leaked.filter((item) => !undone.has(key(item)));
}

function auditText(
  { known, missing, fixed, omitted }: AuditResponse,
  left: readonly AuditItem[],
  colour: boolean,
): string {
  const section = (title: string, items: readonly AuditItem[]): string => {
    const rows = items.map(({ kind, name, owner, detail }) => [kind, name, owner || '-', detail]);
    return `${paint(`${title}: ${items.length}`, 'bold', colour)}\n${tableText(rows, { colour, indent: '  ' })}`;
  };
  const clean = left.length === 0 && missing.length === 0;
  const [unclear, proved] = [left.filter((item) => item.unclear), left.filter((item) => !item.unclear)];
  const verdict = clean
    ? 'clean: host and ledger agree'
    : `not clean: ${proved.length} leaked, ${missing.length} missing${unclear.length > 0 ? `, ${unclear.length} unclear` : ''}${fixed.length > 0 ? `, ${fixed.length} fixed` : ''}`;
  return [
    section('known (on the host and in the ledger)', known),
    section('leaked (ours on the host, and not in the ledger)', proved),
    unclear.length > 0 ? section('cannot tell (left alone)', unclear) : '',
    section('missing (in the ledger, and not on the host)', missing),
    fixed.length > 0 ? section('fixed (leaked, and undone now)', fixed) : '',
    omitted > 0 ? `and ${omitted} more, which did not fit into the answer\n` : '',
    `${paint(verdict, clean ? 'green' : 'red', colour)}\n`,
  ].join('');
}

const EXAMPLES = `
The exit status is 0 only when nothing is leaked and nothing is missing. Without --fix nothing is touched.

Examples:
  flintlock audit
  flintlock audit --fix
  flintlock audit -o json | jq '.leaked[].name'
`;
