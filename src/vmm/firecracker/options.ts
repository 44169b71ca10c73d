import { ownOptions, wantsBalloon } from '../../domain/common-options.ts';
import type { Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { Spec } from '../../domain/spec.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { Provider } from '../provider.ts';
import { isFrom, type Version, WITH_PCI, WITH_REPORTING } from './version.ts';

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
  'firecracker.pci': {
    values: ['on', 'off'],
    help: 'on: disks and interfaces are on a PCI bus, for which the kernel needs CONFIG_VIRTIO_PCI, and there may be 30 of them (Firecracker 1.13 and later); absent: off',
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
}: {
  readonly options?: VmmConfig['options'] | undefined;
}): { readonly smt: boolean; readonly hugePages: boolean; readonly pci: boolean } => ({
  smt: options?.['firecracker.smt'] === 'on',
  hugePages: options?.['firecracker.huge_pages'] === '2M',
  pci: options?.['firecracker.pci'] === 'on',
});

/** Of the host: MiB. */
const HUGE_PAGE_MB = 2;

/** @param free - huge pages that nobody has; absent: it is not known */
export function hugePagesLack(
  { providerOptions, memoryInMb }: Pick<Spec, 'providerOptions' | 'memoryInMb'>,
  free: number | undefined,
): readonly Violation[] {
  const needed = Math.ceil(memoryInMb / HUGE_PAGE_MB);
  if (!optionsOf({ options: providerOptions }).hugePages || free === undefined || free >= needed) return [];
  const description = `is 2M, for which ${needed} huge pages of ${HUGE_PAGE_MB} MiB must be free, and this host has ${free}: reserve more (\`sysctl vm.nr_hugepages=NUMBER\`), or leave it out`;
  return [{ field: 'provider_options[firecracker.huge_pages]', description }];
}

/** @param version - of the program; absent: it is not known */
export function pciLacks(
  { providerOptions }: Pick<Spec, 'providerOptions'>,
  version: Version | undefined,
): readonly Violation[] {
  if (!optionsOf({ options: providerOptions }).pci || !version || isFrom(version, WITH_PCI)) return [];
  const description = `is on, and Firecracker ${version.text} has no PCI bus (${WITH_PCI.major}.${WITH_PCI.minor} has): leave it out`;
  return [{ field: 'provider_options[firecracker.pci]', description }];
}

/** @param version - of the program; absent: it is not known */
export function balloonLacks(
  { providerOptions }: Pick<Spec, 'providerOptions'>,
  version: Version | undefined,
): readonly Violation[] {
  if (!wantsBalloon(providerOptions) || !version || isFrom(version, WITH_REPORTING)) return [];
  const description = `is on, and Firecracker ${version.text} takes no freed memory back (${WITH_REPORTING.major}.${WITH_REPORTING.minor} does): leave it out`;
  return [{ field: 'provider_options[balloon]', description }];
}
