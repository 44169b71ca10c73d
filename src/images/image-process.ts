import type { ImageProcess, ImageSays } from '../domain/process.ts';

/**
 * More no kernel gives a program: all of it 2 MiB where the stack has 8, one text 128 KiB with its NUL.
 * @see execve(2)
 */
const MAX_BYTES = 1 << 20;
const MAX_TEXT_BYTES = (128 << 10) - 1;
/** As the guest agent takes it. */
const MAX_TEXTS = 32_768;
const MAX_USER_BYTES = 255;
const MAX_DIRECTORY_BYTES = 4095;

/**
 * Reads what an image's configuration says of the program in it (`config` of the OCI's or Docker's). It is hostile input:
 * what is wrong with it is said, and is no reason not to unpack the image, which may serve for other things.
 *
 * @returns undefined where it says nothing
 * @see https://specs.opencontainers.org/image-spec/config/
 */
export function parseProcess(config: unknown): ImageSays | undefined {
  if (config === undefined || config === null) return undefined;
  if (typeof config !== 'object' || Array.isArray(config))
    return { wrong: 'its configuration has a config that is no object' };
  try {
    const process = read(new Map(Object.entries(config)));
    return isEmpty(process) ? undefined : process;
  } catch (error) {
    if (error instanceof Wrong) return { wrong: error.message };
    throw error;
  }
}

class Wrong extends Error {}

function read(config: ReadonlyMap<string, unknown>): ImageProcess {
  const entrypoint = textsOf(config, 'Entrypoint');
  const args = textsOf(config, 'Cmd');
  // One without "=" is none to any program.
  const environment = textsOf(config, 'Env').filter((variable) => variable.indexOf('=') > 0);
  const bytes = [...entrypoint, ...args, ...environment].reduce((sum, text) => sum + bytesOf(text) + 1, 0);
  if (bytes > MAX_BYTES)
    throw new Wrong(`its Entrypoint, Cmd and Env have ${bytes} bytes together: at most ${MAX_BYTES}`);
  const [program, ...words] = [...entrypoint, ...args];
  if (program === '') throw new Wrong(`its ${entrypoint.length > 0 ? 'Entrypoint' : 'Cmd'} begins with an empty text`);
  if (words.length + environment.length > MAX_TEXTS) throw new Wrong(`its Cmd and Env have over ${MAX_TEXTS} texts`);
  const user = textOf(config, 'User', MAX_USER_BYTES);
  const directory = textOf(config, 'WorkingDir', MAX_DIRECTORY_BYTES);
  const stopSignal = signalOf(textOf(config, 'StopSignal', MAX_USER_BYTES));
  return {
    ...{ entrypoint, args, environment, user },
    directory: directory === '' || directory.startsWith('/') ? directory : `/${directory}`,
    ...(stopSignal !== undefined && { stopSignal }),
  };
}

const isEmpty = ({ entrypoint, args, environment, user, directory, stopSignal }: ImageProcess): boolean =>
  entrypoint.length + args.length + environment.length === 0 &&
  `${user}${directory}` === '' &&
  stopSignal === undefined;

/** Go writes an empty list as null. */
function textsOf(config: ReadonlyMap<string, unknown>, name: string): readonly string[] {
  const list = config.get(name) ?? [];
  if (!Array.isArray(list)) throw new Wrong(`its ${name} is no list`);
  return list.map((text: unknown) => checked(text, name, MAX_TEXT_BYTES));
}

const textOf = (config: ReadonlyMap<string, unknown>, name: string, maxBytes: number): string =>
  checked(config.get(name) ?? '', name, maxBytes);

function checked(text: unknown, name: string, maxBytes: number): string {
  if (typeof text !== 'string') throw new Wrong(`its ${name} holds what is no text`);
  // No program can be given these, and no UTF-8 has a half of a pair.
  if (text.includes('\0') || /\p{Cs}/u.test(text)) throw new Wrong(`its ${name} holds a NUL, or what is no character`);
  const bytes = bytesOf(text);
  if (bytes > maxBytes) throw new Wrong(`its ${name} holds a text of ${bytes} bytes: at most ${maxBytes}`);
  return text;
}

const bytesOf = (text: string): number => Buffer.byteLength(text);

/** As signal(7) numbers them, on x86 and Arm alike. */
const SIGNALS: readonly string[] = [
  ...[
    'HUP',
    'INT',
    'QUIT',
    'ILL',
    'TRAP',
    'ABRT',
    'BUS',
    'FPE',
    'KILL',
    'USR1',
    'SEGV',
    'USR2',
    'PIPE',
    'ALRM',
    'TERM',
  ],
  ...['STKFLT', 'CHLD', 'CONT', 'STOP', 'TSTP', 'TTIN', 'TTOU', 'URG', 'XCPU', 'XFSZ', 'VTALRM', 'PROF', 'WINCH'],
  ...['IO', 'PWR', 'SYS'],
];
const RTMIN = 34;
const RTMAX = 64;

/** `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; undefined for what is none: then it is the usual one. */
function signalOf(text: string): number | undefined {
  const [, name = '', sign = '+', offset = '0'] =
    /^(?:SIG)?([A-Z0-9]+)(?:([+-])(\d{1,2}))?$/.exec(text.toUpperCase()) ?? [];
  const by = Number(`${sign}${offset}`);
  const base =
    name === 'RTMIN' ? RTMIN : name === 'RTMAX' ? RTMAX : by !== 0 ? 0 : SIGNALS.indexOf(name) + 1 || Number(name);
  const number = base + by;
  return Number.isInteger(number) && base > 0 && number >= 1 && number <= RTMAX ? number : undefined;
}
