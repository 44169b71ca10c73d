import { readFileSync } from 'node:fs';
import { formatEndpoint, parseEndpoint } from '../api/endpoint.ts';
import { errorTrace } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import { socketPath } from '../domain/names.ts';
import { clock } from '../host/clock.ts';
import { run as runTool } from '../host/run.ts';
import type { Acts } from '../ports/acts.ts';
import type { Log } from '../ports/log.ts';
import { accessWarnings } from './access-warnings.ts';
import { faulty } from './acts/faults.ts';
import { createProgram, type Options } from './command-line.ts';
import { compose } from './compose.ts';
import { CONFIG_VARIABLE, type Configured, configure, httpEndpoints } from './config.ts';
import { checkedText, exampleFile } from './describe.ts';
import { goFirst } from './go-first.ts';
import { socketGroup } from './groups.ts';
import { createLog } from './log.ts';
import { notifyReady } from './notify.ts';
import { open } from './open.ts';
import { SETTING_NAMES, type SettingName } from './settings.ts';
import { teardown } from './teardown.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function configured(options: Options, wrong: readonly string[]): Configured {
  const flags = Object.fromEntries(SETTING_NAMES.map((name): [SettingName, unknown] => [name, options[camel(name)]]));
  const { config } = options;
  return configure(flags, process.env, typeof config === 'string' ? config : process.env[CONFIG_VARIABLE], wrong);
}

const camel = (name: string): string => name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

async function run(options: Options, wrong: readonly string[]): Promise<void> {
  const settings = configured(options, wrong);
  const { config, sources } = settings;
  if (options.configCheck !== undefined) {
    process.stdout.write(checkedText(settings, options.configCheck === 'json' ? 'json' : 'yaml'));
    return;
  }
  needRoot();
  process.umask(0o077);
  const log = createLog(config['log-format'], config.verbosity);
  goFirst(log);
  // Whoever read our output may go: then it is written for nobody, and that is no fault to report, again and again.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.on('unhandledRejection', (error) => log.error('a bug: nobody waited for this', { error: errorTrace(error) }));
  process.on('uncaughtException', (error) => log.error('a bug: nobody caught this', { error: errorTrace(error) }));
  for (const warning of accessWarnings(settings)) log.warn(warning);

  const ended = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve(signal));

  let reload = (): void => undefined;
  process.on('SIGHUP', () => reload());

  const gid = socketGroup(config['socket-group'], sources['socket-group'] !== 'default');
  const opened = await open(config, version, log, breaking(log));
  const daemon = await compose(config, version, opened, log, gid).catch((error: unknown) => {
    opened.close();
    throw error;
  });
  reload = () => daemon.reload();
  try {
    const socket = parseEndpoint(`unix://${socketPath(opened.names)}`);
    const shared = gid === undefined ? {} : { socketGid: gid };
    const served: string[] = [];
    const grpc = [socket, ...config['grpc-endpoint'].map(parseEndpoint)];
    const unique = [...new Map(grpc.map((endpoint) => [formatEndpoint(endpoint), endpoint])).values()];
    for (const endpoint of unique) served.push(`grpc=${formatEndpoint(await daemon.listen('grpc', endpoint, shared))}`);
    for (const text of httpEndpoints(settings))
      served.push(`http=${formatEndpoint(await daemon.listen('http', parseEndpoint(text), shared))}`);
    log.info('flintlockd serves', {
      version,
      instance: opened.names.instance,
      stateDirectory: opened.names.stateDirectory,
    });
    await Promise.race([daemon.recover(), ended.promise]);
    process.stdout.write(`flintlockd ready ${served.join(' ')}\n`);
    await notifyReady({ run: runTool, log }, process.env.NOTIFY_SOCKET);
    log.info('flintlockd ends', { signal: await ended.promise });
  } finally {
    await Promise.race([daemon.stop(), late(STOP_MS, log)]);
  }
}

async function tearDown(options: Options, wrong: readonly string[]): Promise<void> {
  // It serves nothing, so nothing of that can be wrong.
  const { config } = configured({ ...options, grpcEndpoint: ['unix:///run/none.sock'], httpEndpoint: [] }, wrong);
  needRoot();
  process.umask(0o077);
  const log = createLog(config['log-format'], config.verbosity);
  const opened = await open(config, version, log, breaking(log));
  try {
    const count = await teardown(opened, AbortSignal.timeout(600_000 * config.patience));
    process.stdout.write(count === 0 ? 'nothing to remove\n' : `removed the network: ${count} things\n`);
  } finally {
    opened.close();
  }
}

const breaking =
  (log: Log) =>
  (acts: Acts): Acts =>
    faulty(acts, process.env, { log, clock, kill: () => process.kill(process.pid, 'SIGKILL') });

function needRoot(): void {
  if (process.geteuid?.() !== 0)
    throw new Fault(
      'denied',
      'flintlockd makes network devices and changes users: run it as root, for instance with sudo',
    );
}

/** A step that the kernel does not let go must not keep the daemon: what it did stands in the ledger. */
const STOP_MS = 4_000;

async function late(ms: number, log: Log): Promise<void> {
  await clock.sleep(ms, new AbortController().signal);
  log.warn('a step did not end in time and is left as it is: the next daemon goes on with it', { ms });
}

const program = createProgram(version, { run, tearDown, example: () => void process.stdout.write(exampleFile()) });

/** As the program that was started. */
export async function start(): Promise<void> {
  try {
    await program.parseAsync();
    process.exit(0);
  } catch (error) {
    process.stderr.write(`flintlockd: ${error instanceof Fault ? error.message : errorTrace(error)}\n`);
    process.exit(1);
  }
}

if (import.meta.main) await start();
