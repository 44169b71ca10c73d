import type {
  FileChange,
  FileContent,
  FileLook,
  FilePlace,
  FileReading,
  FileWriting,
  GuestFile,
  GuestFiles,
} from '../ports/guest-files.ts';
import { agentFor, cutOff, type ExecNeeds } from './exec.ts';

/** Whose file. */
export interface OfGuest {
  readonly uid: string;
}

/** What is done with the files of a guest, by its agent: see `GuestFiles`. */
export interface FileServices {
  statFile(request: OfGuest & { readonly place: FileLook }, signal: AbortSignal): Promise<GuestFile>;
  listFiles(request: OfGuest & { readonly place: FileLook }, signal: AbortSignal): AsyncIterable<readonly GuestFile[]>;
  readFile(
    request: OfGuest & { readonly place: FilePlace; readonly offset: bigint; readonly length: bigint },
    signal: AbortSignal,
  ): AsyncIterable<FileReading>;
  /**
   * @param content - read on only as fast as the guest takes it
   * @returns how many bytes came
   */
  writeFile(
    request: OfGuest & { readonly writing: FileWriting },
    content: AsyncIterable<FileContent>,
    signal: AbortSignal,
  ): Promise<bigint>;
  changeFile(request: OfGuest & { readonly change: FileChange }, signal: AbortSignal): Promise<void>;
}

/** All throw as `exec` does. */
export function fileServices(needs: ExecNeeds): FileServices {
  /** @throws Fault with what became of the guest, where the agent went away */
  const ask = async <T>(uid: string, signal: AbortSignal, work: (files: GuestFiles) => Promise<T>): Promise<T> => {
    const { vm, agent } = await agentFor(needs, uid, signal);
    try {
      return await work(agent.files);
    } catch (error) {
      throw cutOff(needs, vm, brokeOff(uid), error);
    }
  };
  async function* each<T>(
    uid: string,
    signal: AbortSignal,
    work: (files: GuestFiles) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const { vm, agent } = await agentFor(needs, uid, signal);
    try {
      yield* work(agent.files);
    } catch (error) {
      throw cutOff(needs, vm, brokeOff(uid), error);
    }
  }
  return {
    statFile: ({ uid, place }, signal) => ask(uid, signal, (files) => files.stat(place, signal)),
    listFiles: ({ uid, place }, signal) => each(uid, signal, (files) => files.list(place, signal)),
    readFile: ({ uid, place, ...range }, signal) => each(uid, signal, (files) => files.read(place, range, signal)),
    writeFile: ({ uid, writing }, content, signal) =>
      ask(uid, signal, (files) => files.write(writing, content, signal)),
    changeFile: ({ uid, change }, signal) => ask(uid, signal, (files) => files.change(change, signal)),
  };
}

const brokeOff = (uid: string): string => `What was done with a file in microVM ${uid} was cut off`;
