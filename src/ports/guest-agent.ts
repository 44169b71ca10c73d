import type { Channel, Dial } from './channel.ts';
import type { GuestFiles } from './guest-files.ts';
import type { GuestPorts } from './guest-ports.ts';
import type { TellsStatistics } from './guest-statistics.ts';

/** A terminal for a program, in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** What is to run in a guest. */
export interface ExecStart {
  /** The program, by name or path; for a shell its words. */
  readonly command: string;
  readonly args: readonly string[];
  /** Empty: the home of the user, or `/`. */
  readonly directory: string;
  /** Beside what the agent gives: PATH, HOME, USER and the like. */
  readonly environment: Readonly<Record<string, string>>;
  /** `sh -c` runs the command. */
  readonly shell: boolean;
  /** NAME, UID, NAME:GROUP or UID:GID of the guest; empty: the agent's own, which is root. */
  readonly user: string;
  /** 0: no limit. When it is over the program gets SIGTERM, and SIGKILL 5 s later. */
  readonly timeoutSeconds: number;
  /** Else its standard input is empty. */
  readonly hasStdin: boolean;
  /** Absent: no terminal, and two streams. */
  readonly terminal?: TerminalSize & { readonly term: string };
}

/** What goes on to a program that runs. */
export type ExecInput = Readonly<
  | { is: 'stdin'; data: Uint8Array }
  | { is: 'stdin end' }
  | ({ is: 'resize' } & TerminalSize)
  /** By its number, signal(7). */
  | { is: 'signal'; number: number }
>;

/** What comes of it; `exit` is the last. */
export type ExecOutput = Readonly<
  | { is: 'stdout' | 'stderr'; data: Uint8Array }
  /** 127: there is no such program; 126: it cannot be started; 128 + n: signal n ended it. */
  | { is: 'exit'; code: number; timedOut: boolean }
>;

/** What an agent says of itself. */
export interface AgentInfo {
  readonly version: string;
  /** As uname(2) has it. */
  readonly uname: string;
  /** Beyond running commands: `tty`, `signal`, `files`, `ports`, `statistics`, `clock`, `watch`, `ends`. Another maker's has none. */
  readonly features: readonly string[];
}

/** The program in a guest that works for the host. */
export interface GuestAgent extends GuestPorts, TellsStatistics {
  /** As it said when it was met. */
  readonly info: AgentInfo;
  /** For the feature `files`; without it each is `refused`. */
  readonly files: GuestFiles;
  /**
   * Runs a program and ends with it. When the signal aborts, or nobody reads on, the program's process group gets SIGTERM,
   * and SIGKILL 5 s later. The end of `input` closes the program's standard input.
   *
   * @throws Fault `tool` when the agent or the guest goes away; `refused` for what the agent cannot do; the signal's reason
   */
  exec(start: ExecStart, input: AsyncIterable<ExecInput>, signal: AbortSignal): AsyncIterable<ExecOutput>;
  /**
   * Bytes to and from the guest's own SSH server, on port 22 of its 127.0.0.1, until that ends them. The end of `input` ends
   * that way alone.
   *
   * @throws Fault `tool` when there is no such server, or the agent or the guest goes away; the signal's reason
   */
  ssh(input: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Sets the guest's clock to the host's. Absent: this agent cannot.
   *
   * @returns how far it was behind, in milliseconds
   * @throws Fault `tool` when the agent or the guest goes away; `refused` where its clock cannot be set; the signal's reason
   */
  readonly setClock?: ((signal: AbortSignal) => Promise<number>) | undefined;
}

/** An agent that was met, until it goes. */
export interface AgentMeeting {
  readonly agent: GuestAgent;
  /** Resolves when it is gone, with why. Never rejects. */
  readonly over: Promise<string>;
  /**
   * Whether, once it is over, the guest is known to have shut down: its agent said so, and then its kernel fell silent. Absent:
   * that cannot be seen by the way to it.
   */
  readonly hasHalted?: (() => boolean) | undefined;
  close(): void;
}

/** The way to an agent: one channel with several streams in it, or a connection for each. */
export type AgentWay = Readonly<{ is: 'channel'; channel: Channel } | { is: 'connections'; dial: Dial }>;

/**
 * Waits until an agent answers. A channel is taken over.
 *
 * @param isRunning - whether the guest's CPUs run: one that is paused answers nobody
 * @throws Fault `tool` when the channel is closed first; `refused` when there is no way to any connection; the signal's
 * reason
 */
export type MeetAgent = (way: AgentWay, isRunning: () => boolean, signal: AbortSignal) => Promise<AgentMeeting>;
