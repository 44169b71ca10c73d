import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beGuest, countedOf, hearCtrlAltDel, powerBy, wordIn } from './guest.ts';
import { PAYLOAD_BYTES, serveHttp } from './http.ts';
import { Machine, VERSION } from './machine.ts';

/**
 * A program that does what Firecracker does, but for running guests: same flags, same API, same ends. `FIRECRACKER_STAND_IN` in its
 * environment, and `stand-in=WORD` in the guest's command line, make it misbehave.
 */
const WITH_VALUE = [
  ...[
    '--api-sock',
    '--id',
    '--log-path',
    '--metrics-path',
    '--level',
    '--module',
    '--http-api-max-payload-size',
    '--mmds-size-limit',
  ],
  // A jailer's.
  ...['--start-time-us', '--start-time-cpu-us', '--parent-cpu-time-us'],
];
const WITHOUT = [
  '--version',
  '--help',
  '--no-seccomp',
  '--show-level',
  '--show-log-origin',
  '--enable-pci',
  '--boot-timer',
];
const LEVELS = ['Error', 'Warning', 'Info', 'Debug', 'Trace', 'Off'];

/** Ends with a status, and nothing removed: Firecracker leaves its socket behind. */
function end(status: number, error: string): never {
  writeSync(2, `Error: ${error}\n`);
  process.exit(status);
}

function argumentsOf(words: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const name = word.replace(/^--/, '');
    if (found.has(word)) end(153, `ParseArguments(DuplicateArgument("${name}"))`);
    if (WITHOUT.includes(word)) found.set(word, '');
    else if (!WITH_VALUE.includes(word)) end(153, `ParseArguments(UnexpectedArgument("${name}"))`);
    else {
      const value = words[++i];
      if (value === undefined || value.startsWith('--')) end(153, `ParseArguments(MissingValue("${name}"))`);
      found.set(word, value ?? '');
    }
  }
  return found;
}

// A jailer leaves none, and what the stand-in has of programs must be found.
process.env.PATH ??= '/usr/sbin:/usr/bin:/sbin:/bin';
const misbehaviour = process.env.FIRECRACKER_STAND_IN ?? '';
if (misbehaviour === 'hangs') await sleep(2 ** 30);
const given = argumentsOf(process.argv.slice(2));
if (given.has('--version')) {
  if (misbehaviour !== 'silent')
    writeSync(1, `Firecracker v${process.env.FIRECRACKER_STAND_IN_VERSION ?? VERSION}\n\n`);
  process.exit(0);
}
const id = given.get('--id') ?? 'anonymous-instance';
if (!/^[\p{L}\p{N}-]{1,64}$/u.test(id)) {
  writeSync(1, 'Firecracker panicked: Invalid instance ID\n');
  process.abort();
}
if (!LEVELS.includes(given.get('--level') ?? 'Info'))
  end(152, `InvalidLogLevel(LevelFilterFromStrError("${given.get('--level')}"))`);
const log = openLog(given.get('--log-path'));
const tell = (line: string): void => {
  if (log !== undefined) writeSync(log, `${new Date().toISOString()} [${id}:main] ${line}\n`);
  else writeSync(1, `${line}\n`);
};
const metrics = openMetrics(given.get('--metrics-path'));
const path = given.get('--api-sock') ?? '/run/firecracker.socket';
if (existsSync(path)) end(1, `RunWithApi(FailedToBindSocket("${path}"))`);
if (misbehaviour === 'exits') end(1, 'nothing would do');
if (misbehaviour === 'never-listens') await sleep(2 ** 30);

// It is answered before.
const payloadBytes = Number(given.get('--http-api-max-payload-size') ?? PAYLOAD_BYTES);
const machine: Machine = new Machine(
  { id, mmdsBytes: Number(given.get('--mmds-size-limit') ?? payloadBytes), pci: given.has('--enable-pci') },
  (begun) => setImmediate(() => beGuest(begun)),
  () => setImmediate(() => hearCtrlAltDel(machine.cmdline)),
  () => void (metrics !== undefined && writeSync(metrics, `${JSON.stringify(countedOf(machine.cmdline))}\n`)),
);
const server = serveHttp(path, payloadBytes, async (asked) => {
  if (given.get('--level') !== 'Warning') tell(`The API server received a ${asked.method} request on ${asked.path}`);
  const isStart = asked.path === '/actions' && (asked.body ?? '').includes('InstanceStart');
  const word = wordIn(machine.cmdline);
  if (word === 'slow') await sleep(300);
  if (isStart && word === 'exit') end(1, 'it went wrong');
  if (isStart && word === 'hang') return undefined;
  if (isStart && word === 'no-kvm')
    return refused('Start microvm error: Kvm error: Error creating KVM object: Permission denied (os error 13)');
  if (asked.path === '/entropy' && word === 'refuse') return refused('Entropy config error: it was told to refuse');
  if (word === 'garbage' && machine.isStarted) return { status: 200, body: 'no JSON' };
  const answer = await machine.answer(asked);
  if (isStart && word === 'deaf') setImmediate(() => server.close());
  return answer;
});
server.on('error', (error) => end(1, `RunWithApi(FailedToBindAndRunHttpServer(IOError(${error.message})))`));
const refused = (words: string) => ({ status: 400, body: JSON.stringify({ fault_message: words }) });
process.on('SIGHUP', () => process.exit(156));
process.on('SIGUSR1', () => powerBy('reboot'));
process.on('SIGUSR2', () => {
  machine.halt();
  if (wordIn(machine.cmdline) !== 'mute') powerBy('poweroff');
});

/** A FIFO, or a file that is made: without waiting for a reader. */
function openMetrics(place: string | undefined): number | undefined {
  if (place === undefined) return undefined;
  try {
    return openSync(place, constants.O_RDWR | constants.O_NONBLOCK | constants.O_CREAT, 0o666);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return end(1, `RunWithApi(MetricsInitialization(InitializationFailure("${why}")))`);
  }
}

/** From the beginning of the file, whatever stands there. */
function openLog(place: string | undefined): number | undefined {
  if (place === undefined) return undefined;
  try {
    if (!existsSync(place)) closeSync(openSync(place, 'w'));
    return openSync(place, 'r+');
  } catch (error) {
    return end(1, `LoggerInitialization(Io(${error instanceof Error ? error.message : String(error)}))`);
  }
}
