import { existsSync, fstatSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { eventMonitor } from './events.ts';
import { relay } from './front.ts';
import { beGuest, wordIn } from './guest.ts';
import { BUILD, Machine } from './machine.ts';

/**
 * A program that does what Cloud Hypervisor does, but for KVM and running guests: same flags, same API, same ends.
 * `CLOUD_HYPERVISOR_STAND_IN` in its environment, and `stand-in=WORD` in the guest's command line, make it misbehave.
 */
const WITH_VALUE = ['--api-socket', '--event-monitor', '--seccomp', '--log-file'];
const WITHOUT = ['--version', '--no-shutdown', '-v'];

/** Errors of its arguments are clap's. */
function usage(error: string): never {
  writeSync(2, `error: ${error}\n\nFor more information, try '--help'.\n`);
  process.exit(2);
}

function fatal(...chain: string[]): never {
  const lines = chain.map((word, i) => `  ${i}: ${word}`);
  writeSync(2, `Error: Cloud Hypervisor exited with the following chain of errors:\n${lines.join('\n')}\n`);
  process.exit(1);
}

function argumentsOf(words: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (!WITH_VALUE.includes(word) && !WITHOUT.includes(word)) usage(`unexpected argument '${word}' found`);
    if (found.has(word)) usage(`the argument '${word}' cannot be used multiple times`);
    const value = WITH_VALUE.includes(word) ? words[++i] : '';
    if (value === undefined) usage(`a value is required for '${word}' but none was supplied`);
    found.set(word, value ?? '');
  }
  return found;
}

const misbehaviour = process.env.CLOUD_HYPERVISOR_STAND_IN ?? '';
if (misbehaviour === 'hangs') await sleep(2 ** 30);
const given = argumentsOf(process.argv.slice(2));
if (given.has('--version')) {
  if (misbehaviour !== 'silent')
    writeSync(
      1,
      `cloud-hypervisor ${process.env.CLOUD_HYPERVISOR_STAND_IN_VERSION ?? BUILD}\nMigration Protocol Versions: 1\n`,
    );
  process.exit(0);
}
if (misbehaviour === 'exits') fatal('Failed to open hypervisor interface (is hypervisor interface available?)');
if (misbehaviour === 'never-listens') await sleep(2 ** 30);
const tell = eventMonitor(given.get('--event-monitor')) ?? fatal('Error parsing --event-monitor: path or fd required');
tell('vmm', 'starting');

const stays = given.has('--no-shutdown');
const socket = given.get('--api-socket') ?? '';
const path = socket.startsWith('fd=') ? undefined : socket.replace(/^path=/, '');
const end = (): never => {
  if (path !== undefined && existsSync(path)) unlinkSync(path);
  process.exit(0);
};
const machine = new Machine(
  tell,
  (booted) =>
    beGuest(booted, {
      powerOff: () => machine.powerOff(stays),
      reset: () => machine.reset(),
      panic: (event) => tell('guest', 'panic', { event }),
      die: () => process.kill(process.pid, 'SIGSEGV'),
    }),
  end,
);
// What a command in the guest does to its power.
process.on('SIGUSR1', () => machine.reset());
process.on('SIGUSR2', () => machine.powerOff(stays));
process.on('SIGTERM', () => {
  if (misbehaviour === 'ignores-term') return;
  machine.terminate();
  end();
});

// Input is read where it is a terminal, alone.
if (isatty(0)) process.stdin.on('error', () => undefined);

const server = createServer((request, response) => void serve(request, response));
server.keepAliveTimeout = 0;

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces).toString();
  const asked = request.url ?? '';
  const descriptors = String(request.headers['x-descriptors'] ?? '')
    .split(',')
    .filter((one) => one !== '');
  const word = wordIn(machine.cmdline) || wordIn(/"cmdline":"([^"]*)"/.exec(body)?.[1] ?? '');
  const isBoot = asked === '/api/v1/vm.boot';
  if (word === 'slow') await sleep(300);
  if (isBoot && word === 'exit') fatal('Error booting VM', 'it went wrong');
  if (isBoot && word === 'hang') return;
  if (word === 'deaf-door' && asked === '/api/v1/vm.pause') return void request.socket.destroy();
  const { method = '' } = request;
  // Of the layer below, whose words are no JSON; and the one request that must bring something.
  if (!['GET', 'PUT', 'PATCH', 'DELETE'].includes(method))
    return void response.writeHead(400, '').end('no such method');
  if (asked === '/api/v1/vm.create' && method === 'PUT' && body === '') return void response.writeHead(400, '').end();
  const refused = { status: 500, body: ['Error from API', 'The VM could not boot', 'it was told to refuse'] };
  const answer = isBoot && word === 'refuse' ? refused : machine.answer({ method, path: asked, body, descriptors });
  const headers = { Server: 'Cloud Hypervisor API', Connection: 'keep-alive', 'Content-Type': 'application/json' };
  if (answer.body === undefined) return void response.writeHead(answer.status, '', headers).end();
  // Of those 64 bits that no number of JavaScript's holds.
  const text = JSON.stringify(answer.body).replaceAll(
    '"read_bytes":512',
    '"read_bytes":512,"read_latency_min":18446744073709551615',
  );
  response.writeHead(answer.status, '', { ...headers, 'Content-Length': Buffer.byteLength(text) }).end(text);
}

server.on('error', (error) => fatal('Error creating API server', error.message));
if (path === undefined) {
  const fd = Number(socket.slice('fd='.length));
  if (!fstatSync(fd).isSocket()) fatal('Error parsing --api-socket', 'it is no socket');
  const name = `flintlock-stand-in-${process.pid}`;
  server.listen(`\0${name}`, () => relay(fd, name));
} else {
  if (path === '') usage("the following required arguments were not provided: '--api-socket'");
  const isInUse = existsSync(path) && (await answers(path));
  if (isInUse) fatal('Error creating API server', `${path} is already in use by another running instance`);
  if (existsSync(path)) unlinkSync(path);
  writeFileSync(`${path}.lock`, ''); // it stays
  server.listen(path);
}

function answers(at: string): Promise<boolean> {
  return new Promise((resolve) => {
    const tried = connect({ path: at });
    tried.once('connect', () => {
      tried.destroy();
      resolve(true);
    });
    tried.once('error', () => resolve(false));
  });
}
