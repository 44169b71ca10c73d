import { ConnectError } from '@connectrpc/connect';
import { demoSpec, poll, type TestHost } from './daemon.ts';
import { execIn } from './exec-in.ts';

/** As long as anything takes to come to where it should. */
const ANSWER_MS = 120_000;
/** In the guest's memory: a run of its own would not have it. */
const NOTE = '/run/witness';

/**
 * A real guest that nothing is done to: whatever befalls the daemon and its disk, it runs on as it was, which its own agent tells. The model of
 * it is what was said to it last.
 */
export class Witness {
  readonly #host: TestHost;
  readonly #uid: string;
  #said = 0;
  #boot = '';

  private constructor(host: TestHost, uid: string) {
    this.#host = host;
    this.#uid = uid;
  }

  static async begin(host: TestHost): Promise<Witness> {
    const { spec } = await host.create(demoSpec('witness', { interfaces: [] }));
    const witness = new Witness(host, spec?.uid ?? '');
    witness.#boot = (await witness.#ask('cat /proc/sys/kernel/random/boot_id')).trim();
    await witness.#say();
    return witness;
  }

  /** @returns what is wrong, or undefined */
  async look(): Promise<string | undefined> {
    const found = await this.#ask(`cat /proc/sys/kernel/random/boot_id ${NOTE}`);
    const expected = `${this.#boot}\n${this.#said}\n`;
    if (found !== expected)
      return `the witness ${this.#uid} says ${JSON.stringify(found)}, and was left with ${JSON.stringify(expected)}`;
    await this.#say();
    return undefined;
  }

  get uid(): string {
    return this.#uid;
  }

  async end(): Promise<void> {
    await this.#host.vms.deleteMicroVM({ uid: this.#uid });
    await this.#host.untilGone(this.#uid);
  }

  async #say(): Promise<void> {
    // Asked again when the answer was lost, it says the same.
    await this.#ask(`echo ${++this.#said} >${NOTE}`);
  }

  /** Of a daemon that is away, or has not met the agent yet, it is asked again. */
  #ask(command: string): Promise<string> {
    return poll(`the witness answers to ${command}`, ANSWER_MS, async () => {
      try {
        const { code, out } = await execIn(this.#host, this.#uid, command);
        return code === 0 ? { is: out } : { not: `status ${code}` };
      } catch (error) {
        return { not: ConnectError.from(error).message };
      }
    });
  }
}
