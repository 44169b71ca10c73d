import type { Group, Run } from '../measure/group.ts';
import { type Guests, timed, withGuest } from '../measure/guest.ts';
import { Inside } from '../measure/inside.ts';
import type { Measure } from '../row.ts';

const WORDS = 200;
const OPENS = 50;
const STREAMS = 3;
const MEGABYTES = 100;
const ECHO = 7;
const SOURCE = 9;

/** Ports of a guest, by an open gRPC connection, beside the channel that they go through. */
export const forwards: Group = {
  rows: ['forward-word', 'forward-open', 'forward-out'],
  needs: ['root'],
  measure: (run: Run) =>
    withGuest({}, async (guest) => {
      const { uid, guests, floor } = guest;
      const inside = await Inside.in(guest);
      await inside.serve(ECHO, SOURCE, MEGABYTES << 20);
      // What the guest's own kernel takes for it is nobody's of ours.
      const least = async (what: 'word' | 'open'): Promise<number> =>
        (await floor.ask<number>({ do: 'ping' })) + (await inside.ms(`${what} 3 ${ECHO}`));
      const word: Measure = await words(run, guests, uid, () => least('word'));
      const open = { ours: [] as number[], reference: [] as number[] };
      for (let i = 0; i < run.runs(OPENS); i++) {
        open.ours.push(
          await timed(async () => {
            await using way = await Way.open(guests, uid, ECHO);
            await way.word();
          }),
        );
        open.reference.push(await least('open'));
      }
      const out = { ours: [] as number[], reference: [] as number[], paired: true };
      const rate = (ms: number): number => MEGABYTES / (ms / 1_000);
      for (let i = 0; run.wants('forward-out') && i < run.runs(STREAMS); i++) {
        out.ours.push(rate(await timed(() => all(guests, uid))));
        out.reference.push(rate(await floor.ask<number>({ do: 'echo', bytes: MEGABYTES << 20 })));
      }
      return { 'forward-word': word, 'forward-open': open, 'forward-out': out };
    }),
};

async function words(run: Run, guests: Guests, uid: string, least: () => Promise<number>): Promise<Measure> {
  const measure = { ours: [] as number[], reference: [] as number[] };
  await using way = await Way.open(guests, uid, ECHO);
  for (let i = 0; i < run.runs(WORDS); i++) {
    measure.ours.push(await timed(() => way.word()));
    measure.reference.push(await least());
  }
  return measure;
}

/** Until its server has said all. */
async function all(guests: Guests, uid: string): Promise<void> {
  let bytes = 0;
  const never = Promise.withResolvers<void>();
  async function* start() {
    yield { payload: { case: 'start' as const, value: { uid, port: SOURCE } } };
    await never.promise;
  }
  for await (const { payload } of guests.forward(start())) {
    if (payload.case === 'data') bytes += payload.value.length;
    if (payload.case === 'dataEof') never.resolve();
  }
  if (bytes !== MEGABYTES << 20) throw new Error(`${bytes} bytes came`);
}

/** A connection to a server in the guest that sends back what it gets. */
class Way implements AsyncDisposable {
  readonly #answers: AsyncIterator<{ readonly payload: { readonly case?: string | undefined } }>;
  #say = (_: boolean): void => undefined;

  private constructor(guests: Guests, uid: string, port: number) {
    const said = (): Promise<boolean> =>
      new Promise((resolve) => {
        this.#say = resolve;
      });
    let next = said();
    async function* messages() {
      yield { payload: { case: 'start' as const, value: { uid, port } } };
      while (await next) {
        next = said();
        yield { payload: { case: 'data' as const, value: Buffer.from('x') } };
      }
    }
    this.#answers = guests.forward(messages())[Symbol.asyncIterator]();
  }

  static async open(guests: Guests, uid: string, port: number): Promise<Way> {
    const way = new Way(guests, uid, port);
    await way.#answers.next();
    return way;
  }

  /** One byte there and back. */
  async word(): Promise<void> {
    this.#say(true);
    const { done, value } = await this.#answers.next();
    if (done || value.payload.case !== 'data') throw new Error('no word came back');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#say(false);
    for (let next = await this.#answers.next(); !next.done; ) next = await this.#answers.next();
  }
}
