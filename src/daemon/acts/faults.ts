import { Fault } from '../../domain/fault.ts';
import type { LedgerKind } from '../../domain/ledger.ts';
import type { Act, Acts, Way } from '../../ports/acts.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';

/** What is to break, as in `tap:make:before:1:kill`; several are split at commas. `trace` writes every point to the log. */
const WHAT = 'FLINTLOCK_TEST_FAULT';
/** Must say `allow` too: one variable that was left behind breaks no daemon. */
const ALLOWED = 'FLINTLOCK_TEST_FAULTS';

/**
 * Where a daemon can be broken: before the work of an act (its intent is on the disk), after it (its mark is not), and after
 * its mark.
 */
const POINTS = ['before', 'after', 'marked'] as const;
type Point = (typeof POINTS)[number];
/**
 * `kill`: as by kill -9. `error`: the act fails. `hang`: it does not end
 * before its limit, which is short then. `hold`: it does not end before it is
 * interrupted. `twice`: it is run two times.
 */
const ACTIONS = ['kill', 'error', 'hang', 'hold', 'twice'] as const;
type Action = (typeof ACTIONS)[number];

interface Rule {
  /** A ledger kind, or `*`. */
  readonly kind: string;
  readonly way: Way;
  readonly point: Point;
  /** Counted from 1, in this daemon. */
  readonly occurrence: number;
  readonly action: Action;
}

/** The limit of a step that hangs before its act, and after it: that takes its own time first. */
const HANG_MS: Record<Point, number> = { before: 400, after: 5_000, marked: 0 };
/** Somebody forgot to interrupt it. */
const HOLD_MS = 120_000;

export interface FaultsDeps {
  readonly log: Log;
  readonly clock: Pick<Clock, 'sleep'>;
  /** As by kill -9: nothing runs afterwards. */
  kill(): void;
}

/**
 * Acts that break where the environment wants it: as they are without both variables.
 * @param acts - those that keep the limits: what hangs has a short one
 * @throws Fault `refused` where one is there without the other; `invalid` for what is no rule
 */
export function faulty(acts: Acts, environment: NodeJS.ProcessEnv, deps: FaultsDeps): Acts {
  const text = environment[WHAT];
  const allowed = environment[ALLOWED];
  if (text === undefined && allowed === undefined) return acts;
  if (text === undefined || allowed !== 'allow')
    throw new Fault(
      'refused',
      `${WHAT} makes the daemon break on purpose, and works only with ${ALLOWED}=allow: unset both, unless this is a test of Flintlock`,
    );
  deps.log.warn('this daemon breaks on purpose', { [WHAT]: text });
  return text === 'trace'
    ? new Faulty(acts, [], true, deps)
    : new Faulty(acts, text.split(',').map(parseRule), false, deps);
}

function parseRule(text: string): Rule {
  const [kind = '', way, point, occurrence, action, ...more] = text.split(':');
  const knownPoint = POINTS.find((one) => one === point);
  const knownAction = ACTIONS.find((one) => one === action);
  const wrong =
    kind === '' ||
    (way !== 'make' && way !== 'unmake') ||
    knownPoint === undefined ||
    knownAction === undefined ||
    !/^[1-9]\d{0,5}$/.test(occurrence ?? '') ||
    more.length > 0 ||
    (knownPoint === 'marked' && knownAction !== 'kill') ||
    (knownPoint !== 'before' && knownAction === 'twice');
  if (wrong)
    throw new Fault(
      'invalid',
      `${WHAT}: "${text}" is no KIND:make|unmake:before|after|marked:OCCURRENCE:kill|error|hang|hold|twice (after the mark only kill, twice only before)`,
    );
  return { kind, way, point: knownPoint, occurrence: Number(occurrence), action: knownAction };
}

class Faulty implements Acts {
  readonly #acts: Acts;
  readonly #rules: readonly Rule[];
  readonly #isTraced: boolean;
  readonly #deps: FaultsDeps;
  readonly #met = new Map<Rule, number>();

  constructor(acts: Acts, rules: readonly Rule[], isTraced: boolean, deps: FaultsDeps) {
    this.#acts = acts;
    this.#rules = rules;
    this.#isTraced = isTraced;
    this.#deps = deps;
  }

  run<T>(act: Act, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { kind, way } = act;
    return this.#acts.run(this.#hurried(act), async (signal) => {
      const action = this.#meet(kind, way, 'before');
      await this.#break(action, kind, 'before', signal);
      if (action === 'twice') await work(signal);
      const result = await work(signal);
      await this.#break(this.#meet(kind, way, 'after'), kind, 'after', signal);
      return result;
    });
  }

  marked(act: Pick<Act, 'kind' | 'way'>): void {
    this.#acts.marked(act);
    if (this.#meet(act.kind, act.way, 'marked') === 'kill') this.#deps.kill();
  }

  /** With less time where it is to hang. */
  #hurried(act: Act): Act {
    const { kind, way, limit } = act;
    const isLeft = (rule: Rule): boolean => (this.#met.get(rule) ?? 0) < rule.occurrence;
    const rule = this.#rules.find((one) => one.action === 'hang' && isFor(one, kind, way) && isLeft(one));
    return rule && limit ? { ...act, limit: { ...limit, ms: Math.min(limit.ms, HANG_MS[rule.point]) } } : act;
  }

  /** @returns what is to happen at this point, this time */
  #meet(kind: LedgerKind, way: Way, point: Point): Action | undefined {
    if (this.#isTraced) this.#deps.log.info('fault point', { kind, way, point });
    const rules = this.#rules.filter((rule) => rule.point === point && isFor(rule, kind, way));
    const action = rules.find((rule) => this.#isNow(rule))?.action;
    if (action !== undefined) this.#deps.log.warn('breaks here on purpose', { kind, way, point, action });
    return action;
  }

  #isNow(rule: Rule): boolean {
    const count = (this.#met.get(rule) ?? 0) + 1;
    this.#met.set(rule, count);
    return count === rule.occurrence;
  }

  async #break(action: Action | undefined, kind: LedgerKind, point: Point, signal: AbortSignal): Promise<void> {
    switch (action) {
      case 'kill':
        this.#deps.kill();
        return;
      case 'error':
        throw new Fault('tool', `${kind} fails on purpose, ${point} its act`);
      case 'hang':
      case 'hold':
        await this.#deps.clock.sleep(action === 'hold' ? HOLD_MS : HANG_MS[point], signal);
        throw new Fault('timeout', `${kind} hung on purpose, ${point} its act`);
      default:
    }
  }
}

const isFor = (rule: Rule, kind: LedgerKind, way: Way): boolean =>
  rule.way === way && (rule.kind === kind || rule.kind === '*');
