import { defineProvider } from '../provider.ts';
import { capabilitiesOf } from './capabilities.ts';
import { createCloudHypervisor } from './cloudhypervisor.ts';
import { check, productionCheck } from './doctor-check.ts';
import { KVM_CHOICES } from './kvm.ts';
import { LANDLOCK_CHOICES } from './landlock.ts';
import { OVERLAYS_SINCE } from './trial.ts';

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
    'cloudhypervisor-landlock': {
      choices: LANDLOCK_CHOICES,
      value: 'auto|on|off',
      default: 'auto',
      help: "whether Cloud Hypervisor shuts itself out of every file but its guest's, by Landlock. auto: where the kernel (6.2 or later) and its version (48 or later) can; on: there is no Cloud Hypervisor without",
    },
  },
  options: {},
  machines: [
    { when: `version ${OVERLAYS_SINCE} and later`, capabilities: capabilitiesOf({ overlays: true }) },
    { when: 'before', capabilities: capabilitiesOf({ overlays: false }) },
  ],
  checks: [check],
  productionChecks: [productionCheck],
  create: (deps, settings) =>
    createCloudHypervisor({
      ...deps,
      binary: settings['cloudhypervisor-bin'],
      kvm: settings['cloudhypervisor-kvm'],
      landlock: settings['cloudhypervisor-landlock'],
    }),
});
