import type { FirewallElements } from '../ports/network.ts';
import type { Vmm } from '../ports/vmm.ts';

/** What the audit finds on a host, by sort. */
export type ThingKind =
  | 'process'
  | 'interface'
  | 'firewall-table'
  | 'routing-rule'
  | 'firewall-element'
  | 'bridge-port'
  | 'routes'
  | 'cgroup'
  | 'mount'
  | 'loop-device'
  | 'file'
  | 'directory'
  | 'socket';

/** To whom an entry says what it has on the host. */
export interface Expecting {
  /**
   * @param name - the pid of a process (or `of UID` where it is not known), the name of an interface or table, the text
   * of a rule, the path of a file
   * @param isSure - false: it may or may not be there. Absent: as the entry is made
   */
  thing(kind: ThingKind, name: string, isSure?: boolean): void;
  /** What a step puts into tables that many share. */
  elements(step: Parameters<FirewallElements['elementsOf']>[0], isSure?: boolean): void;
  /** Processes that are known by their command line alone. */
  process(isIt: (argv: readonly string[]) => boolean): void;
  /** Whatever path begins so is part of it. */
  within(path: string): void;
  /** A path that is part of it, and not told of. */
  part(path: string): void;
  readonly vmms: readonly Pick<Vmm, 'paths'>[];
}
