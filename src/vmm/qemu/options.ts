import { type AcpiChoice, acpiFor } from '../../domain/acpi.ts';
import type { Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { Provider } from '../provider.ts';

type Options = Readonly<Record<string, string>>;

/** What `provider_options` may hold. */
export const OPTIONS: Provider['options'] = {
  'qemu.acpi': {
    values: ['on', 'off'],
    help: 'off: a machine without ACPI, for a kernel that has none of it; absent: as kernel and `kernel.cmdline` ask for, else as `--qemu-acpi` says',
  },
};

/** What is wrong with the options of a spec. */
export function checkOptions(options: Options): readonly Violation[] {
  return Object.entries(options).flatMap(([key, value]) => {
    const field = `provider_options[${shorten(key)}]`;
    const values = Object.hasOwn(OPTIONS, key) ? OPTIONS[key]?.values : undefined;
    if (!values)
      return [{ field, description: `is no option of QEMU's; there are: ${Object.keys(OPTIONS).sort().join(', ')}` }];
    if (values.includes(value)) return [];
    return [{ field, description: `"${shorten(value)}" must be ${values.join(' or ')}` }];
  });
}

/** Whether one microVM's machine has ACPI. @param byDefault - the daemon's own setting */
export function acpiOf(
  { options, cmdline, kernelFacts }: Pick<VmmConfig, 'options' | 'cmdline' | 'kernelFacts'>,
  byDefault: boolean,
): AcpiChoice {
  const value = options?.['qemu.acpi'];
  return acpiFor(value === 'on' || value === 'off' ? value : undefined, cmdline, kernelFacts, byDefault);
}
