import type { Files, Run } from '../ports/host.ts';
import { nameOf, type Reference } from './reference.ts';

export interface SkopeoOptions {
  readonly run: Run;
  readonly files: Files;
  /** Credentials, in the format that Docker and Podman share. */
  readonly authFile?: string;
  /** `HOST` or `HOST:PORT` of registries that may speak plain HTTP, or have any certificate. */
  readonly insecureRegistries: readonly string[];
  readonly lookupTimeoutMs: number;
  readonly pullTimeoutMs: number;
}

/** Where skopeo looks for what may be pulled at all. @see containers-policy.json(5) */
const POLICY = '/etc/containers/policy.json';

/** The tag of an image in the layouts that we make. */
export const PULLED_TAG = 'image';

/** The transport: registries, layouts and archives, by skopeo. Throws what `Run` throws. */
export class Skopeo {
  readonly #options: SkopeoOptions;

  constructor(options: SkopeoOptions) {
    this.#options = options;
  }

  /** The manifest or index that a reference leads to, byte by byte. `scratch` takes what must be laid out for it. */
  async manifest(reference: Reference, scratch: string, signal: AbortSignal): Promise<string> {
    const { run, lookupTimeoutMs } = this.#options;
    const flags = [...this.#auth(reference), ...(this.#isInsecure(reference) ? ['--tls-verify=false'] : [])];
    const argv = [...(await this.#program(scratch)), 'inspect', '--raw', ...flags, address(reference)] as const;
    return run(argv, { signal, timeoutMs: lookupTimeoutMs });
  }

  /** Copies the image for this host's CPU into a layout, as {@link PULLED_TAG}. */
  async copy(reference: Reference, layout: string, scratch: string, signal: AbortSignal): Promise<void> {
    const { run, pullTimeoutMs } = this.#options;
    const flags = [...this.#auth(reference), ...(this.#isInsecure(reference) ? ['--src-tls-verify=false'] : [])];
    const to = `oci:${layout}:${PULLED_TAG}`;
    const argv = [...(await this.#program(scratch)), 'copy', '--quiet', ...flags, address(reference), to] as const;
    await run(argv, { signal, timeoutMs: pullTimeoutMs });
  }

  async #program(scratch: string): Promise<readonly [string, ...string[]]> {
    // Without the distribution's file skopeo refuses everything; an operator's own is obeyed.
    const hasPolicy = (await this.#options.files.stat(POLICY)) !== undefined;
    return ['skopeo', '--tmpdir', scratch, ...(hasPolicy ? [] : ['--insecure-policy'])];
  }

  #auth(reference: Reference): readonly string[] {
    const { authFile } = this.#options;
    return reference.from === 'registry' && authFile !== undefined ? ['--authfile', authFile] : [];
  }

  #isInsecure(reference: Reference): boolean {
    return reference.from === 'registry' && this.#options.insecureRegistries.includes(reference.host);
  }
}

const address = (reference: Reference): string =>
  reference.from === 'registry' ? `docker://${nameOf(reference)}` : nameOf(reference);
