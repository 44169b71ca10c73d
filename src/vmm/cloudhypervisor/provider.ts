import { defineProvider } from '../provider.ts';
import { CAPABILITIES } from './capabilities.ts';
import { check } from './check.ts';
import { createCloudHypervisor } from './cloudhypervisor.ts';

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
  },
  options: {},
  machines: [{ when: 'always', capabilities: CAPABILITIES }],
  checks: [check],
  create: (deps, settings) => createCloudHypervisor({ ...deps, binary: settings['cloudhypervisor-bin'] }),
});
