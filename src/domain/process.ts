/** What an image's configuration says of the program that it was made for. */
export interface ImageProcess {
  readonly entrypoint: readonly string[];
  /** Its Cmd. */
  readonly args: readonly string[];
  /** `NAME=VALUE`. */
  readonly environment: readonly string[];
  /** NAME, UID, NAME:GROUP or UID:GID of the image; empty: root. */
  readonly user: string;
  /** Absolute; empty: none is said. */
  readonly directory: string;
  /** What asks it to end, by its number; absent: SIGTERM. */
  readonly stopSignal?: number;
}

/** `wrong`: a clause with what is, where it cannot be used. */
export type ImageSays = ImageProcess | { readonly wrong: string };

/** What a spec changes of what the root volume's image says. */
export interface ProcessSpec {
  /** In the place of the image's, whose Cmd is left out too; empty: there is none. Absent: the image's. */
  readonly entrypoint?: readonly string[];
  /** In the place of the image's Cmd. */
  readonly args?: readonly string[];
  /** Over the image's. */
  readonly environment: Readonly<Record<string, string>>;
  /** Empty: the image's. */
  readonly user: string;
  /** Empty: the image's. */
  readonly directory: string;
}

/** What runs in a guest whose first program is ours, and what `exec` begins with. */
export interface Process {
  /** The program and its arguments; empty: none is named. */
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly directory: string;
  readonly stopSignal?: number;
}

/** Of a spec. */
interface MayChange {
  readonly process?: ProcessSpec;
}

/** Whether a spec names the program itself: that is run in every guest, also in one with an init of its own. */
export const namesProgram = ({ process }: MayChange): boolean =>
  process?.entrypoint !== undefined || process?.args !== undefined;

/** As container runtimes join the two. */
export function processOf(image: ImageProcess | undefined, asked: ProcessSpec | undefined): Process {
  const entrypoint = asked?.entrypoint ?? image?.entrypoint ?? [];
  const args = asked?.args ?? (asked?.entrypoint ? [] : image?.args) ?? [];
  const environment = Object.fromEntries([
    ...(image?.environment ?? []).map(splitVariable),
    ...Object.entries(asked?.environment ?? {}),
  ]);
  return {
    words: [...entrypoint, ...args],
    environment,
    user: asked?.user || image?.user || '',
    directory: asked?.directory || image?.directory || '',
    ...(image?.stopSignal !== undefined && { stopSignal: image.stopSignal }),
  };
}

function splitVariable(variable: string): readonly [string, string] {
  const at = variable.indexOf('=');
  return [variable.slice(0, at), variable.slice(at + 1)];
}

/** The directory of the initrd in which our `init` looks for what is to run. */
const DIRECTORY = 'process';

/** A file for the guest: its path without a leading `/`, and what is in it. */
export type GuestFile = readonly [path: string, content: string];

/**
 * What a guest is given of it, as `guest/initrd/init` and `flintlock-init` read it: `run`, a request as the guest agent takes
 * it; `directory`, which is to be there even where the root is read-only, as it is written; `stop`, the number of a signal;
 * `asked`, where it is to run in the place of the image's init; or `wrong`.
 */
export function processFiles(image: ImageSays | undefined, spec: MayChange): readonly GuestFile[] {
  const isAsked = namesProgram(spec);
  const asked: readonly GuestFile[] = isAsked ? [[`${DIRECTORY}/asked`, '']] : [];
  // Also of a program that the spec names: which variables it needs of the image is not known.
  if (image && 'wrong' in image) return [[`${DIRECTORY}/wrong`, `${image.wrong}\n`], ...asked];
  const { words, environment, user, directory, stopSignal } = processOf(image, spec.process);
  const [cmd, ...args] = words;
  if (cmd === undefined)
    return isAsked ? [[`${DIRECTORY}/wrong`, 'neither it nor the spec names a program\n'], ...asked] : [];
  const exec = { cmd, args, env: environment, cwd: directory || '/', user: user || '0' };
  return [
    [`${DIRECTORY}/run`, JSON.stringify({ version: 1, op: 'exec', exec })],
    ...(directory === '' ? [] : [[`${DIRECTORY}/directory`, directory] as const]),
    ...(stopSignal === undefined ? [] : [[`${DIRECTORY}/stop`, `${stopSignal}\n`] as const]),
    ...asked,
  ];
}
