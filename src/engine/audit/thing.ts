import type { ProcessIdentity } from '../../ports/host.ts';
import type { FirewallElement } from '../../ports/network.ts';
import type { ThingKind } from '../../steps/expecting.ts';

/** One thing on the host that counts as ours, found without looking at the ledger. */
export type Thing = Readonly<
  | { kind: 'process'; name: string; detail: string; identity: ProcessIdentity; argv: readonly string[] }
  | { kind: 'interface'; name: string; detail: string }
  | { kind: 'firewall-table'; name: string; detail: string }
  | { kind: 'routing-rule'; name: string; detail: string; routes: number }
  | { kind: 'firewall-element'; name: string; detail: string; element: FirewallElement }
  | { kind: 'bridge-port'; name: string; detail: string; device: string }
  | { kind: 'routes'; name: string; detail: string; routes: number }
  | { kind: 'cgroup'; name: string; detail: string; parent: string }
  | { kind: 'mount' | 'loop-device'; name: string; detail: string }
  | { kind: 'file' | 'directory' | 'socket'; name: string; detail: string }
>;

/** What the ledger says is there. */
export interface Expected {
  readonly kind: ThingKind;
  /** As in `steps/expecting.ts`. */
  readonly name: string;
  readonly owner: string;
  /** The ledger's kind, which names the file that makes and unmakes it. */
  readonly step: string;
  /** False for an intent that is not marked: it may or may not be there. */
  readonly made: boolean;
}

/** The same for what is the same thing. */
export const keyOf = ({ kind, name }: Pick<Thing, 'kind' | 'name'>): string => `${classOf(kind)} ${name}`;

export const keysOf = (things: readonly Pick<Thing, 'kind' | 'name'>[]): ReadonlySet<string> =>
  new Set(things.map(keyOf));

/** A path is the same thing whatever lies there. */
const classOf = (kind: Thing['kind']): string =>
  kind === 'file' || kind === 'directory' || kind === 'socket' ? 'path' : kind;
