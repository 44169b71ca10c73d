import { defineProvider } from '../provider.ts';
import { CAPABILITIES } from './capabilities.ts';
import { check } from './check.ts';
import { createCloudHypervisor } from './cloudhypervisor.ts';
import { KVM_CHOICES } from './kvm.ts';

/** Cloud Hypervisor, under KVM. */
export const cloudHypervisor = defineProvider({
  name: 'cloudhypervisor',
  title: 'Cloud Hypervisor',
  settings: {
    'cloudhypervisor-bin': {
      value: 'PATH',
      default: 'cloud-hypervisor',
      help: "Cloud Hypervisor's program",
      isProgram: true,
    },
    'cloudhypervisor-kvm': {
      choices: KVM_CHOICES,
      value: 'auto|trust',
      default: 'auto',
      help: 'trust: /dev/kvm is not tried, for one that serves guests without help of the CPU',
    },
  },
  options: {},
  machines: [{ when: 'always', capabilities: CAPABILITIES }],
  checks: [check],
  create: (deps, settings) =>
    createCloudHypervisor({ ...deps, binary: settings['cloudhypervisor-bin'], kvm: settings['cloudhypervisor-kvm'] }),
});
