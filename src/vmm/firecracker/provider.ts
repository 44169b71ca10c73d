import { defineProvider } from '../provider.ts';
import { CAPABILITIES } from './capabilities.ts';
import { check } from './check.ts';
import { KVM_CHOICES } from './devices.ts';
import { createFirecracker } from './firecracker.ts';
import { OPTIONS } from './options.ts';

/** Firecracker, which needs KVM. */
export const firecracker = defineProvider({
  name: 'firecracker',
  title: 'Firecracker',
  settings: {
    'firecracker-bin': { value: 'PATH', default: 'firecracker', help: "Firecracker's program", isProgram: true },
    'firecracker-kvm': {
      choices: KVM_CHOICES,
      value: 'auto|trust',
      default: 'auto',
      help: 'trust: /dev/kvm is not tried, for one that serves guests without help of the CPU',
    },
  },
  options: OPTIONS,
  machines: [{ when: 'with KVM', capabilities: CAPABILITIES }],
  checks: [check],
  create: (deps, settings) =>
    createFirecracker({ ...deps, binary: settings['firecracker-bin'], kvm: settings['firecracker-kvm'] }),
});
