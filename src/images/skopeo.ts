import { Fault } from '../domain/fault.ts';
import type { Files, Run } from '../ports/host.ts';
import { nameOf, type RegistryReference } from './reference.ts';

export interface SkopeoOptions {
  readonly run: Run;
  readonly files: Files;
  /** Credentials, in the format that Docker and Podman share. */
  readonly authFile?: string;
  /** `HOST` or `HOST:PORT` of registries that may speak plain HTTP, or have any certificate. */
  readonly insecureRegistries: readonly string[];
  /** What the operator's environment has for it: proxies, certificates. */
  readonly env: Readonly<Record<string, string>>;
  readonly lookupTimeoutMs: number;
  readonly pullTimeoutMs: number;
}

/** Where skopeo looks for what may be pulled at all. @see containers-policy.json(5) */
const POLICY = '/etc/containers/policy.json';

/** The transport: registries, by skopeo. Throws what `Run` throws. */
export class Skopeo {
  readonly #options: SkopeoOptions;

  constructor(options: SkopeoOptions) {
    this.#options = options;
  }

  /**
   * The manifest or index that a reference leads to, byte by byte; or the configuration of the image.
   * `scratch` takes what must be laid out for it.
   */
  async manifest(reference: RegistryReference, scratch: string, signal: AbortSignal, config = false): Promise<string> {
    const { run, lookupTimeoutMs, env } = this.#options;
    const flags = [
      ...(config ? ['--config'] : []),
      ...this.#auth(),
      ...(this.#isInsecure(reference) ? ['--tls-verify=false'] : []),
    ];
    const argv = [...(await this.#program(scratch)), 'inspect', '--raw', ...flags, address(reference)] as const;
    return this.#discreet(run(argv, { signal, timeoutMs: lookupTimeoutMs, env }));
  }

  /** Copies one image, of a digest, into a directory, just as the registry has it. */
  async copy(reference: RegistryReference, directory: string, scratch: string, signal: AbortSignal): Promise<void> {
    const { run, pullTimeoutMs, env } = this.#options;
    const flags = [...this.#auth(), ...(this.#isInsecure(reference) ? ['--src-tls-verify=false'] : [])];
    const program = await this.#program(scratch);
    const argv = [...program, 'copy', '--quiet', ...flags, address(reference), `dir:${directory}`] as const;
    await this.#discreet(run(argv, { signal, timeoutMs: pullTimeoutMs, env }));
  }

  /** What goes wrong, told without what is secret in a proxy's address. */
  async #discreet<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const secrets = Object.values(this.#options.env).flatMap(secretsIn);
      const message = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), error.message);
      if (message === error.message) throw error;
      // Without the cause: it has the secret.
      throw new Fault(error.kind, message, { terminal: error.terminal, ...(error.reason && { reason: error.reason }) });
    }
  }

  async #program(scratch: string): Promise<readonly [string, ...string[]]> {
    // Without the distribution's file skopeo refuses everything; an operator's own is obeyed.
    const hasPolicy = (await this.#options.files.stat(POLICY)) !== undefined;
    return ['skopeo', '--tmpdir', scratch, ...(hasPolicy ? [] : ['--insecure-policy'])];
  }

  #auth(): readonly string[] {
    const { authFile } = this.#options;
    return authFile === undefined ? [] : ['--authfile', authFile];
  }

  #isInsecure({ host }: RegistryReference): boolean {
    return this.#options.insecureRegistries.includes(host);
  }
}

/** `USER:PASSWORD` of a URL, as a whole and its password alone, as written and decoded. */
function secretsIn(url: string): readonly string[] {
  const credentials = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(.+)@[^@]*$/is.exec(url)?.[1];
  if (credentials === undefined) return [];
  const password = credentials.slice(credentials.indexOf(':') + 1);
  const decoded = [credentials, password].flatMap((text) => {
    try {
      return [decodeURIComponent(text)];
    } catch {
      return [];
    }
  });
  return [credentials, ...decoded.slice(0, 1), password, ...decoded.slice(1)].filter((text) => text.length > 2);
}

const address = (reference: RegistryReference): string => `docker://${nameOf(reference)}`;
