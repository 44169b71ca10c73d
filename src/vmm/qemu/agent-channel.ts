import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { connected, socketChannel } from '../supervisor/socket-channel.ts';
import { agentSocket } from './layout.ts';

/**
 * The virtio-serial port of a guest's agent. QEMU lets one client in, and takes
 * what he sends as fast as the guest reads it: some 200 KB where nobody does.
 *
 * @throws Fault `refused` when there is no such port; the signal's reason
 */
export async function openAgent(config: Pick<VmmConfig, 'runDirectory'>, signal: AbortSignal): Promise<Channel> {
  const path = agentSocket(config);
  try {
    return socketChannel(await connected(path, signal), 'the guest agent');
  } catch (cause) {
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Fault('refused', `Cannot open the port of the guest agent ${path}: ${why}`, { cause });
  }
}
