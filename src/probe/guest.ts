/**
 * A guest that is none: it runs in a network namespace of its own, plugged
 * into the bridge as guests are, and tries what guests need. It prints a line
 * of JSON for all that it found, and ends.
 */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbeOrder, ProbeReport } from './order.ts';
import { answerCode, discover, offerFor, query } from './packets.ts';

const SERVICE = '169.254.169.254';
/** Below what a server takes of headers, and more than one frame. */
const FILLER_BYTES = 4_000;

const order = JSON.parse(process.argv[2] ?? '{}') as ProbeOrder;
let end = Date.now() + order.patienceMs;
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'ignore' });

/** Asks again and again until something is answered, or the patience ends. */
async function asked(
  socket: Socket,
  ask: () => void,
  isAnswer: (message: Buffer) => boolean,
  until = end,
): Promise<boolean> {
  let answered = false;
  socket.on('message', (message) => {
    answered ||= isAnswer(message);
  });
  socket.on('error', () => undefined); // refused: asked again
  for (let wait = 100; !answered && Date.now() < until; wait = Math.min(2 * wait, 1_000)) {
    ask();
    for (const again = Date.now() + wait; !answered && Date.now() < again; ) await sleep(5);
  }
  socket.close();
  return answered;
}

const bound = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(port, () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });

async function dhcp(): Promise<boolean> {
  const socket = await bound(68);
  socket.setBroadcast(true);
  const transaction = Math.floor(Math.random() * 2 ** 32);
  const message = discover(order.mac, transaction);
  const send = (): void => socket.send(message, 67, '255.255.255.255', () => undefined);
  return asked(socket, send, (reply) => offerFor(reply, transaction) === order.address);
}

async function dns(name: string, until = end): Promise<{ answered: boolean; code: number }> {
  const socket = await bound(0);
  const id = Math.floor(Math.random() * 2 ** 16);
  const message = query(name, id);
  let code = 0;
  const answered = await asked(
    socket,
    () => socket.send(message, 53, order.gateway, () => undefined),
    (reply) => {
      const found = answerCode(reply, id);
      code = found ?? code;
      return found !== undefined;
    },
    until,
  );
  return { answered, code };
}

/** A connection, and the first bytes that come over it; asked again while it is refused or silent. */
async function spoken(host: string, port: number, say: string, isAnswer: (text: string) => boolean): Promise<boolean> {
  while (Date.now() < end) {
    const text = await new Promise<string>((resolve) => {
      const socket = connect({ host, port, timeout: Math.max(50, Math.min(3_000, end - Date.now())) });
      let heard = '';
      const done = (): void => {
        socket.destroy();
        resolve(heard);
      };
      socket.on('connect', () => socket.write(say));
      socket.on('data', (data) => {
        heard += data.toString('latin1');
        if (isAnswer(heard)) done();
      });
      for (const event of ['timeout', 'error', 'close'] as const) socket.on(event, done);
    });
    if (isAnswer(text)) return true;
    await sleep(200);
  }
  return false;
}

/** What is sent there is counted by who asked: nobody answers. */
async function out(): Promise<void> {
  for (let times = 0; times < 2; times++) {
    const socket = connect({ host: order.outside, port: 443, timeout: 200 });
    await new Promise<void>((resolve) => {
      for (const event of ['timeout', 'error', 'connect', 'close'] as const) socket.on(event, () => resolve());
    });
    socket.destroy();
  }
}

process.stdout.write(`${JSON.stringify({ pid: process.pid })}\n`);
while (networkInterfaces().eth0 === undefined && Date.now() < end)
  try {
    ip('link', 'set', 'dev', 'eth0', 'address', order.mac, 'mtu', String(order.mtu), 'up');
    break;
  } catch {
    await sleep(10); // not plugged in yet
  }
ip('link', 'set', 'dev', 'lo', 'up');
ip('route', 'replace', 'default', 'dev', 'eth0');
const isOffered = await dhcp();
// Whether it was given one or not: what else is in the way is to be found, too.
ip('address', 'replace', `${order.address}/${order.prefix}`, 'dev', 'eth0');
ip('route', 'replace', 'default', 'via', order.gateway, 'dev', 'eth0');
createServer((socket) => {
  socket.on('error', () => undefined);
  socket.end('here');
}).listen(order.ownPort);
end = Date.now() + order.patienceMs; // DHCP may have taken all of the patience
process.stdout.write(`${JSON.stringify({ isListening: true })}\n`);
const isHttp = (text: string): boolean => text.startsWith('HTTP/');
const [own, names, [metadata, large]] = await Promise.all([
  dns(order.ownName),
  // A server that is not there is the host's own affair: it is not waited for as long.
  dns(order.otherName, Date.now() + order.patienceMs / 4),
  (async () => {
    const isThere = await spoken(SERVICE, 80, 'GET / HTTP/1.0\r\n\r\n', isHttp);
    // Several full frames, which are not to be cut: TCP sets so.
    const long = `GET / HTTP/1.0\r\nX-Filler: ${'x'.repeat(FILLER_BYTES)}\r\n\r\n`;
    return [isThere, isThere && (await spoken(SERVICE, 80, long, isHttp))] as const;
  })(),
  out(),
]);
const report: ProbeReport = { dhcp: isOffered, dns: own.answered, names, metadata, large };
process.stdout.write(`${JSON.stringify({ report })}\n`);
// It stays to be knocked at until it is ended.
