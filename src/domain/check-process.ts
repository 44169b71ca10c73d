import type { ProcessDraft, SpecDraft } from './draft.ts';
import { shorten } from './labels.ts';
import type { ProcessSpec } from './process.ts';

type Bad = (field: string, description: string) => void;

/** The record holds it, which is written often: an image's configuration may have more. */
export const MAX_PROCESS_BYTES = 64 << 10;
const MAX_WORDS = 4096;
/** As the guest agent takes it. */
const MAX_USER_BYTES = 255;
/** PATH_MAX of Linux, with the NUL at its end. */
const MAX_PATH_BYTES = 4095;

/** What is wrong with the program that a spec asks for. */
export function checkProcess(draft: SpecDraft, bad: Bad): void {
  const { process } = draft;
  if (!process) return;
  const { entrypoint, args, environment, user, directory } = process;
  const refuse = (field: string, description: string): void => bad(`process.${field}`, description);
  const words = [...entrypoint, ...args];
  if (words.length > MAX_WORDS) refuse('args', `has ${words.length} words with the entrypoint: at most ${MAX_WORDS}`);
  if (words.some(isUnfit)) refuse('args', 'or the entrypoint holds a NUL, which no program can be given');
  if (entrypoint[0] === '' && entrypoint.length > 1)
    refuse('entrypoint', 'begins with an empty text: give a program, or the empty text alone for no entrypoint');
  if (entrypoint[0] === '' && entrypoint.length === 1 && args.length === 0)
    refuse('args', 'is required without an entrypoint: the program, and its arguments');
  for (const [name, value] of Object.entries(environment)) {
    const field = `environment[${shorten(name)}]`;
    if (name === '' || name.includes('=')) refuse(field, 'must have a name, and no "=" in it');
    if (isUnfit(name) || isUnfit(value)) refuse(field, 'holds a NUL, which no program can be given');
  }
  if (bytesOf(user) > MAX_USER_BYTES || /[\p{Cc}\p{Cs}]/u.test(user))
    refuse('user', `must be NAME, UID, NAME:GROUP or UID:GID, of at most ${MAX_USER_BYTES} bytes`);
  if (directory !== '' && (!directory.startsWith('/') || bytesOf(directory) > MAX_PATH_BYTES || isUnfit(directory)))
    refuse('directory', `must be an absolute path of at most ${MAX_PATH_BYTES} bytes`);
  const bytes = [...words, ...Object.entries(environment).flat()].reduce((sum, text) => sum + bytesOf(text) + 1, 0);
  if (bytes > MAX_PROCESS_BYTES)
    bad('process', `has ${bytes} bytes of arguments and environment: at most ${MAX_PROCESS_BYTES}`);
  if (words.length > 0) checkRuns(draft, bad);
}

/** Without our initrd nobody in the guest would run it. */
function checkRuns({ kernel, initrd, volumes }: SpecDraft, bad: Bad): void {
  if (!initrd)
    bad('process', 'names a program, which our initrd runs: give initrd.image too, the image that has the kernel');
  if (!volumes.some(({ isRoot }) => isRoot)) bad('process', 'names a program, and there is no root volume that has it');
  const cmdline = kernel?.cmdline.split(/\s+/) ?? [];
  if (cmdline.includes('--') || cmdline.some((word) => word.startsWith('init=')))
    bad('kernel.cmdline', 'says what runs, by init= or --, and so does process: leave one of the two out');
}

/** With which nothing is wrong, in the domain's terms: an empty text alone is no entrypoint. */
export const toProcess = ({ entrypoint, args, environment, user, directory }: ProcessDraft): ProcessSpec => ({
  ...(entrypoint.length > 0 && { entrypoint: entrypoint[0] === '' ? [] : entrypoint }),
  ...(args.length > 0 && { args }),
  ...{ environment, user, directory },
});

/** What execve(2) cannot be given, and no UTF-8 has. */
const isUnfit = (text: string): boolean => text.includes('\0') || /\p{Cs}/u.test(text);

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;
