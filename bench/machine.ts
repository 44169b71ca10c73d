import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../test/support/daemon.ts';
import type { Need } from './measure/group.ts';
import { isBuilt } from './measure/packed.ts';

/** Why something is not there; undefined: it is. */
export function lacks(need: Need): string | undefined {
  switch (need) {
    case 'root':
      return process.getuid?.() === 0 ? undefined : 'it needs root: the daemon makes network devices and mounts';
    case 'perl':
      return runs('perl', '-MSocket', '-e', '1') ? undefined : 'it needs perl (perl-base), for the stub VMM';
    case 'small kernel':
      return existsSync(join(ROOT, '.cache/images/kernel/index.json'))
        ? undefined
        : 'there is no small kernel: npm run images kernel';
    case 'KVM':
      return kvm();
    case 'packed':
      return isBuilt() ? undefined : 'there is no dist/: npm run build';
    default:
      return need satisfies never;
  }
}

function kvm(): string | undefined {
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')))
    return 'this machine has no KVM: its CPU has neither vmx nor svm';
  return existsSync('/dev/kvm') ? undefined : 'this machine has no KVM: there is no /dev/kvm';
}

function runs(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function firstLine(program: string, ...args: readonly string[]): string {
  try {
    const text = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text.split('\n')[0] ?? '';
  } catch {
    return `no ${program}`;
  }
}

/** What a reader must know of the machine to read its figures. */
export function machineText(): string {
  const all = cpus();
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'some Linux';
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  return [
    `${all.length} × ${all[0]?.model.trim() ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${system}, Linux ${release()}`,
    `${firstLine('qemu-system-x86_64', '--version')}, ${kvm() === undefined ? 'KVM is there, and measured in its row alone' : 'software emulation (no KVM)'}, Node ${process.versions.node}`,
    `load before: ${load}`,
  ].join('\n');
}
