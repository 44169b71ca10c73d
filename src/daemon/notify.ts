import type { Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';

/** It sends one datagram and waits until it was read. */
const NOTIFY_MS = 60_000;

/**
 * Tells the service manager that started us that we are ready, if it asked to
 * be told: sd_notify(3). Node has no datagrams on unix sockets, systemd has a
 * program for it.
 */
export async function notifyReady(
  { run, log }: { readonly run: Run; readonly log: Log },
  socket: string | undefined,
): Promise<void> {
  if (socket === undefined || socket === '') return;
  try {
    await run(['systemd-notify', '--ready'], {
      signal: new AbortController().signal,
      timeoutMs: NOTIFY_MS,
      env: { NOTIFY_SOCKET: socket },
    });
  } catch (error) {
    log.error('the service manager could not be told that the daemon is ready', { error });
  }
}
