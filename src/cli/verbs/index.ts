import type { Configure } from '../context.ts';

export interface VerbEntry {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  load(): Promise<{ readonly configure: Configure }>;
}

const power = async (name: 'start' | 'stop' | 'reboot' | 'pause' | 'resume'): Promise<{ configure: Configure }> => ({
  configure: (await import('./power.ts'))[name],
});

/** Every verb, in the order of the help. */
export const VERBS: readonly VerbEntry[] = [
  { name: 'create', summary: 'make microVMs from a spec', load: () => import('./create.ts') },
  { name: 'run', summary: "boot an image with the host's demo kernel", load: () => import('./run.ts') },
  { name: 'list', aliases: ['ls'], summary: 'list microVMs', load: () => import('./list.ts') },
  { name: 'get', summary: 'show one microVM: its state, and why', load: () => import('./get.ts') },
  { name: 'start', summary: 'start what is STOPPED or FAILED', load: () => power('start') },
  { name: 'stop', summary: 'shut guests down, and keep them stopped', load: () => power('stop') },
  { name: 'reboot', summary: 'reboot guests in place', load: () => power('reboot') },
  { name: 'pause', summary: "stop guests' CPUs where they are", load: () => power('pause') },
  { name: 'resume', summary: 'let paused guests go on', load: () => power('resume') },
  { name: 'update', summary: 'change labels, metadata, restart policy', load: () => import('./update.ts') },
  { name: 'delete', aliases: ['rm'], summary: 'delete microVMs', load: () => import('./delete.ts') },
  { name: 'wait', summary: 'wait until a microVM runs, stopped, is gone …', load: () => import('./wait.ts') },
  { name: 'watch', summary: 'show changes as they come', load: () => import('./watch.ts') },
  { name: 'exec', summary: 'run a command in a guest', load: () => import('./exec.ts') },
  { name: 'cp', summary: 'copy files to and from guests', load: () => import('./cp.ts') },
  { name: 'forward', summary: "reach a guest's ports from here", load: () => import('./forward.ts') },
  { name: 'ssh', summary: "log in to a guest, by this machine's ssh", load: () => import('./ssh.ts') },
  {
    name: 'ssh-config',
    summary: 'print how ssh, scp and the like get to guests',
    load: () => import('./ssh-config.ts'),
  },
  { name: 'top', summary: 'show what guests use', load: () => import('./top.ts') },
  { name: 'console', aliases: ['logs'], summary: "show a guest's console", load: () => import('./console.ts') },
  { name: 'image', summary: 'list, pull and remove images', load: () => import('./image.ts') },
  { name: 'info', summary: 'show what the daemon and its host can do', load: () => import('./info.ts') },
  { name: 'host', summary: 'take no more microVMs, or take them again', load: () => import('./host.ts') },
  { name: 'audit', summary: 'compare the host with the ledger', load: () => import('./audit.ts') },
  { name: 'doctor', summary: 'check what this host can do (no daemon needed)', load: () => import('./doctor.ts') },
  { name: 'version', summary: "show this program's version", load: () => import('./version.ts') },
  {
    name: 'context',
    summary: 'remember several daemons, and how they are reached',
    load: () => import('./context.ts'),
  },
  { name: 'completion', summary: 'print a completion script for a shell', load: () => import('./completion.ts') },
];
