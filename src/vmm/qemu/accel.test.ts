import { expect, test } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import type { Files, Run } from '../../ports/host.ts';
import { chooseAcceleration, hostTscKhz } from './accel.ts';

/** A host with these files and nothing else. */
function hostWith(contents: Readonly<Record<string, string>>): Files {
  const none = (): never => {
    throw new Error('not in this test');
  };
  return {
    makeDirectory: none,
    remove: none,
    write: none,
    rename: none,
    list: none,
    readLink: none,
    opens: none,
    realPath: none,
    firstFile: none,
    freeBytes: none,
    freeInodes: none,
    copy: none,
    watch: none,
    punch: none,
    own: none,
    setMode: none,
    typeInto: none,
    takeFrom: none,
    pinSocket: none,
    overwrite: none,
    writeSparse: none,
    removeDirectory: none,
    read: async (path) => {
      const text = contents[path];
      return text === undefined ? undefined : Buffer.from(text);
    },
    stat: async (path) =>
      contents[path] === undefined ? undefined : { kind: 'other', sizeBytes: 0, diskBytes: 0, mode: 0o600 },
  };
}
const works: Run = async () => '';
const fails: Run = () => Promise.reject(new Fault('tool', 'Could not access KVM kernel module'));
const binary = 'qemu';
const INTEL = 'cpu MHz\t\t: 2596.132\nflags\t\t: fpu vmx sse\n';
const PLAIN = 'cpu MHz\t\t: 2596.132\nflags\t\t: fpu xvmx sse\n';

test.each([
  ['auto', INTEL, true, works, 'kvm', /virtualises/],
  ['auto', PLAIN, true, works, 'tcg', /neither vmx nor svm.*though there is a \/dev\/kvm/],
  ['auto', INTEL, false, works, 'tcg', /no \/dev\/kvm/],
  ['auto', INTEL, true, fails, 'tcg', /Could not access KVM/],
  ['tcg', INTEL, true, works, 'tcg', /as configured/],
  ['kvm', INTEL, true, works, 'kvm', /as configured/],
] as const)('%s, %j, /dev/kvm %s', async (choice, cpuinfo, device, run, accelerator, reason) => {
  const files = hostWith({ '/proc/cpuinfo': cpuinfo, ...(device ? { '/dev/kvm': '' } : {}) });
  const chosen = await chooseAcceleration(choice, { binary, run, files });
  expect(chosen).toMatchObject({ accelerator, usable: true });
  expect(chosen.reason).toMatch(reason);
});

test('KVM that was demanded and does not work is not usable', async () => {
  const files = hostWith({ '/proc/cpuinfo': PLAIN });
  expect(await chooseAcceleration('kvm', { binary, run: works, files })).toMatchObject({
    accelerator: 'kvm',
    usable: false,
  });
});

test('the clock is read where it stands still, and else as the CPU says', async () => {
  const cpu0 = '/sys/devices/system/cpu/cpu0';
  expect(await hostTscKhz(hostWith({ '/proc/cpuinfo': PLAIN }))).toBe(2_596_132);
  expect(await hostTscKhz(hostWith({ '/proc/cpuinfo': PLAIN, [`${cpu0}/cpufreq/base_frequency`]: '2600000\n' }))).toBe(
    2_600_000,
  );
  expect(await hostTscKhz(hostWith({ '/proc/cpuinfo': PLAIN, [`${cpu0}/acpi_cppc/nominal_freq`]: '2450\n' }))).toBe(
    2_450_000,
  );
  expect(await hostTscKhz(hostWith({ '/proc/cpuinfo': 'flags : fpu\n' }))).toBeUndefined();
});
