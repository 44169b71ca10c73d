import { defineProvider } from '../provider.ts';
import { ACCEL_CHOICES } from './accel.ts';
import { capabilitiesOf } from './capabilities.ts';
import { check } from './doctor-check.ts';
import { OPTIONS } from './options.ts';
import { createQemu } from './qemu.ts';

/** QEMU with the machine `microvm`. */
export const qemu = defineProvider({
  name: 'qemu',
  title: 'QEMU',
  settings: {
    'qemu-bin': { value: 'PATH', default: 'qemu-system-x86_64', help: "QEMU's program", isProgram: true },
    'qemu-accel': {
      choices: ACCEL_CHOICES,
      value: 'auto|kvm|tcg',
      default: 'auto',
      help: 'auto: KVM where it really works, else software emulation (tcg)',
    },
    'qemu-acpi': {
      choices: ['on', 'off'],
      value: 'on|off',
      default: 'on',
      help: 'off for guest kernels without ACPI',
    },
  },
  options: OPTIONS,
  machines: [
    { when: 'with KVM', capabilities: capabilitiesOf({ accelerator: 'kvm', acpi: true }) },
    { when: 'under software emulation', capabilities: capabilitiesOf({ accelerator: 'tcg', acpi: true }) },
    { when: 'without ACPI, with KVM', capabilities: capabilitiesOf({ accelerator: 'kvm', acpi: false }) },
  ],
  checks: [check],
  create: (deps, settings) =>
    createQemu({
      ...deps,
      binary: settings['qemu-bin'],
      accel: settings['qemu-accel'],
      acpi: settings['qemu-acpi'] === 'on',
    }),
});
