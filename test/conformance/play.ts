import { fromBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../../src/base/error-text.ts';
import { BadRequestSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { TooLate } from '../support/daemon.ts';
import type { Images } from './images.ts';
import type { HostFacts, Lab } from './lab.ts';
import { lackIn } from './lack.ts';
import { heardOn, type Report } from './report.ts';
import type { GuestRow, Played, RefusedRow, Result, Scene, Seeing, Seen } from './row.ts';

/** Boots a scene's guests, lets it go on, and judges its rows. What goes wrong is a row that is not ok, with the reason. */
export async function playScene(scene: Scene, wanted: readonly GuestRow[], lab: Lab, images: Images): Promise<Played> {
  const uids: Record<string, string> = {};
  const play = async (): Promise<Played> => {
    const seen = await watch(scene, uids, lab, images);
    return { results: wanted.map((row) => judge(row, seen)) };
  };
  const wrong = (cause: unknown): Played => ({
    results: wanted.map((row) => failed(row, cause)),
    ...(isLate(cause) && { late: textOf(cause) }),
  });
  const played = await play().catch(wrong);
  try {
    await Promise.all(Object.values(uids).map((uid) => lab.remove(uid)));
  } catch (cause) {
    return wrong(cause);
  }
  return played;
}

/** Whether it might have gone well on a machine that has more time. */
const isLate = (cause: unknown): boolean =>
  cause instanceof TooLate || (cause instanceof ConnectError && cause.code === Code.DeadlineExceeded);

const textOf = (cause: unknown): string => errorMessage(cause).split('\n')[0] ?? '';

/** Boots the guests and lets the scene go on. @param uids - is filled with the guests that are created */
async function watch(scene: Scene, uids: Record<string, string>, lab: Lab, images: Images): Promise<Seen> {
  const specs = Object.entries(scene.guests(images));
  const uid = (guest: string): string => uids[guest] ?? missing(scene, guest);
  const counts: Record<string, number> = {};
  const next = async (guest: string): Promise<Report> => {
    counts[guest] = (counts[guest] ?? 0) + 1;
    return (await lab.report(uid(guest), counts[guest], scene.slow)).fresh();
  };
  const first: Record<string, { record: MicroVM; host: HostFacts }> = {};
  for (const [guest, spec] of specs) {
    const made = await lab.create({ ...spec, id: `${scene.name}-${guest}` });
    uids[guest] = made.spec?.uid ?? '';
  }
  for (const [guest] of specs) {
    await next(guest);
    const record = await lab.seenAlive(uid(guest));
    first[guest] = { record, host: await lab.facts(record) };
  }
  const known = (guest: string) => first[guest] ?? missing(scene, guest);
  const guests: Record<string, Seen> = {};
  const look = async (guest: string): Promise<Seen> => {
    const console = await lab.console(uid(guest));
    const { reports } = heardOn(console);
    const [report] = reports;
    if (!report) throw new Error(`${guest} has not reported`);
    return { ...known(guest), report, reports, console, guests, notes };
  };
  const notes: Record<string, string> = {};
  const removed = new Set<string>();
  const told = await scene.next?.({
    uid,
    record: (guest) => lab.get(uid(guest)),
    ask: (guest, ...words) => lab.type(uid(guest), words.join(' '), next(guest)),
    reboot: (guest) => lab.type(uid(guest), 'reboot', next(guest)),
    powerOff: (guest) => lab.type(uid(guest), 'poweroff', next(guest)),
    restartDaemon: () => lab.restart(),
    agent: (guest) => lab.agent(uid(guest)),
    configured: (guest) => lab.configured(uid(guest)),
    remove: async (guest) => {
      guests[guest] = await look(guest);
      removed.add(guest);
      await lab.remove(uid(guest));
      return lab.get(uid(guest));
    },
    fetch: (url) => lab.fetch(url),
    select: (labels) => lab.select(labels),
    first: (guest) => known(guest).record,
  });
  Object.assign(notes, told);
  for (const [guest] of specs) if (!removed.has(guest)) guests[guest] = await look(guest);
  const [main = ''] = specs[0] ?? [];
  const seen = guests[main];
  if (!seen) throw new Error(`The scene ${scene.name} has no guests`);
  return seen;
}

function missing(scene: Scene, guest: string): never {
  throw new Error(`The scene ${scene.name} has no guest ${guest}`);
}

/** One row of a guest that has reported. */
export function judge(row: GuestRow, seen: Seen): Result {
  // What it looks at is its evidence, and no other row's.
  const renewed = (one: Seen): Seen => {
    const reports = one.reports.map((report) => report.fresh());
    return { ...one, reports, report: reports[0] ?? one.report.fresh() };
  };
  const own = renewed(seen);
  const others = Object.entries(seen.guests).map(([name, one]) => [name, one === seen ? own : renewed(one)] as const);
  const fresh: Seen = { ...own, guests: Object.fromEntries(others) };
  try {
    const expected = typeof row.expected === 'string' ? row.expected : row.expected(fresh);
    const inGuest = compare(row.guest(fresh), expected);
    const onHost = row.host ? compare(row.host(fresh), expected) : { ok: true, text: '' };
    const looked = new Set([own, ...others.map(([, one]) => one)]);
    const evidence = [...looked].flatMap(({ reports }) => reports.flatMap((report) => report.evidence));
    return {
      row: row.row,
      // A row that no line of the guest stands behind proves nothing.
      ok: inGuest.ok && onHost.ok && evidence.length > 0,
      basis: 'guest',
      expected,
      seen_in_guest: inGuest.text,
      seen_on_host: onHost.text,
      evidence,
    };
  } catch (cause) {
    return failed(row, cause);
  }
}

function compare(seeing: Seeing, expected: string): { readonly ok: boolean; readonly text: string } {
  return typeof seeing === 'string' ? { ok: seeing === expected, text: seeing } : seeing;
}

function failed(row: GuestRow, cause: unknown): Result {
  const [what = '', ...more] = errorMessage(cause).split('\n');
  return {
    row: row.row,
    ok: false,
    basis: 'guest',
    expected: typeof row.expected === 'string' ? row.expected : '',
    seen_in_guest: what,
    seen_on_host: '',
    evidence: more.map((line) => line.trim()).filter((line) => line !== ''),
  };
}

/** Asks for what cannot be. */
export async function playRefused(row: RefusedRow, lab: Lab, images: Images): Promise<Result> {
  const expected = `${row.code ?? 'INVALID_ARGUMENT'} ${row.field}: …${row.words}…`;
  const result = (ok: boolean, seen: string): Result => ({
    row: row.row,
    ok,
    basis: 'refused',
    expected,
    seen_in_guest: '',
    seen_on_host: seen,
    evidence: [],
  });
  let other: MicroVM | undefined;
  try {
    other = row.beside && (await lab.create(row.beside(images)));
  } catch (error) {
    // Where there can be no other, there is no two of it.
    const lack = lackIn(error);
    return result(lack !== undefined, lack ?? errorMessage(error));
  }
  let made: MicroVM;
  try {
    made = await lab.create(row.spec(images, lab.features));
  } catch (error) {
    const fault = ConnectError.from(error);
    const violations = fault.details.flatMap((detail) =>
      'type' in detail && detail.type === 'google.rpc.BadRequest'
        ? fromBinary(BadRequestSchema, detail.value).fieldViolations
        : [],
    );
    const said = violations.find(({ field }) => field === row.field);
    const code = row.code === 'FAILED_PRECONDITION' ? Code.FailedPrecondition : Code.InvalidArgument;
    // What a provider lacks is refused whatever else is wrong with it.
    const isLack = said !== undefined && lackIn(error) !== undefined;
    const ok = fault.code === code && (isLack || said?.description.includes(row.words) === true);
    return result(ok, said ? `${said.field}: ${said.description}` : fault.rawMessage);
  } finally {
    if (other) await lab.remove(other.spec?.uid ?? '');
  }
  await lab.remove(made.spec?.uid ?? '');
  return result(false, 'accepted');
}
