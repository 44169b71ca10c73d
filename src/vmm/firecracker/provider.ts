import { defineProvider } from '../provider.ts';
import { CAPABILITIES, PCI_CAPABILITIES } from './capabilities.ts';
import { KVM_CHOICES } from './devices.ts';
import { check, productionCheck } from './doctor-check.ts';
import { createFirecracker } from './firecracker.ts';
import { JAIL_CHOICES, JAILER } from './jail.ts';
import { OPTIONS } from './options.ts';

/** Firecracker, which needs KVM. */
export const firecracker = defineProvider({
  name: 'firecracker',
  title: 'Firecracker',
  settings: {
    'firecracker-bin': { value: 'PATH', default: 'firecracker', help: "Firecracker's program", isProgram: true },
    'firecracker-jailer-bin': {
      value: 'PATH',
      default: JAILER,
      help: "Firecracker's jailer, of the same release",
      isProgram: true,
    },
    'firecracker-jail': {
      choices: JAIL_CHOICES,
      value: 'auto|on|off',
      default: 'auto',
      help: 'whether Firecracker sees nothing of the host but its own files. auto: where the jailer is there, of the same version, and can; on: there is no Firecracker without',
    },
    'firecracker-kvm': {
      choices: KVM_CHOICES,
      value: 'auto|trust',
      default: 'auto',
      help: 'trust: /dev/kvm is not tried, for one that serves guests without help of the CPU',
    },
  },
  options: OPTIONS,
  machines: [
    { when: 'with KVM', capabilities: CAPABILITIES },
    { when: 'with `firecracker.pci`', capabilities: PCI_CAPABILITIES },
  ],
  checks: [check],
  productionChecks: [productionCheck],
  create: (deps, settings) =>
    createFirecracker({
      ...deps,
      binary: settings['firecracker-bin'],
      kvm: settings['firecracker-kvm'],
      jailer: settings['firecracker-jailer-bin'],
      jail: settings['firecracker-jail'],
    }),
});
