import { expect, test, vi } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';
import { createFlows, parseFlows } from './flows.ts';
import { createIp } from './ip.ts';

const signal = new AbortController().signal;
const port = (hostPort: number, hostIp = '') => ({ hostPort, hostIp, guestPort: 80, protocol: 'udp' }) as const;
const udp = (to: string, toPort: number, answers = to): string =>
  `udp      17 29 src=192.0.2.9 dst=${to} sport=40000 dport=${toPort} [UNREPLIED] src=${answers} dst=192.0.2.9 sport=80 dport=40000 mark=0 use=1`;
const LIST = [
  udp('192.0.2.1', 53),
  udp('192.0.2.1', 53, '10.77.0.2'), // led to a guest already
  udp('203.0.113.5', 53), // to another machine
  udp('127.0.0.7', 53),
  udp('192.0.2.1', 54),
  'tcp      6 431999 ESTABLISHED src=192.0.2.9 dst=192.0.2.1 sport=1 dport=2 src=192.0.2.1 dst=192.0.2.9 sport=2 dport=1 [ASSURED] mark=0 use=1',
  'icmp     1 29 src=192.0.2.9 dst=192.0.2.1 type=8 code=0 id=1 src=192.0.2.1 dst=192.0.2.9 type=0 code=0 id=1',
  '',
].join('\n');

function world(answer: (argv: readonly string[]) => string) {
  const run = vi.fn<Run>(async (argv) =>
    argv[0] === 'ip' ? JSON.stringify([{ type: 'local', dst: '192.0.2.1', dev: 'eth0' }]) : answer(argv),
  );
  const log = memoryLog();
  const deleted = () => run.mock.calls.flatMap(([argv]) => (argv.includes('-D') ? [argv.slice(6).join(' ')] : []));
  return { flows: createFlows({ run, ip: createIp(run), log }), deleted, log, run };
}

test('what is printed is read; what has no ports is left out', () => {
  expect(
    parseFlows(LIST).map(({ protocol, to, toPort, answers }) => [protocol, to, toPort, answers].join(' ')),
  ).toEqual([
    'udp 192.0.2.1 53 192.0.2.1',
    'udp 192.0.2.1 53 10.77.0.2',
    'udp 203.0.113.5 53 203.0.113.5',
    'udp 127.0.0.7 53 127.0.0.7',
    'udp 192.0.2.1 54 192.0.2.1',
    'tcp 192.0.2.1 2 192.0.2.1',
  ]);
});

test.each([
  [
    [port(53)],
    [
      '--orig-dst 192.0.2.1 --reply-src 192.0.2.1 --orig-port-dst 53',
      '--orig-dst 127.0.0.7 --reply-src 127.0.0.7 --orig-port-dst 53',
    ],
  ],
  [[port(53, '127.0.0.7'), port(99)], ['--orig-dst 127.0.0.7 --reply-src 127.0.0.7 --orig-port-dst 53']],
  [[port(99)], []],
])('of ports %j those to the host that lead to nobody are ended', async (ports, ended) => {
  const { flows, deleted, log } = world((argv) => (argv.includes('-L') ? LIST : ''));
  await flows.endBefore(ports, signal);
  expect(deleted()).toEqual(ended);
  expect(log.lines).toEqual([]);
});

test('without the tool ports are published all the same, and it is told', async () => {
  const { flows, log } = world(() => {
    throw new Fault('tool', 'Cannot run conntrack: it is not installed or not in PATH');
  });
  await flows.endBefore([port(53)], signal);
  await flows.endTo('10.77.0.2', signal);
  expect(log.lines.map(({ level, fields }) => `${level} ${(fields as { why?: string } | undefined)?.why}`)).toEqual([
    'warn Cannot run conntrack: it is not installed or not in PATH',
    'warn Cannot run conntrack: it is not installed or not in PATH',
  ]);
  const none = world(() => {
    throw new Fault(
      'tool',
      'conntrack failed (exit status 1): conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.',
    );
  });
  await none.flows.endTo('10.77.0.2', signal);
  expect(none.log.lines).toEqual([]);
});
