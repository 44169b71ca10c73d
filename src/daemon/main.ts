import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { formatEndpoint, parseEndpoint } from '../api/endpoint.ts';
import { Fault } from '../domain/fault.ts';
import { socketPath } from '../domain/names.ts';
import { compose, open } from './compose.ts';
import { type Configured, configure, httpEndpoints } from './config.ts';
import { createLog } from './log.ts';
import { environmentName, SETTING_NAMES, type SettingName, settingOf } from './settings.ts';
import { teardown } from './teardown.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

type Options = Record<string, unknown>;

function withSettings(command: Command): Command {
  for (const name of SETTING_NAMES) {
    const { value, repeatable, help, default: standard } = settingOf(name);
    const option = new Option(
      value === undefined ? `--${name}` : `--${name} <${value}>`,
      `${help} [${describe(standard)}]`,
    );
    if (repeatable)
      option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
  }
  return command
    .option('--config <FILE>', 'a YAML file with the settings, named as the flags')
    .addHelpText('after', `\nEvery flag has an environment variable: --state-dir is ${environmentName('state-dir')}.`);
}

const describe = (standard: string | boolean | number | readonly string[]): string =>
  Array.isArray(standard) ? standard.join(', ') || 'none' : String(standard);

function configured(options: Options): Configured {
  const flags = Object.fromEntries(SETTING_NAMES.map((name): [SettingName, unknown] => [name, options[camel(name)]]));
  const { config } = options;
  return configure(flags, process.env, typeof config === 'string' ? config : process.env.FLINTLOCKD_CONFIG);
}

const camel = (name: string): string => name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

async function run(options: Options): Promise<void> {
  const settings = configured(options);
  const { config, sources } = settings;
  if (options.configCheck === true) {
    for (const name of SETTING_NAMES)
      process.stdout.write(`${name}: ${JSON.stringify(config[name])} # ${sources[name]}\n`);
    return;
  }
  needRoot();
  process.umask(0o077);
  const log = createLog(config['log-format'], config.verbosity);
  process.on('unhandledRejection', (error) => log.error('a bug: nobody waited for this', { error: trace(error) }));
  process.on('uncaughtException', (error) => log.error('a bug: nobody caught this', { error: trace(error) }));
  if (config.insecure) log.warn('TCP endpoints serve plain text: anybody who reaches them rules this host');

  const ended = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve(signal));

  const opened = await open(config, log);
  const daemon = await compose(config, version, opened, log).catch((error: unknown) => {
    opened.close();
    throw error;
  });
  try {
    const socket = parseEndpoint(`unix://${socketPath(opened.names)}`);
    const gid = groupId('flintlock');
    const served: string[] = [];
    const grpc = [socket, ...config['grpc-endpoint'].map(parseEndpoint)];
    const unique = [...new Map(grpc.map((endpoint) => [formatEndpoint(endpoint), endpoint])).values()];
    for (const endpoint of unique)
      served.push(
        `grpc=${formatEndpoint(await daemon.listen('grpc', endpoint, gid === undefined ? {} : { socketGid: gid }))}`,
      );
    for (const text of httpEndpoints(settings))
      served.push(`http=${formatEndpoint(await daemon.listen('http', parseEndpoint(text)))}`);
    log.info('flintlockd serves', {
      version,
      instance: opened.names.instance,
      stateDirectory: opened.names.stateDirectory,
    });
    await Promise.race([daemon.recover(), ended.promise]);
    process.stdout.write(`flintlockd ready ${served.join(' ')}\n`);
    log.info('flintlockd ends', { signal: await ended.promise });
  } finally {
    await daemon.stop();
  }
}

async function tearDown(options: Options): Promise<void> {
  const { config } = configured({ ...options, insecure: true });
  needRoot();
  process.umask(0o077);
  const opened = await open(config, createLog(config['log-format'], config.verbosity));
  try {
    const count = await teardown(opened, AbortSignal.timeout(60_000));
    process.stdout.write(count === 0 ? 'nothing to remove\n' : `removed the network: ${count} things\n`);
  } finally {
    opened.close();
  }
}

function needRoot(): void {
  if (process.geteuid?.() !== 0)
    throw new Fault(
      'denied',
      'flintlockd makes network devices and changes users: run it as root, for instance with sudo',
    );
}

/** Members of the group may use the socket without root. */
function groupId(name: string): number | undefined {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(':')[2]);
}

const trace = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

const program = new Command('flintlockd')
  .description('Creates microVMs on this host and keeps them true to their spec')
  .version(version)
  .showHelpAfterError('(flintlockd --help lists the commands and flags)');
withSettings(program.command('run').description('serve, in the foreground'))
  .option('--config-check', 'print what is in force and where each value came from, and end')
  .addHelpText(
    'after',
    `
Examples:
  sudo bin/flintlockd run --grpc-endpoint unix:///run/flintlock/api.sock --image-root /srv/images
  sudo bin/flintlockd run --insecure --managed-network 10.77.0.0/24`,
  )
  .action(run);
withSettings(
  program
    .command('teardown')
    .description('remove the managed network that outlives the daemon; no microVM may be left'),
).action(tearDown);

try {
  await program.parseAsync();
  process.exit(0);
} catch (error) {
  process.stderr.write(`flintlockd: ${error instanceof Fault ? error.message : trace(error)}\n`);
  process.exit(1);
}
