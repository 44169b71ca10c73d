import { type AcpiChoice, acpiFor } from '../../domain/acpi.ts';
import type { Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

type Options = Readonly<Record<string, string>>;

/** What `provider_options` may hold, with the values of each. */
const KNOWN: Readonly<Record<string, readonly string[]>> = { 'qemu.acpi': ['on', 'off'] };

/** What is wrong with the options of a spec. */
export function checkOptions(options: Options): readonly Violation[] {
  return Object.entries(options).flatMap(([key, value]) => {
    const field = `provider_options[${shorten(key)}]`;
    const values = Object.hasOwn(KNOWN, key) ? KNOWN[key] : undefined;
    if (!values)
      return [{ field, description: `is no option of QEMU's; there are: ${Object.keys(KNOWN).sort().join(', ')}` }];
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
