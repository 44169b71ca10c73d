import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { formatEndpoint } from '../../src/api/endpoint.ts';
import type { GuestFiles } from '../../src/ports/guest-files.ts';
import type { Services } from '../../src/service/services.ts';
import { startApi } from './api.ts';
import { fakeServices } from './fake-services.ts';
import { type CliOptions, type CliResult, runCli } from './run-cli.ts';

export interface CpIn {
  /** For both sides; it goes with the test. */
  readonly directory: string;
  cp(argv: readonly string[], options?: CliOptions): Promise<CliResult>;
}

/** `flintlock cp` with a daemon whose only microVM, `web`, has these files. */
export async function startCp(files: GuestFiles): Promise<CpIn> {
  const { grpc } = await startApi(servicesOf(files));
  const directory = mkdtempSync(join(tmpdir(), 'fl-cp-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, cp: (argv, options) => runCli(['--host', formatEndpoint(grpc), 'cp', ...argv], options) };
}

/** Services whose only microVM has these files. */
function servicesOf(files: GuestFiles): Partial<Services> {
  const { get } = fakeServices();
  const mustBe = (uid: string): Promise<unknown> => get({ uid }, { showDeleted: false });
  async function* checked<T>(uid: string, work: () => AsyncIterable<T>): AsyncGenerator<T> {
    await mustBe(uid);
    yield* work();
  }
  return {
    statFile: async ({ uid, place }, signal) => {
      await mustBe(uid);
      return files.stat(place, signal);
    },
    listFiles: ({ uid, place }, signal) => checked(uid, () => files.list(place, signal)),
    readFile: ({ uid, place, ...range }, signal) => checked(uid, () => files.read(place, range, signal)),
    writeFile: async ({ uid, writing }, content, signal) => {
      await mustBe(uid);
      return files.write(writing, content, signal);
    },
    changeFile: async ({ uid, change }, signal) => {
      await mustBe(uid);
      return files.change(change, signal);
    },
  };
}
