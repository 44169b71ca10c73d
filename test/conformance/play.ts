import { fromBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import type { Images } from './images.ts';
import type { HostFacts, Lab } from './lab.ts';
import { type Report, reportsIn } from './report.ts';
import type { GuestRow, RefusedRow, Result, Scene, Seeing, Seen } from './row.ts';

/** Boots a scene's guests, lets it go on, and judges its rows. What goes wrong is a row that is not ok, with the reason. */
export async function playScene(
  scene: Scene,
  wanted: readonly GuestRow[],
  lab: Lab,
  images: Images,
): Promise<readonly Result[]> {
  const specs = Object.entries(scene.guests(images));
  const uids: Record<string, string> = {};
  const uid = (guest: string): string => {
    const found = uids[guest];
    if (found === undefined) throw new Error(`The scene ${scene.name} has no guest ${guest}`);
    return found;
  };
  const counts: Record<string, number> = {};
  const next = async (guest: string): Promise<Report> => {
    counts[guest] = (counts[guest] ?? 0) + 1;
    return (await lab.report(uid(guest), counts[guest])).fresh();
  };
  const first: Record<string, { record: MicroVM; host: HostFacts }> = {};
  try {
    for (const [guest, spec] of specs) {
      const made = await lab.create({ ...spec, id: `${scene.name}-${guest}` });
      uids[guest] = made.spec?.uid ?? '';
    }
    for (const [guest] of specs) {
      await next(guest);
      const record = await lab.get(uid(guest));
      first[guest] = { record, host: await lab.facts(record) };
    }
    const guests: Record<string, Seen> = {};
    const look = async (guest: string): Promise<Seen> => {
      const console = await lab.console(uid(guest));
      const reports = reportsIn(console);
      const [report] = reports;
      const known = first[guest];
      if (!report || !known) throw new Error(`${guest} has not reported`);
      return { ...known, report, reports, console, guests, notes };
    };
    const notes: Record<string, string> = {};
    const removed = new Set<string>();
    const told = await scene.next?.({
      uid,
      record: (guest) => lab.get(uid(guest)),
      ask: async (guest, ...words) => {
        await lab.type(uid(guest), words.join(' '));
        return next(guest);
      },
      reboot: async (guest) => {
        await lab.type(uid(guest), 'reboot');
        return next(guest);
      },
      restartDaemon: () => lab.restart(),
      remove: async (guest) => {
        guests[guest] = await look(guest);
        removed.add(guest);
        await lab.remove(uid(guest));
        return lab.get(uid(guest));
      },
      select: (labels) => lab.select(labels),
      first: (guest) => first[guest]?.record as MicroVM,
    });
    Object.assign(notes, told);
    for (const [guest] of specs) if (!removed.has(guest)) guests[guest] = await look(guest);
    const [main = ''] = specs[0] ?? [];
    const seen = guests[main];
    if (!seen) throw new Error(`The scene ${scene.name} has no guests`);
    return wanted.map((row) => judge(row, seen));
  } catch (cause) {
    return wanted.map((row) => failed(row, cause));
  } finally {
    for (const one of Object.values(uids)) await lab.remove(one);
  }
}

/** One row of a guest that has reported. */
export function judge(row: GuestRow, seen: Seen): Result {
  const reports = seen.reports.map((report) => report.fresh());
  const guests = Object.fromEntries(
    Object.entries(seen.guests).map(([name, other]) => [name, { ...other, report: other.report.fresh() }]),
  );
  const fresh: Seen = { ...seen, report: reports[0] ?? seen.report.fresh(), reports, guests };
  try {
    const expected = typeof row.expected === 'string' ? row.expected : row.expected(fresh);
    const inGuest = compare(row.guest(fresh), expected);
    const onHost = row.host ? compare(row.host(fresh), expected) : { ok: true, text: '' };
    const all = [...reports, ...Object.values(guests).map((other) => other.report)];
    const evidence = [...new Set(all.flatMap((report) => report.evidence))];
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
  const [what = '', ...more] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
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
  const expected = `INVALID_ARGUMENT ${row.field}: …${row.words}…`;
  const result = (ok: boolean, seen: string): Result => ({
    row: row.row,
    ok,
    basis: 'refused',
    expected,
    seen_in_guest: '',
    seen_on_host: seen,
    evidence: [],
  });
  let made: MicroVM;
  try {
    made = await lab.create(row.spec(images));
  } catch (error) {
    const fault = ConnectError.from(error);
    const violations = fault.details.flatMap((detail) =>
      'type' in detail && detail.type === 'google.rpc.BadRequest'
        ? fromBinary(BadRequestSchema, detail.value).fieldViolations
        : [],
    );
    const said = violations.find(({ field }) => field === row.field);
    const ok = fault.code === Code.InvalidArgument && said?.description.includes(row.words) === true;
    return result(ok, said ? `${said.field}: ${said.description}` : fault.rawMessage);
  }
  await lab.remove(made.spec?.uid ?? '');
  return result(false, 'accepted');
}
