import type { Client } from '@connectrpc/connect';
import type { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import type { ProviderFeatures } from '../../src/gen/flintlock/microvm/v1/host_pb.ts';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import type { Images } from './images.ts';
import type { HostFacts } from './lab.ts';
import type { Report } from './report.ts';
import type { SpecFields } from './specs.ts';

/** `guest`: a booted guest said so; `request`: what the VMM was told; `refused`: create said that it cannot be. */
export type Basis = 'guest' | 'request' | 'refused';

/** What `-o json` prints of a row. */
export interface Result {
  readonly row: string;
  readonly ok: boolean;
  readonly basis: Basis;
  readonly expected: string;
  /** Null: there was none, see `Basis`. */
  readonly seen_in_guest: string | null;
  readonly seen_on_host: string;
  /** The guest's raw lines. */
  readonly evidence: readonly string[];
  /** What was not in time when it was tried first; only where that was, and it was tried again. */
  readonly tried_again_after?: string;
}

/** What came of a scene. */
export interface Played {
  readonly results: readonly Result[];
  /** What was not in time, where that is why rows are not ok. */
  readonly late?: string;
}

/** Compared with what is expected, word for word; or with a judgement of its own. */
export type Seeing = string | { readonly text: string; readonly ok: boolean };

/** All that is known of a guest once it has reported. */
export interface Seen {
  /** Its first report. */
  readonly report: Report;
  /** All of them, that first one too. */
  readonly reports: readonly Report[];
  /** The whole console. */
  readonly console: string;
  /** When it had made its first report. */
  readonly record: MicroVM;
  readonly host: HostFacts;
  /** The other guests of the scene, by name, and this one. */
  readonly guests: Readonly<Record<string, Seen>>;
  /** What the scene's `next` found out. */
  readonly notes: Readonly<Record<string, string>>;
}

/** A row that a booted guest proves: a pure judge over what was seen. */
export interface GuestRow {
  readonly row: string;
  readonly expected: string | ((seen: Seen) => string);
  readonly guest: (seen: Seen) => Seeing;
  /** What the record says, and what the host's own tools do. */
  readonly host?: (seen: Seen) => Seeing;
}

/** A row of what cannot be: create says so, in these words, and stores nothing. */
export interface RefusedRow {
  readonly row: string;
  /** @param features - of the provider that is tried */
  readonly spec: (images: Images, features: ProviderFeatures) => SpecFields;
  /** Another that is there already. */
  readonly beside?: (images: Images) => SpecFields;
  /** Asked of a daemon that has no parent for MACVTAP interfaces. */
  readonly withoutParent?: true;
  /** Default: INVALID_ARGUMENT. */
  readonly code?: 'FAILED_PRECONDITION';
  /** In API names, e.g. `volumes[1].mount_point`. */
  readonly field: string;
  /** A part of what is said of it. */
  readonly words: string;
}

/** Guests that boot together, what happens then, and the rows that they prove. */
export interface Scene {
  readonly name: string;
  /** A daemon of its own, because it is restarted. Else one is shared by all scenes. */
  readonly alone?: true;
  /** Takes far longer than others, and is begun before them. */
  readonly slow?: true;
  /** Others stand for it where a sample will do: `--sample`. */
  readonly leftToProofs?: true;
  /** By a name that is the beginning of the id. The first one is whom the rows are about. */
  readonly guests: (images: Images) => Readonly<Record<string, SpecFields>>;
  /** Goes on once every guest has reported. */
  readonly next?: (stage: Stage) => Promise<Readonly<Record<string, string>>>;
  readonly rows: readonly GuestRow[];
}

/** What a scene can do with its guests, by their names. */
export interface Stage {
  uid(guest: string): string;
  record(guest: string): Promise<MicroVM>;
  /** Types words for report.sh on the console and waits for the report. */
  ask(guest: string, ...words: readonly string[]): Promise<Report>;
  /** Types `reboot` in the guest, and waits for its report after it. */
  reboot(guest: string): Promise<Report>;
  /** Types `poweroff` in a guest that is started again after it, and waits for its report. */
  powerOff(guest: string): Promise<Report>;
  restartDaemon(): Promise<void>;
  /** Once its agent answers. */
  agent(guest: string): Promise<Client<typeof GuestService>>;
  /** Waits until `GuestConfigured` is True, or until that cannot be any more. @returns it: `True Configured: …` */
  configured(guest: string): Promise<string>;
  /** Waits until nothing is left of it. @returns what is remembered */
  remove(guest: string): Promise<MicroVM>;
  /** What a client on the host gets from there. */
  fetch(url: string): Promise<string>;
  select(labels: string): Promise<readonly MicroVM[]>;
  /** Its record when it had first reported. */
  first(guest: string): MicroVM;
}

export interface Group {
  readonly scenes: readonly Scene[];
  readonly refused: readonly RefusedRow[];
}

/** A judgement with the reason for it. */
export const judged = (ok: boolean, text: string): Seeing => ({ ok, text });

/** A row of one guest of a scene, by its name there. */
export const rowOf = (
  row: string,
  guest: string,
  expected: GuestRow['expected'],
  see: (report: Report) => string,
): GuestRow => ({
  row,
  expected,
  guest: ({ guests }) => {
    const report = guests[guest]?.report;
    return report ? see(report) : 'no report';
  },
});
