import type { MicroVM, Mount, Volume } from '../../gen/types/microvm_pb.ts';
import { colourOf, nameOf, portsOf, progressText, stateOf, uidOf } from './microvm.ts';
import { paint, printable } from './style.ts';
import { type Cell, tableText } from './table.ts';
import { ageText, millisOf, secondsText, timeText } from './units.ts';

export interface RecordOptions {
  readonly now: number;
  readonly colour: boolean;
}

/** Everything about one microVM that a person may ask for, the why first. */
export function recordText(vm: MicroVM, options: RecordOptions): string {
  const { colour } = options;
  const sections: readonly (readonly [string, readonly (readonly Cell[])[]])[] = [
    ['', summary(vm, options)],
    ['kernel', kernel(vm)],
    ['initrd', initrd(vm)],
    ['process', process(vm)],
    ['volumes', volumes(vm)],
    ['interfaces', interfaces(vm)],
    ['published ports', ports(vm)],
    ['conditions', conditions(vm, options)],
  ];
  const state = stateOf(vm.status);
  const reason = vm.status?.reason ? ` (${printable(vm.status.reason)})` : '';
  const title = `${paint(printable(nameOf(vm)), 'bold', colour)}  ${paint(state + reason, colourOf(state), colour)}\n`;
  const body = sections
    .filter(([, rows]) => rows.length > 0)
    .map(([heading, rows]) => {
      const table = tableText(rows, { colour, indent: '  ' });
      return heading === '' ? table : `\n${paint(heading, 'bold', colour)}\n${table}`;
    });
  return title + body.join('') + consoleText(vm, colour);
}

function summary(vm: MicroVM, { now }: RecordOptions): Cell[][] {
  const { spec, status, version } = vm;
  const next = millisOf(status?.nextRetryAt);
  const provider = [status?.provider || spec?.provider, status?.accelerator && `(${status.accelerator})`];
  const pairs: (readonly [string, string])[] = [
    ['why', status?.message ?? ''],
    ['now', status?.progress ? progressText(status.progress, now) : ''],
    ['exit code', status?.exitCode === undefined ? '' : String(status.exitCode)],
    ['retry', status && status.retry > 0 ? `${status.retry} failed` : ''],
    ['next try', next === undefined ? '' : next > now ? `in ${secondsText(next - now)}` : 'now'],
    ['uid', uidOf(vm)],
    ['vcpu', String(spec?.vcpu ?? 0)],
    ['memory', `${spec?.memoryInMb ?? 0} MiB`],
    ['provider', provider.filter(Boolean).join(' ')],
    ['labels', pairsText(spec?.labels)],
    ['options', pairsText(spec?.providerOptions)],
    ['metadata', Object.keys(spec?.metadata ?? {}).join(', ')],
    ['created', timeText(spec?.createdAt, now)],
    ['deleted', timeText(spec?.deletedAt, now)],
    ['version', `${version} (spec generation ${spec?.generation ?? 0})`],
  ];
  return pairs.filter(([, value]) => value !== '').map(([key, value]) => [key, value]);
}

function kernel({ spec, status }: MicroVM): Cell[][] {
  return fileRows(
    spec?.kernel?.image,
    status?.kernelFilename || spec?.kernel?.filename,
    status?.kernelImageDigest,
    status?.kernelMount,
    spec?.kernel?.cmdline,
  );
}

function initrd({ spec, status }: MicroVM): Cell[][] {
  return fileRows(spec?.initrd?.image, spec?.initrd?.filename, status?.initrdImageDigest, status?.initrdMount);
}

/** As it is asked for: what is left out is the image's. Of the variables the names alone. */
function process({ spec }: MicroVM): Cell[][] {
  if (!spec?.process) return [];
  const { entrypoint, args, environment, user, directory } = spec.process;
  const pairs = [
    ['entrypoint', wordsText(entrypoint)],
    ['arguments', wordsText(args)],
    ['environment', Object.keys(environment).sort().join(', ')],
    ['user', user],
    ['directory', directory],
  ];
  return pairs.filter(([, value]) => value !== '');
}

/** Each word as JSON has it where a blank or the like would hide where it ends. */
const wordsText = (words: readonly string[]): string =>
  words.map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');

function fileRows(image = '', filename = '', digest = '', mount?: Mount, cmdline = ''): Cell[][] {
  if (image === '') return [];
  const pairs = [
    ['image', image],
    ['file', filename],
    ['digest', digest],
    ['on host', mount?.source ?? ''],
    ['cmdline', cmdline],
  ];
  return pairs.filter(([, value]) => value !== '');
}

function volumes({ spec, status }: MicroVM): Cell[][] {
  return (spec?.volumes ?? []).map((volume): Cell[] => {
    const made = status?.volumes[volume.id];
    const size = made?.sizeInMb || volume.sizeInMb;
    const image = volume.source?.containerSource ?? '';
    return [
      volume.id,
      kindOf(volume),
      size ? `${size} MiB` : '',
      image,
      made?.imageDigest ?? '',
      made?.mount?.source ?? '',
      made?.serial && made.serial !== volume.id ? `serial ${made.serial}` : '',
    ];
  });
}

const kindOf = ({ isRoot, isReadOnly, mountPoint }: Volume): string =>
  [isRoot ? 'root' : 'data', isReadOnly ? 'read-only' : '', mountPoint && `at ${mountPoint}`]
    .filter(Boolean)
    .join(', ');

function interfaces({ spec, status }: MicroVM): Cell[][] {
  return (spec?.interfaces ?? []).map((nic): Cell[] => {
    const made = status?.networkInterfaces[nic.guestDeviceName];
    const mac = made?.guestMac || nic.guestMac;
    const host = made?.hostDeviceName ? `host ${made.hostDeviceName} (index ${made.index}, ${made.macAddress})` : '';
    const addresses = made?.addresses.length ? made.addresses.join(', ') : 'no address yet';
    return [nic.guestDeviceName, addresses, made?.hostname ?? '', mac ? `guest ${mac}` : '', host];
  });
}

function ports({ spec }: MicroVM): Cell[][] {
  return (spec?.interfaces ?? []).flatMap((nic) => portsOf(nic).map((text): Cell[] => [nic.guestDeviceName, text]));
}

function conditions({ status }: MicroVM, { now }: RecordOptions): Cell[][] {
  return (status?.conditions ?? []).map((condition): Cell[] => {
    const since = millisOf(condition.lastTransitionTime);
    const colour = condition.status === 'True' ? 'green' : condition.status === 'False' ? 'yellow' : undefined;
    const age = since === undefined ? '' : ageText(now - since);
    return [condition.type, { text: condition.status, colour }, condition.reason, age, condition.message];
  });
}

/** The end of a dead guest's console. */
function consoleText({ status }: MicroVM, colour: boolean): string {
  const tail = status?.consoleTail.replaceAll('\r', '').trimEnd() ?? '';
  if (tail === '') return '';
  const lines = printable(tail, true).split('\n');
  return `\n${paint('end of its console', 'bold', colour)}\n${lines.map((line) => `  | ${line}\n`).join('')}`;
}

const pairsText = (map: Readonly<Record<string, string>> = {}): string =>
  Object.entries(map)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(', ');
