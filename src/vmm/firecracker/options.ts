import { ownOptions } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { Spec } from '../../domain/spec.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { Provider } from '../provider.ts';

/** What `provider_options` may hold. */
export const OPTIONS = {
  'firecracker.smt': {
    values: ['on', 'off'],
    help: "on: the guest's CPUs are pairs of threads of a core, as on a host with SMT, so that their number is even; absent: off",
  },
  'firecracker.huge_pages': {
    values: ['2M', 'none'],
    help: "2M: the guest's memory is of the host's reserved huge pages (`vm.nr_hugepages`), which must be free; absent: none",
  },
} as const satisfies Provider['options'];

type OptionName = keyof typeof OPTIONS;

const isOption = (key: string): key is OptionName => Object.hasOwn(OPTIONS, key);

/** What is wrong with the options of a spec. */
export function checkOptions({
  providerOptions,
  vcpu,
  memoryInMb,
}: Pick<Spec, 'providerOptions' | 'vcpu' | 'memoryInMb'>): readonly Violation[] {
  const found = Object.entries(ownOptions(providerOptions)).flatMap(([key, value]): readonly Violation[] => {
    const field = `provider_options[${shorten(key)}]`;
    if (!isOption(key))
      return [
        { field, description: `is no option of Firecracker's; there are: ${Object.keys(OPTIONS).sort().join(', ')}` },
      ];
    const values: readonly string[] = OPTIONS[key].values;
    if (values.includes(value)) return [];
    return [{ field, description: `"${shorten(value)}" must be ${values.join(' or ')}` }];
  });
  const { smt, hugePages } = optionsOf({ options: providerOptions });
  if (smt && vcpu > 1 && vcpu % 2 === 1)
    found.push({ field: 'vcpu', description: `is ${vcpu}; with firecracker.smt on it must be 1 or even` });
  if (hugePages && memoryInMb % 2 === 1)
    found.push({
      field: 'memory_in_mb',
      description: `is ${memoryInMb}; with firecracker.huge_pages 2M it must be a multiple of 2`,
    });
  return found;
}

/** What the options of a spec say of its machine. */
export const optionsOf = ({
  options,
}: Pick<VmmConfig, 'options'>): { readonly smt: boolean; readonly hugePages: boolean } => ({
  smt: options?.['firecracker.smt'] === 'on',
  hugePages: options?.['firecracker.huge_pages'] === '2M',
});
