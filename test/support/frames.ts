import { readFile, rm } from 'node:fs/promises';
import { expect } from 'vitest';
import type { Netns } from './netns.ts';

/** Frames as a guest may make them that keeps to no rule: bytes, put together here and sent as they are. */
export const bytes = (...parts: readonly (string | number | readonly number[] | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts.map((part) =>
      typeof part === 'string'
        ? Buffer.from(part.replaceAll(/[\s:]/g, ''), 'hex')
        : typeof part === 'number'
          ? Buffer.from([part])
          : Buffer.from(part),
    ),
  );
export const u16 = (value: number): readonly number[] => [value >> 8, value & 0xff];
const ipOf = (address: string): readonly number[] => address.split('.').map(Number);

export interface Ethernet {
  readonly to: string;
  readonly from: string;
}

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export const frame = ({ to, from }: Ethernet, type: number, payload: Uint8Array): Uint8Array =>
  bytes(to, from, u16(type), payload);

export interface Arp {
  /** 1 request, 2 reply. */
  readonly operation?: number;
  readonly sender: readonly [mac: string, address: string];
  readonly target: readonly [mac: string, address: string];
  /** Hardware type, protocol, and the lengths of both addresses. */
  readonly head?: readonly [number, number, number, number];
}

export function arp(ethernet: Ethernet, { operation = 1, sender, target, head = [1, 0x0800, 6, 4] }: Arp): Uint8Array {
  const [hardware, protocol, hlen, plen] = head;
  const ends = [sender, target].flatMap(([mac, address]) => [...bytes(mac), ...ipOf(address)]);
  return frame(ethernet, 0x0806, bytes(u16(hardware), u16(protocol), hlen, plen, u16(operation), ends));
}

export interface Ipv4 {
  readonly from: string;
  readonly to: string;
  /** 17: UDP. */
  readonly protocol?: number;
  /** Four bytes at a time. */
  readonly options?: string;
  /** Flags and offset: 0x2000 says that more follows. */
  readonly fragment?: number;
}

export function ipv4({ from, to, protocol = 17, options = '', fragment = 0 }: Ipv4, payload: Uint8Array): Uint8Array {
  const extra = bytes(options);
  const words = 5 + extra.length / 4;
  const rest = [...u16(words * 4 + payload.length), ...u16(7), ...u16(fragment), 64, protocol];
  const header = bytes(0x40 | words, 0, rest, u16(0), ipOf(from), ipOf(to), extra);
  header.set(u16(checksum(header)), 10);
  return bytes(header, payload);
}

function checksum(data: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Without a checksum, which IPv4 allows. */
export const udp = (from: number, to: number, payload: Uint8Array): Uint8Array =>
  bytes(u16(from), u16(to), u16(payload.length + 8), u16(0), payload);

export interface DhcpMessage {
  /** 1 request, 2 answer. */
  readonly operation?: number;
  /** RFC 2132, 9.6: 1 discover, 3 request, 4 decline, 7 release. */
  readonly type: number;
  readonly mac: string;
  readonly hardwareLength?: number;
  readonly address?: string;
  readonly relay?: string;
  /** Hex, as they are sent. */
  readonly options?: string;
}

/** @see RFC 2131, 2 */
export function dhcp(message: DhcpMessage): Uint8Array {
  const {
    operation = 1,
    type,
    mac,
    hardwareLength = 6,
    address = '0.0.0.0',
    relay = '0.0.0.0',
    options = '',
  } = message;
  return bytes(
    [operation, 1, hardwareLength, 0],
    '39 03 f3 26',
    '0000 0000',
    ipOf(address),
    ipOf('0.0.0.0'),
    ipOf('0.0.0.0'),
    ipOf(relay),
    mac,
    new Uint8Array(10 + 64 + 128),
    '63 82 53 63',
    [53, 1, type],
    options,
    0xff,
  );
}

/** As IEEE 802.2 packs what has an Ethernet type: a length in that's place, and SNAP (RFC 1042). */
export const snapped = ([...plain]: Uint8Array): Uint8Array =>
  bytes(plain.slice(0, 12), u16(plain.length - 6), 'aaaa03 000000', plain.slice(12));

const limits = { signal: new AbortController().signal, timeoutMs: 30_000 };

const SEND = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
`;

/** Sends frames from the interface `eth0`, one after the other. */
export async function send(netns: Netns, frames: readonly Uint8Array[]): Promise<void> {
  const input = frames.map((one) => `${Buffer.from(one).toString('hex')}\n`).join('');
  await netns.run(['python3', '-c', SEND], { ...limits, input });
}

/** Says what came, each by its mark, until the last mark comes. */
const HEAR = `
import re, socket, sys
interface, protocol = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
s.bind((interface, protocol))
s.settimeout(20)
print("listens", flush=True)
heard = set()
while "last" not in heard:
    found = re.search(rb"<mark ([a-z0-9 ]+)>", s.recv(65535))
    if found: heard.add(found.group(1).decode())
print("heard " + ",".join(sorted(heard - {"last"})), flush=True)
`;

export interface Listener {
  readonly netns: Netns;
  readonly interface: string;
  /** Of Ethernet; 3: all, before anybody else has a frame (ETH_P_ALL). */
  readonly protocol: number;
  /** A file of the test's own. */
  readonly log: string;
}

/** Behind its own bytes comes a frame's name, as padding. */
export const marked = (name: string, one: Uint8Array): Uint8Array => bytes(one, Buffer.from(`<mark ${name}>`));

/**
 * Which of the frames that are sent arrive, sorted.
 * @param act - sends {@link marked} frames; `last` at last, which must arrive: with it all that comes has come
 */
export async function hearing(listener: Listener, act: () => Promise<void>): Promise<readonly string[]> {
  const { netns, log } = listener;
  await rm(log, { force: true });
  const text = () => readFile(log, 'utf8').catch(() => '');
  const argv = ['python3', '-c', HEAR, listener.interface, String(listener.protocol)] as const;
  const process = await netns.processes.start(argv, { log });
  try {
    await expect.poll(text, { timeout: 20_000, interval: 20 }).toContain('listens');
    await act();
    await process.exited;
    const heard = /^heard (.*)$/m.exec(await text())?.[1];
    if (heard === undefined) throw new Error(`nobody heard the last frame: ${await text()}`);
    return heard.split(',').filter((name) => name !== '');
  } finally {
    await netns.processes.signal(process.identity, () => true, 'SIGKILL');
  }
}

/** Which of the frames of one guest arrive at another, sorted. @param last - one that must */
export const arriving = (
  [from, to]: readonly [Netns, Netns],
  frames: Readonly<Record<string, Uint8Array>>,
  last: Uint8Array,
  log: string,
): Promise<readonly string[]> =>
  hearing({ netns: to, interface: 'eth0', protocol: 3, log }, () =>
    send(
      from,
      Object.entries({ ...frames, last }).map(([name, one]) => marked(name, one)),
    ),
  );
