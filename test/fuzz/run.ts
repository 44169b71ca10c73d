import fc from 'fast-check';
import { attackOn } from './attacks.ts';
import type { Attack } from './bytes.ts';
import { Caller } from './callers.ts';
import { Canary } from './canary.ts';
import { idlers } from './idlers.ts';
import { servedServices } from './served.ts';
import type { FuzzTarget, Memory } from './target.ts';

export interface FuzzOptions {
  readonly seed: number;
  /** How many attacks at most. */
  readonly requests: number;
  /** No new one begins after it. */
  readonly seconds: number;
  /** The number of the first one: with `seed` and a small `requests` a finding is seen again. */
  readonly from: number;
  say(line: string): void;
}

export interface FuzzReport {
  readonly requests: number;
  readonly seconds: number;
  /** How often each kind of answer came. */
  readonly answers: ReadonlyMap<string, number>;
  /** All that must not be, each with what led to it. */
  readonly findings: readonly string[];
  readonly canary: { readonly count: number; readonly medianMs: number; readonly maxMs: number };
  /** After the warm-up, in the middle, and at the end. */
  readonly before: Memory;
  readonly middle: Memory;
  readonly after: Memory;
}

/** So many are made of one seed at a time. */
const BATCH = 50;
/** Of the findings; the rest is only counted. */
const SHOWN = 30;
/** Callers at a time. */
const CALLERS = 24;
const IDLERS = 25;
const TIDY_MS = 500;
/**
 * The canary's Get and List together, by their median: it is under 0.1 s on a
 * busy machine. One of them may be late there for reasons that are not ours;
 * one that is not answered at all is a finding of its own.
 */
const CANARY_MEDIAN_MS = 1_000;
/** Of the attacks the first tenth, and at least so many, warm the daemon up: its code is compiled and its caches are filled. */
const WARM_UP = 400;
/**
 * What the second half of the attacks may leave behind, measured after the
 * garbage was collected. V8 compiles more at first, and the store's caches
 * grow to a bound: from the warm-up to the middle it was 1 to 5 MiB, from
 * there to the end of 100,000 under 1 MiB. A leak of 50 bytes a request goes
 * beyond it there; a short run sees only large ones.
 */
const HEAP_GROWTH = 2 << 20;
const SHORT_RUN = 20_000;
const HEAP_GROWTH_OF_SHORT = 8 << 20;
/**
 * Outside the heap there are pages that malloc keeps for the next body of
 * 5 MiB: in the second half of 100,000 requests 8 to 62 MiB more, and of
 * 300,000 not more (179, then 208 MiB in all). A leak of two kilobytes each goes beyond it.
 */
const RSS_GROWTH = 80 << 20;
const MIB = 2 ** 20;

