import { expect, test } from 'vitest';
import type { Run } from '../ports/host.ts';
import { notifyReady } from './notify.ts';

const quiet = { debug() {}, info() {}, warn() {} };

test('the service manager is told at the socket that it named, and only if it named one', async () => {
  const ran: unknown[] = [];
  const run: Run = async (argv, { env }) => {
    ran.push([argv, env]);
    return '';
  };
  const log = { ...quiet, error() {} };
  await notifyReady({ run, log }, undefined);
  await notifyReady({ run, log }, '');
  expect(ran).toEqual([]);
  await notifyReady({ run, log }, '/run/systemd/notify');
  expect(ran).toEqual([[['systemd-notify', '--ready'], { NOTIFY_SOCKET: '/run/systemd/notify' }]]);
});

test('that it cannot be told does not end the daemon', async () => {
  const said: string[] = [];
  const run: Run = async () => {
    throw new Error('not there');
  };
  await notifyReady({ run, log: { ...quiet, error: (message) => said.push(message) } }, '/run/x');
  expect(said).toEqual(['the service manager could not be told that the daemon is ready']);
});
