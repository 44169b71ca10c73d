import { Fault } from '../../domain/fault.ts';
import type { Files, Run } from '../../ports/host.ts';
import { virtualisationOf } from '../../tools/virtualisation.ts';

export const ACCEL_CHOICES = ['auto', 'kvm', 'tcg'] as const;
export type AccelChoice = (typeof ACCEL_CHOICES)[number];

export interface Acceleration {
  readonly accelerator: 'kvm' | 'tcg';
  /** A sentence: why this one. */
  readonly reason: string;
  /** False when KVM was demanded and does not work here. */
  readonly usable: boolean;
}

/** QEMU answers in 30 ms; so long only on a host that is hardly alive. */
const PROBE_MS = 60_000;

/**
 * Chooses between the CPU's own virtualisation and software emulation. KVM is
 * believed only when a QEMU with it has started: a /dev/kvm alone says nothing
 * where the CPU does not virtualise.
 */
export async function chooseAcceleration(
  choice: AccelChoice,
  { binary, run, files }: { readonly binary: string; readonly run: Run; readonly files: Files },
): Promise<Acceleration> {
  if (choice === 'tcg')
    return { accelerator: 'tcg', reason: 'software emulation, as configured (--qemu-accel tcg)', usable: true };
  const obstacle = await kvmObstacle(binary, run, files);
  if (choice === 'kvm')
    return obstacle === undefined
      ? { accelerator: 'kvm', reason: 'KVM, as configured (--qemu-accel kvm)', usable: true }
      : { accelerator: 'kvm', reason: `KVM was demanded (--qemu-accel kvm), but ${obstacle}`, usable: false };
  return obstacle === undefined
    ? { accelerator: 'kvm', reason: 'KVM: the CPU virtualises and /dev/kvm works', usable: true }
    : { accelerator: 'tcg', reason: `software emulation, because ${obstacle}`, usable: true };
}

/** Why KVM cannot be used; undefined when it can. */
async function kvmObstacle(binary: string, run: Run, files: Files): Promise<string | undefined> {
  const cpu = text(await files.read('/proc/cpuinfo'));
  const device = await files.stat('/dev/kvm');
  if (virtualisationOf(cpu) === undefined)
    return `the CPU does not virtualise here: neither vmx nor svm is among its flags${device ? ', though there is a /dev/kvm' : ''}`;
  if (!device) return 'there is no /dev/kvm: load kvm_intel or kvm_amd';
  try {
    const quit = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n';
    await run([binary, '-machine', 'none,accel=kvm', '-nodefaults', '-display', 'none', '-qmp', 'stdio'], {
      input: quit,
      timeoutMs: PROBE_MS,
      signal: new AbortController().signal,
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return `QEMU cannot use /dev/kvm: ${error.message}`;
  }
}

/**
 * The rate of the host's time stamp counter, which is also an emulated guest's
 * when QEMU emulates on the same kind of CPU. The sources that do not move with
 * the clock come first.
 * @returns kHz; undefined when the host does not say
 */
export async function hostTscKhz(files: Files): Promise<number | undefined> {
  const cpu0 = '/sys/devices/system/cpu/cpu0';
  const sources = [
    { path: `${cpu0}/tsc_freq_khz`, khz: 1 },
    { path: `${cpu0}/cpufreq/base_frequency`, khz: 1 }, // intel_pstate
    { path: `${cpu0}/acpi_cppc/nominal_freq`, khz: 1000 }, // AMD, in MHz
  ];
  for (const { path, khz } of sources) {
    const value = Number(text(await files.read(path).catch(() => undefined)).trim());
    if (Number.isFinite(value) && value > 0) return Math.round(value * khz);
  }
  const mhz = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(text(await files.read('/proc/cpuinfo')))?.[1]);
  return Number.isFinite(mhz) && mhz > 0 ? Math.round(mhz * 1000) : undefined;
}

const text = (bytes: Uint8Array | undefined): string => (bytes ? new TextDecoder().decode(bytes) : '');
