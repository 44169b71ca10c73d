import { create } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { type Process, ProcessSchema } from '../gen/types/microvm_pb.ts';
import { EXIT, Problem } from './exit.ts';
import type { Io } from './io.ts';

/** What of the program of an image is given by flags; see `addProcessFlags`. */
export interface ProcessFlags {
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly entrypoint?: string;
}

/** Adds the flags by which a run changes what its image says of its program. */
export function addProcessFlags(command: Command): Command {
  return command
    .option(
      '-e, --env <name=value>',
      "a variable for the image's program, or NAME alone: with the value that it has here; again for more",
      more,
    )
    .option(
      '-u, --user <user>',
      "whom it runs as: NAME, UID, NAME:GROUP or UID:GID of the image (default: the image's)",
    )
    .option('-w, --workdir <directory>', "where it begins (default: the image's)")
    .option('--entrypoint <program>', 'in the place of the image\'s entrypoint and arguments; "" is none');
}

/**
 * What the flags and the words behind the image ask for; undefined where that is nothing.
 * @throws Problem `usage`
 */
export function processBy(
  { env = [], user = '', workdir = '', entrypoint }: ProcessFlags,
  args: readonly string[],
  here: Io['env'],
): Process | undefined {
  const isAsked = env.length + args.length > 0 || user !== '' || workdir !== '' || entrypoint !== undefined;
  if (!isAsked) return undefined;
  return create(ProcessSchema, {
    entrypoint: entrypoint === undefined ? [] : [entrypoint],
    args: [...args],
    environment: variablesOf(env, here),
    ...{ user, directory: workdir },
  });
}

/**
 * As docker's --env: NAME alone takes the value from here, and nothing where there is none.
 * @throws Problem `usage`
 */
export const variablesOf = (texts: readonly string[], here: Io['env']): Record<string, string> =>
  Object.fromEntries(texts.flatMap((text) => variableOf(text, here)));

function variableOf(text: string, here: Io['env']): [string, string][] {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (name === '') throw new Problem(EXIT.usage, `--env "${text}" names no variable: write NAME=VALUE`);
  const value = at < 0 ? here[name] : text.slice(at + 1);
  return value === undefined ? [] : [[name, value]];
}

/** Of an option that may be given again and again. */
export const more = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
