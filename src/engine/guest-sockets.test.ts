import { expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { AgentSocketWanted } from '../ports/agent-sockets.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import { GuestSockets, sweepGuestSockets } from './guest-sockets.ts';

const uid = '01JDGZ0000000000000000000A' as Uid;

function bed({ agent = 'on', run = '/run/fl', fails = false } = {}) {
  const did: string[] = [];
  const wanted: AgentSocketWanted[] = [];
  const log = memoryLog();
  const met = { agent: undefined as GuestAgent | undefined };
  const names = { instance: 'abcd', stateDirectory: '/state', runDirectory: run };
  const files = {
    makeDirectory: async (path: string, mode: number) => void did.push(`make ${path} ${mode.toString(8)}`),
    remove: async (path: string) => void did.push(`remove ${path}`),
    list: async () => ['api.sock', 'network', uid, 'vm'],
  };
  const vm = { spec: { providerOptions: { agent } } } as unknown as MicroVm;
  const sockets = new GuestSockets({
    ...{ names, files, log, store: { get: () => vm } },
    agentOf: () => met.agent,
    async serve(one) {
      if (fails) throw new Fault('tool', 'Cannot listen');
      wanted.push(one);
      did.push(`serve ${one.path}`);
      return async () => void did.push('stop');
    },
  });
  return { sockets, did, wanted, met, log, names, files };
}

const DIRECTORY = `/run/fl/${uid}`;
const SERVED = [`remove ${DIRECTORY}`, `make ${DIRECTORY} 711`, `serve ${DIRECTORY}/guest-agent.vsock`];

test('it is there while its guest runs, and nothing is left of it', async () => {
  const { sockets, did } = bed();
  sockets.follow(uid);
  expect(sockets.paths()).toEqual([DIRECTORY, `${DIRECTORY}/guest-agent.vsock`]);
  await sockets.settled();
  expect(did).toEqual(SERVED);
  // Its next run begins before the last one's is away.
  sockets.leave(uid);
  sockets.follow(uid);
  sockets.leave(uid);
  await sockets.settled();
  expect(did.slice(3)).toEqual([...['stop', `remove ${DIRECTORY}`, ...SERVED, 'stop', `remove ${DIRECTORY}`]]);
  expect(sockets.paths()).toEqual([]);
});

test.each([
  ['whose spec says off', { agent: 'off' }],
  ['whose spec says nothing', { agent: '' }],
  ['whose path would be too long', { run: `/run/${'x'.repeat(70)}` }],
])('there is none for a microVM %s', async (_, options) => {
  const { sockets, did } = bed(options);
  sockets.follow(uid);
  sockets.leave(uid);
  await sockets.settled();
  expect(did).toEqual([]);
});

test('an agent that is not there cannot be dialled; one that is can', async () => {
  const { sockets, wanted, met } = bed();
  sockets.follow(uid);
  await sockets.settled();
  expect(() => wanted[0]?.dial(1024)).toThrow('is not there');
  const dialled: number[] = [];
  met.agent = {
    dial: (door: number) => {
      dialled.push(door);
      return undefined;
    },
  } as unknown as GuestAgent;
  wanted[0]?.dial(1025);
  expect(dialled).toEqual([1025]);
});

test('one that cannot be made is told, and holds up nothing', async () => {
  const { sockets, log } = bed({ fails: true });
  sockets.follow(uid);
  sockets.leave(uid);
  await sockets.settled();
  expect(JSON.stringify(log)).toContain('Cannot listen');
});

test('what killed daemons left goes, and nothing else', async () => {
  const { names, files, did } = bed();
  await sweepGuestSockets({ names, files });
  expect(did).toEqual([`remove ${DIRECTORY}`]);
});