/** Does to a real daemon whatever callers may do, and says what must not have been. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  const { seed, requests, seconds, from, say } = options;
  const services = await servedServices(target.transport);
  const victims = await Promise.all(['one', 'two'].map((id) => target.victim(id)));
  const { microvm } = await target.host.vms.listMicroVMs({});
  const known = [...victims, 'one', 'two', 'victims', 'kept', 'fuzz', 'root', 'default', 'registry.invalid/kernel:1'];
  say(
    `fuzz: ${services.length} services, ${services.flatMap((s) => s.methods).length} methods; ${microvm.length} microVMs`,
  );
  // Uids differ from run to run: they stand where the same index is drawn, so that a seed makes the same attacks.
  const arbitrary = attackOn(services, { known });
  const findings: string[] = [];
  const answers = new Map<string, number>();
  const attacks = sequence(arbitrary, seed, from, requests);
  const end = performance.now() + seconds * 1_000;
  let done = 0;
  const found = (finding: string): void => {
    findings.push(finding);
    if (findings.length <= SHOWN) say(`FOUND ${finding}`);
  };

  const work = async (until: number, last: number): Promise<void> => {
    const caller = new Caller(target.sockets);
    for (;;) {
      if (performance.now() > last || done >= until) break;
      const next = attacks.next();
      if (next.done) break;
      done++;
      const { index, attack } = next.value;
      const { word, finding } = await caller.run(attack);
      answers.set(word, (answers.get(word) ?? 0) + 1);
      if (finding !== undefined) found(`--seed ${seed} --from ${index} --requests 1: ${describe(attack)}: ${finding}`);
    }
    caller.close();
  };
  const crowd = (until: number, last = end): Promise<unknown> =>
    Promise.all(Array.from({ length: CALLERS }, () => work(until, last)));

  let tidying = Promise.resolve();
  const janitor = setInterval(() => {
    tidying = tidying.then(() => target.tidy()).catch((error: unknown) => found(`the list failed: ${error}`));
  }, TIDY_MS);
  const began = performance.now();
  const canary = new Canary(target);
  let stopIdlers = idlers(target.sockets, IDLERS);
  await crowd(Math.max(WARM_UP, requests / 10));
  stopIdlers();
  const before = await target.settled();
  const filesBefore = target.openFiles();
  say(`fuzz: warmed up by ${done} requests: ${memoryText(before)}, ${filesBefore} open files`);
  stopIdlers = idlers(target.sockets, IDLERS);
  const progress = setInterval(() => say(`fuzz: ${done} of ${requests}, ${findings.length} findings`), 15_000);
  const warm = done;
  await crowd(warm + (requests - warm) / 2, end - (seconds * 1_000) / 2);
  const middle = await target.settled();
  await crowd(requests);
  clearInterval(progress);
  stopIdlers();
  clearInterval(janitor);
  await tidying;
  const sung = await canary.stop();
  const after = await target.settled();

  for (const failure of canary.failures) found(`another caller, meanwhile: ${failure}`);
  if (sung.medianMs > CANARY_MEDIAN_MS) found(`another caller waited ${sung.medianMs.toFixed(0)} ms each time`);
  for (const line of target.bugs()) found(`the log says: ${line.slice(0, 1_000)}`);
  const growth = after.heapBytes + after.externalBytes - middle.heapBytes - middle.externalBytes;
  if (growth > (done < SHORT_RUN ? HEAP_GROWTH_OF_SHORT : HEAP_GROWTH))
    found(`the daemon holds ${(growth / MIB).toFixed(1)} MiB more than after half of the requests`);
  const pages = after.rssBytes - middle.rssBytes;
  if (pages > RSS_GROWTH) found(`the daemon is ${(pages / MIB).toFixed(1)} MiB larger than after half of the requests`);
  const files = target.openFiles() - filesBefore;
  if (files > CALLERS) found(`the daemon has ${files} more files open than after its warm-up`);
  const { leaked, missing } = await target.host.audit();
  if (leaked.length + missing.length > 0) found(`the audit: leaked ${leaked}, missing ${missing}`);
  return {
    requests: done,
    seconds: (performance.now() - began) / 1_000,
    answers,
    findings,
    canary: sung,
    before,
    middle,
    after,
  };
}

/** The same for the same seed, from wherever it begins. */
function* sequence(
  arbitrary: fc.Arbitrary<Attack>,
  seed: number,
  from: number,
  count: number,
): Generator<{ readonly index: number; readonly attack: Attack }> {
  let index = Math.floor(from / BATCH) * BATCH;
  for (; index < from + count; ) {
    const batch = fc.sample(arbitrary, { seed: seed + index / BATCH, numRuns: BATCH });
    for (const attack of batch) {
      if (index >= from && index < from + count) yield { index, attack };
      index++;
    }
  }
}

function describe(attack: Attack): string {
  const bytes = Buffer.from(attack.kind === 'raw' ? attack.bytes : attack.body);
  const shown = JSON.stringify(bytes.subarray(0, 300).toString('latin1'));
  switch (attack.kind) {
    case 'call':
      return `${attack.path} ${JSON.stringify(attack.headers).slice(0, 200)} ${shown}`;
    case 'http':
      return `${attack.method} ${attack.path.slice(0, 200)} ${shown}`;
    case 'raw':
      return `${attack.port} port: ${attack.name} ${shown}`;
    default:
      return attack satisfies never;
  }
}

export const memoryText = ({ heapBytes, externalBytes, rssBytes }: Memory): string =>
  `heap ${((heapBytes + externalBytes) / MIB).toFixed(1)} MiB, RSS ${(rssBytes / MIB).toFixed(0)} MiB`;
